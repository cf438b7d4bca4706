"""Every row of the table of speeds: how it is made, what is asked of it, and how much memory it takes."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, NamedTuple

import torch

from benchmarks import comparison, maze, omniglot, recall, splitmnist
from benchmarks.memory import apart, peak


class Asked(NamedTuple):
    """How many times as fast as the plain loop a way has to be, and ought to be, on two CPU cores."""

    required: float | None = None
    goal: float | None = None


class Row(NamedTuple):
    """One kind of work."""

    make: Callable[[torch.device, bool], comparison.Row]
    """on a device; True: so small that it takes no time"""
    rounds: int
    asked: Mapping[str, Asked]


ROWS = {
    "patterns": Row(partial(recall.bench, "patterns"), 15, {"ours": Asked(5, 8)}),
    "images": Row(partial(recall.bench, "images"), 11, {"ours": Asked(40, 60)}),
    "omniglot": Row(omniglot.bench, 25, {"ours": Asked(5, 8)}),
    "maze": Row(maze.bench, 9, {"torch": Asked(required=2), "compiled": Asked(goal=8)}),
    "splitmnist": Row(splitmnist.bench, 9, {}),
}


def measure(name: str, device: torch.device, rounds: int | None) -> dict[str, Any]:
    """Everything there is to say of a row."""
    row = ROWS[name]
    peaks = apart(peaks_of, name, device.type)  # first: a process that has freed gigabytes may not be as fast
    result = comparison.compare(row.make(device, False), rounds or row.rounds, device)
    asked = {way: given._asdict() for way, given in row.asked.items()} if device.type == "cpu" else {}
    return {**result, "asked": asked, "peak_mb": peaks}


def peaks_of(name: str, device_type: str) -> dict[str, float | None]:
    """MB at the peak of each piece of work of a row that ``peaks`` names, one after the other in this process."""
    device, make = torch.device(device_type), ROWS[name].make
    for work in make(device, True).peaks().values():  # loads what is loaded when first used
        work()
    names = [*make(device, False).peaks()]
    return {what: peak(make(device, False).peaks()[what], device) for what in names}
