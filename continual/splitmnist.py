"""SplitMNIST: five pairs of digits, one after another (Thangarasa et al. 2020; Zenke et al. 2017).

    python -m continual.splitmnist --reg si --head dhp --seeds 10

The network learns 0/1, then 2/3, and so on; afterwards it is tested on all of them. Seeds train side by side.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from continual.mlp import MLPOptions, learn_by_mlp
from continual.scenarios import Scale, split
from plastic.data import load_labelled
from plastic.experiment import Presets, Run, Together, command, conduct_together

PAPER: dict[str, Any] = {"lr": 0.01, "explicit": True, "decay": False}
SI_PROGRAM: dict[str, Any] = {
    "optimizer": "adam",
    "lr": 1e-3,
    "decay": False,
    "zero_head": True,
    "scale": "unit",
    "epochs": 10,
}


@dataclass(frozen=True, kw_only=True)
class Config(MLPOptions):
    """SplitMNIST with a plastic read-out, a regularizer, or both."""

    MODULE: ClassVar[str] = "continual.splitmnist"
    PRESETS: ClassVar[Presets] = {
        "quick": {"epochs": 2},
        "default": {},
        "paper": PAPER,
        "si": SI_PROGRAM,
    }
    # chosen on validation data
    STRENGTHS: ClassVar[Mapping[str, float]] = {"l2": 0.01, "ewc": 400, "online_ewc": 400, "si": 0.5, "mas": 0.3}
    # Thangarasa et al. 2020 for online_ewc, si and mas; ewc as online_ewc; l2 as in Hsu et al. 2018
    PUBLISHED: ClassVar[Mapping[str, float]] = {"l2": 0.01, "ewc": 400, "online_ewc": 400, "si": 1.0, "mas": 1.5}

    preset: Literal["quick", "default", "paper", "si"] = "default"
    """paper: batch 64, plain SGD 0.01, 10 epochs, 2 x 256; si: the SI paper's program (Adam, zero read-out)"""
    lr: float = 0.05
    """learning rate (the paper: 0.01)"""
    decay: bool = True
    """the rate falls in a straight line to nothing within each task, which then ends at rest; no: it is constant, as
    published, and the last steps decide by chance how well a task is known"""
    scale: Scale = "standard"
    """inputs: unit, pixels from 0 to 1; standard, mean 0 and deviation 1, which forgets less; raw, 0 to 255"""


def experiment(config: Config, run: Run) -> Together:
    """Learn the pairs of digits, all seeds side by side."""
    source = load_labelled(config.dataset, config.data_dir)
    validation = config.evaluate_on == "validation"
    stream = split(source, config.tasks, config.scenario, config.scale, validation, run.device, masked=config.mask)
    return learn_by_mlp(config, run, stream)


def main(config: Config) -> dict[str, Any]:
    """Train and test; returns what result.json holds."""
    return conduct_together(config, "splitmnist", experiment)


if __name__ == "__main__":
    command(Config, main)
