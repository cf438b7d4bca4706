"""Numbers with their spread."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor


class Estimate(NamedTuple):
    """A mean over episodes and the half-width of its 95% interval."""

    value: float
    ci95: float


def estimate(samples: Tensor) -> Estimate:
    """Mean and normal half-width, 1.96 s / sqrt(n), of one value an episode (n,)."""
    values = samples.double()
    spread = values.std().item() if len(values) > 1 else math.nan
    return Estimate(values.mean().item(), 1.96 * spread / math.sqrt(len(values)))


def over_seeds(estimates: Sequence[Estimate]) -> dict[str, float | list[float] | None]:
    """``per_seed, mean, median, std, ci95``; ci95 is Student's half-width over seeds, over episodes for one seed."""
    values = [e.value for e in estimates]
    several = len(values) > 1
    std = statistics.stdev(values) if several else 0.0
    if several:
        from scipy.stats import t  # half a second, and only needed here

        ci95 = float(t.ppf(0.975, len(values) - 1)) * std / math.sqrt(len(values))
    else:
        ci95 = estimates[0].ci95
    return {
        "per_seed": values,
        "mean": statistics.fmean(values),
        "median": statistics.median(values),
        "std": std,
        "ci95": ci95 if math.isfinite(ci95) else None,
    }


def in_words(name: str, metric: Mapping[str, Any]) -> str:
    """``name mean ± ci95`` of what ``over_seeds`` returned."""
    return f"{name} {metric['mean']:.4f}" + (f" ± {metric['ci95']:.4f}" if metric["ci95"] is not None else "")
