"""When what is shown: presentations and gaps, cycle after cycle, and a test with one item in part.

The last unit of every network is the bias: it is held at 1 throughout. The first units stand for the item, one an
element; those between, if any, are free at all times.
"""

from dataclasses import dataclass
from itertools import chain
from typing import NamedTuple, Self

import torch
from torch import Tensor

from plastic.experiment import generator


@dataclass(frozen=True)
class Schedule:
    """``cycles`` times every item, for ``presentation`` steps and then ``gap`` steps of nothing; then the test.

    ``brief``: nothing comes between presentations, and the gap only before the test.
    """

    items: int
    cycles: int
    presentation: int
    gap: int
    test: int
    brief: bool = False

    @property
    def shows(self) -> int:
        """Presentations in an episode."""
        return self.cycles * self.items

    @property
    def gaps(self) -> list[int]:
        """Steps of nothing after each presentation; those after the last one come before the test."""
        return [0 if self.brief else self.gap] * (self.shows - 1) + [self.gap]

    @property
    def steps(self) -> int:
        """T."""
        return len(self.presenting())

    def presenting(self) -> list[bool]:
        """For each of the T steps, whether an item is shown whole."""
        shows = ([True] * self.presentation + [False] * gap for gap in self.gaps)
        return [*chain.from_iterable(shows), *[False] * self.test]


class Chance(NamedTuple):
    """What episodes are drawn by: values on the device, the order of presentations on the host, ahead of the device."""

    values: torch.Generator
    order: torch.Generator

    @classmethod
    def of(cls, seed: int, stream: str, device: torch.device | str = "cpu") -> Self:
        return cls(generator(seed, stream, device), generator(seed, f"{stream}, order"))


class Episode(NamedTuple):
    """B episodes over n elements and N units, as a network takes them.

    The K items, the gap and the test are a row each of ``input`` and ``clamp``; the T steps name their rows.
    """

    input: Tensor
    """(K + 2, B, N): the values of what is shown, 1 for the bias, else 0 or, in the test, noise"""
    clamp: Tensor
    """(K + 2, B, N) bool: the units that what is shown holds, the bias among them"""
    order: list[int]
    """T: the row of each step"""
    clamped_steps: list[bool]
    """T: whether every unit is held"""
    target: Tensor
    """(B, n): the item that the test asks for"""
    hidden: Tensor
    """(B, n) bool: its elements that the test does not show"""
    items: Tensor
    """(B, K, n): all that was shown"""

    def part(self, mine: slice) -> Self:
        """Some of the B episodes."""
        input, clamp = self.input[:, mine], self.clamp[:, mine]
        target, hidden, items = self.target[mine], self.hidden[mine], self.items[mine]
        return self._replace(input=input, clamp=clamp, target=target, hidden=hidden, items=items)


def orders(schedule: Schedule, chance: torch.Generator) -> list[int]:
    """Which item each presentation shows, cycles * K: all of them in every cycle, each time in a new order.

    One order serves a batch. Its episodes have items of their own, so it says nothing about any of them.
    """
    cycles = (torch.randperm(schedule.items, generator=chance).tolist() for _ in range(schedule.cycles))
    return [item for cycle in cycles for item in cycle]


def episode(
    schedule: Schedule,
    items: Tensor,
    hidden: Tensor,
    extra_units: int,
    chance: Chance,
    noise: Tensor | None = None,
) -> Episode:
    """Lay B episodes out in time.

    Args:
        items: (B, K, n). The test asks for one of them at random.
        hidden: (B, n) bool, what the test hides of it. Which units are held depends on this mask alone, never on the
            value: an element that is exactly 0 is shown like any other.
        extra_units: units between those of the item and the bias.
        noise: (B, n) that drives the hidden units during the test; None: nothing does.
    """
    batch, count, elements = items.shape
    device = items.device
    asked = torch.randint(count, (batch,), generator=chance.values, device=device)
    target = items[torch.arange(batch, device=device), asked]
    gap, test = count, count + 1

    input = items.new_zeros(count + 2, batch, elements + extra_units + 1)
    input[:count, :, :elements] = items.transpose(0, 1)
    input[test, :, :elements] = target.where(~hidden, 0.0 if noise is None else noise)
    input[..., -1] = 1
    clamp = torch.zeros_like(input, dtype=torch.bool)
    clamp[:count, :, :elements] = True
    clamp[test, :, :elements] = ~hidden
    clamp[..., -1] = True

    turns = zip(orders(schedule, chance.order), schedule.gaps, strict=True)
    shown = (schedule.presentation * [item] + steps * [gap] for item, steps in turns)
    order = [*chain.from_iterable(shown), *schedule.test * [test]]
    held = [extra_units == 0 and row < count for row in order]
    return Episode(input, clamp, order, held, target, hidden, items)
