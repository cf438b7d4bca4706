"""Memorising binary patterns (Miconi, Stanley, Clune 2018, sections 4.1 and 4.2).

    python -m tasks.patterns

A few random patterns of +1 and -1 are shown in turn; then one of them with half of its bits at 0, and the network has
to give back the whole. Its fixed weights cannot know the patterns, which are new in every episode: its traces must.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from matplotlib.figure import Figure
from torch import Tensor

from plastic.experiment import History, Outcome, Presets, Run, command, conduct, require
from tasks.recall import Chance, Episode, RecallOptions, Schedule, Trial, episode, learn
from tasks.recall.figures import episode_over_time, error_curves, learned_matrices
from tasks.recall.learning import estimates, milestones, squared_error, test
from tasks.recall.masks import some_half
from tasks.recall.networks import Network

FAIR: dict[str, Any] = {
    "bits": 50,
    "patterns": 2,
    "lr": 3e-4,
    "episodes": 10_000,
    "eval_every": 500,
    "milestones": (2000,),
}


@dataclass(frozen=True, kw_only=True)
class Config(RecallOptions):
    """Memorising binary patterns with a plastic recurrent network."""

    MODULE: ClassVar[str] = "tasks.patterns"
    PRESETS: ClassVar[Presets] = {
        "quick": {"bits": 300, "episodes": 100},
        "default": {},
        "paper": {"episodes": 500},  # its text; the test's length is not given there, and decides the error
        # the released program: other timings, and what is shown is added to the input of the units
        "released": {
            "cycles": 2,
            "presentation": 6,
            "gap": 4,
            "test_steps": 6,
            "input": "additive",
            "lr": 3e-4,
            "episodes": 2000,
            "eval_every": 100,
        },
        # 50 bits, which networks without a trace can learn as well, given --extra-units 2000 --lr 3e-5
        "fair": {**FAIR, "cycles": 1, "presentation": 3, "gap": 1, "test_steps": 3},
        "fair-long": {**FAIR, "cycles": 2, "presentation": 6, "gap": 4, "test_steps": 6},
    }

    preset: Literal["quick", "default", "paper", "released", "fair", "fair-long"] = "default"
    """named settings; an option given beside it wins"""
    bits: int = 1000
    """bits of a pattern; half of them are +1, half -1"""
    patterns: int = 5
    """patterns in an episode"""

    def validate(self) -> None:
        super().validate()
        require(self.bits >= 2, f"--bits: expected at least 2, got {self.bits}")
        require(self.patterns >= 1, f"--patterns: expected at least 1, got {self.patterns}")

    @property
    def schedule(self) -> Schedule:
        return Schedule(self.patterns, self.cycles, self.presentation, self.gap, self.test_steps)


def draw(config: Config, schedule: Schedule, batch: int, chance: Chance) -> Episode:
    """B episodes of new patterns."""
    patterns = 2.0 * some_half((batch, config.patterns, config.bits), chance.values) - 1
    hidden = some_half((batch, config.bits), chance.values)
    return episode(schedule, patterns, hidden, config.extra_units, chance)


def error_rate(episodes: Episode, answer: Tensor) -> dict[str, Tensor]:
    """The share of bits with the wrong sign: (B,). 0 is no sign at all, and wrong."""
    return {"error_rate": _wrong(episodes, answer).mean(-1)}


def measure(episodes: Episode, answer: Tensor) -> dict[str, Tensor]:
    """Error over all bits, over the hidden ones alone, and the loss: (B,) each."""
    wrong, hidden = _wrong(episodes, answer), episodes.hidden
    return {
        "error_rate": wrong.mean(-1),
        "error_rate_hidden": (wrong * hidden).sum(-1) / hidden.sum(-1),
        "test_sse": squared_error(episodes, answer),
    }


def _wrong(episodes: Episode, answer: Tensor) -> Tensor:
    return (answer.sign() != episodes.target).float()


def draw_figures(run: Run, network: Network, config: Config, at: int) -> None:
    """An episode, what was learned, and how."""
    once = draw(config, config.schedule, 1, Chance.of(config.seed, "figure", run.device))
    with torch.no_grad():
        activity = network.activity(once)[0][:, 0, : config.bits]
    error = error_rate(once, activity[-1:])["error_rate"].item()
    title = f"{config.patterns} patterns of {config.bits} bits, then one of them with half its bits: error {error:.1%}"
    shown = config.schedule.presenting()
    run.figure("episode", episode_over_time(activity, once.target[0], shown, config.test_steps, title), at)
    if (learned := learned_matrices(network)) is not None:
        run.figure("matrices", learned, at)
    for name, figure in overview(config, [run.history()]).items():
        run.figure(name, figure, at)


def experiment(config: Config, run: Run) -> Outcome:
    """Train on patterns, report on others."""
    trial = Trial(
        config.bits,
        partial(draw, config, config.schedule),
        partial(draw, config, replace(config.schedule, brief=True)),
        partial(draw, config, config.schedule),
        measure,
        error_rate,
    )
    run.describe(dataset="random patterns")
    network, progress = learn(config, run, trial, {"dataset": "random patterns"})
    draw_figures(run, network, config, progress.episodes)
    final = test(network, trial.exam, measure, config.test_episodes, Chance.of(config.seed, "test", run.device))
    metrics = {**estimates(final), **milestones(run.history(), config.milestones, "error_rate")}
    return Outcome("random patterns", progress.episodes, progress.seconds, metrics)


def overview(config: Config, histories: Sequence[History]) -> dict[str, Figure]:
    """The error over all bits of every seed, against episodes and against seconds."""
    title = f"{config.patterns} patterns of {config.bits} bits ({config.model})"
    return error_curves(histories, "eval/error_rate", "bits with the wrong sign", title)


def main(config: Config) -> dict[str, Any]:
    """Train and test; returns what result.json holds."""
    return conduct(config, "patterns", experiment, overview)


if __name__ == "__main__":
    command(Config, main)
