"""The way back through a factored sequence: segment by segment, each from the dense trace that it began with."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from plastic.kernels.common import NONLINEARITIES, Plan, Tensors
from plastic.kernels.schedule import Phase, Schedule, Segment
from plastic.kernels.terms import (
    Terms,
    acts_of,
    ask,
    flat,
    fold_,
    kept,
    phase_vectors,
    pick,
    positions,
    room,
    rows_room,
    runs,
    scaled,
    through,
)

ROWS = 128  # rows gathered before one product adds them to the gradient of a matrix


class Sums:
    """The gradients of the parameters, where every episode and step adds its part. Few rows of a product that is added
    to a matrix as large as alpha wait until there are many."""

    def __init__(self, x: Tensors) -> None:
        assert x.alpha is not None
        assert x.eta is not None
        self.weight, self.alpha = (room(v, *v.shape).zero_() for v in (x.weight, x.alpha))
        self.eta = torch.zeros_like(x.eta)
        self.m_weight, self.m_bias = (None if v is None else torch.zeros_like(v) for v in (x.m_weight, x.m_bias))
        self.waiting: dict[str, tuple[list[Tensor], list[Tensor]]] = {"weight": ([], []), "alpha": ([], [])}

    def product(self, name: str, rows: Tensor, columns: Tensor) -> None:
        """Add rowsᵀ @ columns of (S, R, B, N) each to the gradient of ``name``."""
        rows, columns = flat(rows), flat(columns)
        if rows.shape[1] >= ROWS:
            getattr(self, name).baddbmm_(rows.mT, columns)
            return
        for values, value in zip(self.waiting[name], (rows, columns), strict=True):
            values.append(value)
        if sum(v.shape[1] for v in self.waiting[name][0]) >= ROWS:
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
    products: Tensor


class _Life:
    """A segment as backward meets it: the vectors of each phase with their graph, the terms before each phase, and
    what forward has kept."""

    def __init__(
        self, x: Tensors, plan: Plan, segment: Segment, acts: Tensor, products: Tensor, answers: Tensor
    ) -> None:
        self.products, self.answers = products, [*answers]
        terms = Terms(pick(acts, segment.slots))
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


class Backward:
    """The reverse sweep over some episodes. The gradient of the dense trace, ``g_trace``, is None while it is zero."""

    def __init__(self, x: Tensors, plan: Plan, sheet: Schedule, posts: Tensor, products: Tensor, sums: Sums) -> None:
        self.x, self.plan, self.sheet, self.sums = x, plan, sheet, sums
        self.slope = NONLINEARITIES[plan.nonlinearity][1]
        self.acts = acts_of(x, sheet)
        for t, (slot, held) in enumerate(zip(sheet.posts, plan.clamped, strict=True)):
            if not held:
                self.acts[slot] = posts[t]
        self.kept = products.split(kept(x, sheet))
        self.g_input = torch.zeros_like(x.input)
        self.g_trace: Tensor | None = None
        self.spare: list[Tensor] = []
        self.ends: dict[int, tuple[Tensor, Tensor, Tensor | None]] = {}

    def run(self, g_posts: Tensor | None, g_trace: Tensor | None) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """The gradients of input, hidden and trace."""
        self.g_acts = torch.zeros_like(self.acts)
        if g_posts is not None:
            self.g_acts.index_add_(0, positions(self.sheet.posts, g_posts.device), g_posts)
        if g_trace is not None:
            self.g_trace = g_trace.clone(memory_format=torch.contiguous_format)
        self._visit(self.x.trace, 0, len(self.sheet.segments))
        for slot, row in self.sheet.shown:
            self.g_input[row] += self.g_acts[slot]
        hidden = None if self.x.hidden is None else self.g_acts[0]
        if self.x.trace is not None and self.g_trace is None:
            self.g_trace = torch.zeros_like(self.x.trace)
        return self.g_input, hidden, self.g_trace

    def _visit(self, base: Tensor | None, start: int, stop: int) -> None:
        """Sweep back over the segments [start, stop), given the dense trace before the first of them."""
        if stop - start == 1:
            self._segment(start, base)
            return
        middle = (start + stop) // 2
        half = self._rebuild(base, start, middle)
        self._visit(half, middle, stop)
        self.spare.append(half)
        self._visit(base, start, middle)

    def _rebuild(self, base: Tensor | None, start: int, stop: int) -> Tensor:
        """The dense trace after the segments [start, stop): all their terms in one product."""
        later: Tensor | None = None
        rows, columns = [], []
        for index in reversed(range(start, stop)):
            u, v, faded = self._end(index)
            rows.append(u)
            columns.append(v if later is None else v * later)
            if faded is not None:
                later = faded if later is None else later * faded
        return fold_(base, torch.cat(rows), torch.cat(columns), later, self._buffer())

    def _end(self, index: int) -> tuple[Tensor, Tensor, Tensor | None]:
        """A segment's terms u and v when it ended, and what was left of its base."""
        if index not in self.ends:
            segment = self.sheet.segments[index]
            terms = Terms(pick(self.acts, segment.slots))
            for phase in segment.phases:
                if phase.steps:
                    posts = pick(self.acts, [step.post for step in phase.steps])
                    terms.advance(phase, *phase_vectors(self.x, self.plan, phase, posts))
            self.ends[index] = terms.u, terms.v, terms.faded
        return self.ends[index]

    def _buffer(self) -> Tensor:
        shape = self.x.input.shape
        return self.spare.pop() if self.spare else room(self.x.input, *shape[1:], shape[-1])

    def _segment(self, index: int, base: Tensor | None) -> None:
        """A segment in reverse: the fold that ended it, its phases, and the dense trace that it began with."""
        segment = self.sheet.segments[index]
        life = _Life(self.x, self.plan, segment, self.acts, *self.kept[2 * index : 2 * index + 2])
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
        products = rows_room(life.u, *life.products.shape).zero_()
        g = _Gradients(torch.zeros_like(life.u), torch.zeros_like(life.v), None, products)
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
        assert phase.pre is not None
        x, pre, (v, faded) = self.x, self.acts[phase.pre], before
        assert x.alpha is not None
        self.sums.product("weight", pre.unsqueeze(0), g_drive.unsqueeze(0))
        g_pre = g_drive @ x.weight.mT
        whole = x.alpha.shape[-2] > 1
        g_plastic = g_drive if whole else g_drive * x.alpha
        if asked is not None:
            product = life.answers.pop()
            g_dense = g_plastic if faded is None else g_plastic * faded
            g_pre = g_pre + ask(g_dense, asked.mT)
            assert g.faded is not None
            g.faded = g.faded + g_plastic * product
            answers.append((pre, g_dense))
            if not whole:
                self.sums.scale(g_drive * (product if faded is None else product * faded))
        if phase.terms and whole:
            g_pre = g_pre + self._through_products(phase, life, v, g_drive, g)
        elif phase.terms:
            u, g_u, g_v = life.u[: phase.terms], g.u[: phase.terms], g.v[: phase.terms]
            match = (u * pre).sum(-1, keepdim=True)
            self.sums.scale(g_drive * (match * v).sum(0))
            back = (g_plastic * v).sum(-1, keepdim=True)
            g_v += g_plastic * match
            g_pre = g_pre + (back * u).sum(0)
            g_u += back * pre
        g.u[phase.steps[0].pre] += g_pre

    def _through_products(self, phase: Phase, life: _Life, v: Tensor, g_drive: Tensor, g: _Gradients) -> Tensor:
        """From the gradient of a free step's drive to that of its products; then on to the two activities of each
        product that no phase before needs, whose gradient is now complete. Returns that of the activity before."""
        x, pre = self.x, life.u[phase.steps[0].pre]
        assert x.alpha is not None
        for terms, products in runs(phase.products):
            g.products[products].addcmul_(g_drive, v[terms])
        g.v[: phase.terms].addcmul_(g_drive, pick(life.products, phase.products))
        u, g_products = pick(life.u, phase.fresh), pick(g.products, phase.numbers)
        self.sums.product("alpha", u * pre, g_products)
        back = through(g_products, x.alpha.mT)
        for places, terms in runs(phase.fresh):
            g.u[terms].addcmul_(back[places], pre)
        return (back * u).sum(0)

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
