"""An episode of a trained agent in the terminal."""

import sys
import time
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import torch

from agents.acting import act
from agents.envs.world import World
from agents.learning import agent_of, total
from agents.options import AgentOptions
from plastic.errors import UserError
from plastic.experiment import checkpoint, generator

C = TypeVar("C", bound=AgentOptions)
PAUSE = 0.08  # seconds a step, on a terminal
HOME, CLEAR = "\x1b[H", "\x1b[2J"


def watch(config: C, task: str, world_of: Callable[[C, torch.device], World]) -> dict[str, Any]:
    """Play a life of ``--seed`` with the agent that ``config.watch`` holds. Returns its reward and length."""
    assert config.watch is not None
    path, trained, held = _held(config, task)
    device = torch.device("cpu")
    world = world_of(trained, device)
    agent = agent_of(trained, world)
    try:
        agent.load_state_dict(held["parts"]["agent"])
    except (KeyError, RuntimeError) as error:
        raise UserError(f"{path} does not fit the agent that its options name") from error
    live = sys.stdout.isatty()
    print(CLEAR if live else "", end="")

    def see(step: int) -> None:
        print(f"{HOME if live else ''}step {step}\n{world.text()}", flush=live)
        if live:
            time.sleep(PAUSE)

    places, choices = (generator(config.seed, f"watch {what}", device) for what in ("places", "choices"))
    lives, _ = act(agent, world, 1, places, choices, see)
    reward, steps = total(lives).item(), len(lives.rewards)
    print(f"{world.name}: reward {reward:.2f} in {steps} steps, after {held['episodes']} training episodes")
    return {"reward": reward, "steps": steps}


def _held(config: C, task: str) -> tuple[Path, C, dict[str, Any]]:
    """Where the checkpoint is, the options that it was trained with, and what it holds."""
    assert config.watch is not None
    path = config.watch / "checkpoint.pt" if config.watch.is_dir() else config.watch
    held = checkpoint.read(path)
    if held.get("task") != task:
        raise UserError(f"{path} belongs to the task {held.get('task')!r}, not {task!r}")
    known = {field.name for field in fields(config)}
    options: dict[str, Any] = held["config"]
    if unknown := sorted(set(options) - known):
        raise UserError(f"{path} has options that this program does not know: {', '.join(unknown)}")
    trained = type(config)(**options)
    trained.validate()
    return path, trained, held
