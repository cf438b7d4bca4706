"""How every comparison goes: both sides must give the same numbers, then they take turns, then it is told.

A bench is a kind of work and the ways to do it, the first of them the published algorithm written plainly.
"""

import math
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, Protocol

import torch
from torch import Tensor

from benchmarks.floor import Work, rates
from benchmarks.timing import alternate, relative_error, spread
from plastic.errors import UserError

PLAIN: Final = "plain"
TOLERANCE = 1e-4  # relative, on the loss and every gradient

Errors = Mapping[str, Mapping[str, float]]  # of each way but the plain one, by what was compared
Peaks = Mapping[str, Callable[[], object]]


class Way(NamedTuple):
    """How to do the work."""

    run: Callable[[], object]
    episodes: int  # in one call
    tolerance: float = TOLERANCE  # what its numbers may be off


class Bench(Protocol):
    """A kind of work."""

    @property
    def title(self) -> str:
        """What an episode is."""

    def errors(self) -> Errors:
        """How far each way is from the plain one."""

    def ways(self) -> Mapping[str, Way]:
        """The plain way, those that ``errors`` names, and what else is to be timed beside them."""


class Row(Bench, Protocol):
    """A kind of work whose memory and whose floor are known."""

    def peaks(self) -> Peaks:
        """Work whose memory is to be told, by what it is."""

    def floor(self) -> Work:
        """What an episode cannot do without."""


def differences(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> dict[str, float]:
    """The relative error of every number; infinite where one side has none."""
    names = dict.fromkeys([*expected, *found])
    shared = found.keys() & expected.keys()
    return {name: relative_error(found[name], expected[name]) if name in shared else math.inf for name in names}


def check(bench: Bench) -> Errors:
    """The errors of a bench; UserError if any of them is not below the tolerance of its way."""
    errors, ways = bench.errors(), bench.ways()
    for way, by_name in errors.items():
        wrong = {name: error for name, error in by_name.items() if not error < ways[way].tolerance}
        if wrong or not by_name:
            raise UserError(f"{bench.title}: {way} and {PLAIN} disagree, so no speed is reported: {wrong}")
    return errors


def milliseconds(bench: Bench, rounds: int) -> dict[str, list[float]]:
    """Of an episode in every round, for each way."""
    ways = bench.ways()
    seconds = alternate({name: way.run for name, way in ways.items()}, rounds)
    return {name: [1e3 * s / ways[name].episodes for s in values] for name, values in seconds.items()}


def compare(bench: Row, rounds: int, device: torch.device) -> dict[str, Any]:
    """Errors, times, how many times as fast as the plain way, and how many times the floor."""
    errors = check(bench)
    machine, floor = rates(device), bench.floor()
    least = 1e3 * floor.seconds(machine)
    each = milliseconds(bench, rounds)
    return {
        "work": bench.title,
        "rounds": rounds,
        "relative_errors": errors,
        "episodes_at_once": {name: way.episodes for name, way in bench.ways().items()},
        "ms_per_episode": {name: spread(values) for name, values in each.items()},
        "times_as_fast": {
            name: spread([a / b for a, b in zip(each[PLAIN], each[name], strict=True)]) for name in errors
        },
        "floor": {
            "gflop": floor.flop / 1e9,
            "gb": floor.moved / 1e9,
            "product_gflop_per_s": machine.product / 1e9,
            "copy_gb_per_s": machine.copy / 1e9,
            "ms_per_episode": least,
        },
        "times_the_floor": {name: spread([value / least for value in each[name]]) for name in errors},
    }
