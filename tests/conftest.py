"""What every test shares: memory that nobody wrote shows as NaN."""

import functools
from collections.abc import Callable, Iterator

import pytest
import torch


def _poisoned(empty: Callable) -> Callable:
    @functools.wraps(empty)
    def poisoned(*args, **options):
        made = empty(*args, **options)
        if made.is_floating_point() and made.layout is torch.strided and not made.is_meta:
            with torch.no_grad():
                made.fill_(float("nan"))
        return made

    return poisoned


@pytest.fixture(scope="session", autouse=True)
def unwritten_memory_is_nan() -> Iterator[None]:
    """``torch.empty`` and its kin, as called from Python, return NaN: a buffer read before it is written shows."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch, "empty", _poisoned(torch.empty))
        patch.setattr(torch, "empty_like", _poisoned(torch.empty_like))
        patch.setattr(torch.Tensor, "new_empty", _poisoned(torch.Tensor.new_empty))
        yield
