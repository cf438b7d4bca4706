"""What the kernels share: the arguments of a sequence, a rule's vectors, and steps of known activity."""

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from plastic.rules import Rule

NONLINEARITIES: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    # f, and its slope as a function of f's own output: the input of f is not stored
    "tanh": (torch.tanh, lambda post: 1 - post * post),
    "relu": (torch.relu, lambda post: (post > 0).to(post.dtype)),
}


Kernel = Literal["factored", "stepwise", "compiled", "triton"]


class Plan(NamedTuple):
    """What a sequence is besides its tensors; all of it on the host."""

    rule: Rule
    nonlinearity: str
    order: tuple[int, ...]  # the row of input and clamp that each of T steps takes
    clamped: tuple[bool, ...]  # T
    kernel: Kernel = "stepwise"  # what runs it


class Tensors(NamedTuple):
    """The arguments of a sequence. All but ``input`` and ``clamp`` lead with R."""

    input: Tensor  # (K, R, B, N)
    clamp: Tensor | None  # (K, R, B, N)
    hidden: Tensor | None  # (R, B, N); None where silence is known beforehand
    weight: Tensor  # (R, N, N)
    trace: Tensor | None  # (R, B, N, N); None where it is known to be blank
    eligibility: Tensor | None  # (R, B, N, N)
    alpha: Tensor | None  # (R, N | 1, N | 1)
    eta: Tensor | None  # (R, 1, N | 1)
    m_weight: Tensor | None  # (R, 1, N)
    m_bias: Tensor | None  # (R, 1, 1)


REPLICA_DIM = (1, 1, 0, 0, 0, 0, 0, 0, 0, 0)  # where R stands in each of Tensors
CLAMP = 1  # the one of them that has no gradient


def vectors(rule: Rule, post: Tensor, eta: Tensor, m: Tensor | None) -> tuple[Tensor, Tensor]:
    """A rule's (retain, write), both as large as ``post``."""
    retain, write = (v if isinstance(v, Tensor) else post.new_full((), v) for v in rule.vectors(post, eta, m))
    return retain.expand_as(post), write.expand_as(post)


def signal(x: Tensors, post: Tensor) -> Tensor | None:
    """m = tanh(post · weight + bias), (..., B, 1)."""
    if x.m_weight is None or x.m_bias is None:
        return None
    return torch.tanh((post * x.m_weight).sum(-1, keepdim=True) + x.m_bias)


def clipped(trace: Tensor, rule: Rule) -> Tensor:
    return trace if rule.clip is None else trace.clamp(-rule.clip, rule.clip)


def write(trace: Tensor, pre: Tensor, retain: Tensor, write: Tensor, clip: float | None) -> Tensor:
    """T steps onto a trace (..., I, O) from pre (..., T, I) and a rule's vectors (..., T, O)."""
    steps = pre.shape[-2]
    if clip is not None:
        for t in range(steps):
            step = trace * retain[..., t : t + 1, :] + pre[..., t, :, None] * write[..., t : t + 1, :]
            trace = step.clamp(-clip, clip)
        return trace
    if steps == 0:
        return trace
    later = later_retains(retain)
    return trace * (retain[..., :1, :] * later[..., :1, :]) + pre.mT @ (write * later)


def later_retains(retain: Tensor) -> Tensor:
    """The product of all later retains, (..., T, O): log2(T) doublings, and no division that a zero would break."""
    steps = retain.shape[-2]
    later = torch.cat([retain[..., 1:, :], torch.ones_like(retain[..., :1, :])], dim=-2)
    reach = 1
    while reach < steps:
        later = torch.cat([later[..., :-reach, :] * later[..., reach:, :], later[..., -reach:, :]], dim=-2)
        reach *= 2
    return later


def repeated(retain: Tensor, write: Tensor, times: int) -> tuple[Tensor, Tensor]:
    """``times`` equal steps as one: retainⁿ and write (1 + retain + … + retainⁿ⁻¹), by doublings and no division."""
    power, total = retain, torch.ones_like(retain)
    for bit in bin(times)[3:]:
        power, total = power * power, total * (1 + power)
        if bit == "1":
            power, total = power * retain, total * retain + 1
    return power, write * total
