"""Whole plastic sequences as one operation for autograd, vmap and the compiler; which kernel runs it is chosen here."""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from plastic.kernels import compiled, factored, stepwise
from plastic.kernels.common import CLAMP, NONLINEARITIES, REPLICA_DIM, Kernel, Plan, Tensors
from plastic.rules import Rule

Backend = Literal["auto", "torch", "compiled", "triton"]
ARGUMENTS = len(REPLICA_DIM)
CACHED = 1 << 20  # bytes of a trace; measured: with 1 MB a compiled step takes 0.6 of torch's time, with 4 MB 1.5 times


def has_factors(rule: Rule) -> bool:
    """Whether the trace under this rule is linear in what each step writes."""
    return rule.clip is None and not rule.retroactive


def in_torch(rule: Rule) -> Kernel:
    """The kernel of torch operations for a rule."""
    return "factored" if has_factors(rule) else "stepwise"


def worth_compiling(rule: Rule, clamped: Sequence[bool], weight: Tensor) -> bool:
    """Whether a compiled step beats torch operations: always where those go step by step; where they keep outer
    products, if most steps are free (clamped ones are few products) and a trace stays in the cache."""
    mostly_free = 2 * sum(clamped) <= len(clamped)
    return not has_factors(rule) or (mostly_free and weight.numel() * weight.element_size() <= CACHED)


@torch.compiler.disable
def choose(backend: Backend, rule: Rule, worth: bool, replicas: int, tensors: tuple[Tensor | None, ...]) -> Kernel:
    """The kernel for a sequence of these tensors. ValueError where the backend asked for cannot run it."""
    if backend not in get_args(Backend):
        raise ValueError(f"backend: expected one of {', '.join(get_args(Backend))}, got {backend!r}")
    if backend == "triton":  # only where it is asked for: its speed has not been measured
        step = _triton_step()
        if (why_not := "Triton cannot be imported" if step is None else step.refusal(rule, tensors)) is not None:
            raise ValueError(f"backend: {why_not}")
        return "triton"
    if backend == "torch" or (backend == "auto" and not worth):
        return in_torch(rule)
    why_not = "the compiled step takes no replica dimension" if replicas else compiled.refusal(rule, tensors)
    if why_not is not None and backend == "compiled":
        raise ValueError(f"backend: {why_not}")
    return "compiled" if why_not is None else in_torch(rule)


def _triton_step() -> Any:
    """The kernels for a GPU; None where Triton cannot be imported."""
    try:
        from plastic.kernels import triton_step
    except ImportError:
        return None
    return triton_step


@torch.compiler.disable
def run(x: Tensors, plan: Plan, replicas: int) -> tuple[Tensor, Tensor | None, Tensor | None]:
    """Activity (T, [R,] B, N), final trace and eligibility of a sequence with or without a replica dimension."""
    if not replicas:
        x = Tensors._make(v if v is None else v.unsqueeze(d) for v, d in zip(x, REPLICA_DIM, strict=True))
    if x.alpha is None:
        activity = _plain(x, plan)
        return activity if replicas else activity.squeeze(1), None, None
    outputs = _Sequence.apply(plan, *x)
    activity, *traces = outputs[: 2 + plan.rule.retroactive]
    if not replicas:
        activity, *traces = activity.squeeze(1), *[v.squeeze(0) for v in traces]
    return activity, *traces, *[None] * (2 - len(traces))


def _plain(x: Tensors, plan: Plan) -> Tensor:
    """The network without plasticity, where autograd's own memory is already that of the activity."""
    f = NONLINEARITIES[plan.nonlinearity][0]
    hidden, outputs = x.hidden, []
    for row, clamped in zip(plan.order, plan.clamped, strict=True):
        drive = x.input[row]
        free = drive if clamped else f(drive if hidden is None else drive + hidden @ x.weight)
        hidden = free if clamped or x.clamp is None else torch.where(x.clamp[row], drive, free)
        outputs.append(hidden)
    return torch.stack(outputs)


def _fold(x: Tensor | None, in_dim: int | None, size: int, at: int) -> Tensor | None:
    """A vmapped dimension becomes part of the replica dimension at position ``at``."""
    if x is None:
        return None
    x = x.unsqueeze(at).expand(*x.shape[:at], size, *x.shape[at:]) if in_dim is None else x.movedim(in_dim, at)
    return x.flatten(at, at + 1)


def _unfold(outputs: tuple[Tensor, ...], size: int, dims: tuple[int, ...]) -> Any:
    """The reverse, for outputs whose replica dimensions are ``dims``; and where vmap finds its own."""
    return tuple(v.unflatten(d, (size, -1)) for v, d in zip(outputs, dims, strict=True)), dims


def _sweeps(kernel: Kernel) -> Any:
    """The module whose ``forward`` and ``backward`` they are."""
    known: dict[Kernel, Any] = {"factored": factored, "stepwise": stepwise, "compiled": compiled}
    return known.get(kernel) or _triton_step()


class _Sequence(torch.autograd.Function):
    """Activity, trace, and the eligibility or, for backward alone, what a factored forward has kept, if either is."""

    @staticmethod
    def forward(plan: Plan, *tensors: Any) -> Any:
        return _sweeps(plan.kernel).forward(Tensors(*tensors), plan)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.plan = inputs[0]
        ctx.set_materialize_grads(False)
        kept = None
        if has_factors(ctx.plan.rule) and len(output) == 3:  # vmap may have run another kernel than the plan's
            kept = output[2]
            ctx.mark_non_differentiable(kept)
        ctx.save_for_backward(*inputs[1:], output[0], kept)

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        *tensors, posts, kept = ctx.saved_tensors
        g_tensors = _SequenceBackward.apply(ctx.plan, posts, kept, *tensors, *grads)
        present = iter(g_tensors)
        return None, *[None if v is None or i == CLAMP else next(present) for i, v in enumerate(tensors)]

    @staticmethod
    def vmap(info: Any, in_dims: Any, plan: Plan, *tensors: Any) -> Any:
        folded = [
            _fold(v, in_dim, info.batch_size, at)
            for v, in_dim, at in zip(tensors, in_dims[1:], REPLICA_DIM, strict=True)
        ]
        plan = plan._replace(kernel=in_torch(plan.rule))  # replicas are for torch operations
        outputs = _Sequence.apply(plan, *folded)
        dims = (1, 0, 1) if plan.kernel == "factored" else (1, 0, 0)
        return _unfold(outputs, info.batch_size, dims[: len(outputs)])


class _SequenceBackward(torch.autograd.Function):
    """The reverse sweep as a function of its own, so that vmap folds here too."""

    @staticmethod
    def forward(plan: Plan, posts: Tensor, kept: Tensor | None, *rest: Any) -> Any:
        x, grads = Tensors(*rest[:ARGUMENTS]), rest[ARGUMENTS:]
        with torch.autocast(posts.device.type, enabled=False):
            if kept is not None:
                g_tensors = factored.backward(x, plan, posts, kept, grads[0], grads[1])
            else:
                g_tensors = _sweeps(plan.kernel).backward(x, plan, posts, grads)
        return tuple(g for g in g_tensors if g is not None)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise RuntimeError("plastic_rnn is differentiable once; its gradient has no gradient")

    @staticmethod
    def vmap(info: Any, in_dims: Any, plan: Plan, posts: Tensor, kept: Tensor | None, *rest: Any) -> Any:
        plan = plan._replace(kernel=in_torch(plan.rule))
        g_dims = (1, 0, 1) if kept is not None else (1, 0, 0)
        places = (1, 1, *REPLICA_DIM, *g_dims)[: len(rest) + 2]
        folded = [
            _fold(v, in_dim, info.batch_size, at)
            for v, in_dim, at in zip((posts, kept, *rest), in_dims[1:], places, strict=True)
        ]
        outputs = _SequenceBackward.apply(plan, *folded)
        given = zip(rest[:ARGUMENTS], REPLICA_DIM, strict=True)
        dims = [at for i, (v, at) in enumerate(given) if v is not None and i != CLAMP]
        return _unfold(outputs, info.batch_size, tuple(dims))
