"""How memory grows with the number of steps: by vectors of activity, never by a trace a step."""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch

from benchmarks.comparison import PLAIN
from benchmarks.memory import apart, peak
from benchmarks.plainly import Free, Side, backends

RULES = ("hebb", "clipped_hebb")  # without a clip, and with one


class Lengths(NamedTuple):
    """What is measured."""

    steps: Sequence[int] = (100, 316, 1000, 3162, 10_000)
    plainly: int = 1000  # the most steps of the plain loop
    units: int = 64
    batch: int = 4


LENGTHS = Lengths()


def measure(device: torch.device, sizes: Lengths = LENGTHS) -> dict[str, Any]:
    """MB at the peak of forward and backward for each way and number of steps, and what a step adds in the end."""
    peaks: dict[str, list[float | None]] = {}
    for rule in RULES:
        ways: list[Side] = [*backends(rule, torch.empty(0, device=device))]
        if rule == RULES[0]:
            ways.insert(0, PLAIN)
        for way in ways:
            steps = [T for T in sizes.steps if way != PLAIN or sizes.plainly >= T]
            peaks[f"{way}, {rule}"] = apart(peaks_of, rule, way, steps, sizes, device.type)
    return {
        "work": f"a free network, N={sizes.units}, B={sizes.batch}: forward and backward",
        "steps": [*sizes.steps],
        "vector_mb": _vector(sizes),
        "trace_mb": sizes.units * _vector(sizes),
        "peak_mb": peaks,
        "vectors_a_step": {way: _slope(sizes, found) for way, found in peaks.items()},
    }


def peaks_of(rule: str, way: Side, steps: Sequence[int], sizes: Lengths, device_type: str) -> list[float | None]:
    """For each number of steps, beyond the input; in this process."""
    device = torch.device(device_type)
    Free(rule, sizes.units, 8, sizes.batch, device).run(way)  # loads what is loaded when first used
    found = []
    for T in steps:
        bench = Free(rule, sizes.units, T, sizes.batch, device)
        found.append(peak(partial(bench.run, way), device))
    return found


def _vector(sizes: Lengths) -> float:
    """MB of one activity vector of every episode."""
    return 4 * sizes.batch * sizes.units / 1e6


def _slope(sizes: Lengths, peaks: Sequence[float | None]) -> float | None:
    """What each of the last steps adds, in activity vectors; a trace is N of them."""
    (early, late), (start, stop) = peaks[-2:], sizes.steps[len(peaks) - 2 : len(peaks)]
    return None if early is None or late is None else (late - early) / (stop - start) / _vector(sizes)
