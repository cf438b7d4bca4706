"""Importance of parameters against closed forms and loops over samples."""

import pytest
import torch
from torch import nn
from torch.func import functional_call
from torch.nn import functional as F
from torch.testing import assert_close

from continual.importance import fisher, output_sensitivity
from continual.networks import MLP, ConvNet
from continual.regularizers import slow_parameters

N, I, C = 11, 4, 3
TIGHT = {"rtol": 1e-9, "atol": 1e-12}


class Mixed(nn.Module):
    """Torch's own layers, a convolution, and a scale that is no layer of torch's."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(2, 3, 3)
        self.scale = Scale()
        self.hidden = nn.Linear(12, 6)
        self.out = nn.Linear(6, C, bias=False)

    def forward(self, x):
        x = self.scale(self.convolution(x).tanh()).flatten(1)
        return self.out(self.hidden(x).tanh())


class Scale(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(1.3))

    def forward(self, x):
        return self.factor * x


def _data(*shape, replicas=()):
    chance = torch.Generator().manual_seed(2)
    x = torch.randn(*replicas, N, *shape, generator=chance, dtype=torch.double)
    return x, torch.randint(C, (*replicas, N), generator=chance)


def _batches(x, y, at=0):
    return list(zip(x.split(4, at), y.split(4, at), strict=True))


def _softmax_regression():
    torch.manual_seed(0)
    return nn.Linear(I, C).double()


def _per_sample(model, x, loss):
    """Gradients of loss(logits (C,), n) for each sample by a backward pass of its own: name to (N, ...)."""
    found = []
    for n in range(len(x)):
        value = loss(model(x[n : n + 1])[0], n)
        parameters = dict(model.named_parameters())
        found.append(dict(zip(parameters, torch.autograd.grad(value, list(parameters.values())), strict=True)))
    return {name: torch.stack([sample[name] for sample in found]) for name in found[0]}


def test_exact_fisher_of_softmax_regression():
    """F of weight (o, i) is the mean of x_i² p_o (1 - p_o). Red if p is not weighted in, or batches are averaged."""
    model, (x, y) = _softmax_regression(), _data(I)
    p = model(x).softmax(-1).detach()
    spread = p * (1 - p)
    found = fisher(model, dict(model.named_parameters()), _batches(x, y))
    assert_close(found["weight"], spread.T @ x.square() / N, **TIGHT)
    assert_close(found["bias"], spread.mean(0), **TIGHT)


def test_empirical_fisher_of_softmax_regression():
    """F of weight (o, i) is the mean of x_i² (y_o - p_o)². Red if the label is the network's own."""
    model, (x, y) = _softmax_regression(), _data(I)
    error = (F.one_hot(y, C) - model(x).softmax(-1).detach()).square()
    found = fisher(model, dict(model.named_parameters()), _batches(x, y), "empirical")
    assert_close(found["weight"], error.T @ x.square() / N, **TIGHT)


def test_sampled_fisher_tends_to_the_exact_one():
    """Red if the class is drawn from anything but p: 40,000 draws, 6 standard errors or so."""
    model, (x, y) = _softmax_regression(), _data(I)
    parameters = dict(model.named_parameters())
    many = [(x.repeat(4000, 1), y.repeat(4000))]
    drawn = fisher(model, parameters, many, "sampled", chance=torch.Generator().manual_seed(0))
    exact = fisher(model, parameters, _batches(x, y))
    assert_close(drawn, exact, rtol=0.03, atol=0)


def test_batched_fisher_squares_the_mean_gradient():
    """Red if samples are squared first, or the mean goes over samples."""
    model, (x, y) = _softmax_regression(), _data(I)
    parameters = dict(model.named_parameters())
    squares = []
    for part, labels in _batches(x, y):
        gradients = torch.autograd.grad(F.cross_entropy(model(part), labels), list(parameters.values()))
        squares.append([gradient.square() for gradient in gradients])
    expected = {name: torch.stack([s[i] for s in squares]).mean(0) for i, name in enumerate(parameters)}
    assert_close(fisher(model, parameters, _batches(x, y), "batched"), expected, **TIGHT)


def test_mas_of_any_layer_equals_a_loop_over_samples():
    """Red if the absolute value is taken of a sum over samples, or the norm is not squared."""
    torch.manual_seed(0)
    model, (x, y) = Mixed().double(), _data(2, 4, 4)
    loop = _per_sample(model, x, lambda logits, n: logits.square().sum())
    found = output_sensitivity(model, dict(model.named_parameters()), _batches(x, y))
    assert_close(found, {name: value.abs().mean(0) for name, value in loop.items()}, **TIGHT)


def test_fisher_of_any_layer_equals_a_loop_over_samples():
    """Red if the layers that go through vmap, or those that do not, are squared after the sum."""
    torch.manual_seed(0)
    model, (x, y) = Mixed().double(), _data(2, 4, 4)
    loop = _per_sample(model, x, lambda logits, n: F.cross_entropy(logits, y[n]))
    found = fisher(model, dict(model.named_parameters()), _batches(x, y), "empirical")
    assert_close(found, {name: value.square().mean(0) for name, value in loop.items()}, **TIGHT)


@pytest.mark.parametrize("head", ["linear", "dhp"])
@pytest.mark.parametrize("kind", ["mlp", "convolutions"])
def test_replicas_are_measured_apart(head, kind):
    """Red if a sum goes over replicas, or DHP's trace is left out of the gradient below it."""
    torch.manual_seed(0)
    if kind == "mlp":
        model, (x, y) = MLP((I, 6, 5), C, 2, head), _data(I, replicas=(2,))
    else:
        model, (x, y) = ConvNet(4, C, 2, head, widths=(2, 3, 5)), _data(3, 4, 4, replicas=(2,))
    model = model.double()
    for buffer in model.buffers():
        buffer.copy_(torch.rand_like(buffer) * 50)
    slow = slow_parameters(model)
    found = output_sensitivity(model, slow, _batches(x, y, 1))
    state = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    model.eval()
    for r in range(2):
        expected = {name: torch.zeros_like(p) for name, p in slow.items()}
        for n in range(N):
            alone = x.clone()
            logits = functional_call(model, state, (alone[:, n : n + 1],))[r]
            gradients = torch.autograd.grad(logits.square().sum(), list(slow.values()))
            for name, gradient in zip(slow, gradients, strict=True):
                expected[name] += gradient.abs() / N
        for name in slow:
            assert_close(found[name][r], expected[name][r], **TIGHT)


def test_measuring_leaves_the_model_as_it_was():
    """Red if gradients stay, training mode is lost, a hook stays, or a trace moves."""
    model, (x, y) = MLP((I, 5), C, 1, "dhp", plastic_hidden=True).double(), _data(I, replicas=(1,))
    before = {name: value.clone() for name, value in model.state_dict().items()}
    fisher(model, slow_parameters(model), _batches(x, y, 1))
    assert model.training
    assert all(p.grad is None for p in model.parameters())
    assert not any(layer._forward_hooks for layer in model.modules())
    assert_close(dict(model.state_dict()), before, rtol=0, atol=0)


def test_mistakes_are_named():
    """Red if an unknown kind, no data, or a layer that is used twice passes."""
    model, (x, y) = _softmax_regression(), _data(I)
    parameters = dict(model.named_parameters())
    with pytest.raises(ValueError, match="expected one of exact, sampled"):
        fisher(model, parameters, _batches(x, y), "true")
    with pytest.raises(ValueError, match="at least one batch"):
        fisher(model, parameters, [])
    square = nn.Linear(C, C).double()
    twice = nn.Sequential(square, square)
    with pytest.raises(ValueError, match="used twice"):
        output_sensitivity(twice, dict(twice.named_parameters()), [(x[:, :C], y)])
