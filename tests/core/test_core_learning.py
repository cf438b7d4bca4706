"""Small plastic networks learn what a plain one cannot, in seconds, whatever the seed."""

import pytest
import torch
from torch.nn.functional import cross_entropy

from plastic import PlasticLinear, PlasticState
from plastic import functional as PF

seeds = pytest.mark.parametrize("seed", [0, 1, 2])


def association(alpha, seed, updates=60, B=32, classes=5, features=24):
    """Five new keys an episode, each shown once with its label; then asked for, slightly changed, in another order.

    The loss of fresh episodes after training. log 5 = 1.61 is that of a guess.
    """
    torch.manual_seed(seed)
    layer = PlasticLinear(features, classes, rule="oja", alpha=alpha, eta=0.1)
    optimizer = torch.optim.Adam(layer.parameters(), lr=0.1)
    labels = torch.eye(classes).expand(B, classes, classes)
    for _ in range(updates):
        keys = torch.randn(B, classes, features).sign()
        _, trace = layer(keys, target=labels)
        order = torch.rand(B, classes).argsort(-1)
        questions = keys.gather(1, order.unsqueeze(-1).expand_as(keys)) + 0.3 * torch.randn_like(keys)
        loss = cross_entropy(layer.read(questions, trace).flatten(0, 1), order.flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return loss.item()  # the episodes of the last update were new when it was measured


@seeds
def test_a_plastic_layer_learns_to_associate_at_once(seed):
    """Red when: no gradient reaches alpha and eta, or the trace is not read."""
    assert association("full", seed) < 0.3


@seeds
def test_a_plain_layer_does_not(seed):
    """Red when: the task leaks its labels, so that the test above would prove nothing."""
    assert association("none", seed) > 1.5


def completion(alpha, seed, updates=80, B=24, N=24):
    """Two new patterns an episode are held on the units; then half of one is, and the other half must come back.

    The fraction of wrong signs among the units that were free, in the last ten updates. 0.5 is that of a guess.
    """
    generator = torch.Generator().manual_seed(seed)
    weight = (0.1 * torch.randn(N, N, generator=generator)).requires_grad_()
    alpha = None if alpha is None else (0.01 * torch.rand(N, N, generator=generator)).requires_grad_()
    eta = torch.tensor(0.1, requires_grad=True)
    optimizer = torch.optim.Adam([v for v in (weight, alpha, eta) if v is not None], lr=0.02)
    shown = [0, 0, 0, 1, 1, 1, 0, 0, 0]
    steps = [True] * 6 + [False] * 3
    clamp = torch.ones(9, B, N, dtype=torch.bool)
    clamp[6:, :, N // 2 :] = False
    wrong = []
    for _ in range(updates):
        patterns = torch.randn(2, B, N, generator=generator).sign()
        input = patterns[shown] * clamp
        blank = PlasticState(torch.zeros(B, N), None if alpha is None else torch.zeros(B, N, N))
        output, _ = PF.plastic_rnn(input, blank, weight, alpha, eta, "hebb", clamp, steps)
        hidden, truth = output[-1, :, N // 2 :], patterns[0, :, N // 2 :]
        wrong.append((hidden.sign() != truth).float().mean().item())
        optimizer.zero_grad()
        (hidden - truth).pow(2).mean().backward()
        optimizer.step()
    return sum(wrong[-10:]) / 10


@seeds
def test_a_plastic_network_learns_to_complete_patterns(seed):
    """Red when: no gradient reaches alpha."""
    assert completion("full", seed) < 0.05


@seeds
def test_a_plain_network_does_not(seed):
    """Red when: the free half leaks into the input."""
    assert completion(None, seed) > 0.4
