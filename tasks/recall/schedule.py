"""When what is shown: presentations and gaps, cycle after cycle, and a test with one item in part.

The last unit of every network is the bias: it is held at 1 throughout. The first units stand for the item, one an
element; those between, if any, are free at all times.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


@dataclass(frozen=True)
class Schedule:
    """``cycles`` times every item, for ``presentation`` steps and then ``gap`` steps of nothing; then the test."""

    items: int
    cycles: int
    presentation: int
    gap: int
    test: int

    @property
    def shows(self) -> int:
        """Presentations in an episode."""
        return self.cycles * self.items

    @property
    def steps(self) -> int:
        """T. The gap after the last presentation comes before the test."""
        return self.shows * (self.presentation + self.gap) + self.test

    def presenting(self) -> list[bool]:
        """For each of the T steps, whether an item is shown whole."""
        return ([True] * self.presentation + [False] * self.gap) * self.shows + [False] * self.test


class Episode(NamedTuple):
    """B episodes over n elements and N units, as a network takes them."""

    input: Tensor
    """(T, B, N): the values of what is shown, 1 for the bias, else 0 or, in the test, noise"""
    clamp: Tensor
    """(T, B, N) bool: the units that what is shown holds, the bias among them"""
    clamped_steps: list[bool]
    """T: whether every unit is held"""
    target: Tensor
    """(B, n): the item that the test asks for"""
    hidden: Tensor
    """(B, n) bool: its elements that the test does not show"""
    items: Tensor
    """(B, K, n): all that was shown"""


def orders(schedule: Schedule, batch: int, chance: torch.Generator, device: torch.device) -> Tensor:
    """Which item each presentation shows, (B, cycles * K): all of them in every cycle, each time in a new order."""
    keys = torch.rand(batch, schedule.cycles, schedule.items, generator=chance, device=device)
    return keys.argsort(-1).flatten(1)


def episode(
    schedule: Schedule,
    items: Tensor,
    hidden: Tensor,
    extra_units: int,
    chance: torch.Generator,
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
    asked = torch.randint(count, (batch,), generator=chance, device=device)
    target = items[torch.arange(batch, device=device), asked]
    order = orders(schedule, batch, chance, device)
    shown = items.gather(1, order.unsqueeze(-1).expand(-1, -1, elements)).transpose(0, 1)  # (shows, B, n)

    input = items.new_zeros(schedule.steps, batch, elements + extra_units + 1)
    clamp = torch.zeros_like(input, dtype=torch.bool)
    before = schedule.steps - schedule.test
    whole = (schedule.shows, schedule.presentation + schedule.gap)
    input[:before].unflatten(0, whole)[:, : schedule.presentation, :, :elements] = shown.unsqueeze(1)
    clamp[:before].unflatten(0, whole)[:, : schedule.presentation, :, :elements] = True
    input[before:, :, :elements] = target.where(~hidden, 0.0 if noise is None else noise)
    clamp[before:, :, :elements] = ~hidden
    input[..., -1] = 1
    clamp[..., -1] = True
    held = schedule.presenting() if extra_units == 0 else [False] * schedule.steps
    return Episode(input, clamp, held, target, hidden, items)
