r"""Plastic sequences step by step, for rules with a clip or an eligibility: backward rebuilds the trace.

The trace follows from the activity vectors, so it need not be stored: backward halves the sequence, rewrites the trace
at the middle from the activity, takes the later half first, and so on down to ``SEGMENT`` steps. That keeps
log2(T / SEGMENT) + SEGMENT traces whatever T is; running a rule backwards instead would lose (1 - eta)^-T, and a clip
cannot be undone. Everything here has a leading replica dimension R: input (T, R, B, N), trace (R, B, N, N).
"""

from collections.abc import Sequence

import torch
from torch import Tensor

from plastic.kernels.common import NONLINEARITIES, Plan, Tensors, signal, vectors
from plastic.rules import Rule

SEGMENT = 8  # steps whose traces are held at once in backward


def advance_(traces: list[Tensor], pre: Tensor, retain: Tensor, write: Tensor, m: Tensor | None, rule: Rule) -> None:
    """One step of a rule, in place on (trace,) or (trace, eligibility)."""
    trace, driven = traces[0], traces[-1]
    if rule.retroactive and m is not None:
        trace.addcmul_(m.unsqueeze(-2), driven)
    driven.mul_(retain.unsqueeze(-2)).addcmul_(pre.unsqueeze(-1), write.unsqueeze(-2))
    if rule.clip is not None:
        trace.clamp_(-rule.clip, rule.clip)


def _respond(x: Tensors, pre: Tensor, trace: Tensor, scratch: Tensor) -> Tensor:
    """pre @ (weight + alpha * trace), (R, B, N)."""
    assert x.alpha is not None
    row = pre.unsqueeze(-2)
    if x.alpha.shape[-2] == 1:
        return pre @ x.weight + (row @ trace).squeeze(-2) * x.alpha
    return (row @ _effective(x, trace, scratch)).squeeze(-2)


def _effective(x: Tensors, trace: Tensor, out: Tensor) -> Tensor:
    """weight + alpha * trace, (R, B, N, N)."""
    assert x.alpha is not None
    return torch.addcmul(x.weight.unsqueeze(1), x.alpha.unsqueeze(1), trace, out=out)


def forward(x: Tensors, plan: Plan) -> tuple[Tensor, ...]:
    """Activity (T, R, B, N), the last trace, and the last eligibility of a retroactive rule."""
    assert x.hidden is not None
    assert x.eta is not None
    f = NONLINEARITIES[plan.nonlinearity][0]
    traces = [v.clone() for v in (x.trace, x.eligibility) if v is not None]
    scratch = torch.empty_like(traces[0])
    outputs = torch.empty_like(x.input)
    pre = x.hidden
    for t, clamped in enumerate(plan.clamped):
        post = x.input[t]
        if not clamped:
            free = f(post + _respond(x, pre, traces[0], scratch))
            post = free if x.clamp is None else torch.where(x.clamp[t], post, free)
        m = signal(x, post)
        advance_(traces, pre, *vectors(plan.rule, post, x.eta, m), m, plan.rule)
        outputs[t] = pre = post
    return outputs, *traces


def backward(x: Tensors, plan: Plan, posts: Tensor, grads: Sequence[Tensor | None]) -> Tensors:
    """The gradients of everything in ``x`` from those of what ``forward`` returned, None where there is none."""
    traces = [v for v in (x.trace, x.eligibility) if v is not None]
    g_posts, *g_traces = [torch.zeros_like(v) if g is None else g for v, g in zip((posts, *traces), grads, strict=True)]
    return _Backward(x, plan, posts, g_posts, g_traces).run()


class _Backward:
    """The reverse sweep: gradients accumulate here while the traces are rebuilt segment by segment.

    Every matrix is written into a buffer that is used again: on a CPU, touching fresh pages costs more than the sums.
    """

    def __init__(self, x: Tensors, plan: Plan, posts: Tensor, g_posts: Tensor, g_traces: list[Tensor]) -> None:
        assert x.hidden is not None
        assert x.trace is not None
        assert x.alpha is not None
        assert x.eta is not None
        self.x, self.plan, self.rule = x, plan, plan.rule
        self.posts, self.g_posts = posts, g_posts
        self.pres = torch.cat([x.hidden.unsqueeze(0), posts[:-1]])  # (T, R, B, N)
        self.m = signal(x, posts)
        self.retain, self.write = vectors(plan.rule, posts, x.eta, self.m)
        self.g_traces = [g.clone() for g in g_traces]
        self.g_pre = torch.zeros_like(x.hidden)
        self.g_input = torch.empty_like(posts)
        self.g_drive = torch.zeros_like(posts)  # what the response receives: zero where a unit was clamped
        self.g_alpha, self.g_eta = torch.zeros_like(x.alpha), torch.zeros_like(x.eta)
        self.g_signal = None if self.m is None else torch.zeros_like(self.m)
        self.scratch = torch.empty_like(x.trace)
        self.spare: list[list[Tensor]] = []

    def run(self) -> Tensors:
        x = self.x
        self._visit([v for v in (x.trace, x.eligibility) if v is not None], 0, len(self.posts))
        rows, drive = (v.transpose(0, 1).flatten(1, 2) for v in (self.pres, self.g_drive))  # (R, T * B, N)
        g_m_weight = g_m_bias = None
        if self.g_signal is not None:
            g_m_weight = (self.g_signal * self.posts).sum((0, 2)).unsqueeze(1)
            g_m_bias = self.g_signal.sum((0, 2)).unsqueeze(1)
        return Tensors(
            input=self.g_input,
            clamp=None,
            hidden=self.g_pre,
            weight=rows.mT @ drive,
            trace=self.g_traces[0],
            eligibility=self.g_traces[1] if self.rule.retroactive else None,
            alpha=self.g_alpha,
            eta=self.g_eta,
            m_weight=g_m_weight,
            m_bias=g_m_bias,
        )

    def _visit(self, traces: list[Tensor], start: int, stop: int) -> None:
        """Sweep back over the steps [start, stop), given the traces before the first of them."""
        if stop - start > SEGMENT:
            middle = (start + stop) // 2
            half = self._rebuild(traces, start, middle)
            self._visit(half, middle, stop)
            self.spare.append(half)
            self._visit(traces, start, middle)
            return
        kept = [traces]
        for t in range(start, stop - 1):
            kept.append(self._rebuild(kept[-1], t, t + 1))
        for t in reversed(range(start, stop)):
            self._step(kept[t - start], t)
        self.spare.extend(kept[1:])

    def _rebuild(self, traces: list[Tensor], start: int, stop: int) -> list[Tensor]:
        """The traces after the steps [start, stop), from the stored activity."""
        traces = self._copy(traces)
        for t in range(start, stop):
            m = None if self.m is None else self.m[t]
            advance_(traces, self.pres[t], self.retain[t], self.write[t], m, self.rule)
        return traces

    def _copy(self, traces: list[Tensor]) -> list[Tensor]:
        if not self.spare:
            return [v.clone(memory_format=torch.contiguous_format) for v in traces]
        return [buffer.copy_(v) for buffer, v in zip(self.spare.pop(), traces, strict=True)]

    def _step(self, traces: list[Tensor], t: int) -> None:
        """Step t in reverse: first the rule, which read post last, then the response that made post."""
        g_post, g_pre = self._through_rule(traces, t)
        if not self.plan.clamped[t]:
            slope = NONLINEARITIES[self.plan.nonlinearity][1]
            g_free = g_post * slope(self.posts[t])
            if self.x.clamp is None:
                g_post = g_drive = g_free
            else:
                g_post = torch.where(self.x.clamp[t], g_post, g_free)
                g_drive = g_free.masked_fill(self.x.clamp[t], 0)
            self.g_drive[t] = g_drive
            g_pre = g_pre + self._through_response(traces[0], self.pres[t], g_drive)
        self.g_input[t] = g_post
        self.g_pre = g_pre

    def _through_rule(self, traces: list[Tensor], t: int) -> tuple[Tensor, Tensor]:
        """The gradients of post and pre from those of the trace; these become the gradients of the trace before."""
        pre, post, m = self.pres[t], self.posts[t], None if self.m is None else self.m[t]
        retain, vector = self.retain[t].unsqueeze(-2), self.write[t].unsqueeze(-2)
        driven, g_driven = traces[-1], self.g_traces[-1]
        self._through_clip(traces, t)
        g_retain = torch.mul(g_driven, driven, out=self.scratch).sum(-2)
        g_write = (pre.unsqueeze(-2) @ g_driven).squeeze(-2)
        g_pre = (g_driven @ vector.mT).squeeze(-1)
        g_driven.mul_(retain)
        g_m = None
        if self.rule.retroactive and m is not None:
            g_m = torch.mul(self.g_traces[0], driven, out=self.scratch).sum((-2, -1)).unsqueeze(-1)
            g_driven.addcmul_(m.unsqueeze(-2), self.g_traces[0])
        d_post, d_eta, d_m = self._pull_back(post, m, g_retain, g_write)
        g_post = self.g_posts[t] + self.g_pre + d_post
        self.g_eta += d_eta
        if m is not None and self.g_signal is not None and self.x.m_weight is not None:
            g_signal = (d_m if g_m is None else g_m + d_m) * (1 - m * m)
            self.g_signal[t] = g_signal
            g_post = g_post + g_signal * self.x.m_weight
        return g_post, g_pre

    def _through_clip(self, traces: list[Tensor], t: int) -> None:
        """What the clip cut off no longer answers for the trace."""
        if self.rule.clip is None:
            return
        if self.rule.retroactive and self.m is not None:
            torch.addcmul(traces[0], self.m[t].unsqueeze(-2), traces[1], out=self.scratch)
        else:
            torch.mul(traces[0], self.retain[t].unsqueeze(-2), out=self.scratch)
            self.scratch.addcmul_(self.pres[t].unsqueeze(-1), self.write[t].unsqueeze(-2))
        self.g_traces[0].mul_(self.scratch.abs_() <= self.rule.clip)

    def _pull_back(self, post: Tensor, m: Tensor | None, g_retain: Tensor, g_write: Tensor) -> tuple[Tensor, ...]:
        """Gradients of post, eta and m through a rule's two vectors, whatever the rule computes."""
        assert self.x.eta is not None
        with torch.enable_grad():
            leaves = [v.detach().requires_grad_() for v in (post, self.x.eta, m) if v is not None]
            pair = vectors(self.rule, leaves[0], leaves[1], leaves[2] if m is not None else None)
            reached = [(v, g) for v, g in zip(pair, (g_retain, g_write), strict=True) if v.requires_grad]
            grads = torch.autograd.grad(
                [v for v, _ in reached], leaves, [g for _, g in reached], allow_unused=True, materialize_grads=True
            )
        return *grads, *[post.new_zeros(())] * (3 - len(grads))

    def _through_response(self, trace: Tensor, pre: Tensor, g: Tensor) -> Tensor:
        """From the gradient of pre @ (weight + alpha * trace): returns that of pre, adds those of alpha and trace."""
        alpha = self.x.alpha
        assert alpha is not None
        g_trace, column = self.g_traces[0], pre.unsqueeze(-1)
        if alpha.shape[-2] == 1:
            g_alpha = ((pre.unsqueeze(-2) @ trace).squeeze(-2) * g).sum(1, keepdim=True)  # (R, 1, N)
            self.g_alpha += g_alpha if alpha.shape[-1] > 1 else g_alpha.sum(-1, keepdim=True)
            scaled = g * alpha
            g_trace.addcmul_(column, scaled.unsqueeze(-2))
            return g @ self.x.weight.mT + (trace @ scaled.unsqueeze(-1)).squeeze(-1)
        outer = torch.mul(column, g.unsqueeze(-2), out=self.scratch)  # (R, B, N, N)
        g_trace.addcmul_(alpha.unsqueeze(1), outer)
        self.g_alpha += outer.mul_(trace).sum(1)
        return (_effective(self.x, trace, self.scratch) @ g.unsqueeze(-1)).squeeze(-1)
