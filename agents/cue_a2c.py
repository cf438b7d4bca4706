"""An agent that learns within its life which cue pays (Miconi et al. 2019, arXiv 2002.10585, section 4.1).

    python -m agents.cue_a2c --rule modulated

Four new cues a life, one of them the target. The paper finds that networks which modulate their own plasticity learn it
and others do not; with four cues that are always the same, unmodulated plasticity learns it too (``--fixed-cues``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from matplotlib.figure import Figure

from agents.envs.cue_reward import BatchedCues, Cues, reward_oracle
from agents.figures import draw_lives, reward_curves
from agents.learning import Fared, estimates, exact, fare, learn, of_lives
from agents.networks import Agent
from agents.options import AgentOptions
from agents.watching import watch
from plastic.errors import UserError
from plastic.experiment import History, Outcome, Presets, Run, command, conduct

# the paper's 200 units and steps and its gradient clip, the rest from its program
PAPER: dict[str, Any] = {
    "bits": 20,
    "length": 200,
    "units": 200,
    "start": "published",
    "alpha_scale": 0.01,
    "entropy": 0.1,
    "bonus": "simpson",
    "max_norm": 7.0,
    "lr": 1e-4,
    "adam_eps": 1e-4,
    "batch": 30,
    "episodes": 6_000_000,
    "eval_every": 60_000,
}


@dataclass(frozen=True, kw_only=True)
class Config(AgentOptions):
    """An agent that has to find out which of four cues is the target."""

    MODULE: ClassVar[str] = "agents.cue_a2c"
    PRESETS: ClassVar[Presets] = {
        "quick": {"length": 30, "units": 50, "episodes": 16_000, "eval_every": 2_000},
        "default": {},
        "paper": PAPER,
    }

    preset: Literal["quick", "default", "paper"] = "default"
    """named settings; an option given beside it wins"""
    rule: Literal["hebb", "oja", "clipped_hebb", "modulated", "retroactive"] = "modulated"
    """plasticity rule; the last two are neuromodulated, simply and retroactively"""
    bits: int = 4
    """numbers in a cue (the paper: 20)"""
    length: int = 60
    """steps in a life (the paper: 200)"""
    fixed_cues: bool = False
    """the four cues are the same in every life; only the target changes"""
    episodes: int = 100_000
    """training episodes, one life each"""
    batch: int = 32
    """lives side by side in an update"""
    eval_every: int = 5_000
    """training episodes between two evaluations and checkpoints"""

    def validate(self) -> None:
        super().validate()
        try:
            _ = self.cues
        except ValueError as error:
            raise UserError(f"--{error}") from error

    @property
    def cues(self) -> Cues:
        return Cues(self.bits, self.length, self.fixed_cues)


def world_of(config: Config, device: torch.device) -> BatchedCues:
    """Where the lives take place."""
    return BatchedCues(config.cues, device)


def levels(config: Config) -> dict[str, float]:
    """What one who knows the target gets in expectation, and one who guesses: right and wrong are as likely."""
    return {"reward_oracle": reward_oracle(config.cues), "reward_random": 0.0}


def experiment(config: Config, run: Run) -> Outcome:
    """Train an agent, and see how it fares in fresh lives."""
    world = world_of(config, run.device)
    facts = {"dataset": world.name}
    run.describe(**facts)
    agent, progress = learn(config, run, world, partial(draw_figures, run, config), facts)
    fared = fare(agent, world, config.test_episodes, config.seed, "test", run.device)
    draw_figures(run, config, agent, fared, progress.episodes)
    found = of_lives(fared.lives)
    answered = fared.lives.rewards != 0
    found["right_answers"] = (fared.lives.rewards > 0).sum(0) / answered.sum(0).clamp(min=1)
    metrics = estimates(found) | {name: exact(level) for name, level in levels(config).items()}
    return Outcome(world.name, progress.episodes, progress.seconds, metrics)


def draw_figures(run: Run, config: Config, agent: Agent, fared: Fared, episodes: int) -> None:
    """After training has begun: the reward so far, what lives are like, and what was learned."""
    if episodes:
        draw_lives(run, agent, fared.lives, _title(config), episodes)
    if run.history():
        for name, figure in overview(config, [run.history()]).items():
            run.figure(name, figure, episodes)


def overview(config: Config, histories: Sequence[History]) -> dict[str, Figure]:
    """The reward of fresh lives, against episodes and against seconds, over the seeds."""
    known = {name.removeprefix("reward_"): level for name, level in levels(config).items()}
    return reward_curves({config.model: histories}, known, _title(config))


def _title(config: Config) -> str:
    how = f", {config.rule}, alpha {config.alpha}" if "plastic" in config.model else ""
    return f"{'fixed ' * config.fixed_cues}cues of {config.bits} bits, {config.model}{how}"


def main(config: Config) -> dict[str, Any]:
    """Train and test, or play; returns what result.json holds."""
    if config.watch is not None:
        return watch(config, "cue", world_of)
    return conduct(config.settled(), "cue", experiment, overview)


if __name__ == "__main__":
    command(Config, main)
