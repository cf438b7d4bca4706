r"""Sequences under a rule without a clip: the trace as outer products of activities, folded now and then.

Between two folds the trace of an episode is

    trace = base * faded + Σ_s uᵀ_s v_s

with the dense trace ``base`` of the last fold (none in a blank beginning), what all retains since have left of its
columns, and one term for each activity u_s that was pre-synaptic since; a step of the rule multiplies ``faded`` and
every v by its retain and adds its write to the v of its own pre. The response of a free step is

    pre @ (alpha * trace) = (pre @ (alpha * base)) * faded + Σ_s ((u_s * pre) @ alpha) * v_s

and its way back has two more products of the same size a term. Shapes: acts (slots, R, B, N); u, v (S, R, B, N).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor

from plastic.kernels.common import NONLINEARITIES, Plan, Tensors, later_retains, repeated, signal, vectors
from plastic.kernels.schedule import Phase, Schedule, Segment, schedule

CACHED = {"cpu": 8 << 20}  # bytes of dense traces that one sweep takes along; other devices take every episode at once
ROWS = 512  # rows gathered before one product adds them to the gradient of alpha


def plan_of(x: Tensors, plan: Plan) -> Schedule:
    assert x.alpha is not None
    return schedule(plan.order, plan.clamped, x.hidden is None, x.alpha.shape[-2] == 1)


def chunks(x: Tensors, sheet: Schedule) -> list[slice]:
    """The episodes that one sweep takes: all, or as many as keep their dense traces in the cache."""
    batch, units = x.input.shape[2:]
    dense = len(sheet.segments) > 1 or x.trace is not None
    room = CACHED.get(x.input.device.type)
    each = max(1, room // (units * units * x.input.element_size())) if dense and room else batch
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


class _Terms:
    """The factored trace of one segment on its way through the phases."""

    def __init__(self, x: Tensors, slots: int) -> None:
        self.u = torch.empty(slots, *x.input.shape[1:], dtype=x.input.dtype, device=x.input.device)
        self.v = torch.zeros_like(self.u)
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
    if trace is None:
        torch.bmm(rows, columns, out=out.flatten(0, 1))
        return out
    if faded is None:
        out.copy_(trace)
    else:
        torch.mul(trace, faded.unsqueeze(-2), out=out)
    out.flatten(0, 1).baddbmm_(rows, columns)
    return out


@lru_cache(maxsize=64)
def positions(places: tuple[int, ...], device: torch.device) -> Tensor:
    index: Tensor = torch.tensor(places, device=device)
    return index


def pick(values: Tensor, places: Sequence[int]) -> Tensor:
    """values[places], without a list of indices that a device would have to wait for."""
    if all(b == a + 1 for a, b in pairwise(places)):
        return values[places[0] : places[-1] + 1] if places else values[:0]
    return torch.stack([values[place] for place in places])


def through(rows: Tensor, matrix: Tensor) -> Tensor:
    """rows (S, R, B, N) @ matrix (R, N, N)."""
    flat = rows.transpose(0, 1).flatten(1, 2) @ matrix
    return flat.unflatten(1, (len(rows), -1)).transpose(0, 1)


def ask(row: Tensor, traces: Tensor) -> Tensor:
    """row (R, B, N) @ traces (R, B, N, N)."""
    return (row.unsqueeze(-2) @ traces).squeeze(-2)


class _Forward:
    def __init__(self, x: Tensors, plan: Plan, sheet: Schedule) -> None:
        self.x, self.plan, self.sheet = x, plan, sheet
        self.f = NONLINEARITIES[plan.nonlinearity][0]
        self.acts = acts_of(x, sheet)
        self.products: list[Tensor] = []

    def run(self) -> tuple[Tensor, Tensor, Tensor]:
        x, shape = self.x, self.x.input.shape
        base, room = x.trace, x.input.new_empty(*shape[1:], shape[-1])
        spare = None
        for segment in self.sheet.segments:
            terms = self._live(segment, base, spare)
            base = fold_(base, terms.u, terms.v, terms.faded, room)
            if spare is None and len(self.sheet.segments) > 1:
                spare = torch.empty_like(room)
        assert base is not None
        products = torch.cat(self.products) if self.products else x.input.new_empty(0, *shape[1:])
        return self.acts.index_select(0, positions(self.sheet.posts, self.acts.device)), base, products

    def _live(self, segment: Segment, base: Tensor | None, spare: Tensor | None) -> _Terms:
        x, terms = self.x, _Terms(self.x, len(segment.slots))
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

    def _answer(self, phase: Phase, terms: _Terms, asked: Tensor | None) -> Tensor:
        x, drive = self.x, self.x.input[phase.row]
        if phase.pre is not None:
            drive = drive + self._response(self.acts[phase.pre], terms.u[: phase.terms], terms, asked)
        post = self.f(drive)
        return post if x.clamp is None else torch.where(x.clamp[phase.row], x.input[phase.row], post)

    def _response(self, pre: Tensor, u: Tensor, terms: _Terms, asked: Tensor | None) -> Tensor:
        x, v = self.x, terms.v[: len(u)]
        assert x.alpha is not None
        plastic = None
        if len(u) and x.alpha.shape[-2] == 1:
            plastic = ((u * pre).sum(-1, keepdim=True) * v).sum(0)
        elif len(u):
            product = through(u * pre, x.alpha)
            self.products.append(product)
            plastic = (product * v).sum(0)
        if asked is not None:
            dense = ask(pre, asked)
            self.products.append(dense.unsqueeze(0))
            dense = dense if terms.faded is None else dense * terms.faded
            plastic = dense if plastic is None else plastic + dense
        if plastic is None:
            return pre @ x.weight
        return pre @ x.weight + (plastic * x.alpha if x.alpha.shape[-2] == 1 else plastic)


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


def backward(
    x: Tensors, plan: Plan, posts: Tensor, products: Tensor, g_posts: Tensor | None, g_trace: Tensor | None
) -> Tensors:
    """The gradients of everything in ``x``."""
    sheet = plan_of(x, plan)
    sums = _Sums(x)
    parts = []
    for part in chunks(x, sheet):
        sweep = _Backward(take(x, part), plan, sheet, posts[:, :, part], products[:, :, part], sums)
        parts.append(
            sweep.run(None if g_posts is None else g_posts[:, :, part], None if g_trace is None else g_trace[:, part])
        )
    inputs, hiddens, traces = zip(*parts, strict=True)
    sums.flush()
    return Tensors(
        input=torch.cat(inputs, 2),
        clamp=None,
        hidden=None if x.hidden is None else torch.cat(hiddens, 1),
        weight=sums.weight,
        trace=None if x.trace is None else torch.cat(traces, 1),
        eligibility=None,
        alpha=sums.alpha,
        eta=sums.eta,
        m_weight=sums.m_weight,
        m_bias=sums.m_bias,
    )


class _Sums:
    """The gradients of the parameters, where every episode and step adds its part. Products with a matrix as large as
    alpha wait until there are many."""

    def __init__(self, x: Tensors) -> None:
        assert x.alpha is not None
        assert x.eta is not None
        self.weight, self.alpha, self.eta = (torch.zeros_like(v) for v in (x.weight, x.alpha, x.eta))
        self.m_weight, self.m_bias = (None if v is None else torch.zeros_like(v) for v in (x.m_weight, x.m_bias))
        self.waiting: dict[str, tuple[list[Tensor], list[Tensor]]] = {"weight": ([], []), "alpha": ([], [])}

    def product(self, name: str, rows: Tensor, columns: Tensor) -> None:
        """Add rowsᵀ @ columns of (S, R, B, N) each to the gradient of ``name``."""
        lists = self.waiting[name]
        for values, value in zip(lists, (rows, columns), strict=True):
            values.append(value.transpose(0, 1).flatten(1, 2))
        if sum(v.shape[1] for v in lists[0]) >= ROWS:
            self._add(name)

    def scale(self, values: Tensor) -> None:
        """Add (R, B, N) to the gradient of an alpha that acts after the sum."""
        values = values.sum(1, keepdim=True)
        self.alpha += values if self.alpha.shape[-1] > 1 else values.sum(-1, keepdim=True)

    def flush(self) -> None:
        for name in self.waiting:
            self._add(name)

    def _add(self, name: str) -> None:
        rows, columns = self.waiting[name]
        if rows:
            getattr(self, name).baddbmm_(torch.cat(rows, 1).mT, torch.cat(columns, 1))
            rows.clear()
            columns.clear()


class _Graph(NamedTuple):
    """The vectors of a phase with the graph that made them."""

    leaves: list[Tensor]
    retain: Tensor
    writes: Tensor


@dataclass
class _Gradients:
    """Of a segment's terms, and of what is left of its base."""

    u: Tensor
    v: Tensor
    faded: Tensor | None


class _Life:
    """A segment as backward meets it: the vectors of each phase with their graph, the terms before each phase."""

    def __init__(self, x: Tensors, plan: Plan, segment: Segment, acts: Tensor) -> None:
        terms = _Terms(x, len(segment.slots))
        terms.u = pick(acts, segment.slots)
        self.before: list[tuple[Tensor, Tensor | None]] = []
        self.vectors: list[_Graph | None] = []
        for phase in segment.phases:
            self.before.append((terms.v[: phase.terms].clone(), terms.faded))
            if not phase.steps:
                self.vectors.append(None)
                continue
            with torch.enable_grad():
                given = (pick(acts, [step.post for step in phase.steps]), x.eta, x.m_weight, x.m_bias)
                leaves = [v.detach().requires_grad_() for v in given if v is not None]
                own = x._replace(eta=leaves[1])
                if len(leaves) > 2:
                    own = own._replace(m_weight=leaves[2], m_bias=leaves[3])
                pair = phase_vectors(own, plan, phase, leaves[0])
            self.vectors.append(_Graph(leaves, *pair))
            terms.advance(phase, *(v.detach() for v in pair))
        self.u, self.v, self.faded = terms.u, terms.v, terms.faded


class _Backward:
    """The reverse sweep over some episodes. The gradient of the dense trace, ``g_trace``, is None while it is zero."""

    def __init__(self, x: Tensors, plan: Plan, sheet: Schedule, posts: Tensor, products: Tensor, sums: _Sums) -> None:
        self.x, self.plan, self.sheet, self.sums = x, plan, sheet, sums
        self.slope = NONLINEARITIES[plan.nonlinearity][1]
        self.acts = acts_of(x, sheet)
        for t, (slot, held) in enumerate(zip(sheet.posts, plan.clamped, strict=True)):
            if not held:
                self.acts[slot] = posts[t]
        self.products, self.asked = products, len(products)
        self.g_input = torch.zeros_like(x.input)
        self.g_trace: Tensor | None = None
        self.spare: list[Tensor] = []
        self.lives = [_Life(x, plan, segment, self.acts) for segment in sheet.segments]

    def run(self, g_posts: Tensor | None, g_trace: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """The gradients of input, hidden and trace."""
        self.g_acts = torch.zeros_like(self.acts)
        if g_posts is not None:
            self.g_acts.index_add_(0, positions(self.sheet.posts, g_posts.device), g_posts)
        if g_trace is not None:
            self.g_trace = g_trace.clone(memory_format=torch.contiguous_format)
        self._visit(self.x.trace, 0, len(self.lives))
        for slot, row in self.sheet.shown:
            self.g_input[row] += self.g_acts[slot]
        hidden = None if self.x.hidden is None else self.g_acts[0]
        if self.x.trace is not None and self.g_trace is None:
            self.g_trace = torch.zeros_like(self.x.trace)
        return self.g_input, hidden, self.g_trace

    def _visit(self, base: Tensor | None, start: int, stop: int) -> None:
        """Sweep back over the segments [start, stop), given the dense trace before the first of them."""
        if stop - start == 1:
            self._segment(self.sheet.segments[start], self.lives[start], base)
            return
        middle = (start + stop) // 2
        half = self._rebuild(base, self.lives[start:middle])
        self._visit(half, middle, stop)
        self.spare.append(half)
        self._visit(base, start, middle)

    def _rebuild(self, base: Tensor | None, lives: Sequence[_Life]) -> Tensor:
        """The dense trace after some segments: all their terms in one product."""
        later: Tensor | None = None
        columns = []
        for life in reversed(lives):
            columns.append(life.v if later is None else life.v * later)
            if life.faded is not None:
                later = life.faded if later is None else later * life.faded
        return fold_(base, torch.cat([life.u for life in lives]), torch.cat(columns[::-1]), later, self._buffer())

    def _buffer(self) -> Tensor:
        shape = self.x.input.shape
        return self.spare.pop() if self.spare else self.x.input.new_empty(*shape[1:], shape[-1])

    def _segment(self, segment: Segment, life: _Life, base: Tensor | None) -> None:
        """A segment in reverse: the fold that ended it, its phases, and the dense trace that it began with."""
        g = self._through_fold(life, base)
        asked = scaled(self.x, base, None if base is None else self._buffer())
        answers: list[tuple[Tensor, Tensor]] = []  # pre and the gradient of each answer of the dense trace
        place = {slot: term for term, slot in enumerate(segment.slots)}
        for phase, vectors_, before in reversed([*zip(segment.phases, life.vectors, life.before, strict=True)]):
            d_posts = None if vectors_ is None else self._through_rule(phase, vectors_, before, g)
            if phase.free:
                g_post = self.g_acts[phase.post]
                if phase.post in place:
                    g_post = g_post + g.u[place[phase.post]]
                g_drive = self._through_activity(phase, g_post if d_posts is None else g_post + d_posts[0])
                if phase.pre is not None:
                    self._through_response(phase, life, before, asked, g_drive, g, answers)
            elif d_posts is not None:
                for step, d_post in zip(phase.steps, d_posts, strict=True):
                    self.g_acts[step.post] += d_post
        for slot, term in place.items():
            self.g_acts[slot] += g.u[term]
        if base is not None:
            self._through_dense(base, answers, asked)

    def _through_fold(self, life: _Life, base: Tensor | None) -> _Gradients:
        g = _Gradients(torch.zeros_like(life.u), torch.zeros_like(life.v), None)
        if base is not None:
            g.faded = torch.zeros_like(self.x.input[0])
        if self.g_trace is None:
            return g
        if len(life.u):
            g.v = (life.u.permute(1, 2, 0, 3) @ self.g_trace).permute(2, 0, 1, 3)
            g.u = (life.v.permute(1, 2, 0, 3) @ self.g_trace.mT).permute(2, 0, 1, 3)
        if base is not None:
            product = torch.mul(self.g_trace, base, out=self._buffer())
            g.faded = product.sum(-2)
            self.spare.append(product)
            if life.faded is not None:
                self.g_trace.mul_(life.faded.unsqueeze(-2))
        return g

    def _through_rule(
        self,
        phase: Phase,
        graph: _Graph,
        before: tuple[Tensor, Tensor | None],
        g: _Gradients,
    ) -> Tensor:
        """From the gradients after a phase's steps to those before them; returns that of the steps' own activity."""
        v, faded = before
        g_writes = pick(g.v, [step.pre for step in phase.steps])
        g_retain = (g.v[: phase.terms] * v).sum(0)
        retain = graph.retain.detach()
        if g.faded is not None:
            g_retain += g.faded if faded is None else g.faded * faded
            g.faded = g.faded * retain
        d_posts = self._pull_back(graph, g_retain, g_writes)
        g.v[: phase.terms] *= retain
        return d_posts

    def _pull_back(self, graph: _Graph, g_retain: Tensor, g_writes: Tensor) -> Tensor:
        """Gradients of activity, eta and modulator through a rule's two vectors, whatever the rule computes."""
        pairs = zip((graph.retain, graph.writes), (g_retain, g_writes), strict=True)
        reached = [(v, g) for v, g in pairs if v.requires_grad]
        d_posts, *grads = torch.autograd.grad(
            [v for v, _ in reached], graph.leaves, [g for _, g in reached], allow_unused=True, materialize_grads=True
        )
        for total, grad in zip((self.sums.eta, self.sums.m_weight, self.sums.m_bias), grads, strict=False):
            assert total is not None
            total += grad
        return d_posts

    def _through_activity(self, phase: Phase, g_post: Tensor) -> Tensor:
        """From the gradient of a free step's answer to that of its drive; its input gets what is due to it."""
        g_drive = g_post * self.slope(self.acts[phase.post])
        if self.x.clamp is None:
            self.g_input[phase.row] += g_drive
            return g_drive
        held = self.x.clamp[phase.row]
        self.g_input[phase.row] += torch.where(held, g_post, g_drive)
        return g_drive.masked_fill(held, 0)

    def _through_response(
        self,
        phase: Phase,
        life: _Life,
        before: tuple[Tensor, Tensor | None],
        asked: Tensor | None,
        g_drive: Tensor,
        g: _Gradients,
        answers: list[tuple[Tensor, Tensor]],
    ) -> None:
        """From the gradient of a free step's drive to those of the activity before it and of the terms."""
        x, pre, (v, faded) = self.x, self.acts[phase.pre], before
        assert x.alpha is not None
        self.sums.product("weight", pre.unsqueeze(0), g_drive.unsqueeze(0))
        g_pre = g_drive @ x.weight.mT
        whole = x.alpha.shape[-2] > 1
        g_plastic = g_drive if whole else g_drive * x.alpha
        if asked is not None:
            product = self._product(1)[0]
            g_dense = g_plastic if faded is None else g_plastic * faded
            g_pre = g_pre + ask(g_dense, asked.mT)
            g.faded = g.faded + g_plastic * product
            answers.append((pre, g_dense))
            if not whole:
                self.sums.scale(g_drive * (product if faded is None else product * faded))
        if phase.terms:
            u, g_u, g_v = life.u[: phase.terms], g.u[: phase.terms], g.v[: phase.terms]
            if whole:
                g_product = g_plastic * v
                self.sums.product("alpha", u * pre, g_product)
                back = through(g_product, x.alpha.mT)
                g_v += g_plastic * self._product(phase.terms)
            else:
                match = (u * pre).sum(-1, keepdim=True)
                self.sums.scale(g_drive * (match * v).sum(0))
                back = (g_plastic * v).sum(-1, keepdim=True)
                g_v += g_plastic * match
            g_pre = g_pre + (back * u).sum(0)
            g_u += back * pre
        g.u[phase.steps[0].pre] += g_pre

    def _product(self, rows: int) -> Tensor:
        """The last products of the forward sweep that have not been asked for yet."""
        self.asked -= rows
        return self.products[self.asked : self.asked + rows]

    def _through_dense(self, base: Tensor, answers: list[tuple[Tensor, Tensor]], asked: Tensor | None) -> None:
        """What the answers of the dense trace leave for it and for alpha."""
        x = self.x
        assert x.alpha is not None
        if not answers:
            return
        pres, grads = (torch.stack(values, 2) for values in zip(*answers, strict=True))  # (R, B, L, N)
        if x.alpha.shape[-2] == 1:
            if self.g_trace is None:
                self.g_trace = torch.zeros_like(base)
            self.g_trace.flatten(0, 1).baddbmm_(pres.flatten(0, 1).mT, grads.flatten(0, 1))
            return
        outer = self._buffer() if asked is None else asked
        torch.bmm(pres.flatten(0, 1).mT, grads.flatten(0, 1), out=outer.flatten(0, 1))
        if self.g_trace is None:
            self.g_trace = outer * x.alpha.unsqueeze(1)
        else:
            self.g_trace.addcmul_(outer, x.alpha.unsqueeze(1))
        for episode in range(base.shape[1]):
            self.sums.alpha.addcmul_(base[:, episode], outer[:, episode])
        self.spare.append(outer)
