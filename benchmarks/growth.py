"""How the time of an episode grows with the number of units, of steps, and of episodes at once."""

from collections.abc import Callable, Mapping, Sequence
from statistics import median
from typing import Any, NamedTuple

import torch

from benchmarks import recall
from benchmarks.comparison import Bench, check, milliseconds
from benchmarks.plainly import Free

ROUNDS = 5


class Sizes(NamedTuple):
    """Of a sequence."""

    units: int
    steps: int
    batch: int


class Axes(NamedTuple):
    """A kind of work, the sizes it starts from, and the values that each of them takes in turn."""

    make: Callable[[Sizes, torch.device], Bench]
    base: Sizes
    values: Mapping[str, Sequence[int]]


def free(sizes: Sizes, device: torch.device) -> Bench:
    """The recurrence of the maze: no step is known beforehand."""
    return Free("oja", *sizes, device)


def patterns(sizes: Sizes, device: torch.device) -> Bench:
    """The recall of patterns: nearly every step is. Steps come by cycles of fifty, and six of the test."""
    task = recall.TASKS["patterns"]
    cycles = sizes.steps // sum(task.patterns * times for times in (task.show, task.gap))
    return recall.Bench(task._replace(units=sizes.units, batch=sizes.batch, cycles=cycles), device)


WORKS = {
    "free": Axes(
        free,
        Sizes(units=100, steps=50, batch=8),
        {
            "units": (25, 50, 100, 200, 400),
            "steps": (25, 50, 100, 200, 400, 800),
            "batch": (1, 2, 4, 8, 16, 32, 64),
        },
    ),
    "patterns": Axes(
        patterns,
        Sizes(units=500, steps=106, batch=8),
        {"units": (125, 250, 500, 1000), "steps": (56, 106, 206, 406), "batch": (1, 2, 4, 8, 16)},
    ),
}


def measure(device: torch.device, rounds: int | None, works: Mapping[str, Axes] = WORKS) -> dict[str, Any]:
    """Milliseconds of an episode, forward and backward, the median of some rounds: every size of every work."""
    found = {
        name: {
            axis: [_point(axes, axis, value, device, rounds or ROUNDS) for value in axes.values[axis]]
            for axis in axes.values
        }
        for name, axes in works.items()
    }
    return {"rounds": rounds or ROUNDS, "growth": found}


def _point(axes: Axes, axis: str, value: int, device: torch.device, rounds: int) -> dict[str, Any]:
    """One size, after both sides have given the same numbers."""
    sizes = axes.base._replace(**{axis: value})
    bench = axes.make(sizes, device)
    errors = check(bench)
    return {
        **sizes._asdict(),
        "largest_error": max(max(by_name.values()) for by_name in errors.values()),
        "ms_per_episode": {way: median(values) for way, values in milliseconds(bench, rounds).items()},
    }
