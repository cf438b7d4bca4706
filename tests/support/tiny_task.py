"""A task with six weights that trains in milliseconds, as a function and as a command.

As a command it listens to the environment: KILL_AT=n kills it at its n-th write to the run folder, PAUSE=s makes a
step take s seconds more, DIVERGE_AT=n makes the n-th loss NaN, WARN=text warns once, CLOCK=n makes its clock go n
times as fast.
"""

import os
import signal
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import nn

from plastic.experiment import (
    Options,
    Outcome,
    Presets,
    Progress,
    Run,
    command,
    conduct,
    estimate,
    generator,
    processes,
    train,
)
from plastic.experiment.figures import matrices


@dataclass(frozen=True, kw_only=True)
class Config(Options):
    """Regression on noise."""

    MODULE: ClassVar[str] = "tiny_task"
    SHARED: ClassVar[bool] = True
    PRESETS: ClassVar[Presets] = {
        "quick": {"episodes": 6},
        "default": {},
        "odd": {"episodes": 7, "lr": 3e-5, "shuffle": True, "sizes": (3, 3), "max_seconds": 2.5},
    }

    episodes: int = 24
    """training episodes"""
    batch: int = 2
    """episodes per update"""
    every: int = 8
    """episodes between two evaluations"""
    lr: float = 0.05
    """learning rate"""
    shuffle: bool = False
    """a switch"""
    sizes: tuple[int, int] = (3, 2)
    """inputs and outputs"""
    loss: Literal["mse", "l1"] = "mse"
    """what is minimised"""
    draw: bool = False
    """draw a figure and an image at each evaluation"""


class Task:
    """Model, optimizer, schedule and chance, and the calls that ``train`` wants; ``on_step`` looks in at each step."""

    def __init__(self, config: Config, on_step: Callable[[int], float] | None = None) -> None:
        self.config, self.on_step, self.steps, self.evaluated = config, on_step, 0, []
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            self.network = nn.Linear(*config.sizes)
        self.optimizer = torch.optim.Adam(self.network.parameters(), lr=config.lr)
        self.schedule = torch.optim.lr_scheduler.LambdaLR(self.optimizer, lambda n: 1 / (1 + n))
        self.chance = generator(config.seed, "episodes")

    @property
    def parts(self) -> dict[str, Any]:
        return {
            "network": self.network,
            "optimizer": self.optimizer,
            "schedule": self.schedule,
            "episodes": self.chance,
        }

    def step(self) -> dict[str, torch.Tensor]:
        self.steps += 1
        factor = self.on_step(self.steps) if self.on_step else 1.0
        inputs = torch.randn(self.config.batch, self.config.sizes[0], generator=self.chance)
        mine, weight = processes.share(self.config.batch)
        loss = factor * self.network(inputs[mine]).square().mean()
        self.optimizer.zero_grad()
        loss.backward()
        scalars = {"loss": loss, "input": inputs[mine].mean()}
        scalars = processes.averaged(self.network.parameters(), scalars, weight)
        self.optimizer.step()
        self.schedule.step()
        return scalars

    def evaluate(self, run: Run, episodes: int) -> dict[str, float]:
        self.evaluated.append(episodes)
        if self.config.draw:
            run.figure("alpha", matrices({"weight": self.network.weight}, "post", "pre"), episodes)
            run.images("drawings", torch.rand(2, 5, 5, generator=generator(0, "drawings")), episodes)
        weight = self.network.weight
        return {"eval/size": weight.abs().mean().item(), "plasticity/mean": weight.mean().item()}

    def train(self, run: Run, **facts: Any) -> Progress:
        c = self.config
        return train(run, self.step, lambda n: self.evaluate(run, n), self.parts, c.episodes, c.batch, c.every, facts)


def experiment(config: Config, run: Run, on_step: Callable[[int], float] | None = None) -> Outcome:
    task = Task(config, on_step)
    run.describe(dataset="noise")
    progress = task.train(run, dataset="noise")
    metrics = {"size": estimate(task.network.weight.detach().abs().flatten())}
    return Outcome("noise", progress.episodes, progress.seconds, metrics)


def main(config: Config, on_step: Callable[[int], float] | None = None) -> dict[str, Any]:
    return conduct(config, "tiny", lambda config, run: experiment(config, run, on_step))


def _listen(environ: dict[str, str]) -> Callable[[int], float]:
    if text := environ.get("WARN"):
        warnings.warn(text, stacklevel=1)
    rate, monotonic = float(environ.get("CLOCK", 1)), time.monotonic
    time.monotonic = lambda: rate * monotonic()
    kill_at, diverge_at = int(environ.get("KILL_AT", 0)), int(environ.get("DIVERGE_AT", 0))
    pause, writes = float(environ.get("PAUSE", 0)), 0
    folder = sys.argv[sys.argv.index("--out") + 1]

    def on_write(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal writes
        opened = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if (opened or event == "os.rename") and str(arguments[0]).startswith(folder):
            writes += 1
            if writes == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    def on_step(number: int) -> float:
        time.sleep(pause)
        return float("nan") if number == diverge_at else 1.0

    if kill_at:
        sys.addaudithook(on_write)
    return on_step


if __name__ == "__main__":
    command(Config, lambda config: main(config, _listen(dict(os.environ))))
