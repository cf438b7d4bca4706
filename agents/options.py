"""The options that the commands of this package share."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from agents.a2c import Bonus, Weighing
from agents.networks import Model, Start
from plastic.coefficients import Alpha
from plastic.experiment import Options, processes, require

# from short searches for each model: a fair comparison gives each its own
SUITED: dict[Model, dict[str, Any]] = {
    "plastic": {"lr": 1e-3, "entropy": 0.06, "start": "uniform"},
    "rnn": {"lr": 1e-3, "entropy": 0.03, "start": "orthogonal"},
    "lstm": {"lr": 1e-3, "entropy": 0.03, "start": "uniform"},
    "plastic_lstm": {"lr": 1e-3, "entropy": 0.03, "start": "uniform"},
}


@dataclass(frozen=True, kw_only=True)
class AgentOptions(Options):
    """An agent, its loss, and how long it learns. Each command sets the defaults of its own."""

    SHARED: ClassVar[bool] = True

    model: Model = "plastic"
    """plastic; rnn: the same network without a trace; lstm; plastic_lstm: an LSTM with plastic connections from its
    hidden state to its cell input"""
    rule: Literal["hebb", "oja", "clipped_hebb", "modulated", "retroactive"] = "oja"
    """plasticity rule; the last two are neuromodulated, simply and retroactively"""
    alpha: Alpha = "full"
    """plasticity coefficients: one a connection, one a unit, one for all, or none"""
    eta: float = 0.1
    """plasticity rate, where it starts (the maze's papers: 0.01)"""
    alpha_scale: float = 0.1
    """spread of the coefficients at the start; where one for all starts (the papers: 0.01)"""
    units: int = 100
    """recurrent units"""
    start: Start | None = None
    """initial weights: torch's uniform ones, an orthogonal recurrent matrix, or those of the published programs; none:
    what suits the model"""
    discount: float = 0.9
    """what a reward is worth a step later"""
    gae: float = 1.0
    """lambda of the advantage estimate; 1: the return of the whole life, as published"""
    entropy: float | None = None
    """weight of the bonus for undecided policies; none: what suits the model"""
    bonus: Bonus = "entropy"
    """simpson: 1 - sum p² in place of the entropy, as in the published programs"""
    value: float = 0.1
    """weight of the value loss"""
    max_norm: float | None = 0.5
    """gradients longer than this are shortened to it; none: they are left alone"""
    lr: float | None = None
    """Adam's rate; none: what suits the model"""
    adam_eps: float = 1e-8
    """Adam's epsilon (the published programs: 1e-4)"""
    episodes: int = 24_000
    """training episodes, one life each"""
    batch: int = 8
    """lives side by side in an update: few, since it is updates that teach (the first program: 1)"""
    eval_every: int = 2_000
    """training episodes between two evaluations and checkpoints"""
    test_episodes: int = 1_000
    """fresh episodes of the final evaluation; those on the way have at most 200"""
    watch: Path | None = None
    """play an episode of this run folder, or checkpoint, in the terminal instead of training"""

    def validate(self) -> None:
        super().validate()
        for name in ("units", "episodes", "batch", "eval_every"):
            value = getattr(self, name)
            require(value >= 1, f"--{name.replace('_', '-')}: expected at least 1, got {value}")
        require(
            self.batch >= processes.started(),
            f"--batch {self.batch}: {processes.started()} processes share the lives of an update; "
            "give at least one for each",
        )
        if self.watch is not None:
            processes.require_one("--watch")
        require(self.test_episodes >= 2, f"--test-episodes: expected at least 2, got {self.test_episodes}")
        for name in ("lr", "max_norm", "adam_eps"):
            value = getattr(self, name)
            fits = value is None or value > 0
            require(fits, f"--{name.replace('_', '-')}: expected more than 0, got {value}")
        require(self.alpha_scale >= 0, f"--alpha-scale: expected 0 or more, got {self.alpha_scale}")
        for name in ("entropy", "value"):
            value = getattr(self, name)
            require(value is None or value >= 0, f"--{name}: expected 0 or more, got {value}")
        for name in ("discount", "gae"):
            value = getattr(self, name)
            require(0 <= value <= 1, f"--{name}: expected a number from 0 to 1, got {value}")
        require(0 < self.eta < 1, f"--eta: expected a rate between 0 and 1, got {self.eta}")

    def settled(self) -> Self:
        """With what suits the model in place of what was left open."""
        suited = SUITED.get(self.model, {})  # an unknown one is refused when options are validated
        return replace(self, **{name: value for name, value in suited.items() if getattr(self, name) is None})

    @property
    def weighing(self) -> Weighing:
        assert self.entropy is not None
        return Weighing(self.discount, self.gae, self.entropy, self.value, self.bonus)
