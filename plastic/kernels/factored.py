r"""Sequences under a rule without a clip: the trace as outer products of activities, folded now and then.

Between two folds the trace of an episode is

    trace = base * faded + Σ_s uᵀ_s v_s

with the dense trace ``base`` of the last fold (none in a blank beginning), what all retains since have left of its
columns, and one term for each activity u_s that was pre-synaptic since; a step of the rule multiplies ``faded`` and
every v by its retain and adds its write to the v of its own pre. The response of a free step is

    pre @ (alpha * trace) = (pre @ (alpha * base)) * faded + Σ_s ((u_s * pre) @ alpha) * v_s

and its way back has two more products of the same size a term. Shapes: acts (slots, R, B, N); u, v (S, R, B, N).
"""

import torch
from torch import Tensor

from plastic.kernels.common import NONLINEARITIES, Plan, Tensors
from plastic.kernels.reverse import Backward, Sums
from plastic.kernels.schedule import Costs, Phase, Schedule, Segment, schedule
from plastic.kernels.terms import (
    Terms,
    acts_of,
    ask,
    fold_,
    kept,
    phase_vectors,
    pick,
    positions,
    room,
    rows_room,
    scaled,
    through,
)

FOLD = Costs(fold=110, dense=5)  # measured with N = 1001 on one core; both sides grow with N²
CACHED = {"cpu": 32 << 20}  # bytes of dense traces that one sweep takes along; other devices take every episode at once


def costs_of(x: Tensors) -> Costs:
    assert x.alpha is not None
    units = x.input.shape[-1]
    return FOLD if x.alpha.shape[-2] > 1 else Costs(2 * units, units / 4)  # without a product a term costs N, not N²


def plan_of(x: Tensors, plan: Plan) -> Schedule:
    return schedule(plan.order, plan.clamped, x.hidden is None, costs_of(x))


def chunks(x: Tensors, sheet: Schedule) -> list[slice]:
    """The episodes that one sweep takes: all, or as many as keep their dense traces in the cache."""
    replicas, batch, units = x.input.shape[1:]
    dense = len(sheet.segments) > 1 or x.trace is not None
    cached = CACHED.get(x.input.device.type)
    each = max(1, cached // max(1, replicas * units**2 * x.input.element_size())) if dense and cached else batch
    return [slice(first, first + each) for first in range(0, max(batch, 1), max(each, 1))]


def take(x: Tensors, part: slice) -> Tensors:
    """The same sequence for some of its episodes."""
    cut = x._replace(input=x.input[:, :, part])
    if x.clamp is not None:
        cut = cut._replace(clamp=x.clamp[:, :, part])
    if x.hidden is not None:
        cut = cut._replace(hidden=x.hidden[:, part])
    return cut if x.trace is None else cut._replace(trace=x.trace[:, part])


def forward(x: Tensors, plan: Plan) -> tuple[Tensor, ...]:
    """Activity (T, R, B, N), the last trace, and the products of the free steps, which backward needs again."""
    sheet = plan_of(x, plan)
    parts = [_Forward(take(x, part), plan, sheet).run() for part in chunks(x, sheet)]
    if len(parts) == 1:
        return parts[0]
    return tuple(torch.cat(values, dim) for values, dim in zip(zip(*parts, strict=True), (2, 1, 2), strict=True))


def backward(
    x: Tensors, plan: Plan, posts: Tensor, products: Tensor, g_posts: Tensor | None, g_trace: Tensor | None
) -> Tensors:
    """The gradients of everything in ``x``."""
    sheet = plan_of(x, plan)
    sums = Sums(x)
    parts = []
    for part in chunks(x, sheet):
        sweep = Backward(take(x, part), plan, sheet, posts[:, :, part], products[:, :, part], sums)
        parts.append(
            sweep.run(None if g_posts is None else g_posts[:, :, part], None if g_trace is None else g_trace[:, part])
        )
    inputs, hiddens, traces = zip(*parts, strict=True)
    sums.flush()
    return Tensors(
        input=torch.cat(inputs, 2),
        clamp=None,
        hidden=None if x.hidden is None else torch.cat(hiddens, 1),
        weight=sums.weight.contiguous(),
        trace=None if x.trace is None else torch.cat(traces, 1),
        eligibility=None,
        alpha=sums.alpha.contiguous(),
        eta=sums.eta,
        m_weight=sums.m_weight,
        m_bias=sums.m_bias,
    )


class _Forward:
    def __init__(self, x: Tensors, plan: Plan, sheet: Schedule) -> None:
        self.x, self.plan, self.sheet = x, plan, sheet
        self.f = NONLINEARITIES[plan.nonlinearity][0]
        self.acts = acts_of(x, sheet)
        sizes = kept(x, sheet)
        self.kept = rows_room(x.input, sum(sizes), *x.input.shape[1:])
        self.parts = self.kept.split(sizes)

    def run(self) -> tuple[Tensor, Tensor, Tensor]:
        x, shape = self.x, self.x.input.shape
        base, spare, folded = x.trace, None, None
        for index, segment in enumerate(self.sheet.segments):
            self.products, answers = self.parts[2 * index : 2 * index + 2]
            self.answers = iter(answers)
            terms = self._live(segment, base, spare)
            if index == len(self.sheet.segments) - 1:
                folded = x.input.new_empty(*shape[1:], shape[-1])
            elif folded is None:
                folded, spare = (room(x.input, *shape[1:], shape[-1]) for _ in range(2))
            base = fold_(base, terms.u, terms.v, terms.faded, folded)
        assert base is not None
        return self.acts.index_select(0, positions(self.sheet.posts, self.acts.device)), base, self.kept

    def _live(self, segment: Segment, base: Tensor | None, spare: Tensor | None) -> Terms:
        x, terms = self.x, Terms(self.x.input.new_empty(len(segment.slots), *self.x.input.shape[1:]))
        asked = scaled(x, base, spare)
        filled = 0
        for phase in segment.phases:
            if phase.free:
                self.acts[phase.post] = self._answer(phase, terms, asked)
            if phase.steps:
                upto = max(step.pre for step in phase.steps) + 1
                if upto > filled:
                    terms.u[filled:upto] = pick(self.acts, segment.slots[filled:upto])
                    filled = upto
                posts = pick(self.acts, [step.post for step in phase.steps])
                terms.advance(phase, *phase_vectors(x, self.plan, phase, posts))
        return terms

    def _answer(self, phase: Phase, terms: Terms, asked: Tensor | None) -> Tensor:
        x, drive = self.x, self.x.input[phase.row]
        if phase.pre is not None:
            drive = drive + self._response(phase, terms, asked)
        post = self.f(drive)
        return post if x.clamp is None else torch.where(x.clamp[phase.row], x.input[phase.row], post)

    def _response(self, phase: Phase, terms: Terms, asked: Tensor | None) -> Tensor:
        assert phase.pre is not None
        x, pre = self.x, self.acts[phase.pre]
        u, v = terms.u[: phase.terms], terms.v[: phase.terms]
        assert x.alpha is not None
        plastic = None
        if len(u) and x.alpha.shape[-2] == 1:
            plastic = ((u * pre).sum(-1, keepdim=True) * v).sum(0)
        elif len(u):
            through(pick(u, phase.fresh) * pre, x.alpha, pick(self.products, phase.numbers))
            plastic = (pick(self.products, phase.products) * v).sum(0)
        if asked is not None:
            dense = next(self.answers).copy_(ask(pre, asked))
            dense = dense if terms.faded is None else dense * terms.faded
            plastic = dense if plastic is None else plastic + dense
        if plastic is None:
            return pre @ x.weight
        return pre @ x.weight + (plastic * x.alpha if x.alpha.shape[-2] == 1 else plastic)
