"""The steps of ``triton_step`` as Triton kernels, there and back, and the small functions that they are made of.

Blocks of a trace are (ROWS, COLUMNS): pre-synaptic units i by post-synaptic units j. Where memory ends, a block reads
zeros, which add nothing to any sum.
"""

import triton
import triton.language as tl


@triton.jit
def _tanh(x):
    """Near zero by its series: (1 - e) / (1 + e) would lose the figures there."""
    size = tl.abs(x)
    e = tl.exp(-2 * size)
    far = (1 - e) / (1 + e)
    s = x * x
    tail = -17 / 315 + s * (62 / 2835 + s * (-1382 / 155925 + s * (21844 / 6081075)))
    near = x * (1 + s * (-1 / 3 + s * (2 / 15 + s * tail)))
    return tl.where(size < 0.125, near, tl.where(x < 0, -far, far))


@triton.jit
def _f(x, F: tl.constexpr):
    """The nonlinearity; what is not a number stays so, for the program to find."""
    if F == "tanh":
        return _tanh(x)
    return tl.where(x <= 0, 0.0, x)


@triton.jit
def _slope(post, F: tl.constexpr):
    if F == "tanh":
        return 1 - post * post
    return tl.where(post > 0, 1.0, 0.0).to(post.dtype)


@triton.jit
def _vectors(post, eta, DECAY: tl.constexpr):
    """A rule's (retain, write)."""
    if DECAY == "constant":
        retain = 1 - eta
    elif DECAY == "square":
        retain = 1 - eta * post * post
    else:
        retain = eta * 0 + 1
    return retain, eta * post


@triton.jit
def _rewrite(trace, pre, retain, write):
    """One step of a rule, before the clip."""
    return trace * retain[None, :] + pre[:, None] * write[None, :]


@triton.jit(do_not_specialize=["first", "stop"])
def advance(
    source, target, acts, given, clamp, weight, alpha, eta, first, stop,
    batch, alpha_r, alpha_i, alpha_j, eta_r, eta_j,
    N: tl.constexpr, DECAY: tl.constexpr, CLIP: tl.constexpr, F: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, GIVE: tl.constexpr,
):  # fmt: skip
    """Some columns of one episode's trace through the steps [first, stop), and the answer of the step after them."""
    episode = tl.program_id(0).to(tl.int64)
    layer = tl.num_programs(0).to(tl.int64) * N  # the activity of one step
    j = tl.program_id(1) * COLUMNS + tl.arange(0, COLUMNS)
    replica = episode // batch
    rate = tl.load(eta + replica * eta_r + j * eta_j, mask=j < N, other=0)
    drive = rate * 0
    acts += episode * N
    source += episode * N * N
    target += episode * N * N
    weight += replica * N * N
    alpha += replica * alpha_r
    for row in range(0, N, ROWS):
        i = row + tl.arange(0, ROWS)
        at = i[:, None] * N + j[None, :]
        here = (i < N)[:, None] & (j < N)[None, :]
        trace = tl.load(source + at, mask=here, other=0)
        for t in range(first, stop):
            if GIVE == "each":
                tl.store(target + (t - first) * layer * N + at, trace, mask=here)
            pre = tl.load(acts + t * layer + i, mask=i < N, other=0)
            post = tl.load(acts + (t + 1) * layer + j, mask=j < N, other=0)
            retain, write = _vectors(post, rate, DECAY)
            trace = _rewrite(trace, pre, retain, write)
            if CLIP is not None:
                trace = tl.where(trace > CLIP, CLIP, tl.where(trace < -CLIP, -CLIP, trace))
        if GIVE != "each":
            tl.store(target + at, trace, mask=here)
        if GIVE == "answer":
            pre = tl.load(acts + stop * layer + i, mask=i < N, other=0)
            w = tl.load(weight + at, mask=here, other=0)
            a = tl.load(alpha + i[:, None] * alpha_i + j[None, :] * alpha_j, mask=here, other=0)
            drive += tl.sum(pre[:, None] * (w + a * trace), 0)
    if GIVE == "answer":
        own = stop * layer + episode * N + j
        shown = tl.load(given + own, mask=j < N, other=0)
        post = _f(drive + shown, F)
        if clamp is not None:
            held = tl.load(clamp + own, mask=j < N, other=0)
            post = tl.where(held != 0, shown, post)
        tl.store(acts + (stop + 1) * layer + j, post, mask=j < N)


@triton.jit
def _met(trace, g_trace, acts, retain, write, i, j, N: tl.constexpr, CLIP: tl.constexpr):
    """A block on the way back: where it lies, what of it is there, pre, the trace before the step, and the gradient
    of the trace after it, of which a clip lets through what it did not cut off."""
    at = i[:, None] * N + j[None, :]
    here = (i < N)[:, None] & (j < N)[None, :]
    pre = tl.load(acts + i, mask=i < N, other=0)
    before = tl.load(trace + at, mask=here, other=0)
    g = tl.load(g_trace + at, mask=here, other=0)
    if CLIP is not None:
        g = tl.where(tl.abs(_rewrite(before, pre, retain, write)) <= CLIP, g, 0.0)
    return at, here, pre, before, g


@triton.jit(do_not_specialize=["t"])
def reverse(
    trace, acts, clamp, weight, alpha, eta,
    g_posts, g_trace, g_pre_after, g_pre,
    g_input, g_drive, g_alpha, g_eta, t,
    batch, alpha_r, alpha_i, alpha_j, eta_r, eta_j,
    N: tl.constexpr, DECAY: tl.constexpr, CLIP: tl.constexpr, F: tl.constexpr,
    ROWS: tl.constexpr, COLUMNS: tl.constexpr, FREE: tl.constexpr,
):  # fmt: skip
    """Step t in reverse for some columns: the rule, which read post last; then the response that made post.

    ``g_trace``, the gradient of the trace after the step, becomes that of ``trace``, the one before it. ``g_pre``
    (blocks of columns, R, B, N) gets the part of these columns in the gradient of pre.
    """
    episode = tl.program_id(0).to(tl.int64)
    layer = tl.num_programs(0).to(tl.int64) * N
    column = tl.program_id(1)
    j = column * COLUMNS + tl.arange(0, COLUMNS)
    replica = episode // batch
    own = t * layer + episode * N + j  # these units in (T, R, B, N), at step t
    square = episode * N * N
    rate = tl.load(eta + replica * eta_r + j * eta_j, mask=j < N, other=0)
    post = tl.load(acts + layer + own, mask=j < N, other=0)
    retain, write = _vectors(post, rate, DECAY)
    acts += t * layer + episode * N
    weight += replica * N * N
    alpha += replica * alpha_r

    g_retain = rate * 0
    g_write = rate * 0
    for row in range(0, N, ROWS):
        i = row + tl.arange(0, ROWS)
        at, here, pre, before, g = _met(trace + square, g_trace + square, acts, retain, write, i, j, N, CLIP)
        g_retain += tl.sum(g * before, 0)
        g_write += tl.sum(g * pre[:, None], 0)

    g_post = tl.load(g_posts + own, mask=j < N, other=0) + rate * g_write
    for other in range(0, tl.num_programs(1)):
        g_post += tl.load(g_pre_after + other * layer + episode * N + j, mask=j < N, other=0)
    g_rate = post * g_write
    if DECAY == "constant":
        g_rate -= g_retain
    elif DECAY == "square":
        g_rate -= post * post * g_retain
        g_post -= 2 * rate * post * g_retain

    g_answer = g_post * 0  # of the response: zero where a unit was clamped
    if FREE:
        g_answer = g_post * _slope(post, F)
        if clamp is not None:
            held = tl.load(clamp + own, mask=j < N, other=0) != 0
            g_post = tl.where(held, g_post, g_answer)
            g_answer = tl.where(held, 0.0, g_answer)
        else:
            g_post = g_answer
    tl.store(g_eta + own, g_rate, mask=j < N)
    tl.store(g_input + own, g_post, mask=j < N)
    tl.store(g_drive + own, g_answer, mask=j < N)

    for row in range(0, N, ROWS):
        i = row + tl.arange(0, ROWS)
        at, here, pre, before, g = _met(trace + square, g_trace + square, acts, retain, write, i, j, N, CLIP)
        back = g * write[None, :]
        g *= retain[None, :]
        if FREE:
            w = tl.load(weight + at, mask=here, other=0)
            a = tl.load(alpha + i[:, None] * alpha_i + j[None, :] * alpha_j, mask=here, other=0)
            back += (w + a * before) * g_answer[None, :]
            outer = pre[:, None] * g_answer[None, :]
            g += a * outer
            sums = g_alpha + square + at
            tl.store(sums, tl.load(sums, mask=here, other=0) + outer * before, mask=here)
        tl.store(g_trace + square + at, g, mask=here)
        tl.store(g_pre + column * layer + episode * N + i, tl.sum(back, 1), mask=i < N)
