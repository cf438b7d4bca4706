"""Lives lived: the agent acts, the world answers, nothing is learned yet."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from agents.a2c import Lives
from agents.envs.world import World
from agents.networks import Agent
from plastic.acting import one_thread


def gumbel(shape: tuple[int, ...], chance: torch.Generator) -> Tensor:
    """Gumbel's noise: where logits + noise are largest is a draw from their softmax."""
    uniform = torch.rand(shape, generator=chance, device=chance.device).clamp(min=1e-20)
    return -(-uniform.log()).log()


@torch.no_grad()
def act(
    agent: Agent,
    world: World,
    batch: int,
    places: torch.Generator,
    choices: torch.Generator,
    see: Callable[[int], None] = lambda step: None,
) -> tuple[Lives, Any]:
    """B lives, and the state in which the agent ends them.

    Args:
        places: the world's chance. choices: the agent's, whose actions are drawn from its policy.
        see: called before each step, and after the last, with the number of steps so far.
    """
    length, device = world.length, places.device
    noise = gumbel((length, batch, world.actions), choices)
    observation, state = world.reset(batch, places), agent.core.begin(batch)
    alive = torch.ones(batch, dtype=torch.bool, device=device)
    inputs, actions, rewards, living = [], [], [], []
    for step in range(length):
        see(step)
        activity, state = agent.core.step(observation, state)
        with one_thread():
            action = (agent.policy(activity) + noise[step]).argmax(-1)
        moment = world.step(action)
        inputs.append(observation)
        actions.append(action)
        rewards.append(moment.reward)
        living.append(alive)
        observation = moment.observation
        if world.ends_early:
            alive = alive & ~moment.over
            if not alive.any():
                break
    see(len(actions))
    return Lives(*map(torch.stack, (inputs, actions, rewards, living))), state


def acted_at_random(world: World, batch: int, places: torch.Generator, choices: torch.Generator) -> Tensor:
    """The rewards of B lives of actions at random, (B,)."""
    world.reset(batch, places)
    alive = torch.ones(batch, dtype=torch.bool, device=places.device)
    total = torch.zeros(batch, device=places.device)
    for _ in range(world.length):
        action = torch.randint(world.actions, (batch,), generator=choices, device=choices.device)
        moment = world.step(action)
        total += moment.reward * alive
        alive = alive & ~moment.over
    return total
