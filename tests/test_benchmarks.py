"""The benchmark's two sides do the same work, and say so before they say how fast."""

import pytest
import torch

from benchmarks.omniglot import Bench
from benchmarks.timing import alternate, relative_error
from tasks.omniglot import Config


def test_plain_loop_and_batch_have_the_same_gradients() -> None:
    """Red when the plain loop writes with eta squared, or when its loss is a sum where ours is a mean."""
    bench = Bench(Config.from_preset("paper", batch=4, widths=(8, 8, 8, 8)), torch.device("cpu"))
    episodes = bench.episodes(4)
    expected, found = bench.gradients("plain", episodes), bench.gradients("batched", episodes)
    assert set(found) == set(expected) == {name for name, _ in bench.networks["plain"].named_parameters()}
    for name, value in expected.items():
        assert value.abs().max() > 0, name
        assert relative_error(found[name], value) < 1e-4, name


def test_works_take_turns() -> None:
    """Red when one side runs all its rounds before the other."""
    calls: list[str] = []
    seconds = alternate({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=2)
    assert "".join(calls) == "ababab"  # a warm-up each, then two rounds
    assert {name: len(values) for name, values in seconds.items()} == {"a": 2, "b": 2}


def test_relative_error_is_relative() -> None:
    """Red when the norm of what was expected is left out."""
    assert relative_error(torch.full((4,), 11.0), torch.full((4,), 10.0)) == pytest.approx(0.1)
