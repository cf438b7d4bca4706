"""DHP-Softmax against its published algorithm, written as loops."""

import copy

import pytest
import torch
from torch.testing import assert_close

from continual.dhp import DHPSoftmax

M, D, B, R = 7, 5, 9, 3
TIGHT = {"rtol": 1e-10, "atol": 1e-12}


def _layer(**given) -> DHPSoftmax:
    torch.manual_seed(0)
    layer = DHPSoftmax(M, D, eta=0.3, **given).double()
    with torch.no_grad():
        layer.alpha.mul_(100)  # a plastic part that matters
    return layer


def _batches(count: int, *lead: int):
    """Batches in which some class is always missing."""
    chance = torch.Generator().manual_seed(1)
    for i in range(count):
        h = torch.rand(*lead, B, M, generator=chance, dtype=torch.double)
        yield h, (torch.randint(D - 1, (*lead, B), generator=chance) + i) % D


def _algorithm_1(h, y, weight, alpha, eta, hebb):
    """Thangarasa et al., Algorithm 1: class by class, sample by sample."""
    hebb = hebb.clone()
    for c in range(weight.shape[1]):
        s = sum(int(label == c) for label in y)
        if s > 0:
            mean = sum(row for row, label in zip(h, y, strict=True) if label == c) / s
            hebb[:, c] = (1 - eta) * hebb[:, c].clone() + eta * mean
    return h @ (weight + alpha * hebb), hebb


def test_it_is_algorithm_1():
    """Red if a class that is missing decays, a sum takes the place of the mean, or z comes before the update."""
    layer = _layer()
    weight, alpha, eta = (p.detach().clone().requires_grad_() for p in (layer.weight, layer.alpha, layer.eta))
    hebb = torch.zeros(M, D, dtype=torch.double)
    for h, y in _batches(4):
        one, other = h.clone().requires_grad_(), h.clone().requires_grad_()
        expected, written = _algorithm_1(one, y, weight, alpha, eta, hebb)
        found = layer(other, y)
        assert_close(found, expected, **TIGHT)
        assert_close(layer.trace, written.detach(), **TIGHT)
        truth = torch.autograd.grad(expected.square().sum(), (weight, alpha, eta, one))
        ours = torch.autograd.grad(found.square().sum(), (layer.weight, layer.alpha, layer.eta, other))
        assert_close(ours, truth, **TIGHT)
        assert all(gradient.abs().sum() > 0 for gradient in ours)
        hebb = written.detach()


def test_replicas_are_layers_of_their_own():
    """Red if a class that one replica has decays in another, or eta is shared."""
    together = _layer(replicas=R)
    with torch.no_grad():
        together.eta.copy_(torch.tensor([0.1, 0.3, 0.5]))
    alone = [_layer() for _ in range(R)]
    for r, layer in enumerate(alone):
        layer.load_state_dict({name: value[r] for name, value in together.state_dict().items()})
    for h, y in _batches(3, R):
        found = together(h, y)
        assert_close(found, torch.stack([layer(h[r], y[r]) for r, layer in enumerate(alone)]), **TIGHT)
    assert_close(together.trace, torch.stack([layer.trace for layer in alone]), **TIGHT)


def test_only_training_with_labels_writes():
    """Red if evaluation writes, or a batch without labels decays the trace."""
    layer = _layer()
    (h, y), (h2, y2) = _batches(2)
    layer(h, y)
    kept = layer.trace.clone()
    layer(h2)
    layer.eval()
    answer = layer(h2, y2)
    assert_close(layer.trace, kept, rtol=0, atol=0)
    assert_close(answer, h2 @ (layer.weight + layer.alpha * kept), **TIGHT)
    assert kept.abs().sum() > 0


def test_the_trace_is_part_of_the_state():
    """Red if the buffer is not persistent, or is not the one that is written."""
    layer = _layer()
    for h, y in _batches(2):
        layer(h, y)
    other = _layer()
    other.load_state_dict(layer.state_dict())
    twin = copy.deepcopy(layer)
    assert_close(other.eval()(h), layer.eval()(h), rtol=0, atol=0)
    assert_close(twin.eval()(h), layer(h), rtol=0, atol=0)
    assert set(layer.state_dict()) == {"weight", "alpha", "eta", "trace"}


@pytest.mark.parametrize(
    ("h", "y", "message"),
    [((B, M + 1), None, "h: expected"), ((R, B, M), None, "h: expected"), ((B, M), (B + 1,), "y: expected")],
)
def test_wrong_shapes_are_named(h, y, message):
    """Red if a shape that broadcasts passes in silence."""
    labels = None if y is None else torch.zeros(y, dtype=torch.long)
    with pytest.raises(ValueError, match=message):
        _layer()(torch.zeros(h, dtype=torch.double), labels)


@pytest.mark.parametrize("eta", [0.0, 1.0, -0.1])
def test_a_rate_has_a_range(eta):
    """Red if a trace that never or only remembers the last batch is accepted."""
    with pytest.raises(ValueError, match="eta"):
        DHPSoftmax(M, D, eta=eta)


@pytest.mark.gpu
def test_nothing_waits_for_the_gpu():
    """Red if the number of classes in the batch is asked for on the host."""
    layer = DHPSoftmax(M, D).cuda()
    h, y = torch.rand(B, M, device="cuda"), torch.randint(D, (B,), device="cuda")
    layer(h, y).sum().backward()
    torch.cuda.set_sync_debug_mode("error")
    try:
        layer(h, y).sum().backward()
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.parametrize(("learned", "used"), [(2.5, 1.0), (-0.5, 0.0)])
def test_an_eta_that_learning_drove_out_of_its_range_is_put_back(learned, used):
    """Red if the trace is written at a rate that makes no mean of it; evaluation leaves eta alone."""
    layer, strayed = _layer(), _layer()
    strayed.trace = layer.trace = torch.rand(M, D, dtype=torch.double)
    layer.eta.data.fill_(used)
    strayed.eta.data.fill_(learned)
    ((h, y),) = _batches(1)
    strayed.eval()(h)
    assert strayed.eta.item() == learned
    assert_close(strayed.train()(h, y), layer(h, y), **TIGHT)
    assert strayed.eta.item() == used
    assert_close(strayed.trace, layer.trace, **TIGHT)
