"""Split CIFAR: CIFAR-10 in two halves, or CIFAR-10 and then CIFAR-100 in tens (Zenke, Poole, Ganguli 2017).

    python -m continual.splitcifar --reg si

The SI paper's net of four convolutions, Adam, and a read-out of which only the task's units compete. ``--scratch``
learns every task with a fresh network: what the paper compares generalisation with.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from torch import nn

from continual.learning import learn
from continual.networks import ConvNet
from continual.options import ContinualOptions
from continual.scenarios import Stream, joined, split
from plastic.data import load_labelled
from plastic.experiment import Presets, Run, Together, command, conduct_together, require


@dataclass(frozen=True, kw_only=True)
class Config(ContinualOptions):
    """Split CIFAR with a regularizer, a plastic read-out, or both."""

    MODULE: ClassVar[str] = "continual.splitcifar"
    PRESETS: ClassVar[Presets] = {
        "quick": {"epochs": 1},
        "default": {},
        "paper": {"epochs": 60},
        "cifar100": {"epochs": 60, "benchmark": "cifar100", "tasks": 6},
    }
    # Zenke et al. 2017 for si; the others as for SplitMNIST
    STRENGTHS: ClassVar[Mapping[str, float]] = {"l2": 0.01, "ewc": 400, "online_ewc": 400, "si": 0.1, "mas": 1.5}

    preset: Literal["quick", "default", "paper", "cifar100"] = "default"
    """paper: 60 epochs a task; cifar100: CIFAR-10, then five tens of CIFAR-100, 60 epochs each"""
    benchmark: Literal["cifar10", "cifar100"] = "cifar10"
    """cifar10: its ten classes in --tasks; cifar100: CIFAR-10 first, then tens of CIFAR-100, --tasks in all"""
    dataset: Literal["auto", "real", "digits"] = "auto"
    """auto: CIFAR, and generated coloured digits where it cannot be had; real: CIFAR or nothing"""
    widths: tuple[int, int, int] = (32, 64, 512)
    """features of the first two and the last two convolutions, and units of the full layer"""
    optimizer: Literal["sgd", "adam"] = "adam"
    """sgd: plain, no momentum"""
    lr: float = 1e-3
    """learning rate"""
    zero_head: bool = True
    """the read-out's slow weights start at zero, as in the SI program"""
    tasks: int = 2
    """tasks in the stream"""
    batch: int = 256
    """examples of a seed in an update"""
    importance_examples: int | None = 5_000
    """examples of a task that importance is measured on; none: all of them"""

    def validate(self) -> None:
        super().validate()
        require(min(self.widths) >= 1, f"--widths: expected at least 1 each, got {self.widths}")
        require(self.plastic == "readout", "--plastic all: convolutions are not plastic here; leave it out")
        require(self.head != "memory", "--head memory: random convolutions are no features; choose another head")
        tens = self.benchmark == "cifar10" or 2 <= self.tasks <= 11
        require(tens, f"--tasks {self.tasks}: expected 2 to 11, CIFAR-10 and tens of CIFAR-100")


def experiment(config: Config, run: Run) -> Together:
    """Learn the tasks, all seeds side by side."""
    groups: list[int] = []
    first = "cifar10" if config.dataset == "real" else config.dataset
    source = load_labelled(first, config.data_dir, wanted="cifar10")
    if config.benchmark == "cifar100":
        require(not source.generated, "--benchmark cifar100 needs CIFAR: generated digits have ten classes only")
        source = joined(source, load_labelled("cifar100", config.data_dir))
        groups = [10] * config.tasks
    validation = config.evaluate_on == "validation"
    stream = split(
        source, config.tasks, config.scenario, config.scale, validation, run.device, False, config.mask, groups
    )

    def network(stream: Stream, replicas: int) -> nn.Module:
        side = stream.train.shape[-1]
        return ConvNet(
            side, stream.units, replicas, config.head, config.eta, config.alpha, config.zero_head, config.widths
        )

    return learn(config, run, stream, network)


def main(config: Config) -> dict[str, Any]:
    """Train and test; returns what result.json holds."""
    return conduct_together(config, "splitcifar", experiment)


if __name__ == "__main__":
    command(Config, main)
