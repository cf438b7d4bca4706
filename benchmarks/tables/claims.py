"""Published figures and the runs that answer them: what was measured, and whether it agrees."""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from plastic.experiment.statistics import Estimate, over_seeds

Metric = Mapping[str, Any]
Verdict = Literal["yes", "better", "no"]

BY_EYE = 0.1  # of a figure that was read from a plot: how far it may be off


@dataclass(frozen=True)
class Claim:
    """A published figure, and the run that answers it."""

    what: str
    published: str
    """the figure as its source prints it"""
    source: str
    bounds: tuple[float, float]
    """what of ours agrees with it"""
    result: str | None
    """the file under results/ without its ending, then :metric unless the first is meant; None: not run"""
    note: str = ""
    """how our run differs and, where it does not agree, why; ``{episodes:,}`` and the like come from the result"""
    good: Literal["low", "high", "neither"] = "neither"
    """neither: the figure is there to be met, as that of a baseline"""
    median: bool = False
    """the source gives a median over runs, so ours counts"""
    minus: str | None = None
    """another result, to be taken off: the claim is about a difference"""


@dataclass(frozen=True)
class Claims:
    """The claims of one suite."""

    title: str
    text: str
    rows: tuple[Claim, ...]


class Measured(NamedTuple):
    """What of ours stands beside a published figure."""

    mean: float
    median: float
    std: float | None
    """over seeds; None for one seed, or two runs of different ones"""
    ci95: float | None


def read_by_eye(low: float, high: float | None = None) -> tuple[float, float]:
    """The bounds of a figure, or of a range, that was read from a plot."""
    return (1 - BY_EYE) * low, (1 + BY_EYE) * (low if high is None else high)


def measured(metric: Metric) -> Measured:
    """Of one run."""
    several = len(metric["per_seed"]) > 1
    return Measured(metric["mean"], metric["median"], metric["std"] if several else None, metric["ci95"])


def difference(one: Metric, other: Metric, paired: bool) -> Measured:
    """Of two runs: paired seed by seed, or with the root of the squared half-widths for the half-width."""
    if paired and len(one["per_seed"]) > 1:
        gains = [a - b for a, b in zip(one["per_seed"], other["per_seed"], strict=True)]
        return measured(over_seeds([Estimate(gain, math.nan) for gain in gains]))
    halves = one["ci95"], other["ci95"]
    half = None if None in halves else math.hypot(*halves)
    medians = (statistics.median(metric["per_seed"]) for metric in (one, other))
    return Measured(one["mean"] - other["mean"], next(medians) - next(medians), None, half)


def verdict(claim: Claim, found: Measured | None) -> Verdict:
    """No without a run. A run agrees by its mean, or median where the source gives that; it is better where, besides,
    the whole of its interval is beyond the bounds on the good side. A difference agrees with the whole of its interval.
    """
    if found is None:
        return "no"
    low, high = claim.bounds
    at, half = found.median if claim.median else found.mean, found.ci95 or 0.0
    if claim.minus is not None:
        certain = found.ci95 is not None and low < found.mean - half and found.mean + half < high
        return "yes" if certain else "no"
    if (claim.good == "high" and at - half > high) or (claim.good == "low" and at + half < low):
        return "better"
    enough = low <= at or claim.good == "low"
    not_too_much = at <= high or claim.good == "high"
    return "yes" if enough and not_too_much else "no"
