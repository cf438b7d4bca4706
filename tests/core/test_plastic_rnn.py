"""Whole sequences against the reference loop: activity, final state and every gradient."""

import pytest
import torch
from torch.autograd import gradcheck
from torch.testing import assert_close

from plastic import PlasticState, reference
from plastic import functional as PF
from plastic.kernels.stepwise import SEGMENT

RULES = ["hebb", "oja", "clipped_hebb", "modulated", "retroactive"]
ALPHA = {"full": 2, "neuron": 1, "shared": 0}  # the dimensions of alpha
TIGHT = {"rtol": 1e-10, "atol": 1e-12}


def arguments(random, rule, alpha="full", per_unit=False, T=19, B=3, N=7, lead=()):
    """Activity large enough for the clip to bite, a trace and an eligibility that are not blank."""
    given = {
        "input": random(T, *lead, B, N),
        "hidden": random(*lead, B, N),
        "trace": random(*lead, B, N, N) / 2,
        "weight": random(*lead, N, N) / 2,
        "alpha": random(*lead, *[N] * ALPHA[alpha]) / 2,
        "eta": (random(*lead, *[N] * per_unit)).sigmoid(),
    }
    if rule == "retroactive":
        given["eligibility"] = random(*lead, B, N, N) / 2
    if rule in ("modulated", "retroactive"):
        given |= {"m_weight": random(*lead, N), "m_bias": random(*lead)}
    return given


def fast(rule, **options):
    """plastic_rnn in torch operations, as a function of tensors alone: activity, trace and eligibility."""

    def run(input, hidden, trace, weight, alpha, eta, eligibility=None, m_weight=None, m_bias=None):
        modulator = None if m_weight is None else (m_weight, m_bias)
        state = PlasticState(hidden, trace, eligibility)
        output, state = PF.plastic_rnn(
            input, state, weight, alpha, eta, rule, modulator=modulator, backend="torch", **options
        )
        return output, state.trace, state.eligibility

    return run


def slow(rule, clamp=None, nonlinearity="tanh"):
    """The same from the reference."""

    def run(m_weight=None, m_bias=None, **given):
        modulator = None if m_weight is None else (m_weight, m_bias)
        f = {"tanh": torch.tanh, "relu": torch.relu}[nonlinearity]
        return reference.plastic_rnn(**given, rule=rule, clamp=clamp, modulator=modulator, nonlinearity=f)

    return run


def masks(kind, T, B, N):
    """Nothing clamped; two fifths of the units; and besides, steps where every unit is, known on the host."""
    if kind == "free":
        return {}
    clamp = torch.rand(T, B, N, generator=torch.Generator().manual_seed(2)) < 0.4
    if kind == "clamp":
        return {"clamp": clamp}
    steps = [t % 3 == 0 for t in range(T)]
    clamp[::3] = True
    return {"clamp": clamp, "clamped_steps": steps}


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("clamp", ["free", "clamp", "clamped_steps"])
@pytest.mark.parametrize("alpha", ALPHA)
@pytest.mark.parametrize("rule", RULES)
def test_equals_the_reference_with_every_gradient(rule, alpha, clamp, nonlinearity, random, outcome):
    """Red when: backward rebuilds the trace one step off, drops a path of the signal m, or ignores the clamp."""
    assert SEGMENT < 19
    given = arguments(random, rule, alpha)
    if nonlinearity == "relu":  # without a bound on the activity, Oja's rule would blow up within 19 steps
        given |= {name: given[name] / 4 for name in ("weight", "input", "alpha")}
    options = masks(clamp, 19, 3, 7)
    mine = outcome(fast(rule, nonlinearity=nonlinearity, **options), **given)
    truth = outcome(slow(rule, options.get("clamp"), nonlinearity), **given)
    assert_close(mine, truth, **TIGHT)


@pytest.mark.parametrize(
    ("T", "B", "N"), [(1, 1, 7), (1, 3, 1), (2, 1, 5), (SEGMENT, 2, 3), (SEGMENT + 1, 1, 3), (50, 1, 2)]
)
@pytest.mark.parametrize("per_unit", [False, True], ids=["eta-scalar", "eta-unit"])
@pytest.mark.parametrize("rule", RULES)
def test_odd_sizes(rule, per_unit, T, B, N, random, outcome):
    """Red when: eta's gradient is summed over the units, or a boundary of the halving recursion is off by one."""
    given = arguments(random, rule, per_unit=per_unit, T=T, B=B, N=N)
    assert_close(outcome(fast(rule), **given), outcome(slow(rule), **given), **TIGHT)


@pytest.mark.parametrize("rule", RULES)
def test_float32_within_two_in_a_hundred_thousand(rule, random, outcome):
    """Red when: a path is computed in half precision. The worst error seen at T = 50 is 4e-6 of the largest value."""
    given = arguments(random, rule, T=50)
    given |= {name: given[name] / 4 for name in ("weight", "alpha")}  # not chaotic: rounding errors do not grow
    single = outcome(fast(rule), **{k: v.float() for k, v in given.items()})
    for name, value in outcome(slow(rule), **given).items():
        assert single[name].dtype is torch.float32
        assert_close(single[name].double(), value, rtol=0, atol=2e-5 * value.abs().max().item(), msg=name)


@pytest.mark.parametrize("clamp", ["free", "clamped_steps"])
@pytest.mark.parametrize("rule", RULES)
def test_numerical_gradients(rule, clamp, random):
    """Red when: the hand-written backward is wrong together with the reference."""
    given = arguments(random, rule, T=4, B=2, N=3)
    names, options = list(given), masks(clamp, 4, 2, 3)

    def run(*values):
        return tuple(v for v in fast(rule, **options)(**dict(zip(names, values, strict=True))) if v is not None)

    assert gradcheck(run, [v.requires_grad_() for v in given.values()])


def test_a_second_derivative_is_refused(random):
    """Red when: the backward is silently treated as a constant in the second derivative."""
    given = {k: v.requires_grad_() for k, v in arguments(random, "hebb", T=3).items()}
    output, _, _ = fast("hebb")(**given)
    gradient = torch.autograd.grad(output.sum(), given["weight"], create_graph=True)[0]
    with pytest.raises(RuntimeError, match="differentiable once"):
        gradient.sum().backward()


@pytest.mark.parametrize("rule", RULES)
def test_chunks_chain(rule, random, outcome):
    """Red when: a part of the state, or its gradient, does not pass from one chunk to the next."""
    given = arguments(random, rule, T=19)

    def in_chunks(input, hidden, trace, eligibility=None, **rest):
        outputs = []
        for chunk in input.split([11, 8]):
            carried = {} if eligibility is None else {"eligibility": eligibility}
            output, trace, eligibility = fast(rule)(input=chunk, hidden=hidden, trace=trace, **carried, **rest)
            outputs.append(output)
            hidden = output[-1]
        return torch.cat(outputs), trace, eligibility

    assert_close(outcome(in_chunks, **given), outcome(fast(rule), **given), **TIGHT)


@pytest.mark.parametrize("alpha", ALPHA)
@pytest.mark.parametrize("rule", RULES)
def test_replicas_equal_one_at_a_time(rule, alpha, random, outcome):
    """Red when: a parameter of one replica meets the activity of another (R = B = 3, so shapes cannot tell)."""
    given = arguments(random, rule, alpha, per_unit=True, T=11, N=4, lead=(3,))

    def one_at_a_time(**values):
        one = [fast(rule)(**{k: v[:, r] if k == "input" else v[r] for k, v in values.items()}) for r in range(3)]
        activity, *state = zip(*one, strict=True)
        return torch.stack(activity, dim=1), *[None if v[0] is None else torch.stack(v) for v in state]

    assert_close(outcome(fast(rule), **given), outcome(one_at_a_time, **given), **TIGHT)


@pytest.mark.parametrize("rule", RULES)
def test_permuting_the_batch_permutes_the_result(rule, random):
    """Red when: one episode sees the trace of another."""
    given = arguments(random, rule, T=11)
    order = torch.tensor([2, 0, 1])
    per_episode = {"input": 1, "hidden": 0, "trace": 0, "eligibility": 0}
    permuted = {k: v.index_select(per_episode[k], order) if k in per_episode else v for k, v in given.items()}
    straight, mixed = fast(rule)(**given), fast(rule)(**permuted)
    for dim, value, other in zip((1, 0, 0), straight, mixed, strict=True):
        if value is not None:
            assert_close(other, value.index_select(dim, order), **TIGHT)


def test_a_clamped_step_needs_no_mask(random, outcome):
    """Red when: a step known to be clamped is run through the recurrence all the same."""
    given = arguments(random, "hebb", T=9)
    steps = [True] * 5 + [False] * 4
    clamp = torch.tensor(steps).view(9, 1, 1).expand(9, 3, 7)
    told = outcome(fast("hebb", clamped_steps=steps), **given)
    assert_close(told, outcome(slow("hebb", clamp), **given), **TIGHT)
    assert_close(told["output 0"][:5], given["input"][:5], rtol=0, atol=0)


def test_the_state_that_came_is_left_alone(random):
    """Red when: forward or backward writes into the caller's trace or eligibility."""
    given = arguments(random, "retroactive")
    before = {k: v.clone() for k, v in given.items()}
    output, trace, eligibility = fast("retroactive")(**{k: v.requires_grad_() for k, v in given.items()})
    (output.sum() + trace.sum() + eligibility.sum()).backward()
    assert_close({k: v.detach() for k, v in given.items()}, before, rtol=0, atol=0)


def test_the_same_numbers_twice(random, outcome):
    """Red when: a result depends on memory that was left from the last run."""
    given = arguments(random, "oja")
    first, second = (outcome(fast("oja"), **given) for _ in range(2))
    for name in first:
        assert torch.equal(first[name], second[name]), name
