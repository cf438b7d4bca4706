"""The options that the benchmarks of continual learning share."""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

from continual.importance import Fisher
from continual.regularizers import Name
from continual.scenarios import Scale, Scenario
from plastic.experiment import Options, require

MEMORIES_OF_A_TASK = ("ewc", "online_ewc", "si", "mas")


class CannotWorkWarning(UserWarning):
    """A method in a setting where it is known to fail."""


@dataclass(frozen=True, kw_only=True)
class ContinualOptions(Options):
    """A network, a regularizer, and how long each task is learned. Each command sets the defaults of its own."""

    SEEDS_TOGETHER: ClassVar[bool] = True
    STRENGTHS: ClassVar[Mapping[str, float]] = {}
    """the strength of each regularizer where none is given, from short searches on validation data"""
    PUBLISHED: ClassVar[Mapping[str, float]] = {}
    """the same in the published settings, the presets paper and si, where they differ"""

    seeds: int = 1
    """number of seeds, trained side by side in one folder"""
    evaluate_on: Literal["test", "validation"] = "test"
    """validation: hold a tenth of the training images out and report on it, to choose settings"""
    scenario: Scenario = "task"
    """task: the learner knows the task; domain: it does not, tasks share units; class: each class has a unit"""
    reg: Name = "none"
    """what protects earlier tasks; none: plain finetuning"""
    strength: float | None = None
    """lambda, or SI's c; none: the command's own for --reg"""
    xi: float = 1e-3
    """SI's damping"""
    gamma: float = 1.0
    """how much earlier tasks count in Online EWC, 0 to 1"""
    fisher: Fisher = "exact"
    """which Fisher information EWC takes; batched needs a much larger --strength"""
    importance_examples: int | None = None
    """examples of a task that importance is measured on; none: all of them"""
    head: Literal["linear", "dhp", "memory"] = "linear"
    """read-out: linear; DHP-Softmax; memory: class statistics over frozen random features, without gradients"""
    eta: float = 1e-3
    """plasticity rate of DHP, where it starts"""
    alpha: float = 0.01
    """plasticity coefficients of DHP start in U(0, alpha)"""
    plastic: Literal["readout", "all"] = "readout"
    """all: with --head dhp the hidden layers are plastic too, by Oja's rule"""
    teacher: Literal["label", "prediction"] = "label"
    """what writes DHP's trace: the label, or the network's own answer before"""
    joint: bool = False
    """learn all tasks at once: the bound above"""
    scratch: bool = False
    """a fresh network for each task; its accuracy is that of each task when it was learned"""
    mask: bool = True
    """task scenario: only the units of the task compete in training; no: all units do"""
    scale: Scale = "unit"
    """inputs: unit, pixels from 0 to 1; standard, mean 0 and deviation 1; raw, 0 to 255"""
    zero_head: bool = False
    """the read-out's slow weights start at zero, as in the SI program"""
    optimizer: Literal["sgd", "adam"] = "sgd"
    """sgd: plain, no momentum"""
    lr: float = 0.01
    """learning rate"""
    decay: bool = False
    """the rate falls in a straight line to nothing within each task, which then ends at rest; no: it is constant"""
    explicit: bool = False
    """sgd's steps follow the penalty where they begin, as published, and run away where it is steep; no: where they
    end (Adam's are always explicit)"""
    reset_optimizer: bool = True
    """Adam forgets its moments after each task"""
    tasks: int = 5
    """tasks in the stream"""
    epochs: int = 10
    """passes over each task"""
    batch: int = 64
    """examples of a seed in an update"""

    def validate(self) -> None:
        super().validate()
        for name in ("tasks", "epochs", "batch"):
            value = getattr(self, name)
            require(value >= 1, f"--{name}: expected at least 1, got {value}")
        measured = self.importance_examples
        require(measured is None or measured >= 1, f"--importance-examples: expected at least 1, got {measured}")
        given = self.strength
        fine = given is None or (math.isfinite(given) and given >= 0)
        require(fine, f"--strength: expected a finite number of 0 or more, got {given}")
        require(given is None or self.reg != "none", f"--strength {given} has nothing to act on: give --reg too")
        require(self.xi > 0, f"--xi: expected more than 0, got {self.xi}")
        require(0 <= self.gamma <= 1, f"--gamma: expected a number from 0 to 1, got {self.gamma}")
        require(0 < self.eta < 1, f"--eta: expected a rate between 0 and 1, got {self.eta}")
        require(self.alpha >= 0, f"--alpha: expected 0 or more, got {self.alpha}")
        require(self.lr > 0, f"--lr: expected more than 0, got {self.lr}")
        alone = self.reg == "none" or not (self.joint or self.scratch)
        require(alone, "--joint and --scratch have no earlier task to protect: leave --reg out")
        require(not (self.joint and self.scratch), "--joint and --scratch are two different references: give one")
        for name, plain in (("plastic", "readout"), ("teacher", "label")):
            given_name = getattr(self, name)
            has_trace = self.head == "dhp" or given_name == plain
            require(has_trace, f"--{name} {given_name} needs a trace: give --head dhp too")
        learns = self.head != "memory" or self.reg == "none"
        require(learns, "--head memory has no weights that learn, and nothing for --reg to protect: leave one out")
        if self.scenario == "class" and self.reg in MEMORIES_OF_A_TASK:
            warnings.warn(
                f"--reg {self.reg} cannot work in the class scenario: it protects weights, but nothing ever teaches "
                "the classes of different tasks apart; expect the accuracy of finetuning",
                CannotWorkWarning,
                stacklevel=3,
            )

    @property
    def settled_strength(self) -> float:
        """The strength that is meant."""
        known = {**self.STRENGTHS, **(self.PUBLISHED if self.preset in ("paper", "si") else {})}
        return known.get(self.reg, 0.0) if self.strength is None else self.strength
