"""The trace as a dense part and outer products of activities: what the factored sweeps, there and back, are made of.

acts (slots, R, B, N) holds every activity of a sequence once; u and v (S, R, B, N) are the two sides of S terms.
"""

from collections.abc import Sequence
from functools import lru_cache
from itertools import pairwise

import torch
from torch import Tensor

from plastic.kernels.common import Plan, Tensors, later_retains, repeated, signal, vectors
from plastic.kernels.schedule import Phase, Schedule

LINE = 64  # bytes of a cache line
WIDE = 256  # units from which a product gains more by rows that begin on cache lines than a copy costs


class Terms:
    """The factored trace of one segment on its way through the phases."""

    def __init__(self, u: Tensor) -> None:
        self.u = u
        self.v = torch.zeros_like(u)
        self.faded: Tensor | None = None  # (R, B, N); None: one

    def advance(self, phase: Phase, retain: Tensor, writes: Tensor) -> None:
        self.v[: phase.terms] *= retain
        for step, write in zip(phase.steps, writes, strict=True):
            self.v[step.pre] += write
        self.faded = retain if self.faded is None else self.faded * retain


def phase_vectors(x: Tensors, plan: Plan, phase: Phase, posts: Tensor) -> tuple[Tensor, Tensor]:
    """The steps of a phase as one: what they leave of the trace (R, B, N), and each one's write (n, R, B, N)."""
    assert x.eta is not None
    retains, writes = vectors(plan.rule, posts, x.eta, signal(x, posts))
    if any(step.times > 1 for step in phase.steps):
        pairs = [repeated(r, w, s.times) for r, w, s in zip(retains, writes, phase.steps, strict=True)]
        retains, writes = (torch.stack(vs) for vs in zip(*pairs, strict=True))
    if len(phase.steps) == 1:
        return retains[0], writes
    later = later_retains(retains.movedim(0, -2)).movedim(-2, 0)
    return retains[0] * later[0], writes * later


def fold_(trace: Tensor | None, u: Tensor, v: Tensor, faded: Tensor | None, out: Tensor) -> Tensor:
    """trace * faded + uᵀ v, (R, B, N, N), written into ``out``."""
    rows, columns = u.permute(1, 2, 3, 0).flatten(0, 1), v.permute(1, 2, 0, 3).flatten(0, 1)
    traces = out.flatten(0, 1)
    if trace is not None:
        if faded is None:
            out.copy_(trace)
        else:
            torch.mul(trace, faded.unsqueeze(-2), out=out)
    if out.device.type != "cpu" or out.shape[-1] < WIDE or out.stride(-2) * out.element_size() % LINE == 0:
        traces.baddbmm_(rows, columns, beta=0 if trace is None else 1)
        return out
    place = room(out, 1, *out.shape[-2:])  # the product where its rows begin on cache lines, then a copy
    for episode, target in enumerate(traces):
        torch.bmm(rows[episode : episode + 1], columns[episode : episode + 1], out=place)
        if trace is None:
            target.copy_(place[0])
        else:
            target += place[0]
    return out


@lru_cache(maxsize=64)
def positions(places: tuple[int, ...], device: torch.device) -> Tensor:
    index: Tensor = torch.tensor(places, device=device)
    return index


def runs(places: Sequence[int]) -> list[tuple[slice, slice]]:
    """``places`` as slices that follow one another, and the slices of places that these hold."""
    starts = [i for i in range(len(places)) if i == 0 or places[i] != places[i - 1] + 1]
    ends = [*starts, len(places)][1:]
    return [(slice(a, b), slice(places[a], places[a] + b - a)) for a, b in zip(starts, ends, strict=True)]


def pick(values: Tensor, places: Sequence[int]) -> Tensor:
    """values[places], without a list of indices that a device would have to wait for."""
    if all(b == a + 1 for a, b in pairwise(places)):
        return values[places[0] : places[-1] + 1] if places else values[:0]
    return torch.stack([values[place] for place in places])


def room(like: Tensor, *shape: int) -> Tensor:
    """Memory for what a product writes, (..., N): each row begins on a cache line. Where N is odd the
    product is then half as fast again."""
    units, line = shape[-1], max(1, LINE // like.element_size())
    return like.new_empty(*shape[:-1], -(-units // line) * line)[..., :units]


def rows_room(like: Tensor, rows: int, replicas: int, *shape: int) -> Tensor:
    """The same for (S, R, B, N), where the rows of a replica lie together."""
    return room(like, replicas, rows, *shape).transpose(0, 1)


def flat(rows: Tensor) -> Tensor:
    """(S, R, B, N) -> (R, S * B, N)"""
    return rows.transpose(0, 1).flatten(1, 2)


def through(rows: Tensor, matrix: Tensor, out: Tensor | None = None) -> Tensor:
    """rows (S, R, B, N) @ matrix (R, N, N); ``out`` is some of a ``rows_room``."""
    out = rows_room(rows, *rows.shape) if out is None else out
    torch.bmm(flat(rows), matrix, out=out.transpose(0, 1).view(len(matrix), -1, rows.shape[-1]))
    return out


def ask(row: Tensor, traces: Tensor) -> Tensor:
    """row (R, B, N) @ traces (R, B, N, N)."""
    return (row.unsqueeze(-2) @ traces).squeeze(-2)


def kept(x: Tensors, sheet: Schedule) -> list[int]:
    """How many rows forward keeps for backward: for each segment its products with alpha, where that is a matrix, and
    the answers of the dense trace."""
    assert x.alpha is not None
    sizes = []
    for index, segment in enumerate(sheet.segments):
        answers = sum(phase.free and phase.pre is not None for phase in segment.phases)
        sizes += [segment.products if x.alpha.shape[-2] > 1 else 0, answers if index or x.trace is not None else 0]
    return sizes


def acts_of(x: Tensors, sheet: Schedule) -> Tensor:
    """What is known of the activity beforehand: (slots, R, B, N) with the hidden state and the clamped rows."""
    acts = x.input.new_empty(sheet.slots, *x.input.shape[1:])
    if x.hidden is not None:
        acts[0] = x.hidden
    for slot, row in sheet.shown:
        acts[slot] = x.input[row]
    return acts


def scaled(x: Tensors, base: Tensor | None, out: Tensor | None) -> Tensor | None:
    """alpha * base where alpha is a matrix; else the base itself, and alpha acts after the sum."""
    assert x.alpha is not None
    if base is None or x.alpha.shape[-2] == 1:
        return base
    return torch.mul(base, x.alpha.unsqueeze(1), out=out)
