"""One run over several processes, each with a share of every update.

    torchrun --nproc-per-node 2 -m tasks.images

All of them hold the same weights and draw the same batch. Each computes the loss of its share; the weighted sum of the
gradients over processes is then the gradient of the batch, so the run is that of one process but for the order of sums.
The first process alone writes. torchrun's environment says which process this is; in a run of one nothing here happens.
"""

import os
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, NamedTuple, ParamSpec, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor

from plastic.errors import UserError
from plastic.experiment.signals import Signals

P = ParamSpec("P")
T = TypeVar("T")

APART = 1.0  # seconds of training between two times that the processes look at clock and signals together


class Told(UserError):
    """What the first process refused, in another one: it is told once."""


class Share(NamedTuple):
    """What is this process's of some equal things."""

    mine: slice
    weight: float
    """of a mean over these in the mean over all"""


def started() -> int:
    """How many processes torchrun has started; 1 without it."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def speaks() -> bool:
    """Whether this is the process that says what all of them know."""
    return started() == 1 or os.environ.get("RANK") == "0"


def require_one(what: str) -> None:
    """UserError where there are several processes, for work that they cannot share."""
    if (count := started()) > 1:
        raise UserError(
            f"{what} is no work that processes can share, and {count} were started: start it without torchrun"
        )


def local_device() -> torch.device:
    """This process's GPU. UserError where there is none for it."""
    if started() == 1:
        return torch.device("cuda")
    local, found = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
    if local >= found:
        raise UserError(f"process {local} of this machine has no GPU, torch finds {found}: --nproc-per-node {found}")
    return torch.device("cuda", local)


@contextmanager
def joined(device: torch.device) -> Iterator[None]:
    """While the block runs, the processes that torchrun has started are one group: NCCL between GPUs, else gloo."""
    if started() == 1 or dist.is_initialized():
        yield
        return
    if device.type == "cuda":
        torch.cuda.set_device(device)
    dist.init_process_group("cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def count() -> int:
    """How many processes share the run."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def first() -> bool:
    """Whether this is the process that writes."""
    return count() == 1 or dist.get_rank() == 0


def share(total: int) -> Share:
    """This process's of ``total`` things: as many as every other's, give or take one."""
    if count() == 1:
        return Share(slice(0, total), 1.0)
    start, stop = (number * total // count() for number in (dist.get_rank(), dist.get_rank() + 1))
    return Share(slice(start, stop), (stop - start) / total)


def averaged(parameters: Iterable[Tensor], scalars: dict[str, Tensor], weight: float) -> dict[str, Tensor]:
    """The weighted sum over processes of the gradients, in their place, and of the scalars; one all-reduce."""
    if count() == 1:
        return scalars
    gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
    values = [*gradients, *(scalar.detach() for scalar in scalars.values())]
    flat = torch.cat([value.flatten().to(gradients[0].dtype) for value in values]) * weight
    _reduce(flat)
    for gradient, part in zip(gradients, flat.split([value.numel() for value in values]), strict=False):
        gradient.copy_(part.view_as(gradient))
    totals = flat[-len(scalars) :].clone()  # scalars are kept until the next evaluation, and must not keep all of it
    return dict(zip(scalars, totals.unbind(), strict=True))


def _reduce(values: Tensor, operation: Any = dist.ReduceOp.SUM) -> None:
    with _hearing():
        dist.all_reduce(values, operation)


@contextmanager
def _hearing() -> Iterator[None]:
    """What ended the other process is for that one to say."""
    try:
        yield
    except RuntimeError as error:
        raise UserError(
            "another process of this run has ended, or is not reached any more: see what it said"
        ) from error


def gathered(values: Tensor, total: int) -> Tensor:
    """The shares (n, ...) of all processes, (total, ...), in order. Its gradient is the sum of all processes'."""
    if count() == 1:
        return values
    whole: Tensor = _Gather.apply(values, total)
    return whole


class _Gather(torch.autograd.Function):
    @staticmethod
    def forward(values: Tensor, total: int) -> Tensor:
        whole = values.new_zeros(total, *values.shape[1:])
        whole[share(total).mine] = values
        _reduce(whole)
        return whole

    @staticmethod
    def setup_context(ctx: Any, inputs: tuple[Tensor, int], output: Tensor) -> None:
        ctx.mine = share(inputs[1]).mine

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        gradient = gradient.clone(memory_format=torch.contiguous_format)
        _reduce(gradient)
        return gradient[ctx.mine], None


def of_first(work: Callable[[], T]) -> T:
    """What ``work`` returns in the first process, which alone does it; its UserError is every process's."""
    if count() == 1:
        return work()
    told: list[Any] = [None, None]
    if first():
        try:
            told[0] = work()
        except UserError as error:
            told[1] = str(error)
    with _hearing():
        dist.broadcast_object_list(told)
    if told[1] is not None:
        raise (UserError if first() else Told)(told[1])
    result: T = told[0]
    return result


def by_first(method: Callable[P, T]) -> Callable[P, T]:
    """A method that the first process alone carries out."""

    @wraps(method)
    def by(*arguments: P.args, **options: P.kwargs) -> T:
        return of_first(lambda: method(*arguments, **options))

    return by


class Watch:
    """The clock and the signals, as a training loop looks at them after each update.

    Several processes must stop at the same update. They ask each other, through the host and so without waiting for a
    GPU, after as many updates as take about a second: the latest of their clocks counts, and any signal.
    """

    def __init__(self, begun: float, seconds: float, signals: Signals) -> None:
        self.begun, self.signals = begun, signals
        self.seconds = seconds
        """so far, as all of them have it: what follows from it is the same everywhere"""
        self.signal: int | None = None
        self._updates, self._wait = 0, 1

    def look(self, updates: int = 0) -> float:
        """The seconds so far, after ``updates`` more; without any, all processes ask each other now."""
        self._updates += updates
        if count() == 1:
            self.seconds, self.signal = time.monotonic() - self.begun, self.signals.received
        elif not updates or self._updates >= self._wait:
            self._ask()
        return self.seconds

    def _ask(self) -> None:
        seen = torch.tensor([time.monotonic() - self.begun, self.signals.received or 0], dtype=torch.float64)
        _reduce(seen, dist.ReduceOp.MAX)
        seconds, signal = seen.tolist()
        if self._updates:
            pace = self._updates / max(seconds - self.seconds, 1e-9)
            self._wait = max(1, min(2 * self._wait, int(APART * pace)))
        self.seconds, self.signal, self._updates = seconds, int(signal) or None, 0
