"""Returns, advantages and the loss: worked examples, and lives that do not meet."""

import pytest
import torch
from torch.testing import assert_close

from agents.a2c import Lives, Weighing, advantages, losses, returns

TIGHT = {"rtol": 1e-12, "atol": 1e-12}
T, B, A = 6, 4, 3


@pytest.fixture
def told(random):
    """Logits (T, B, A) and values (T, B) with gradients, and lives of which the last two end early."""
    chance = torch.Generator().manual_seed(0)
    alive = torch.ones(T, B, dtype=torch.bool)
    alive[4:, 2] = alive[1:, 3] = False
    actions = torch.randint(A, (T, B), generator=chance)
    rewards = random(T, B) * alive
    logits, values = random(T, B, A).requires_grad_(), random(T, B).requires_grad_()
    return logits, values, Lives(torch.zeros(T, B, 1), actions, rewards, alive)


@pytest.fixture
def random():
    chance = torch.Generator().manual_seed(3)
    return lambda *shape: torch.randn(*shape, generator=chance, dtype=torch.float64)


def column(*numbers):
    return torch.tensor(numbers, dtype=torch.float64).unsqueeze(1)


def test_returns_by_hand():
    """1 + 0.5 (0 + 0.5 (4)) and so on. Red when: the discount is applied twice, or the end is worth something."""
    assert_close(returns(column(1, 0, 4), 0.5), column(2, 2, 4), **TIGHT)


def test_advantages_by_hand():
    """delta = (1 + .5*2 - 3, 0 + .5*1 - 2, 4 - 1) = (-1, -1.5, 3); lambda .8, so decay .4: A_2 = 3,
    A_1 = -1.5 + .4*3 = -.3, A_0 = -1 + .4*-.3 = -1.12. Red when: the next value is this one's, or lambda is ignored.
    """
    found = advantages(column(1, 0, 4), column(3, 2, 1), discount=0.5, gae=0.8)
    assert_close(found, column(-1.12, -0.3, 3), **TIGHT)


def test_two_ends_of_the_estimate(random):
    """lambda 1: the return minus the value; lambda 0: one step. Red when: a value after the end is not zero."""
    rewards, values = random(T, B), random(T, B)
    assert_close(advantages(rewards, values, 0.9, 1.0), returns(rewards, 0.9) - values, **TIGHT)
    later = torch.cat([values[1:], torch.zeros(1, B)])
    assert_close(advantages(rewards, values, 0.9, 0.0), rewards + 0.9 * later - values, **TIGHT)


@pytest.mark.parametrize("gae", [1.0, 0.7])
def test_no_life_reads_another(told, gae):
    """The published program takes environment 0's value for all: its baseline and its target. Red when: ``values`` in
    ``losses`` is replaced by ``values[:, :1]`` anywhere."""
    logits, values, lives = told
    weighing = Weighing(gae=gae)

    def gradients(values):
        loss = losses(logits, values, lives, weighing)["loss"]
        return torch.autograd.grad(loss, (logits, values))

    g_logits, g_values = gradients(values)
    assert g_values.abs().amax(0).min() > 0  # each life's values are learned
    for changed in range(B):
        other = values.detach().clone()
        other[:, changed] += 1
        moved_logits, moved_values = gradients(other.requires_grad_())
        for before, after in ((g_logits, moved_logits), (g_values, moved_values)):
            differs = (before != after).flatten(2).any(2).any(0) if before.dim() > 2 else (before != after).any(0)
            assert differs.tolist() == [life == changed for life in range(B)]


@pytest.mark.parametrize("bonus", ["entropy", "simpson"])
def test_the_loss_is_that_of_the_plain_loop(told, bonus):
    """Life by life and step by step, with its gradients. Red when: the advantage or the target carries a gradient, a
    sign is turned, a weight is left out, a step after the end counts, or the bonus is the other one."""
    logits, values, lives = told
    weighing = Weighing(discount=0.8, gae=0.6, entropy=0.3, value=0.2, bonus=bonus)
    expected = dict.fromkeys(("policy_loss", "value_loss", "entropy", "simpson"), 0.0)
    steps = int(lives.alive.sum())
    for b in range(B):
        lived = int(lives.alive[:, b].sum())
        known = [*values[:lived, b].tolist(), 0.0]
        advantage = 0.0
        for t in reversed(range(lived)):
            delta = float(lives.rewards[t, b]) + 0.8 * known[t + 1] - known[t]
            advantage = delta + 0.8 * 0.6 * advantage
            p = torch.softmax(logits[t, b], 0)
            expected["policy_loss"] += -advantage * torch.log(p[lives.actions[t, b]]) / steps
            expected["value_loss"] += (advantage + known[t] - values[t, b]) ** 2 / steps
            expected["entropy"] += -sum(q * torch.log(q) for q in p) / steps
            expected["simpson"] += (1 - sum(q * q for q in p)) / steps
    loss = expected["policy_loss"] + 0.2 * expected["value_loss"] - 0.3 * expected[bonus]
    del expected["simpson"]
    found = losses(logits, values, lives, weighing)
    assert_close(found, {"loss": loss, **expected}, **TIGHT)
    assert_close(*(torch.autograd.grad(v, (logits, values)) for v in (found["loss"], loss)), **TIGHT)


def test_an_undecided_policy_has_the_entropy_of_its_choices(told):
    """ln 3 in nats. Red when: what is logged is the published sum of squares."""
    _, values, lives = told
    for bonus in ("entropy", "simpson"):
        found = losses(torch.zeros(T, B, A, dtype=torch.float64), values, lives, Weighing(bonus=bonus))
        assert found["entropy"].item() == pytest.approx(1.0986122886681098)
