"""Learning from lives: act, look back, improve; and how an agent fares in lives that it does not learn from."""

import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from agents.a2c import Lives, losses
from agents.acting import act
from agents.envs.world import World
from agents.networks import Agent, build
from agents.options import AgentOptions
from plastic.experiment import Estimate, Progress, Run, Stateful, estimate, generator, processes, train

GLANCE = 200  # most lives of an evaluation on the way
TRACES = 1 << 23  # numbers in the traces of the lives that are looked back on at once, 32 MB


class Fared(NamedTuple):
    """Lives that were not learned from."""

    lives: Lives
    plasticity: dict[str, float]
    """eta, and the sizes of alpha and of the trace at the end"""


def agent_of(config: AgentOptions, world: World) -> Agent:
    """The untrained agent of a seed."""
    assert config.start is not None
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator(config.seed, "weights").initial_seed())
        return build(
            *(config.model, config.rule, config.alpha, config.eta, config.start),
            *(world.observations, config.units, world.actions, config.alpha_scale),
        )


def learn(
    config: AgentOptions, run: Run, world: World, show: Callable[[Agent, Fared, int], None], facts: Mapping[str, Any]
) -> tuple[Agent, Progress]:
    """Train an agent. ``show`` is called before training begins, and then at each evaluation."""
    assert config.lr is not None
    agent = agent_of(config, world).to(run.device)
    optimizer = torch.optim.Adam(groups(agent, config.lr), eps=config.adam_eps, fused=True)
    places, choices = (generator(config.seed, stream, run.device) for stream in ("places", "choices"))
    pace = Pace()

    def step() -> dict[str, Tensor]:
        began = time.monotonic()
        lives, _ = act(agent, world, config.batch, places, choices)
        optimizer.zero_grad()
        scalars = processes.averaged(agent.parameters(), look_back(agent, lives, config), 1.0)
        norm = torch.nn.utils.clip_grad_norm_(agent.parameters(), config.max_norm or torch.inf)
        optimizer.step()
        pace.steps += lives.rewards.numel()
        pace.seconds += time.monotonic() - began
        return {**scalars, "reward": total(lives).mean(), "gradient_norm": norm}

    def evaluate(episodes: int) -> dict[str, float]:
        fared = fare(agent, world, min(GLANCE, config.test_episodes), config.seed, "glance", run.device)
        show(agent, fared, episodes)
        rewards = {name: value.mean().item() for name, value in of_lives(fared.lives).items()}
        return {**{f"eval/{name}": value for name, value in rewards.items()}, **fared.plasticity, **pace.told()}

    if run.restored is None:
        show(agent, fare(agent, world, 2, config.seed, "glance", run.device), 0)
    parts: dict[str, Stateful | torch.Generator] = {
        "agent": agent,
        "optimizer": optimizer,
        "places": places,
        "choices": choices,
    }
    return agent, train(run, step, evaluate, parts, config.episodes, config.batch, config.eval_every, facts)


def groups(agent: Agent, lr: float) -> list[dict[str, Any]]:
    """What is learned, as torch's optimizers take it. One alpha for all moves every connection at once, and N units
    with it: it learns N times slower, without which its agents fall apart."""
    shared = [p for name, p in agent.named_parameters() if name.endswith(".alpha") and p.dim() == 0]
    rest = [p for p in agent.parameters() if all(p is not one for one in shared)]
    return [{"params": rest, "lr": lr}, *({"params": [p], "lr": lr / agent.policy.in_features} for p in shared)]


def look_back(agent: Agent, lives: Lives, config: AgentOptions) -> dict[str, Tensor]:
    """Add the gradients of the loss of known lives; portions of them at a time, as many as traces have room for.

    Several processes each look back on a share of the lives; what they add, and what is returned, is to be summed.
    """
    most = max(1, TRACES // config.units**2)
    mine = processes.share(lives.rewards.shape[1]).mine
    scalars: dict[str, Tensor] = {}
    for part in zip(*(values[:, mine].split(most, 1) for values in lives), strict=True):
        portion = Lives(*part)
        share = portion.alive.sum() / lives.alive.sum()
        logits, values = agent(portion.inputs)
        for name, value in losses(logits, values, portion, config.weighing).items():
            if name == "loss":
                (share * value).backward()
            scalars[name] = scalars.get(name, 0) + share * value.detach()
    return scalars


def fare(agent: Agent, world: World, count: int, seed: int, stream: str, device: torch.device) -> Fared:
    """Fresh lives of a named stream: the same ones however often they are asked for."""
    places, choices = (generator(seed, f"{stream} {what}", device) for what in ("places", "choices"))
    most = max(1, TRACES // agent.policy.in_features**2)
    parts, plasticity = [], {}
    for begun in range(0, count, most):
        lives, state = act(agent, world, min(most, count - begun), places, choices)
        parts.append(lives)
        plasticity = agent.core.plasticity(state)
    longest = max(len(lives.rewards) for lives in parts)
    padded = [[_up_to(longest, values) for values in lives] for lives in parts]
    return Fared(Lives(*(torch.cat(values, 1) for values in zip(*padded, strict=True))), plasticity)


def _up_to(steps: int, values: Tensor) -> Tensor:
    """(T, ...) -> (steps, ...): nothing after the end."""
    return torch.cat([values, values.new_zeros(steps - len(values), *values.shape[1:])])


def total(lives: Lives) -> Tensor:
    """The reward of each life (B,)."""
    return lives.rewards.sum(0)


def of_lives(lives: Lives) -> dict[str, Tensor]:
    """The reward of each life, and of its second half minus the first, (B,) each."""
    middle = len(lives.rewards) // 2
    halves = lives.rewards[len(lives.rewards) - middle :].sum(0) - lives.rewards[:middle].sum(0)
    return {"reward": total(lives), "reward_second_minus_first": halves}


def exact(value: float) -> Estimate:
    """A figure without an interval."""
    return Estimate(value, 0.0)


def estimates(seen: Mapping[str, Tensor]) -> dict[str, Estimate]:
    """Every metric with its interval over lives."""
    return {name: estimate(values) for name, values in seen.items()}


class Pace:
    """Steps a second of training, evaluations left out."""

    def __init__(self) -> None:
        self.steps, self.seconds = 0, 0.0

    def told(self) -> dict[str, float]:
        """The pace since it was last told; counting begins anew."""
        rate = self.steps / max(self.seconds, 1e-9)
        self.steps, self.seconds = 0, 0.0
        return {"time/steps_per_second": rate}
