"""Each rule against its published equation, synapse by synapse in plain Python numbers.

The sizes differ on the two sides, so an outer product the wrong way round cannot pass.
"""

import pytest
import torch
from torch.testing import assert_close

from plastic import ClippedHebb, Hebb, Oja, Retroactive, Rule
from plastic import functional as PF
from plastic.rules import RULES, as_rule

B, I, O = 3, 4, 6


def clip(value: float) -> float:
    return max(-1.0, min(1.0, value))


SYNAPSE = {
    "hebb": lambda H, x, y, eta, m: (1 - eta) * H + eta * x * y,
    "oja": lambda H, x, y, eta, m: H + eta * y * (x - y * H),
    "clipped_hebb": lambda H, x, y, eta, m: clip(H + eta * x * y),
    "modulated": lambda H, x, y, eta, m: clip(H + m * x * y),
}


def by_synapse(function):
    """A number for every synapse of every episode: (B, I, O)."""
    cells = [[[function(b, i, j) for j in range(O)] for i in range(I)] for b in range(B)]
    return torch.tensor(cells, dtype=torch.float64)


@pytest.mark.parametrize("per_unit", [False, True], ids=["eta-scalar", "eta-unit"])
@pytest.mark.parametrize("rule", SYNAPSE)
def test_trace_step_is_the_equation_at_every_synapse(rule, per_unit, random):
    """Red when: pre and post change sides in the outer product, or eta meets the pre-synaptic side."""
    trace, pre, post, m = random(B, I, O), random(B, I), random(B, O), random(B)
    eta = random(O).sigmoid() if per_unit else torch.tensor(0.3, dtype=torch.float64)

    def synapse(b, i, j):
        rate = eta[j] if per_unit else eta
        return SYNAPSE[rule](*(v.item() for v in (trace[b, i, j], pre[b, i], post[b, j], rate, m[b])))

    stepped = PF.trace_step(trace, pre, post, eta, rule, m if rule == "modulated" else None)
    assert_close(stepped, by_synapse(synapse), rtol=1e-12, atol=1e-12)


def test_retroactive_step_takes_the_old_eligibility(random):
    """Red when: the trace takes the eligibility that this step has just written."""
    trace, eligibility, pre, post, m = random(B, I, O), random(B, I, O), random(B, I), random(B, O), random(B)
    eta = 0.3
    gated, driven = PF.retroactive_step(trace, eligibility, pre, post, eta, "retroactive", m)
    expected = by_synapse(lambda b, i, j: clip((trace[b, i, j] + m[b] * eligibility[b, i, j]).item()))
    assert_close(gated, expected, rtol=1e-12, atol=1e-12)
    expected = by_synapse(lambda b, i, j: ((1 - eta) * eligibility[b, i, j] + eta * pre[b, i] * post[b, j]).item())
    assert_close(driven, expected, rtol=1e-12, atol=1e-12)


def test_rates_of_replicas_meet_their_replica(random):
    """Red when: eta (R, O) is left to broadcast, which with R = B gives each episode another replica's rate."""
    trace, pre, post, eta = random(B, B, I, O), random(B, B, I), random(B, B, O), random(B, O).sigmoid()
    together = PF.trace_step(trace, pre, post, eta, "oja")
    alone = [PF.trace_step(*one, "oja") for one in zip(trace, pre, post, eta, strict=True)]
    assert_close(together, torch.stack(alone))


def test_a_rate_may_be_a_plain_number(random):
    """Red when: a number is taken in float32, whatever the trace is."""
    trace, pre, post = random(B, I, O), random(B, I), random(B, O)
    exact = PF.trace_step(trace, pre, post, torch.tensor(0.1, dtype=torch.float64), "hebb")
    assert_close(PF.trace_step(trace, pre, post, 0.1, "hebb"), exact, rtol=1e-15, atol=0)


@pytest.mark.parametrize("rule", [Hebb(clip=0.4), Oja(clip=0.4), ClippedHebb(clip=0.4)], ids=repr)
def test_any_rule_can_have_a_clip(rule, random):
    """Red when: the clip is the fixed 1 of the published rules."""
    trace = PF.trace_step(random(B, I, O), random(B, I), random(B, O), 0.5, rule)
    assert_close(trace.abs().amax(), torch.tensor(0.4, dtype=torch.float64))


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_known_by_its_name(name):
    """Red when: a name stands for another rule; a rule given as an instance is not passed through."""
    rule = as_rule(name)
    assert isinstance(rule, Rule)
    assert type(rule).__name__.lower() == name.replace("_", "")
    assert as_rule(rule) is rule
    assert isinstance(rule, Retroactive) == rule.retroactive
