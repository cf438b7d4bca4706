"""Many steps of known activity at once against the same steps one by one."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.autograd import gradcheck, gradgradcheck
from torch.testing import assert_close

from plastic import functional as PF
from plastic import reference
from plastic.kernels.common import later_retains

B, I, O = 3, 5, 4
RULES = ["hebb", "oja", "clipped_hebb", "modulated"]
TIGHT = {"rtol": 1e-10, "atol": 1e-12}


def arguments(random, rule, steps, per_unit=False, batch=B):
    """Activity large enough for the clip to bite and for Oja's retain to be negative, by the names of the arguments."""
    given = {
        "trace": random(batch, I, O),
        "pre": random(batch, steps, I),
        "post": random(batch, steps, O),
        "eta": random(O).sigmoid() if per_unit else torch.tensor(0.4, dtype=torch.float64),
    }
    return given | ({"m": random(batch, steps)} if rule == "modulated" else {})


@pytest.mark.parametrize("per_unit", [False, True], ids=["eta-scalar", "eta-unit"])
@pytest.mark.parametrize("steps", [1, 2, 19], ids="T={}".format)
@pytest.mark.parametrize("rule", RULES)
def test_equals_the_reference_with_every_gradient(rule, steps, per_unit, random, outcome):
    """Red when: a write is not multiplied by the later retains, or by one too many."""
    given = arguments(random, rule, steps, per_unit)
    fast = outcome(lambda **k: [PF.trace_write(rule=rule, **k)], **given)
    assert_close(fast, outcome(lambda **k: [reference.trace_write(rule=rule, **k)], **given), **TIGHT)


@pytest.mark.parametrize("rule", RULES)
def test_float32_within_one_in_a_hundred_thousand(rule, random, outcome):
    """Red when: the trace is computed in half precision. T = 50; the worst error seen is 2e-6 of the largest value."""
    given = arguments(random, rule, 50)
    fast = outcome(lambda **k: [PF.trace_write(rule=rule, **k)], **{k: v.float() for k, v in given.items()})
    truth = outcome(lambda **k: [reference.trace_write(rule=rule, **k)], **given)
    for name, value in truth.items():
        assert fast[name].dtype is torch.float32
        assert_close(fast[name].double(), value, rtol=0, atol=1e-5 * value.abs().max().item(), msg=name)


@pytest.mark.parametrize("rule", RULES)
def test_no_steps_change_nothing(rule, random, outcome):
    """Red when: an empty sequence fails, or its trace is not the one that came."""
    given = arguments(random, rule, 0)
    written = outcome(lambda **k: [PF.trace_write(rule=rule, **k)], **given)
    assert_close(written["output 0"], given["trace"], rtol=0, atol=0)
    assert_close(written["gradient of eta"], torch.zeros_like(given["eta"]), rtol=0, atol=0)


def test_a_retain_of_zero_is_exact(random, outcome):
    """Red when: the later retains come from a quotient of cumulative products, which is 0/0 here."""
    given = arguments(random, "oja", 6) | {"eta": torch.ones((), dtype=torch.float64)}
    given["post"] = torch.eye(O, dtype=torch.float64)[torch.tensor([0, 1, 0, 2, 2, 1])].expand(B, 6, O)
    fast = outcome(lambda **k: [PF.trace_write(rule="oja", **k)], **given)
    assert_close(
        fast["output 0"][..., 0], given["pre"][:, 2], rtol=0, atol=0
    )  # the last example of a class is all of it
    assert_close(
        fast["output 0"][..., 3], given["trace"][..., 3], rtol=0, atol=0
    )  # and an absent class forgets nothing
    assert_close(fast, outcome(lambda **k: [reference.trace_write(rule="oja", **k)], **given), **TIGHT)


def test_a_negative_retain_is_exact(random, outcome):
    """Red when: the retains are multiplied through their logarithms, or held above zero."""
    given = arguments(random, "oja", 9) | {"eta": torch.tensor(3.0, dtype=torch.float64)}
    assert (1 - 3 * given["post"] ** 2).min() < 0
    fast = outcome(lambda **k: [PF.trace_write(rule="oja", **k)], **given)
    assert_close(fast, outcome(lambda **k: [reference.trace_write(rule="oja", **k)], **given), **TIGHT)


@pytest.mark.parametrize("steps", range(1, 10), ids="T={}".format)
def test_later_retains_are_the_products_that_follow(steps, random):
    """Red when: the doubling stops early or reaches past the end."""
    retain = random(2, steps, O)
    expected = torch.stack([retain[:, t + 1 :].prod(1) for t in range(steps)], dim=1)
    assert_close(later_retains(retain), expected, **TIGHT)


def test_signal_may_differ_from_unit_to_unit(random):
    """Red when: m (B, T, O) is taken for one signal an episode and step."""
    given = arguments(random, "modulated", 5)
    same = PF.trace_write(rule="modulated", **given | {"m": given["m"].unsqueeze(-1).expand(B, 5, O)})
    assert_close(same, PF.trace_write(rule="modulated", **given))
    other = PF.trace_write(rule="modulated", **given | {"m": given["m"].unsqueeze(-1) * torch.arange(O)})
    assert_close(other[..., 0], given["trace"][..., 0].clamp(-1, 1))
    assert_close(other[..., 1], same[..., 1])


@pytest.mark.parametrize("check", [gradcheck, gradgradcheck])
@pytest.mark.parametrize("rule", RULES)
def test_numerical_gradients(rule, check, random):
    """Red when: the write is detached from the graph (first), or a once-differentiable function stands in (second)."""
    given = arguments(random, rule, 3, batch=1)
    given["trace"] = given["trace"] * 0.1  # away from the corners of the clip
    leaves = [value.clone().mul_(0.5).requires_grad_() for value in given.values()]
    assert check(lambda trace, pre, post, eta, *m: PF.trace_write(trace, pre, post, eta, rule, *m), leaves)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(rule=st.sampled_from(RULES), steps=st.integers(0, 12), seed=st.integers(0, 99))
def test_equals_as_many_single_steps(rule, steps, seed):
    """Red when: trace_write and trace_step disagree about any rule, whatever T is."""
    generator = torch.Generator().manual_seed(seed)
    given = arguments(lambda *s: torch.randn(s, generator=generator, dtype=torch.float64), rule, steps)
    trace = given["trace"]
    for t in range(steps):
        m = given["m"][:, t] if "m" in given else None
        trace = PF.trace_step(trace, given["pre"][:, t], given["post"][:, t], given["eta"], rule, m)
    assert_close(PF.trace_write(rule=rule, **given), trace, **TIGHT)


@settings(max_examples=25, deadline=None, derandomize=True)
@given(eta=st.floats(0, 1), steps=st.integers(1, 40), seed=st.integers(0, 99))
def test_ojas_trace_stays_within_its_bound(eta, steps, seed):
    """Red when: the decay of Oja's rule has the wrong sign or size.

    With |pre|, |post| <= 1: |H'| <= (1 - eta y²)|H| + eta |y|, which cannot pass 1/|y| once below it; a unit held at y
    settles at x / y, so the bound for a constant y in [1/2, 1] is 2.
    """
    generator = torch.Generator().manual_seed(seed)
    pre = torch.rand(B, steps, I, generator=generator, dtype=torch.float64) * 2 - 1
    post = (torch.rand(B, 1, O, generator=generator, dtype=torch.float64) / 2 + 0.5).expand(B, steps, O)
    trace = PF.trace_write(torch.zeros(B, I, O, dtype=torch.float64), pre, post, eta, "oja")
    assert trace.abs().max() <= 2
    sign = torch.randn(B, steps, O, generator=generator, dtype=torch.float64).sign()
    trace = PF.trace_write(torch.zeros(B, I, O, dtype=torch.float64), pre, sign, eta, "oja")
    assert trace.abs().max() <= 1


@settings(max_examples=25, deadline=None, derandomize=True)
@given(rule=st.sampled_from(["clipped_hebb", "modulated"]), steps=st.integers(1, 12), seed=st.integers(0, 99))
def test_a_clip_holds(rule, steps, seed):
    """Red when: the clip is dropped, or acts only at the end of the sequence."""
    generator = torch.Generator().manual_seed(seed)
    given = arguments(lambda *s: torch.randn(s, generator=generator, dtype=torch.float64), rule, steps)
    given["pre"][:, 0], given["post"][:, 0] = 9, 9  # far over the bound, then back by what follows
    trace = PF.trace_write(rule=rule, **given)
    assert trace.abs().max() <= 1
    assert_close(trace, reference.trace_write(rule=rule, **given), **TIGHT)
