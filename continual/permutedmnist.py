"""Permuted MNIST: the same digits, in every task with their pixels in another order (Kirkpatrick et al. 2017).

    python -m continual.permutedmnist --reg mas --head dhp --imbalanced

The first task is MNIST as it is. ``--imbalanced`` leaves a random share of each digit in each task's training images.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from continual.mlp import MLPOptions, learn_by_mlp
from continual.scenarios import Scenario, permuted
from plastic.data import load_labelled
from plastic.experiment import Presets, Run, Together, command, conduct_together, require

SI_PROGRAM: dict[str, Any] = {
    "optimizer": "adam",
    "lr": 1e-3,
    "reset_optimizer": False,
    "hidden": (2000, 2000),
    "epochs": 20,
    "batch": 256,
    "xi": 0.1,
}


@dataclass(frozen=True, kw_only=True)
class Config(MLPOptions):
    """Permuted MNIST with a plastic read-out, a regularizer, or both."""

    MODULE: ClassVar[str] = "continual.permutedmnist"
    PRESETS: ClassVar[Presets] = {
        "quick": {"epochs": 1, "tasks": 3},
        "default": {"epochs": 5},
        "paper": {"lr": 0.01, "explicit": True},
        "si": SI_PROGRAM,
    }
    # chosen on validation data
    STRENGTHS: ClassVar[Mapping[str, float]] = {"l2": 0.01, "ewc": 100, "online_ewc": 100, "si": 0.5, "mas": 0.02}
    UNEQUAL: ClassVar[Mapping[str, float]] = {"ewc": 12, "online_ewc": 12}
    """the same for --imbalanced, where they differ"""
    # Thangarasa et al. 2020; ewc as online_ewc; l2 as in Hsu et al. 2018
    PUBLISHED: ClassVar[Mapping[str, float]] = {"l2": 0.01, "ewc": 100, "online_ewc": 100, "si": 0.1, "mas": 0.1}
    IMBALANCED: ClassVar[Mapping[str, float]] = {"l2": 0.01, "ewc": 400, "online_ewc": 400, "si": 1.0, "mas": 0.1}

    preset: Literal["quick", "default", "paper", "si"] = "default"
    """paper: batch 64, plain SGD 0.01, 10 epochs, 2 x 400; si: the SI paper's program (Adam, 2 x 2000)"""
    scenario: Scenario = "domain"
    """domain: all tasks share ten units; task and class: ten units each, told the task or not"""
    imbalanced: bool = False
    """every task keeps a share between 0.1 and 1 of each digit in training, the same for all seeds"""
    hidden: tuple[int, ...] = (400, 400)
    """units of the hidden layers"""
    lr: float = 0.03
    """learning rate (the paper: 0.01)"""
    tasks: int = 10
    """tasks in the stream"""
    xi: float = 0.1
    """SI's damping"""
    importance_examples: int | None = 5_000
    """examples of a task that importance is measured on; none: all of them"""

    def validate(self) -> None:
        super().validate()
        masked = self.mask or self.scenario != "task"
        require(masked, "--no-mask: the units of permuted tasks all mean the same; leave it out")

    @property
    def settled_strength(self) -> float:
        if self.strength is None and self.imbalanced and self.preset != "si":
            known = self.IMBALANCED if self.preset == "paper" else {**self.STRENGTHS, **self.UNEQUAL}
            return known.get(self.reg, 0.0)
        return super().settled_strength


def experiment(config: Config, run: Run) -> Together:
    """Learn the permutations, all seeds side by side."""
    source = load_labelled(config.dataset, config.data_dir)
    seeds = range(config.seed, config.seed + config.seeds)
    validation = config.evaluate_on == "validation"
    stream = permuted(
        source, config.tasks, config.scenario, config.scale, validation, run.device, seeds, config.imbalanced
    )
    return learn_by_mlp(config, run, stream)


def main(config: Config) -> dict[str, Any]:
    """Train and test; returns what result.json holds."""
    return conduct_together(config, "permutedmnist", experiment)


if __name__ == "__main__":
    command(Config, main)
