"""Plastic sequences on processors, compiled: one read and one write of the trace a step, in the cache.

The work is done in ``cpu/``; here tensors become pointers. For the published rules of one trace, float32 and
float64, without a replica dimension; the rest is left to torch operations. The trace is not stored: backward rebuilds
it, some steps at once and of two episodes a thread at a time.
"""

import ctypes
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from plastic.kernels.build import library
from plastic.kernels.common import Plan, Tensors
from plastic.rules import ClippedHebb, Hebb, Modulated, Oja, Rule

DECAY = {ClippedHebb: 0, Modulated: 0, Hebb: 1, Oja: 2}  # what retain takes eta times: 0, 1, post²
DTYPES = (torch.float32, torch.float64)
SLOTS = 16  # partial sums of the gradients of weight and alpha, and so the most threads of backward


class _Sequence(ctypes.Structure):
    """struct Sequence of cpu/sequence.h; what is not said is null or zero."""

    _fields_ = (
        [(name, ctypes.c_int64) for name in ("steps", "batch", "units", "decay", "relu", "threads")]
        + [("clip", ctypes.c_double)]
        + [(name, ctypes.c_void_p) for name in ("input", "clamp", "clamped", "hidden", "before", "weight", "alpha")]
        + [(name, ctypes.c_void_p) for name in ("eta", "m_weight", "m_bias", "posts", "trace")]
        + [("trace_stride", ctypes.c_int64), ("scratch", ctypes.c_void_p)]
        + [("slots", ctypes.c_int64), ("g_posts", ctypes.c_void_p), ("g_trace", ctypes.c_void_p)]
        + [("g_trace_in", ctypes.c_int64)]
        + [(name, ctypes.c_void_p) for name in ("g_input", "g_drive", "g_hidden", "g_eta")]
        + [(name, ctypes.c_void_p) for name in ("g_weight", "g_alpha", "g_signal")]
    )


def refusal(rule: Rule, tensors: tuple[Tensor | None, ...]) -> str | None:
    """Why a sequence cannot be run here; None if it can. The first call may build the library."""
    given = [v for v in tensors if v is not None]
    if type(rule) not in DECAY:
        return f"no compiled step for {type(rule).__name__}, expected one of {', '.join(t.__name__ for t in DECAY)}"
    if any(v.device.type != "cpu" for v in given):
        return f"the compiled step runs on cpu, got {given[0].device}"
    dtypes = {v.dtype for v in given}
    if len(dtypes) > 1 or not dtypes <= {*DTYPES}:
        return f"the compiled step takes all float32 or all float64, got {', '.join(sorted(map(str, dtypes)))}"
    return None if library() is not None else "no C++ compiler was found that builds the compiled step"


def forward(x: Tensors, plan: Plan) -> tuple[Tensor, Tensor]:
    """Activity (T, 1, B, N) and the last trace (1, B, N, N)."""
    _, replicas, batch, units = x.input.shape
    if x.trace is None:
        trace = x.input.new_zeros(replicas, batch, units, units)
    else:
        trace = x.trace.clone(memory_format=torch.contiguous_format)
    posts = torch.empty_like(x.input, memory_format=torch.contiguous_format)
    scratch = x.input.new_empty(torch.get_num_threads() * 6 * units)
    _call("forward", x, plan, posts, trace=trace, trace_stride=units * units, scratch=scratch)
    return posts, trace


class Steps:
    """Free steps without gradients, one a call, for B episodes: ``post = steps(drive)``, drive and post (B, N).

    What a step writes is written when the next one asks, so that each connection is visited once a step; ``trace``
    (B, N, N), which is rewritten in place, is up to date after ``settle``. Parameters are those of the beginning.
    """

    def __init__(self, hidden: Tensor, trace: Tensor, parameters: Mapping[str, Tensor | None], plan: Plan) -> None:
        threads, (batch, units) = torch.get_num_threads(), hidden.shape
        self.hidden = hidden
        self.before: Tensor | None = None  # what the last step owes a write from
        scratch = hidden.new_empty(threads * 6 * units)
        self._kept = trace, scratch, parameters  # what the sequence points to
        self._sequence = _Sequence(
            batch=batch,
            units=units,
            threads=threads,
            trace=trace.data_ptr(),
            trace_stride=units * units,
            scratch=scratch.data_ptr(),
            **_of(plan),
            **{name: value.data_ptr() for name, value in parameters.items() if value is not None},
        )
        self._live = _function("live", hidden.dtype)

    def __call__(self, drive: Tensor) -> Tensor:
        post = torch.empty_like(drive)
        self._step(1, drive.data_ptr(), post.data_ptr())
        self.hidden, self.before = post, self.hidden
        return post

    def settle(self) -> None:
        """Write what is owed."""
        if self.before is not None:
            self._step(0, None, None)
            self.before = None

    def _step(self, steps: int, drive: int | None, post: int | None) -> None:
        sequence = self._sequence
        sequence.steps, sequence.input, sequence.posts = steps, drive, post
        sequence.hidden = self.hidden.data_ptr()
        sequence.before = None if self.before is None else self.before.data_ptr()
        self._live(ctypes.byref(sequence))


def backward(x: Tensors, plan: Plan, posts: Tensor, grads: Sequence[Tensor | None]) -> Tensors:
    """The gradients of everything in ``x``, from those of the activity and of the last trace."""
    g_posts, g_trace = grads
    assert x.alpha is not None
    assert x.eta is not None
    steps, _, batch, units = posts.shape
    slots = min(SLOTS, (batch + 1) // 2)
    threads = max(1, min(slots, torch.get_num_threads()))
    g_input, g_hidden = torch.empty_like(posts), torch.empty_like(posts[0])
    g_drive = g_input if x.clamp is None and not any(plan.clamped) else torch.empty_like(posts)
    g_eta = torch.empty_like(posts[0])
    g_weight, g_alpha = (posts.new_zeros(slots, units, units) for _ in range(2))
    g_signal = None if x.m_weight is None else posts.new_empty(steps, batch)
    g_first = None
    if g_trace is not None:
        g_first = g_trace.clone(memory_format=torch.contiguous_format)
    elif x.trace is not None:
        g_first = torch.empty_like(x.trace, memory_format=torch.contiguous_format)
    trace = posts.new_zeros(units, units) if x.trace is None else x.trace.contiguous()
    _call(
        *("backward", x, plan, posts),
        trace=trace,
        trace_stride=0 if x.trace is None else units * units,
        scratch=posts.new_empty(threads * scratch_of(steps, units)),
        slots=slots,
        g_posts=torch.zeros_like(posts) if g_posts is None else g_posts.contiguous(),
        g_trace=g_first,
        g_trace_in=int(g_trace is not None),
        g_input=g_input,
        g_drive=g_drive,
        g_hidden=g_hidden,
        g_eta=g_eta,
        g_weight=g_weight,
        g_alpha=g_alpha,
        g_signal=g_signal,
    )
    return Tensors(
        input=g_input,
        clamp=None,
        hidden=None if x.hidden is None else g_hidden,
        weight=g_weight.sum(0, keepdim=True),
        trace=None if x.trace is None else g_first,
        eligibility=None,
        alpha=g_alpha.sum(0, keepdim=True).sum_to_size(x.alpha.shape),
        eta=g_eta.sum(1, keepdim=True).sum_to_size(x.eta.shape),
        m_weight=None
        if g_signal is None
        else (g_signal.unsqueeze(-1) * posts.squeeze(1)).sum((0, 1)).view(1, 1, units),
        m_bias=None if g_signal is None else g_signal.sum().view(1, 1, 1),
    )


def scratch_of(steps: int, units: int) -> int:
    """How many numbers a thread needs for the way back through so many steps."""
    found = library()
    assert found is not None
    count = found.backward_scratch
    count.argtypes, count.restype = (ctypes.c_int64, ctypes.c_int64), ctypes.c_int64
    return int(count(steps, units))


def _call(name: str, x: Tensors, plan: Plan, posts: Tensor, **rest: Tensor | int | None) -> None:
    assert x.alpha is not None
    assert x.eta is not None
    steps, _, batch, units = posts.shape
    given: dict[str, Any] = {
        "steps": steps,
        "batch": batch,
        "units": units,
        "threads": torch.get_num_threads(),
        "input": x.input.contiguous(),
        "clamp": None if x.clamp is None else x.clamp.contiguous(),
        "clamped": torch.tensor(plan.clamped),
        "hidden": torch.zeros_like(posts[0]) if x.hidden is None else x.hidden.contiguous(),
        "weight": x.weight.contiguous(),
        "alpha": x.alpha.expand_as(x.weight).contiguous(),
        "eta": x.eta.expand(1, 1, units).contiguous(),
        "m_weight": None if x.m_weight is None else x.m_weight.contiguous(),
        "m_bias": x.m_bias,
        "posts": posts,
        **rest,
    }
    pointers = {k: v.data_ptr() if isinstance(v, Tensor) else v for k, v in given.items()}
    _function(name, posts.dtype)(ctypes.byref(_Sequence(**pointers, **_of(plan))))


def _of(plan: Plan) -> dict[str, Any]:
    """What a sequence is told of its rule."""
    return {
        "decay": DECAY[type(plan.rule)],
        "relu": int(plan.nonlinearity == "relu"),
        "clip": float("inf") if plan.rule.clip is None else plan.rule.clip,
    }


def _function(name: str, dtype: torch.dtype) -> Any:
    function = getattr(library(), f"{name}_{str(dtype).removeprefix('torch.')}")
    function.argtypes, function.restype = (ctypes.POINTER(_Sequence),), None
    return function
