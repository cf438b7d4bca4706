r"""Plasticity as pure functions on tensors: one step, many known steps at once, whole sequences.

B episodes, T steps, I pre- and O post-synaptic units, N units of a recurrent layer. ``trace[b, i, j]`` connects
pre i to post j; ``weight`` and ``alpha`` are (pre, post); ``alpha`` may also be (O,), one a post-synaptic unit, or (),
one for all. Parameters may carry a leading dimension of R replicas (weight (R, I, O), alpha (R, I, O) | (R, O) | (R,),
eta (R, O) | (R,)); activity and traces then carry it too.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from plastic.kernels import common, sequence
from plastic.rules import Rule, as_rule


class PlasticState(NamedTuple):
    """What a plastic recurrent network carries from step to step."""

    hidden: Tensor
    """activity (B, N)"""
    trace: Tensor | None
    """Hebbian trace (B, N, N); None where no connection is plastic"""
    eligibility: Tensor | None = None
    """eligibility trace (B, N, N) of the retroactive rule"""


def trace_step(
    trace: Tensor, pre: Tensor, post: Tensor, eta: Tensor | float, rule: str | Rule, m: Tensor | None = None
) -> Tensor:
    """One step of a rule: clip(trace * retain + preᵀ write).

    trace (..., B, I, O), pre (..., B, I), post (..., B, O) -> trace (..., B, I, O). ``eta`` is () or (O,), or
    broadcasts to ``post``; ``m`` is (..., B), or broadcasts to ``post``. The trace keeps its dtype, and the step is
    taken in it.
    ValueError for shapes that do not fit and for the retroactive rule (see ``retroactive_step``).
    """
    rule = _without_eligibility(rule, "trace_step")
    _expect("pre", pre, trace.shape[:-1])
    _expect("post", post, (*trace.shape[:-2], trace.shape[-1]))
    retain, write = _vectors(rule, trace, post, eta, m)
    outer = pre.to(trace.dtype).unsqueeze(-1) * write.unsqueeze(-2)
    return common.clipped(trace * retain.unsqueeze(-2) + outer, rule)


def retroactive_step(
    trace: Tensor, eligibility: Tensor, pre: Tensor, post: Tensor, eta: Tensor | float, rule: str | Rule, m: Tensor
) -> tuple[Tensor, Tensor]:
    """One step of a retroactive rule: trace' = clip(trace + m E), E' = E * retain + preᵀ write.

    Shapes as in ``trace_step``, the eligibility E like the trace. Returns trace', E'.
    """
    rule = as_rule(rule)
    if not rule.retroactive:
        raise ValueError(f"retroactive_step expects a retroactive rule, got {type(rule).__name__}: use trace_step")
    _expect("eligibility", eligibility, trace.shape)
    _expect("pre", pre, trace.shape[:-1])
    _expect("post", post, (*trace.shape[:-2], trace.shape[-1]))
    retain, write = _vectors(rule, trace, post, eta, m)
    signal = _meet("m", m, post, post.dim() - 1).to(trace.dtype)
    gated = common.clipped(trace + signal.unsqueeze(-2) * eligibility, rule)
    outer = pre.to(trace.dtype).unsqueeze(-1) * write.unsqueeze(-2)
    return gated, eligibility * retain.unsqueeze(-2) + outer


def trace_write(
    trace: Tensor, pre: Tensor, post: Tensor, eta: Tensor | float, rule: str | Rule, m: Tensor | None = None
) -> Tensor:
    """T steps of known activity at once: trace_T = trace_0 · Π retain + preᵀ (write ⊙ later retains).

    trace (..., B, I, O), pre (..., B, T, I), post (..., B, T, O) -> trace (..., B, I, O). Exact for every rule of two
    vectors; under a clip, which has no closed form, the steps are taken one by one. ``m`` is (..., B, T), or broadcasts
    to ``post``. Gradients reach the initial trace, pre, post, eta and m.
    """
    rule = _without_eligibility(rule, "trace_write")
    steps = pre.shape[-2] if pre.dim() > 1 else 0
    _expect("pre", pre, (*trace.shape[:-2], steps, trace.shape[-2]))
    _expect("post", post, (*trace.shape[:-2], steps, trace.shape[-1]))
    retain, write = _vectors(rule, trace, post, eta, m)
    with torch.autocast(trace.device.type, enabled=False):
        return common.write(trace, pre.to(trace.dtype), retain, write, rule.clip)


def plastic_linear(
    input: Tensor, weight: Tensor, alpha: Tensor | None, trace: Tensor | None, bias: Tensor | None = None
) -> Tensor:
    """What plastic connections answer: input @ (weight + alpha * trace) + bias (Miconi et al. 2018, eq. 1).

    input (B, I) -> (B, O), or (B, Q, I) -> (B, Q, O) for Q questions to the same trace (B, I, O). Without ``alpha`` or
    ``trace`` it is a plain linear map.
    """
    replicas = weight.dim() - 2
    _expect("input", input, (*input.shape[:-1], weight.shape[-2]))
    if bias is not None:
        _expect("bias", bias, (*weight.shape[:-2], weight.shape[-1]))
        bias = _align(bias, replicas, input.dim() - replicas)
    if alpha is None or trace is None:
        output = input @ (weight.unsqueeze(1) if replicas and input.dim() == 4 else weight)
        return output if bias is None else output + bias
    _expect("trace", trace, (*weight.shape[:-2], *trace.shape[replicas : replicas + 1], *weight.shape[-2:]))
    queries = input if input.dim() == trace.dim() else input.unsqueeze(-2)  # (B, Q, I)
    _expect("input", queries, (*trace.shape[:-2], queries.shape[-2], weight.shape[-2]))
    alpha_ = _alpha(alpha, weight)
    if alpha_.shape[-2] == 1:  # a coefficient a unit acts after the sum: no second matrix of coefficients is formed
        output = queries @ weight.unsqueeze(-3) + (queries @ trace.to(queries.dtype)) * alpha_
    else:
        output = queries @ (weight.unsqueeze(-3) + alpha_ * trace)
    output = output if input.dim() == trace.dim() else output.squeeze(-2)
    return output if bias is None else output + bias


def plastic_rnn(
    input: Tensor,
    state: PlasticState | None,
    weight: Tensor,
    alpha: Tensor | None,
    eta: Tensor,
    rule: str | Rule,
    clamp: Tensor | None = None,
    clamped_steps: Sequence[bool] | None = None,
    modulator: tuple[Tensor, Tensor] | None = None,
    nonlinearity: str = "tanh",
    order: Sequence[int] | None = None,
    backend: sequence.Backend = "auto",
) -> tuple[Tensor, PlasticState]:
    """A plastic recurrent network over a whole sequence, with a memory-lean backward.

    post_t = f(pre_t @ (weight + alpha * trace_t) + input_t) with pre_t = post_{t-1}; then the rule rewrites the trace
    (Miconi et al. 2018, eqs. 1-3). Activity is stored, traces are not: backward rebuilds them, so memory grows with T
    by vectors only. Clamped steps cost next to nothing under a rule without a clip (see plastic/README.md).
    Differentiable once.

    Args:
        input: (T, B, N).
        state: hidden (B, N), trace (B, N, N), and the eligibility (B, N, N) of a retroactive rule. None: silence and a
            blank trace, known as such beforehand, which is faster than a state of zeros.
        weight: (N, N). alpha: (N, N), (N,), () or None for a plain recurrent network. eta: () or (N,).
        clamp: (T, B, N) bool; True: the unit takes the value in ``input``; False: it is free.
        clamped_steps: T bools on the host, True where every unit of every episode is clamped; those steps skip the
            recurrence, and nothing waits for the device to find out.
        modulator: weight (N,) and bias () of the signal m_t = tanh(post_t · weight + bias) of a modulated rule.
        nonlinearity: ``tanh`` or ``relu``.
        order: T rows of ``input`` and ``clamp``, one for each step, where these hold K rows instead, (K, B, N), and
            steps share them: a pattern that is shown for ten steps, and shown again later, is one row. Clamped steps of
            one row are then known to be equal, and cost next to nothing.
        backend: ``torch``, operations of torch; ``compiled``, a step in C++ for the published rules of one trace on a
            CPU, built on first use; ``triton``, a step for GPUs under ``hebb``, ``oja`` and ``clipped_hebb``, not yet
            measured on one; ``auto``: compiled where that can be had and is faster, else torch.
    Returns: activity (T, B, N) and the state after the last step.
    Raises ValueError for shapes, rules and options that do not fit.
    """
    rule = as_rule(rule)
    order = range(len(input)) if order is None else [*order]
    _check_sequence(input, state, weight, clamp, clamped_steps, nonlinearity, order)
    plastic = alpha is not None
    clamped = tuple(map(bool, clamped_steps or (False,) * len(order)))
    kernel = sequence.in_torch(rule)
    replicas = weight.dim() - 2
    dtype = weight.dtype
    if plastic:
        _check_plasticity(input, state, weight, eta, rule, modulator)
        if state is None and not sequence.has_factors(rule):
            state = _blank(input, weight, rule)
        trace = None if state is None else state.trace
        worth = sequence.worth_compiling(rule, clamped, weight)
        kernel = sequence.choose(backend, rule, worth, replicas, (weight, alpha, eta, trace, *(modulator or ())))
        if kernel != "factored":  # one step at a time, each with its own row
            input, clamp = _rows(input, order), clamp if clamp is None else _rows(clamp, order)
            order = range(len(input))
    plan = common.Plan(rule, nonlinearity, tuple(order), clamped, kernel)
    tensors = common.Tensors(
        input=input.to(dtype),
        hidden=None if state is None else state.hidden.to(dtype),
        weight=weight,
        clamp=clamp,
        trace=state.trace if plastic and state is not None else None,
        eligibility=state.eligibility if plastic and rule.retroactive and state is not None else None,
        alpha=_alpha(alpha, weight).squeeze(-3) if alpha is not None else None,
        eta=_align(eta, replicas, 2) if plastic else None,
        m_weight=_align(modulator[0], replicas, 2) if plastic and modulator else None,
        m_bias=_align(modulator[1], replicas, 2) if plastic and modulator else None,
    )
    with torch.autocast(input.device.type, enabled=False):
        output, trace, eligibility = sequence.run(tensors, plan, replicas)
    return output, PlasticState(output[-1], trace, eligibility)


def _rows(values: Tensor, order: Sequence[int]) -> Tensor:
    """values[order]; nothing is copied where that is all of it."""
    return values if [*order] == [*range(len(values))] else torch.stack([values[row] for row in order])


def _blank(input: Tensor, weight: Tensor, rule: Rule) -> PlasticState:
    """Silence and blank traces, in the precision of ``weight``."""
    hidden = weight.new_zeros(input.shape[1:])
    trace = weight.new_zeros(*input.shape[1:], weight.shape[-1])
    return PlasticState(hidden, trace, torch.zeros_like(trace) if rule.retroactive else None)


def _align(parameter: Tensor, replicas: int, dims: int) -> Tensor:
    """Ones after the replica dimension until ``dims`` others follow it: (R, O) -> (R, 1, O) for dims = 2."""
    lead, core = parameter.shape[:replicas], parameter.shape[replicas:]
    return parameter.reshape(*lead, *[1] * (dims - len(core)), *core)


def _alpha(alpha: Tensor, weight: Tensor) -> Tensor:
    """alpha as (R, 1, I | 1, O | 1), to meet a trace (R, B, I, O)."""
    _expect("alpha", alpha, weight.shape, (*weight.shape[:-2], weight.shape[-1]), weight.shape[:-2])
    return _align(alpha, weight.dim() - 2, 3)


def _vectors(rule: Rule, trace: Tensor, post: Tensor, eta: Tensor | float, m: Tensor | None) -> tuple[Tensor, Tensor]:
    """A rule's (retain, write) in the trace's own precision: in bfloat16 a small eta would not decay at all."""
    post = post.to(trace.dtype)
    eta = _meet("eta", eta, post, trace.dim() - 3)
    if m is None and rule.modulated:
        raise ValueError(f"m: {type(rule).__name__} needs a modulatory signal, got None")
    signal = None if m is None else _meet("m", m, post, post.dim() - 1)
    with torch.autocast(trace.device.type, enabled=False):
        retain, write = common.vectors(rule, post, eta, signal)
    return retain.to(trace.dtype), write.to(trace.dtype)


def _meet(name: str, value: Tensor | float, post: Tensor, lead: int) -> Tensor:
    """A value as something that broadcasts to ``post``, where it has one number, or one a unit, for each index of the
    first ``lead`` dimensions: those of the replicas for eta, of episode and step for m."""
    if not isinstance(value, Tensor):
        return post.new_full((), value)
    first = tuple(post.shape[:lead])
    if tuple(value.shape) in (first, (*first, post.shape[-1])):
        return _align(value, lead, post.dim() - lead)
    if value.dim() <= post.dim() and all(
        v in (1, p) for v, p in zip(value.shape[::-1], post.shape[::-1], strict=False)
    ):
        return value
    raise ValueError(
        f"{name}: expected the shape {first}, or one that broadcasts to {tuple(post.shape)}, got {tuple(value.shape)}"
    )


def _without_eligibility(rule: str | Rule, function: str) -> Rule:
    rule = as_rule(rule)
    if rule.retroactive:
        raise ValueError(
            f"{function} carries one trace; {type(rule).__name__} needs an eligibility besides: use retroactive_step"
        )
    return rule


def _expect(name: str, tensor: Tensor, *shapes: Sequence[int]) -> None:
    if tuple(tensor.shape) not in [tuple(shape) for shape in shapes]:
        expected = " or ".join(str(tuple(shape)) for shape in shapes)
        raise ValueError(f"{name}: expected the shape {expected}, got {tuple(tensor.shape)}")


def _check_sequence(
    input: Tensor,
    state: PlasticState | None,
    weight: Tensor,
    clamp: Tensor | None,
    clamped_steps: Sequence[bool] | None,
    nonlinearity: str,
    order: Sequence[int],
) -> None:
    """Say what is wrong with a sequence before a kernel meets it."""
    if weight.dim() not in (2, 3) or weight.shape[-1] != weight.shape[-2]:
        raise ValueError(f"weight: expected a square (N, N) or (R, N, N), got {tuple(weight.shape)}")
    if input.dim() != weight.dim() + 1 or len(input) == 0:
        expected = "(T, R, B, N)" if weight.dim() == 3 else "(T, B, N)"
        raise ValueError(f"input: expected {expected} with T >= 1, got {tuple(input.shape)}")
    _expect("input", input, (len(input), *weight.shape[:-2], input.shape[-2], weight.shape[-1]))
    if state is not None:
        _expect("hidden", state.hidden, input.shape[1:])
    if len(order) == 0 or not all(0 <= row < len(input) for row in order):
        raise ValueError(f"order: expected at least one row of input, each from 0 to {len(input) - 1}, got {[*order]}")
    if nonlinearity not in common.NONLINEARITIES:
        raise ValueError(f"nonlinearity: expected one of {', '.join(common.NONLINEARITIES)}, got {nonlinearity!r}")
    if clamp is not None:
        _expect("clamp", clamp, input.shape)
        if clamp.dtype != torch.bool:
            raise ValueError(f"clamp: expected a mask of dtype bool, got {clamp.dtype}")
    if clamped_steps is not None and len(clamped_steps) != len(order):
        raise ValueError(f"clamped_steps: expected {len(order)} values, one a step, got {len(clamped_steps)}")


def _check_plasticity(
    input: Tensor,
    state: PlasticState | None,
    weight: Tensor,
    eta: Tensor,
    rule: Rule,
    modulator: tuple[Tensor, Tensor] | None,
) -> None:
    """The same for what only plastic connections have."""
    replicas, units = weight.shape[:-2], weight.shape[-1]
    square = (*input.shape[1:], units)
    if state is not None:
        if state.trace is None:
            raise ValueError(f"trace: expected the shape {square}, got None")
        _expect("trace", state.trace, square)
    _expect("eta", eta, replicas, (*replicas, units))
    if rule.modulated != (modulator is not None):
        raise ValueError(
            f"modulator: {type(rule).__name__} expects {'(weight, bias)' if rule.modulated else 'None'}, "
            f"got {'None' if modulator is None else 'one'}"
        )
    if modulator is not None:
        _expect("modulator weight", modulator[0], (*replicas, units))
        _expect("modulator bias", modulator[1], replicas)
    if rule.retroactive and state is not None:
        if state.eligibility is None:
            raise ValueError(f"eligibility: {type(rule).__name__} expects the shape {square}, got None")
        _expect("eligibility", state.eligibility, square)
