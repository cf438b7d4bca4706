"""Numbers with their spread, and sources of chance."""

import math
from itertools import combinations

import pytest
import torch

from plastic.experiment import Estimate, estimate, generator
from plastic.experiment.statistics import over_seeds


def test_an_estimate_by_hand():
    """Red with the standard deviation of a population, or without the root: s = 2, n = 4, 1.96 * 2 / 2."""
    found = estimate(torch.tensor([1.0, 1.0, 4.0, 4.0]) * 2 / math.sqrt(3))
    assert found == pytest.approx((5 / math.sqrt(3), 1.96))


def test_a_fraction_has_the_binomial_interval():
    """Red if float32 sums are used for the mean of 10,000,000: 1.96 sqrt(p (1 - p) / (n - 1))."""
    right = torch.zeros(10_000_000)
    right[:9_800_000] = 1
    assert estimate(right) == pytest.approx((0.98, 1.96 * math.sqrt(0.98 * 0.02 / 9_999_999)), rel=1e-9)


def test_several_seeds_by_hand():
    """Red with 1.96 for Student's 4.302652... (2 degrees of freedom), or the episodes' interval: s = 1."""
    found = over_seeds([Estimate(value, 0.123) for value in (2.0, 1.0, 3.0)])
    assert found.pop("ci95") == pytest.approx(4.302652729696142 / math.sqrt(3))
    assert found == {"per_seed": [2.0, 1.0, 3.0], "mean": 2.0, "median": 2.0, "std": 1.0}


@pytest.mark.parametrize(("ci95", "written"), [(0.01, 0.01), (math.nan, None)], ids=["known", "unknown"])
def test_one_seed_keeps_the_interval_over_its_episodes(ci95, written):
    """Red if a NaN, which is no JSON, gets through."""
    found = over_seeds([Estimate(0.98, ci95)])
    assert found == {"per_seed": [0.98], "mean": 0.98, "median": 0.98, "std": 0.0, "ci95": written}


def test_one_episode_has_no_interval():
    """Red if std() of one value warns or is taken for 0."""
    assert math.isnan(estimate(torch.ones(1)).ci95)


SOURCES = [(0, "a"), (1, "a"), (0, "b"), (2**32, "a"), (2**33, "a"), (10**12, "b")]


def _draws(seed: int, stream: str) -> list[float]:
    return torch.rand(4, generator=generator(seed, stream)).tolist()


@pytest.mark.parametrize(("one", "other"), list(combinations(SOURCES, 2)), ids=str)
def test_streams_and_seeds_are_independent(one, other):
    """Red if the stream is ignored, or if seeds that differ above bit 32 reach torch as they are."""
    assert not set(_draws(*one)) & set(_draws(*other))


def test_a_source_is_the_same_everywhere():
    """Red if the digest changes: every published result hangs on it."""
    assert _draws(0, "test") == _draws(0, "test")
    assert generator(0, "test").initial_seed() == 3510239888
    assert generator(7, "episodes").initial_seed() == 2667099618
