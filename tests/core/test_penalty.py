"""The compiled loop of a quadratic penalty against torch operations."""

import pytest
import torch
from torch.testing import assert_close

from plastic.kernels import penalty
from plastic.kernels.build import library

SIZES = {"a few": 7, "a share": 70_001, "several": 400_003}  # of numbers; none is a whole number of vectors


def _tensors(count, dtype):
    chance = torch.Generator().manual_seed(0)
    gradient, parameter, anchor, path = (torch.randn(count, generator=chance, dtype=dtype) for _ in range(4))
    return gradient, parameter, anchor, torch.rand(count, generator=chance, dtype=dtype), path


@pytest.mark.skipif(library() is None, reason="no C++ compiler")
@pytest.mark.parametrize("rate", [0.0, 0.3])
@pytest.mark.parametrize("followed", [False, True], ids=["gradient", "and path"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
@pytest.mark.parametrize("count", SIZES.values(), ids=SIZES)
def test_the_compiled_loop_gives_what_operations_give(count, dtype, followed, rate, monkeypatch):
    """Red if a thread's share misses its last numbers, or path takes the gradient that was changed."""
    gradient, parameter, anchor, importance, path = _tensors(count, dtype)
    monkeypatch.setattr(penalty, "FEW", 0)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 3)
    found = []
    for compiled in (True, False):
        g, w = gradient.clone(), path.clone()
        if not compiled:
            monkeypatch.setattr(penalty, "_compiled", lambda gradient, others: False)
        assert penalty._compiled(g, (parameter,)) is compiled
        penalty.pull_(g, parameter, anchor, importance, 0.7, rate, w if followed else None)
        found.append((g, w))
    assert_close(*found)
    assert torch.equal(found[0][1], path) is not (followed and rate > 0)
    d, k = parameter - anchor, 0.7 * importance
    assert_close(found[0][0], (gradient + k * d) / (1 + rate * k))


@pytest.mark.parametrize("change", ["dtype", "shape", "order"])
def test_what_does_not_lie_side_by_side_is_left_to_operations(change):
    """Red if a table of another kind, size or order is walked through as if it were the gradient's."""
    gradient, parameter = torch.zeros(100, 80), torch.ones(100, 80)
    other = {"dtype": parameter.double(), "shape": parameter[:1], "order": torch.ones(80, 100).T}[change]
    assert not penalty._compiled(gradient, (parameter, other))
    assert penalty._compiled(gradient, (parameter,)) is (library() is not None)
