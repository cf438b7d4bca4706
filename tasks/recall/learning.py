"""Learning to recall: one loss, one update, one test, whatever the items are."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.optim.lr_scheduler import LambdaLR

from plastic.experiment import Estimate, Progress, Run, Stateful, estimate, generator, processes, train
from tasks.recall.networks import Network, build
from tasks.recall.options import RecallOptions
from tasks.recall.schedule import Chance, Episode

GLANCE = 100  # most episodes of an evaluation on the way
TRACES = 1 << 25  # numbers in the traces of the episodes that are tested at once, 128 MB

Draw = Callable[[int, Chance], Episode]
Measure = Callable[[Episode, Tensor], dict[str, Tensor]]


class Trial(NamedTuple):
    """What a task gives to the loop."""

    elements: int
    """numbers in an item"""
    practice: Draw
    """that many training episodes"""
    brief: Draw
    """the same with the last gap alone, for the first --brief episodes"""
    exam: Draw
    """that many test episodes"""
    measure: Measure
    """metrics of the answers (B, n) to B episodes, (B,) each"""
    watch: Measure
    """the same for a training update: what is worth its time there"""


def squared_error(episodes: Episode, answer: Tensor) -> Tensor:
    """The paper's loss, the summed squared error over all elements at the last step: (B,)."""
    return (answer - episodes.target).square().sum(-1)


def learn(config: RecallOptions, run: Run, trial: Trial, facts: Mapping[str, Any]) -> tuple[Network, Progress]:
    """Train a network on the trial's practice; evaluate it on the way."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator(config.seed, "weights").initial_seed())
        network = build(config, trial.elements).to(run.device)
    optimizer = torch.optim.Adam(network.groups(config.lr, config.weight_pace), fused=True)
    updates = math.ceil(config.episodes / config.batch)
    rate = LambdaLR(optimizer, lambda done: (1 + math.cos(math.pi * done / updates)) / 2 if config.decay else 1.0)
    chance = Chance.of(config.seed, "episodes", run.device)
    mine, weight = processes.share(config.batch)

    def step() -> dict[str, Tensor]:
        practice = trial.brief if rate.last_epoch * config.batch < config.brief else trial.practice
        episodes = practice(config.batch, chance)
        if weight < 1:
            episodes = episodes.part(mine)
        answer = network(episodes)
        loss = squared_error(episodes, answer).mean()
        optimizer.zero_grad()
        loss.backward()
        seen = {name: values.mean() for name, values in trial.watch(episodes, answer.detach()).items()}
        scalars = processes.averaged(network.parameters(), {"loss": loss, **seen}, weight)
        optimizer.step()
        rate.step()
        return scalars

    def evaluate(episodes: int) -> dict[str, float]:
        glance = Chance.of(config.seed, "glance", run.device)
        seen = test(network, trial.exam, trial.measure, min(GLANCE, config.test_episodes), glance)
        return {**{f"eval/{name}": values.mean().item() for name, values in seen.items()}, **network.plasticity()}

    parts: dict[str, Stateful | torch.Generator] = {
        "network": network,
        "optimizer": optimizer,
        "rate": rate,
        "episodes": chance.values,
        "orders": chance.order,
    }
    return network, train(run, step, evaluate, parts, config.episodes, config.batch, config.eval_every, facts)


@torch.no_grad()
def test(network: Network, exam: Draw, measure: Measure, count: int, chance: Chance) -> dict[str, Tensor]:
    """The metrics of ``count`` fresh episodes, (count,) each."""
    seen = [
        measure(episodes, network(episodes)) for episodes in (exam(size, chance) for size in portions(network, count))
    ]
    return {name: torch.cat([part[name] for part in seen]).double() for name in seen[0]}


def portions(network: Network, count: int) -> Iterator[int]:
    """``count`` in parts whose traces fit ``TRACES``."""
    weight = next(iter(network.parameters()))
    most = max(1, TRACES // weight.shape[-1] ** 2)
    while count > 0:
        yield min(most, count)
        count -= most


def estimates(seen: Mapping[str, Tensor]) -> dict[str, Estimate]:
    """Every metric with its interval over episodes."""
    return {name: estimate(values) for name, values in seen.items()}


def milestones(history: Sequence[Mapping[str, float]], at: Sequence[int], name: str) -> dict[str, Estimate]:
    """``<name>_at_<episodes>`` for each of ``at`` that the run came to, as the evaluation there found it."""
    found = {row["episodes"]: row[f"eval/{name}"] for row in history if f"eval/{name}" in row}
    return {f"{name}_at_{n}": Estimate(found[n], float("nan")) for n in at if n in found}
