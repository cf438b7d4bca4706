"""An agent that learns within its life where the reward is (Miconi, Stanley, Clune 2018, section 4.5).

    python -m agents.maze_a2c --model plastic --alpha full --rule oja

A maze hides one reward, in another place each life. The agent sees the walls around it and what it last got; to find
the way back it has to remember, and gradient descent shapes a network that does, over many lives.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Any, ClassVar, Literal

import torch
from matplotlib.figure import Figure

from agents.a2c import Lives
from agents.acting import acted_at_random
from agents.envs.batched_maze import BatchedMaze
from agents.envs.foreign import Foreign
from agents.envs.ground import Maze
from agents.envs.levels import reward_oracle, reward_random
from agents.envs.world import World
from agents.figures import draw_lives, reward_curves, steps_to_rewards
from agents.film import filmed
from agents.learning import Fared, estimates, exact, fare, learn, of_lives
from agents.networks import Agent
from agents.options import AgentOptions
from agents.watching import watch
from plastic.errors import UserError
from plastic.experiment import Estimate, History, Outcome, Presets, Run, command, conduct, estimate, generator, require

# Miconi et al. 2018; the released program counts time raw, here it goes from 0 to 1
PAPER: dict[str, Any] = {
    "units": 200,
    "rule": "oja",
    "eta": 0.01,
    "alpha_scale": 0.01,
    "start": "published",
    "entropy": 0.1,
    "bonus": "simpson",
    "value": 0.03,
    "max_norm": None,
    "lr": 1e-4,
    "adam_eps": 1e-4,
    "batch": 30,
    "episodes": 1_000_000,
    "eval_every": 10_000,
    "previous_action": False,
}
# the batched program of 2019, 200,000 updates; each life has its own value as a baseline, as that program meant to
PAPER_BATCHED: dict[str, Any] = {
    **PAPER,
    "size": 11,
    "length": 200,
    "units": 100,
    "rule": "clipped_hebb",
    "entropy": 0.03,
    "value": 0.1,
    "max_norm": 4.0,
    "episodes": 6_000_000,
    "eval_every": 60_000,
    "previous_action": True,
}


@dataclass(frozen=True, kw_only=True)
class Config(AgentOptions):
    """An agent in a maze whose reward is elsewhere in every life."""

    MODULE: ClassVar[str] = "agents.maze_a2c"
    PRESETS: ClassVar[Presets] = {
        "quick": {"size": 5, "length": 100, "units": 50, "episodes": 16_000, "eval_every": 2_000},
        "default": {},
        "paper": PAPER,
        "paper-batched": PAPER_BATCHED,
    }

    preset: Literal["quick", "default", "paper", "paper-batched"] = "default"
    """named settings; an option given beside it wins"""
    env: str | None = None
    """live in this gymnasium environment (Box observations, Discrete actions) instead of the maze; the agent is told
    its last reward and action besides"""
    size: int = 9
    """squares along a side of the maze, walls not counted; odd"""
    length: int = 250
    """steps in a life; at most so many in another environment"""
    reward: float = 10.0
    """for a move onto the hidden square"""
    penalty: float = 0.1
    """taken for a move into a wall"""
    previous_action: bool = True
    """the agent is told what it last did (the first program: not)"""
    time: bool = True
    """the agent is told how much of its life is over, from 0 to 1"""

    def validate(self) -> None:
        super().validate()
        try:
            _ = self.maze
        except ValueError as error:
            raise UserError(f"--{error}") from error
        if self.env is not None:
            given = {name for name in ("size", "reward", "penalty") if getattr(self, name) != getattr(Config, name)}
            listed = ", ".join(f"--{name}" for name in sorted(given))
            require(not given, f"{listed}: settings of the maze, and --env {self.env} is another environment")

    @property
    def maze(self) -> Maze:
        return Maze(self.size, self.reward, self.penalty, self.length, self.previous_action, self.time)


def world_of(config: Config, device: torch.device) -> World:
    """Where the lives take place."""
    if config.env is None:
        return BatchedMaze(config.maze, device)
    return Foreign(config.env, config.length, device)


@cache
def levels(maze: Maze) -> dict[str, float]:
    """What one who knows the reward gets, and one who walks at random, in expectation."""
    return {"reward_oracle": reward_oracle(maze), "reward_random": reward_random(maze)}


def measures(world: World, lives: Lives) -> dict[str, torch.Tensor]:
    """Metrics of each life (B,). Where no reward comes, or no second one, the wait is as long as the life."""
    found = of_lives(lives)
    if not isinstance(world, BatchedMaze):
        return found
    waits = steps_to_rewards(lives.rewards)
    never = float(world.length)
    return {
        **found,
        "steps_to_first_reward": waits[0].nan_to_num(never),
        "steps_to_later_rewards": waits[1:].nanmean(0).nan_to_num(never),
        "lives_with_reward": (~waits[0].isnan()).double(),
    }


def experiment(config: Config, run: Run) -> Outcome:
    """Train an agent, and see how it fares in fresh lives."""
    world = world_of(config, run.device)
    facts = {"dataset": world.name}
    run.describe(**facts)
    agent, progress = learn(config, run, world, partial(draw_figures, run, config, world), facts)
    fared = fare(agent, world, config.test_episodes, config.seed, "test", run.device)
    draw_figures(run, config, world, agent, fared, progress.episodes)
    metrics: dict[str, Estimate] = estimates(measures(world, fared.lives))
    if config.env is None:
        metrics |= {name: exact(level) for name, level in levels(config.maze).items()}
    else:
        places, choices = (generator(config.seed, f"random {what}", run.device) for what in ("places", "choices"))
        metrics["reward_random"] = estimate(acted_at_random(world, config.test_episodes, places, choices))
    return Outcome(world.name, progress.episodes, progress.seconds, metrics)


def draw_figures(run: Run, config: Config, world: World, agent: Agent, fared: Fared, episodes: int) -> None:
    """A life on film; after training has begun, the reward so far, what lives are like, and what was learned."""
    if isinstance(world, BatchedMaze):
        run.film("after" if episodes else "before", filmed(agent, world, config.seed, run.device), episodes)
    if episodes:
        draw_lives(run, agent, fared.lives, _title(config), episodes)
    if run.history():
        for name, figure in overview(config, [run.history()]).items():
            run.figure(name, figure, episodes)


def overview(config: Config, histories: Sequence[History]) -> dict[str, Figure]:
    """The reward of fresh lives, against episodes and against seconds, over the seeds."""
    known = {} if config.env is not None else {n.removeprefix("reward_"): v for n, v in levels(config.maze).items()}
    return reward_curves({config.model: histories}, known, _title(config))


def _title(config: Config) -> str:
    place = config.env or f"maze {config.size}x{config.size}"
    how = f", {config.rule}, alpha {config.alpha}" if "plastic" in config.model else ""
    return f"{place}, {config.model}{how}"


def main(config: Config) -> dict[str, Any]:
    """Train and test, or play; returns what result.json holds."""
    if config.watch is not None:
        return watch(config, "maze", world_of)
    return conduct(config.settled(), "maze", experiment, overview)


if __name__ == "__main__":
    command(Config, main)
