"""Triton's sweeps against the reference loop. ``test_triton`` runs this file, in a process of its own: whether kernels
are compiled for a GPU or interpreted on a CPU is settled for good when Triton is imported.

By hand: TRITON_INTERPRET=1 python -m pytest tests/core/triton_cases.py
"""

import os

import pytest
import torch
from torch.testing import assert_close

from plastic import PlasticState, reference
from plastic import functional as PF
from plastic.kernels import triton_step
from plastic.kernels.common import Plan, Tensors
from plastic.rules import ClippedHebb, Hebb, as_rule

INTERPRETED = os.environ.get("TRITON_INTERPRET") == "1"
DEVICE = "cpu" if INTERPRETED else "cuda"
SIZE = {"T": 4, "B": 1, "N": 5} if INTERPRETED else {"T": 40, "B": 3, "N": 90}  # the interpreter takes 10 ms a block
TIGHT = {"rtol": 1e-10, "atol": 1e-12}
CASES = {
    "hebb": {"rule": "hebb"},
    "hebb, many blocks": {"rule": "hebb", "T": 2, "B": 2, "N": 9},
    "hebb, one alpha": {"rule": "hebb", "alpha": 0},
    "oja, partly clamped": {"rule": "oja", "clamp": "some units"},
    "oja, one alpha and eta a unit": {"rule": "oja", "alpha": 1, "per_unit": True},
    "oja, relu": {"rule": "oja", "f": "relu"},
    "clipped_hebb": {"rule": "clipped_hebb", "T": 9},
    "clipped_hebb, steps clamped": {"rule": "clipped_hebb", "clamp": "some steps", "T": 6},
    "clipped_hebb, relu, eta a unit": {"rule": "clipped_hebb", "f": "relu", "per_unit": True, "clamp": "some units"},
    "one step": {"rule": "hebb", "T": 1},
}


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch):
    """Under the interpreter a trace of 5 units has two blocks of columns, one of 9 units two blocks of rows as well."""
    if INTERPRETED:
        for name, value in {"ROWS": 8, "COLUMNS": 4, "SEGMENT": 2}.items():
            monkeypatch.setattr(triton_step, name, value)


class Swept(torch.autograd.Function):
    """The two sweeps as one operation; every tensor as in ``Tensors``."""

    @staticmethod
    def forward(ctx, plan, *tensors):
        outputs = triton_step.forward(Tensors(*tensors), plan)
        ctx.plan = plan
        ctx.set_materialize_grads(False)
        ctx.save_for_backward(*tensors, outputs[0])
        return outputs

    @staticmethod
    def backward(ctx, *grads):
        *tensors, posts = ctx.saved_tensors
        return None, *triton_step.backward(Tensors(*tensors), ctx.plan, posts, grads)


def plan_of(rule, nonlinearity, order, clamped):
    return Plan(as_rule(rule), nonlinearity, order, clamped)


def swept(rule, clamp=None, clamped_steps=None, nonlinearity="tanh", order=None):
    """The sweeps as a function of tensors alone: activity and trace. ``input`` (T, R, B, N), all else leads with R."""

    def run(input, weight, alpha, eta, hidden=None, trace=None):
        steps = range(len(input)) if order is None else order
        plan = plan_of(rule, nonlinearity, tuple(steps), tuple(clamped_steps or [False] * len(steps)))
        R = len(weight)
        alpha = alpha if alpha.dim() == 3 else alpha.reshape(R, 1, -1)
        x = Tensors(input, clamp, hidden, weight, trace, None, alpha, eta.reshape(R, 1, -1), None, None)
        return Swept.apply(plan, *x)

    return run


def loop(rule, clamp=None, nonlinearity="tanh", order=None):
    """The same from the reference, replica by replica."""

    def run(input, weight, alpha, eta, hidden=None, trace=None):
        f = {"tanh": torch.tanh, "relu": torch.relu}[nonlinearity]
        blank = input.new_zeros(*input.shape[1:], input.shape[-1])
        hidden, trace = blank[..., 0] if hidden is None else hidden, blank if trace is None else trace
        if order is not None:
            input = input[list(order)]
        one = [
            reference.plastic_rnn(
                input[:, r], hidden[r], trace[r], weight[r], alpha[r], eta[r], rule,
                clamp=None if clamp is None else clamp[:, r], nonlinearity=f,
            )
            for r in range(len(weight))
        ]  # fmt: skip
        activity, traces, _ = zip(*one, strict=True)
        return torch.stack(activity, 1), torch.stack(traces)

    return run


@pytest.fixture
def arguments(random):
    """Activity large enough for the clip to bite, and a trace that is not blank; ``alpha``: its dimensions."""

    def draw(alpha=2, per_unit=False, R=1, **size):
        T, B, N = (SIZE | size).values()
        scale = 3 / N**0.5
        given = {
            "input": random(T, R, B, N),
            "hidden": random(R, B, N),
            "trace": random(R, B, N, N) / 2,
            "weight": random(R, N, N) * scale / 3,
            "alpha": random(R, *[N] * alpha) * scale / 3,
            "eta": random(R, *[N] * per_unit).sigmoid(),
        }
        return {name: value.to(DEVICE) for name, value in given.items()}

    return draw


def masks(kind, T, B, N):
    """A clamp of two fifths of the units; or of every unit too in steps that come singly, in pairs and last."""
    if kind is None:
        return {}
    clamp = torch.rand(T, 1, B, N, generator=torch.Generator().manual_seed(2)) < 0.4
    if kind == "some units":
        return {"clamp": clamp.to(DEVICE)}
    steps = [t % 4 in (0, 2, 3) for t in range(T)]
    clamp[torch.tensor(steps)] = True
    return {"clamp": clamp.to(DEVICE), "clamped_steps": steps}


@pytest.mark.parametrize("name", CASES)
def test_equals_the_reference_with_every_gradient(name, arguments, outcome):
    """Red when: a rule or its derivative is wrong, an update is off by one step, a block of columns misses the others'
    part in the gradient of pre, the clip's mask is dropped, or the clamp is ignored on either way."""
    case = dict(CASES[name])
    rule, kind, f = case.pop("rule"), case.pop("clamp", None), case.pop("f", "tanh")
    given = arguments(**case)
    if f == "relu":  # without a bound on the activity, Oja's rule would blow up
        given |= {k: given[k] / 4 for k in ("weight", "input", "alpha")}
    T, _, B, N = given["input"].shape
    options = masks(kind, T, B, N)
    mine = outcome(swept(rule, nonlinearity=f, **options), **given)
    truth = outcome(loop(rule, options.get("clamp"), f), **given)
    assert_close(mine, truth, **TIGHT)


def test_replicas(arguments, outcome):
    """Red when: a parameter of one replica meets the activity of another (R = B = 2, so shapes cannot tell), or memory
    is read as if it were contiguous."""
    given = arguments(R=2, B=2, T=2, N=4, per_unit=True)
    given = {k: v.mT.contiguous().mT if v.dim() > 2 else v for k, v in given.items()}
    assert_close(outcome(swept("oja"), **given), outcome(loop("oja"), **given), **TIGHT)


def test_a_blank_beginning_and_rows_that_recur(arguments, outcome):
    """Red when: a step takes another row of the input than its own, or a row that recurs keeps one gradient."""
    given = arguments(T=3)
    del given["hidden"], given["trace"]
    order, steps = (0, 0, 1, 2, 1), (True, True, False, False, False)
    rows = torch.tensor(steps).view(-1, 1, 1, 1).expand(-1, *given["input"].shape[1:]).to(DEVICE)
    mine = outcome(swept("hebb", clamped_steps=steps, order=order), **given)
    assert_close(mine, outcome(loop("hebb", rows, order=order), **given), **TIGHT)


@pytest.mark.parametrize("of", ["activity", "trace"])
def test_one_output_is_used(of, arguments, outcome):
    """Red when: the gradient of an output that nobody used is taken for something else than zero."""
    given, only = arguments(T=2), slice(0, 1) if of == "activity" else slice(1, 2)
    mine, truth = (outcome(lambda f=f, **v: f(**v)[only], **given) for f in (swept("oja"), loop("oja")))
    assert_close(mine, truth, **TIGHT)


def test_a_clip_of_ones_own(arguments, outcome):
    """Red when: the clip is taken for 1, or rounded to single precision."""
    given = arguments(T=3)

    def stepwise(input, weight, alpha, eta, hidden, trace):
        rule = ClippedHebb(clip=0.3)
        output, state = PF.plastic_rnn(input, PlasticState(hidden, trace), weight, alpha, eta, rule)
        return output, state.trace

    assert_close(outcome(swept(ClippedHebb(clip=0.3)), **given), outcome(stepwise, **given), **TIGHT)


@pytest.mark.parametrize("rule", ["oja", "clipped_hebb"])
def test_plastic_rnn_takes_them_when_asked(rule, arguments, monkeypatch):
    """Red when: ``backend="triton"`` runs other kernels, there or back."""
    given, calls = arguments(T=3), []
    for name in ("forward", "backward"):
        sweep = getattr(triton_step, name)
        monkeypatch.setattr(triton_step, name, lambda *a, name=name, sweep=sweep: calls.append(name) or sweep(*a))

    def through(backend):
        one = {k: v.clone().squeeze(1 if k == "input" else 0).requires_grad_() for k, v in given.items()}
        state = PlasticState(one["hidden"], one["trace"])
        output, state = PF.plastic_rnn(
            *(one["input"], state, one["weight"], one["alpha"], one["eta"], rule), backend=backend
        )
        (output.square().sum() + state.trace.sum()).backward()
        return [output, state.trace, *[v.grad for v in one.values()]]

    truth = through("torch")
    assert calls == []
    assert_close(through("triton"), truth, **TIGHT)
    assert calls == ["forward", "backward"]


@pytest.mark.parametrize("size", [1 / 4, 1e-4])
def test_float32_within_two_in_a_hundred_thousand(size, arguments, outcome):
    """Red when: a path is computed in half precision; or, where activity is small, when tanh loses its figures."""
    given = {k: v / 4 for k, v in arguments(T=3).items()}
    given |= {k: given[k] * 4 * size for k in ("input", "hidden")}
    single = outcome(swept("oja"), **{k: v.float() for k, v in given.items()})
    for name, value in outcome(loop("oja"), **given).items():
        assert single[name].dtype is torch.float32
        assert_close(single[name].double(), value, rtol=0, atol=2e-5 * value.abs().max().item(), msg=name)


def test_the_state_that_came_is_left_alone(arguments):
    """Red when: a sweep writes into the caller's trace, hidden state or input, or into the gradient that came."""
    given = arguments(T=2)
    before = {k: v.clone() for k, v in given.items()}
    activity, trace = swept("clipped_hebb")(**{k: v.requires_grad_() for k, v in given.items()})
    upstream = [torch.ones_like(activity), torch.ones_like(trace)]
    torch.autograd.backward([activity, trace], upstream)
    assert_close({k: v.detach() for k, v in given.items()}, before, rtol=0, atol=0)
    assert all(bool((v == 1).all()) for v in upstream)


def test_what_is_refused(arguments):
    """Red when: a rule of the user's own is taken for the one that it derives from, or precisions mix."""

    class Mine(Hebb):
        pass

    given = [v for k, v in arguments().items() if k not in ("input", "hidden")]
    assert triton_step.refusal(Hebb(), [*given, None]) is None
    assert "no Triton step for Mine" in triton_step.refusal(Mine(), given)
    assert "torch.float32, torch.float64" in triton_step.refusal(Hebb(), [given[0].float(), *given[1:]])
    assert "torch.float16" in triton_step.refusal(Hebb(), [v.half() for v in given])


@pytest.mark.skipif(INTERPRETED, reason="a CUDA graph needs a GPU")
def test_a_cuda_graph_replays_both_sweeps(arguments):
    """Red when: a sweep waits for the device, or a launch depends on what the host read from it."""
    given = arguments(R=2)
    x = Tensors(
        given["input"], None, given["hidden"], given["weight"], given["trace"], None, given["alpha"],
        given["eta"].reshape(2, 1, 1), None, None,
    )  # fmt: skip
    plan = plan_of("hebb", "tanh", tuple(range(len(x.input))), (False,) * len(x.input))

    def both():
        posts, trace = triton_step.forward(x, plan)
        g = triton_step.backward(x, plan, posts, [torch.ones_like(posts), torch.ones_like(trace)])
        return [posts, trace, *[v for v in g if v is not None]]

    warm = torch.cuda.Stream()
    warm.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(warm):
        both()
    torch.cuda.current_stream().wait_stream(warm)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        replayed = both()
    x.input.mul_(0.5)
    graph.replay()
    for mine, eager in zip(replayed, both(), strict=True):
        assert torch.equal(mine, eager)
