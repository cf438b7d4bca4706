"""What this machine does at best, measured, and how long a piece of work would take at that."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.timing import alternate

SIDE = {"cpu": 1024, "cuda": 8192}  # of the matrices that are multiplied and copied
COPIED = 8  # of these matrices, more than a cache holds
ROUNDS = 10  # the fastest counts


class Rates(NamedTuple):
    """Of one large product in float32 and of one large copy."""

    product: float  # operations a second
    copy: float  # bytes a second, read and written


class Work(NamedTuple):
    """What an episode cannot do without."""

    flop: float
    moved: float  # bytes read from memory or written to it

    def seconds(self, rates: Rates) -> float:
        """Both one after the other, at the rates of the machine."""
        return self.flop / rates.product + self.moved / rates.copy


def rates(device: torch.device) -> Rates:
    """Measured now: machines are not as fast every day."""
    N = SIDE[device.type]
    left, right, result = torch.randn(3, N, N, device=device)
    matrices = torch.randn(COPIED, N, N, device=device)
    copy = torch.empty_like(matrices)
    works = {"product": lambda: torch.mm(left, right, out=result), "copy": lambda: copy.copy_(matrices)}
    seconds = {name: min(times) for name, times in alternate(works, ROUNDS).items()}
    return Rates(2.0 * N**3 / seconds["product"], 8.0 * matrices.numel() / seconds["copy"])


def flop_of(work: Callable[[], object]) -> float:
    """Operations in all products and convolutions that torch does in a piece of work."""
    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.baddbmm_: _added}) as counter:
        work()
    return float(counter.get_total_flops())


def _added(onto: torch.Size, left: torch.Size, right: torch.Size, **_: object) -> int:
    """Operations of a batched product that is added in place, which torch's counter does not know."""
    return 2 * left.numel() * right[-1]
