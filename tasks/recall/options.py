"""The options that the tasks of recall share."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from plastic.experiment import Options, processes, require


@dataclass(frozen=True, kw_only=True)
class RecallOptions(Options):
    """A network, a schedule, and how long it learns. Each task sets the defaults of its own."""

    SHARED: ClassVar[bool] = True

    model: Literal["plastic", "rnn", "lstm"] = "plastic"
    """plastic; rnn: the same network without a trace; lstm: long short-term memory"""
    rule: Literal["hebb", "oja", "clipped_hebb"] = "hebb"
    """plasticity rule"""
    alpha: Literal["full", "neuron", "shared"] = "full"
    """plasticity coefficients: one a connection, one a unit, or one for all"""
    eta: float = 0.01
    """plasticity rate, where it starts; alpha starts, and learns, as many times larger as this is below 0.01"""
    learn_eta: bool = True
    """no: the rate stays where it starts"""
    scale: float = 0.01
    """spread of the weights, and of one alpha a connection, at the start (of an LSTM's they are torch's)"""
    extra_units: int = 0
    """units that stand for no element, as a network without a trace needs them (the paper: 2,000)"""
    input: Literal["clamp", "additive"] = "clamp"
    """clamp: what is shown holds its unit; additive: --drive times what is shown is added to the unit's input"""
    drive: float = 20.0
    """strength of the additive input"""
    cycles: int = 3
    """times that every item is shown"""
    presentation: int = 10
    """steps of a presentation"""
    gap: int = 3
    """steps of nothing after it"""
    test_steps: int = 10
    """steps of the test; the last one counts"""
    episodes: int = 200
    """training episodes"""
    batch: int = 1
    """episodes per update"""
    brief: int = 0
    """training episodes, the first ones, with the last gap alone: the others cost the most time and teach the least"""
    lr: float = 1e-3
    """Adam's rate"""
    weight_pace: float = 1.0
    """the fixed weights learn at this many times that rate (an LSTM's are not slowed)"""
    decay: bool = False
    """bring that rate down to 0 over the run, along half a cosine"""
    eval_every: int = 20
    """training episodes between two evaluations and checkpoints"""
    milestones: tuple[int, ...] = ()
    """training episodes after which the result states the error too; multiples of --eval-every"""
    test_episodes: int = 100
    """fresh episodes of the final evaluation"""

    def validate(self) -> None:
        super().validate()
        for name in ("cycles", "presentation", "test_steps", "episodes", "batch", "eval_every"):
            value = getattr(self, name)
            require(value >= 1, f"--{name.replace('_', '-')}: expected at least 1, got {value}")
        require(
            self.batch >= processes.started(),
            f"--batch {self.batch}: {processes.started()} processes share the episodes of an update; "
            "give at least one for each",
        )
        for name in ("gap", "extra_units", "brief"):
            value = getattr(self, name)
            require(value >= 0, f"--{name.replace('_', '-')}: expected 0 or more, got {value}")
        for at in self.milestones:
            fits = at > 0 and at % self.eval_every == 0
            require(fits, f"--milestones: expected multiples of --eval-every {self.eval_every}, got {at}")
        require(self.test_episodes >= 2, f"--test-episodes: expected at least 2, got {self.test_episodes}")
        require(self.lr > 0, f"--lr: expected more than 0, got {self.lr}")
        require(self.weight_pace > 0, f"--weight-pace: expected more than 0, got {self.weight_pace}")
        require(self.scale >= 0, f"--scale: expected 0 or more, got {self.scale}")
        require(self.drive > 0, f"--drive: expected more than 0, got {self.drive}")
        require(0 < self.eta < 1, f"--eta: expected a rate between 0 and 1, got {self.eta}")
