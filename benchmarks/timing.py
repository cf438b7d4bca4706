"""Two ways of doing the same work, timed in alternation, so that a drifting machine slows both."""

import statistics
import time
from collections.abc import Callable, Mapping

import torch


def alternate(works: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Seconds of every call, after one warm-up each: A B A B ..."""
    for work in works.values():
        work()
    seconds: dict[str, list[float]] = {name: [] for name in works}
    for _ in range(rounds):
        for name, work in works.items():
            _synchronise()
            started = time.perf_counter()
            work()
            _synchronise()
            seconds[name].append(time.perf_counter() - started)
    return seconds


def _synchronise() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def spread(values: list[float]) -> dict[str, float]:
    return {"min": min(values), "median": statistics.median(values), "max": max(values)}


def relative_error(found: torch.Tensor, expected: torch.Tensor) -> float:
    """|found - expected| / |expected|, over all elements."""
    return float((found - expected).norm() / expected.norm().clamp_min(1e-30))
