"""Plastic connections in one layer: the response, and the layer that answers and learns."""

import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from plastic import PlasticLinear, reference
from plastic import functional as PF

B, Q, I, O, R = 3, 2, 5, 4, 3
ALPHA = {"full": (I, O), "neuron": (O,), "shared": ()}
TIGHT = {"rtol": 1e-10, "atol": 1e-12}
alphas = pytest.mark.parametrize("alpha", ALPHA)


def arguments(random, alpha, *lead):
    shape = [*lead, *ALPHA[alpha]]
    return {
        "input": random(*lead, B, Q, I),
        "weight": random(*lead, I, O),
        "alpha": random(*shape),
        "trace": random(*lead, B, I, O),
        "bias": random(*lead, O),
    }


def slowly(input, weight, alpha, trace, bias):
    """One episode and one question at a time."""
    answers = [[x @ (weight + alpha * trace[b]) + bias for x in input[b]] for b in range(len(input))]
    return torch.stack([torch.stack(a) for a in answers])


@alphas
def test_response_is_the_equation_with_every_gradient(alpha, random, outcome):
    """Red when: alpha is dropped, or meets the pre-synaptic side."""
    given = arguments(random, alpha)
    fast = outcome(lambda **k: [PF.plastic_linear(**k)], **given)
    assert_close(fast, outcome(lambda **k: [slowly(**k)], **given), **TIGHT)


@alphas
def test_one_question_is_a_row_of_many(alpha, random, outcome):
    """Red when: (B, I) is taken for (Q, I)."""
    given = arguments(random, alpha) | {"input": random(B, I)}
    fast = outcome(lambda **k: [PF.plastic_linear(**k)], **given)
    slow = outcome(lambda input, **k: [slowly(input.unsqueeze(1), **k).squeeze(1)], **given)
    assert_close(fast, slow, **TIGHT)


@pytest.mark.parametrize("queries", [True, False], ids=["BQI", "BI"])
@pytest.mark.parametrize("alpha", [*ALPHA, None])
def test_replicas_equal_one_at_a_time(alpha, queries, random):
    """Red when: one replica answers with the weight, alpha, trace or bias of another (R = B, so shapes cannot tell)."""
    given = arguments(random, alpha or "full", R)
    if not queries:
        given["input"] = given["input"][:, :, 0]
    if alpha is None:
        given["alpha"] = given["trace"] = None
    together = PF.plastic_linear(**given)
    alone = [PF.plastic_linear(**{k: v if v is None else v[r] for k, v in given.items()}) for r in range(R)]
    assert_close(together, torch.stack(alone), **TIGHT)


@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
@alphas
def test_numerical_gradients(alpha, check, random):
    """Red when: the trace or alpha is detached, or a once-differentiable function stands in."""
    given = [value.requires_grad_() for value in arguments(random, alpha).values()]
    assert check(PF.plastic_linear, given)


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no-bias"])
@pytest.mark.parametrize("steps", [(), (3,)], ids=["BI", "BTI"])
def test_without_plasticity_it_is_torchs_linear(steps, bias, random, outcome):
    """Red when: alpha="none" leaves out the bias, or its weight is not the transpose of torch's."""
    ours = PlasticLinear(I, O, alpha="none", bias=bias, dtype=torch.float64)
    torchs = torch.nn.Linear(I, O, bias=bias, dtype=torch.float64)
    with torch.no_grad():
        torchs.weight.copy_(ours.weight.T)
        if bias:
            torchs.bias.copy_(ours.bias)
    given = random(B, *steps, I)
    assert ours(given)[1] is None
    mine = outcome(lambda input: [ours(input)[0]], input=given)
    assert_close(mine, outcome(lambda input: [torchs(input)], input=given), **TIGHT)
    upstream = random(B, *steps, O)
    gradient = torch.autograd.grad(ours(given)[0], ours.weight, upstream)[0]
    assert_close(gradient.T, torch.autograd.grad(torchs(given), torchs.weight, upstream)[0], **TIGHT)


def parameters(layer):
    return {name: value.detach() for name, value in layer.named_parameters()}


@pytest.mark.parametrize("forced", [True, False], ids=["target", "free"])
@alphas
@pytest.mark.parametrize("rule", ["hebb", "oja", "clipped_hebb", "modulated"])
def test_layer_answers_then_learns(rule, alpha, forced, random, outcome):
    """Red when: the layer learns before it answers, or learns its own answer where a target is shown."""
    layer = PlasticLinear(I, O, rule, alpha, eta=0.3, dtype=torch.float64)
    m = random(B, 4) if rule == "modulated" else None
    given = parameters(layer) | {"input": random(B, 4, I), "trace": random(B, I, O)}
    given |= {"target": random(B, 4, O)} if forced else {}

    def fast(input, trace, target=None, **values):
        return torch.func.functional_call(layer, values, (input, trace, target, m))

    def slow(input, trace, weight, alpha, eta, bias, target=None):
        posts = []
        for t in range(4):
            post = slowly(input[:, t : t + 1], weight, alpha, trace, bias)[:, 0] if target is None else target[:, t]
            step = (input[:, t : t + 1], post.unsqueeze(1), eta, rule, None if m is None else m[:, t : t + 1])
            trace = reference.trace_write(trace, *step)
            posts.append(post)
        return torch.stack(posts, dim=1), trace

    assert_close(outcome(fast, **given), outcome(slow, **given), **TIGHT)


@pytest.mark.parametrize("forced", [True, False], ids=["target", "free"])
@pytest.mark.parametrize("eta", [0.2, torch.linspace(0, 1, O)], ids=["eta-scalar", "eta-unit"])
def test_steps_one_by_one_equal_steps_at_once(eta, forced, random):
    """Red when: a step (B, I) does not do what a sequence (B, T, I) does."""
    layer = PlasticLinear(I, O, "oja", eta=eta, dtype=torch.float64)
    input, target = random(B, 4, I), random(B, 4, O) if forced else None
    output, trace = layer(input, target=target)
    carried = None
    for t in range(4):
        step, carried = layer(input[:, t], carried, None if target is None else target[:, t])
        assert_close(step, output[:, t], **TIGHT)
    assert_close(carried, trace, **TIGHT)


@pytest.mark.parametrize("alpha", [*ALPHA, "none"])
def test_no_steps_and_no_episodes(alpha):
    """Red when: an empty sequence or an empty batch fails."""
    layer = PlasticLinear(I, O, alpha=alpha)
    output, trace = layer(torch.randn(B, 0, I))
    assert output.shape == (B, 0, O)
    if trace is not None:
        assert_close(trace, torch.zeros(B, I, O))
    output, trace = layer(torch.randn(0, I))
    assert output.shape == (0, O)


def test_labels_may_be_integers(random):
    """Red when: a one-hot target of another dtype is written as it is."""
    layer = PlasticLinear(I, O, dtype=torch.float64)
    labels = torch.nn.functional.one_hot(torch.tensor([[0, 3], [1, 1], [2, 0]]), O)
    output, trace = layer(random(B, 2, I), target=labels)
    assert output.dtype is trace.dtype is torch.float64


@pytest.mark.parametrize(("alpha", "shape"), [*ALPHA.items(), ("none", None)])
def test_parameters_start_as_torchs(alpha, shape):
    """Red when: alpha has another shape than its kind, starts larger than 0.01, or the weight is drawn by O, not I."""
    layer = PlasticLinear(I, O, alpha=alpha)
    assert (layer.alpha if shape is None else layer.alpha.shape) == shape
    assert f"alpha={alpha!r}" in repr(layer)
    wide = PlasticLinear(10_000, 4, alpha="none")
    assert 0.0095 < wide.weight.abs().max() <= 0.01
    if shape is not None:
        assert (layer.alpha >= 0).all()
        assert (layer.alpha <= 0.01 + 1e-9).all()
        assert layer.eta.item() == pytest.approx(0.01)
