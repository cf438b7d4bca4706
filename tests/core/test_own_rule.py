"""A rule of one's own, in a few lines, works wherever the published ones do."""

from dataclasses import dataclass

import pytest
import torch
from torch.testing import assert_close

from plastic import PlasticLinear, PlasticRNN, Rule
from plastic import functional as PF

T, B, I, N = 13, 3, 4, 5
TIGHT = {"rtol": 1e-10, "atol": 1e-12}


@dataclass(frozen=True)
class Covariance(Rule):
    """Activity over a threshold strengthens, activity under it weakens."""

    threshold: float = 0.1

    def vectors(self, post, eta, m=None):
        return 1 - eta, eta * (post - self.threshold)


@dataclass(frozen=True)
class Competing(Rule):
    """Units compete: the vectors of one unit depend on all the others."""

    def vectors(self, post, eta, m=None):
        share = torch.softmax(post, -1)
        return 1 - eta * share, eta * share * (post - post.mean(-1, keepdim=True))


@dataclass(frozen=True)
class Blind(Rule):
    """Vectors that depend on nothing: every step writes the same."""

    def vectors(self, post, eta, m=None):
        return 0.5, 0.25


@dataclass(frozen=True)
class Gated(Rule):
    """m opens both the decay and the write; the bound is a setting."""

    clip: float | None = 0.7
    modulated = True

    def vectors(self, post, eta, m=None):
        return 1 - eta * m * m, m * post


@dataclass(frozen=True)
class Tagged(Rule):
    """A retroactive rule without a bound, whose eligibility decays as in Oja's rule."""

    modulated = True
    retroactive = True

    def vectors(self, post, eta, m=None):
        return 1 - eta * post * post, eta * post * m


RULES = [Covariance(), Competing(), Blind(), Gated(), Tagged()]


def name(rule):
    return type(rule).__name__


def plainly(trace, pre, post, eta, rule, m):
    """One step as the base class states it: trace' = clip(trace * retain + preᵀ write)."""
    retain, write = (v if torch.is_tensor(v) else torch.full_like(post, v) for v in rule.vectors(post, eta, m))
    trace = trace * retain.expand_as(post).unsqueeze(-2) + pre.unsqueeze(-1) * write.expand_as(post).unsqueeze(-2)
    return trace if rule.clip is None else trace.clamp(-rule.clip, rule.clip)


@pytest.mark.parametrize("rule", [rule for rule in RULES if not rule.retroactive], ids=name)
def test_writes_equal_the_formula(rule, random, outcome):
    """Red when: trace_write or trace_step handles a kind of vectors in its own way (mixed, constant, modulated)."""
    given = {"trace": random(B, I, N), "pre": random(B, T, I), "post": random(B, T, N), "eta": random().sigmoid()}
    m = random(B, T) if rule.modulated else None

    def one_by_one(step):
        def run(trace, pre, post, eta):
            for t in range(T):
                trace = step(trace, pre[:, t], post[:, t], eta, rule, None if m is None else m[:, t].unsqueeze(-1))
            return [trace]

        return run

    truth = outcome(one_by_one(plainly), **given)
    assert_close(outcome(one_by_one(PF.trace_step), **given), truth, **TIGHT)
    assert_close(outcome(lambda **k: [PF.trace_write(rule=rule, m=m, **k)], **given), truth, **TIGHT)


@pytest.mark.parametrize("rule", RULES, ids=name)
@pytest.mark.parametrize("alpha", ["full", "neuron", "shared"])
def test_sequences_equal_autograd_step_by_step(rule, alpha, random, outcome):
    """Red when: backward pulls gradients through the vectors as if each unit had its own (Competing), needs vectors
    that require gradients (Blind), or drops the path from m to the vectors (Gated, Tagged)."""
    rnn = PlasticRNN(I, N, rule, alpha, eta=0.2, dtype=torch.float64)
    given = dict(rnn.cell.named_parameters()) | {"input": random(T, B, I)}

    def fast(input, **values):
        prefixed = {f"cell.{name}": value for name, value in values.items()}
        output, state = torch.func.functional_call(rnn, prefixed, input)
        return output, state.trace, state.eligibility

    def slow(input, weight_ih, weight, bias, alpha, eta, m_weight=None, m_bias=None):
        post, (_, trace, eligibility) = input.new_zeros(B, N), rnn.initial_state(B)
        outputs = []
        for x in input:
            pre, drive = post, x @ weight_ih + bias
            post = torch.tanh((pre.unsqueeze(1) @ (weight + alpha * trace)).squeeze(1) + drive)
            m = None if m_weight is None else torch.tanh(post @ m_weight + m_bias).unsqueeze(-1)
            if rule.retroactive:
                trace, eligibility = (
                    trace + m.unsqueeze(-1) * eligibility,
                    plainly(eligibility, pre, post, eta, rule, m),
                )
            else:
                trace = plainly(trace, pre, post, eta, rule, m)
            outputs.append(post)
        return torch.stack(outputs), trace, eligibility

    assert_close(outcome(fast, **given), outcome(slow, **given), **TIGHT)


def test_a_layer_takes_it_by_instance(random):
    """Red when: PlasticLinear looks rules up by name only, or ignores the settings of an instance."""
    input, target = random(B, T, I), random(B, T, N)
    layer = PlasticLinear(I, N, Covariance(threshold=0.3), dtype=torch.float64)
    expected = PF.trace_write(input.new_zeros(B, I, N), input, target - 0.3, layer.eta, "hebb")
    assert_close(layer(input, target=target)[1], expected, **TIGHT)
    assert "threshold=0.3" in repr(layer)
