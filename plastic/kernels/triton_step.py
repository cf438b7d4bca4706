r"""Plastic sequences on a GPU: one launch a step, every block of columns of every episode's trace on its own.

A program owns some columns of the trace of one episode: all that is pre-synaptic to a few units. It brings these
columns up to date from the stored activity and answers from them in one read and one write,

    trace' = clip(trace * retain + preᵀ write),   post = f(pre @ (weight + alpha * trace') + input),

so the update of one step waits for the answer of the next, and a run of clamped steps costs no launch of its own. Only
the activity is kept: backward rebuilds the trace from it, by halves as in ``stepwise``, each stretch in one read and
one write. No launch waits for the device or adds in an order left to chance: the sweeps may be captured in a CUDA
graph, and give the same bits twice.

What a column answers depends on the answers of all the others a step before, hence the launch a step. In between, the
traces stay in the second-level cache: those of thirty episodes of 200 units are 4.8 MB.

Under ``TRITON_INTERPRET=1``, set before Triton is imported, the same kernels run in numpy on a CPU.
"""

from collections.abc import Sequence

import torch
import triton
from torch import Tensor

from plastic.kernels import triton_kernels as kernels
from plastic.kernels.common import Plan, Tensors
from plastic.rules import ClippedHebb, Hebb, Oja, Rule

SEGMENT = 8  # steps whose traces are held at once in backward
ROWS, COLUMNS = 64, 16  # of the tile of a trace that a program holds in registers
DECAY: dict[type[Rule], str] = {Hebb: "constant", Oja: "square", ClippedHebb: "none"}  # 1 - retain, divided by eta
DTYPES = (torch.float32, torch.float64)


def refusal(rule: Rule, tensors: Sequence[Tensor | None]) -> str | None:
    """Why these kernels cannot run a sequence of these tensors; None if they can."""
    given = [v for v in tensors if v is not None]
    devices, dtypes = ({str(v) for v in values} for values in zip(*((v.device, v.dtype) for v in given), strict=True))
    if type(rule) not in DECAY:
        return f"no Triton step for {type(rule).__name__}, expected one of {', '.join(t.__name__ for t in DECAY)}"
    if not all(v.is_cuda for v in given) and isinstance(kernels.advance, triton.JITFunction):
        return f"the Triton step runs on cuda, got {', '.join(sorted(devices))}"
    if len(dtypes) > 1 or given[0].dtype not in DTYPES:
        return f"the Triton step takes all float32 or all float64, got {', '.join(sorted(dtypes))}"
    return None


def forward(x: Tensors, plan: Plan) -> tuple[Tensor, Tensor]:
    """Activity (T, R, B, N) and the last trace (R, B, N, N)."""
    sweep = _Sweep(x, plan, _rows(x.input, plan.order))
    source, trace = sweep.first, torch.empty_like(sweep.first)
    done, steps = 0, len(plan.order)
    for t in range(steps):
        if not plan.clamped[t]:
            sweep.advance(source, trace, done, t, "answer")
            source, done = trace, t
    sweep.advance(source, trace, done, steps, "last")
    return sweep.acts[1:], trace


def backward(x: Tensors, plan: Plan, posts: Tensor, grads: Sequence[Tensor | None]) -> Tensors:
    """The gradients of everything in ``x`` from those of what ``forward`` returned, None where there is none."""
    return _Backward(x, plan, posts, *grads).run()


class _Sweep:
    """The arguments that every launch shares. ``acts`` (T + 1, R, B, N) is the activity, with the first hidden state
    before it; where a step is free, its answer takes the place of ``given`` there."""

    def __init__(self, x: Tensors, plan: Plan, given: Tensor) -> None:
        assert x.alpha is not None
        assert x.eta is not None
        replicas, batch, units = given.shape[1:]
        self.plan, self.given = plan, given.contiguous()
        self.acts = given.new_zeros(len(given) + 1, *given.shape[1:])
        self.acts[1:] = given
        if x.hidden is not None:
            self.acts[0] = x.hidden
        self.first = given.new_zeros(replicas, batch, units, units) if x.trace is None else x.trace.contiguous()
        self.clamp = None if x.clamp is None else _rows(x.clamp, plan.order).contiguous().view(torch.uint8)
        self.weight, self.alpha = x.weight.contiguous(), x.alpha.expand_as(x.weight)
        self.eta = x.eta.expand(replicas, 1, units)
        self.grid = (replicas * batch, triton.cdiv(units, COLUMNS))
        self.shared = {
            "batch": batch,
            "alpha_r": self.alpha.stride(0),
            "alpha_i": self.alpha.stride(1),
            "alpha_j": self.alpha.stride(2),
            "eta_r": self.eta.stride(0),
            "eta_j": self.eta.stride(2),
            "N": units,
            "DECAY": DECAY[type(plan.rule)],
            "CLIP": plan.rule.clip,
            "F": plan.nonlinearity,
            "ROWS": ROWS,
            "COLUMNS": COLUMNS,
            "enable_fp_fusion": True,  # as Triton does by itself before 3.10; 3.9 warns where it is not said
        }

    def advance(self, source: Tensor, target: Tensor, first: int, stop: int, give: str) -> None:
        """The steps [first, stop) of the rule, from one trace (R, B, N, N) to another, perhaps in place; ``give``:
        "last", only that; "answer", also the activity that step ``stop`` answers with; "each", (stop - first, R, B,
        N, N), the traces before each of these steps."""
        with torch.cuda.device_of(source):
            kernels.advance[self.grid](
                source, target, self.acts, self.given, self.clamp, self.weight, self.alpha, self.eta, first, stop,
                GIVE=give, **self.shared,
            )  # fmt: skip


class _Backward(_Sweep):
    """The reverse sweep: gradients accumulate here while the traces are rebuilt segment by segment."""

    def __init__(self, x: Tensors, plan: Plan, posts: Tensor, g_posts: Tensor | None, g_trace: Tensor | None) -> None:
        super().__init__(x, plan, posts)
        self.x = x
        self.g_posts = torch.zeros_like(self.acts[1:]) if g_posts is None else g_posts.contiguous()
        self.g_trace = torch.zeros_like(self.first)
        if g_trace is not None:
            self.g_trace.copy_(g_trace)
        self.g_input, self.g_drive, self.g_eta = (torch.empty_like(self.g_posts) for _ in range(3))  # of each step
        self.g_alpha = torch.zeros_like(self.first)  # of each episode
        # what each block of columns adds to the gradient of pre, of the step at hand and of the one after it
        self.g_pre = posts.new_zeros(2, self.grid[1], *posts.shape[1:])
        self.kept = posts.new_empty(min(SEGMENT, len(posts)), *self.first.shape)
        self.spare: list[Tensor] = []

    def run(self) -> Tensors:
        x = self.x
        assert x.alpha is not None
        assert x.eta is not None
        self._visit(self.first, 0, len(self.plan.order))
        rows, drive = (v.transpose(0, 1).flatten(1, 2) for v in (self.acts[:-1], self.g_drive))  # (R, T * B, N)
        return Tensors(
            input=_fold_rows(self.g_input, self.plan.order, x.input),
            clamp=None,
            hidden=None if x.hidden is None else self.g_pre[0].sum(0),
            weight=rows.mT @ drive,
            trace=None if x.trace is None else self.g_trace,
            eligibility=None,
            alpha=self.g_alpha.sum(1).sum_to_size(x.alpha.shape),
            eta=self.g_eta.sum((0, 2)).unsqueeze(1).sum_to_size(x.eta.shape),
            m_weight=None,
            m_bias=None,
        )

    def _visit(self, trace: Tensor, start: int, stop: int) -> None:
        """Sweep back over the steps [start, stop), given the trace before the first of them."""
        if stop - start > SEGMENT:
            middle = (start + stop) // 2
            half = self.spare.pop() if self.spare else torch.empty_like(trace)
            self.advance(trace, half, start, middle, "last")
            self._visit(half, middle, stop)
            self.spare.append(half)
            self._visit(trace, start, middle)
            return
        self.advance(trace, self.kept, start, stop, "each")
        for t in reversed(range(start, stop)):
            self._step(self.kept[t - start], t)

    def _step(self, trace: Tensor, t: int) -> None:
        with torch.cuda.device_of(trace):
            kernels.reverse[self.grid](
                trace, self.acts, self.clamp, self.weight, self.alpha, self.eta, self.g_posts, self.g_trace,
                self.g_pre[(t + 1) % 2], self.g_pre[t % 2], self.g_input, self.g_drive, self.g_alpha, self.g_eta, t,
                FREE=not self.plan.clamped[t], **self.shared,
            )  # fmt: skip


def _rows(values: Tensor, order: Sequence[int]) -> Tensor:
    """values[order]; nothing is copied where that is all of it."""
    return values if [*order] == [*range(len(values))] else torch.stack([values[row] for row in order])


def _fold_rows(g_rows: Tensor, order: Sequence[int], values: Tensor) -> Tensor:
    """The way back through ``_rows``."""
    if [*order] == [*range(len(values))]:
        return g_rows
    g_values = torch.zeros_like(values)
    for row, g in zip(order, g_rows, strict=True):
        g_values[row] += g
    return g_values
