"""Sequences whose steps share rows, are clamped, partly clamped or free in any order, against the reference loop."""

from contextlib import contextmanager

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.testing import assert_close

from plastic import PlasticState, reference
from plastic import functional as PF
from plastic.kernels import factored
from plastic.kernels.common import repeated
from plastic.kernels.schedule import Costs, schedule
from plastic.kernels.terms import runs

N = 5
ALPHA = {"full": 2, "neuron": 1, "shared": 0}  # the dimensions of alpha
RULES = ["hebb", "oja", "clipped_hebb", "modulated", "retroactive"]
COSTS = {"never": Costs(1e9, 0), "now and then": Costs(3, 0.5), "always": Costs(0, 1e-9)}


@st.composite
def schedules(draw):
    """K rows of input, some wholly clamped, some in part, and an order of steps that shows them in runs."""
    rows = draw(st.integers(1, 4))
    held = draw(st.lists(st.booleans(), min_size=rows, max_size=rows))
    runs = draw(st.lists(st.tuples(st.integers(0, rows - 1), st.integers(1, 5)), min_size=1, max_size=7))
    order = [row for row, times in runs for _ in range(times)]
    return {"rows": rows, "held": held, "order": order, "masked": draw(st.booleans())}


@st.composite
def cases(draw, rules=RULES):
    """Everything else that may change the path that a sequence takes."""
    return draw(schedules()) | {
        "rule": draw(st.sampled_from(rules)),
        "alpha": draw(st.sampled_from(sorted(ALPHA))),
        "B": draw(st.integers(1, 3)),
        "carried": draw(st.booleans()),
        "per_unit": draw(st.booleans()),
        "costs": draw(st.sampled_from(sorted(COSTS))),
        "one_by_one": draw(st.booleans()),
        "seed": draw(st.integers(0, 99)),
    }


def tensors(case, lead=()):
    """Leaves by name, in float64, and the mask of the rows."""
    generator = torch.Generator().manual_seed(case["seed"])

    def random(*shape):
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    B, rule = case["B"], case["rule"]
    leaves = {
        "input": random(case["rows"], *lead, B, N) * 0.8,
        "weight": random(*lead, N, N) / 2,
        "alpha": random(*lead, *[N] * ALPHA[case["alpha"]]) / 2,
        "eta": random(*lead, *[N] * case["per_unit"]).sigmoid() / 2,
    }
    if case["carried"]:
        leaves |= {"hidden": random(*lead, B, N), "trace": random(*lead, B, N, N) / 2}
        if rule == "retroactive":
            leaves["eligibility"] = random(*lead, B, N, N) / 2
    if rule in ("modulated", "retroactive"):
        leaves |= {"m_weight": random(*lead, N), "m_bias": random(*lead)}
    clamp = torch.rand(case["rows"], *lead, B, N, generator=generator) < 0.4
    return leaves, clamp if case["masked"] else None


def ours(case, clamp):
    """plastic_rnn as a function of the leaves: activity, trace, eligibility."""
    held = [case["held"][row] for row in case["order"]]

    def run(input, weight, alpha, eta, hidden=None, trace=None, eligibility=None, m_weight=None, m_bias=None):
        state = None if hidden is None else PlasticState(hidden, trace, eligibility)
        modulator = None if m_weight is None else (m_weight, m_bias)
        output, state = PF.plastic_rnn(
            input, state, weight, alpha, eta, case["rule"], clamp, held, modulator, order=case["order"], backend="torch"
        )
        return output, state.trace, state.eligibility

    return run


def truth(case, clamp):
    """The same from the reference, one row a step."""
    order = case["order"]
    held = torch.tensor([case["held"][row] for row in order])

    def run(input, weight, alpha, eta, hidden=None, trace=None, eligibility=None, m_weight=None, m_bias=None):
        silence = input.new_zeros(input.shape[1:])
        blank = input.new_zeros(*input.shape[1:], N)
        mask = torch.zeros(len(order), *input.shape[1:], dtype=torch.bool) if clamp is None else clamp[order]
        return reference.plastic_rnn(
            input[order],
            silence if hidden is None else hidden,
            blank if trace is None else trace,
            weight,
            alpha,
            eta,
            case["rule"],
            clamp=mask | held.view(-1, 1, 1),
            eligibility=blank if eligibility is None and case["rule"] == "retroactive" else eligibility,
            modulator=None if m_weight is None else (m_weight, m_bias),
        )

    return run


@contextmanager
def path(case):
    """Fold as often as the case says; take the episodes one by one, or together."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(factored, "costs_of", lambda x: COSTS[case["costs"]])
        patch.setitem(factored.CACHED, "cpu", 1 if case["one_by_one"] else 1 << 30)
        yield


@settings(max_examples=300, deadline=None, derandomize=True)
@given(case=cases())
def test_any_schedule_equals_the_reference_with_every_gradient(case, outcome):
    """Red when: equal steps are taken once too often; a row shown again starts a second time from nothing; a fold
    leaves the trace before it unfaded; the gradient of a segment's activity is not carried back to those before."""
    leaves, clamp = tensors(case)
    with path(case):
        found = outcome(ours(case, clamp), **leaves)
    assert_close(found, outcome(truth(case, clamp), **leaves), rtol=1e-9, atol=1e-11)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(case=cases())
def test_float32_within_one_in_ten_thousand(case, outcome):
    """Red when: a product is taken in half precision. Relative to the largest value, as activity may be chaotic."""
    leaves, clamp = tensors(case)
    with path(case):
        found = outcome(ours(case, clamp), **{name: value.float() for name, value in leaves.items()})
    for name, value in outcome(truth(case, clamp), **leaves).items():
        assert found[name].dtype is torch.float32
        assert_close(found[name].double(), value, rtol=0, atol=1e-4 * value.abs().max().item() + 1e-7, msg=name)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(case=cases(rules=["hebb", "oja"]))
def test_replicas_and_vmap_equal_one_at_a_time(case, outcome):
    """Red when: a term of one replica meets the alpha of another, or what forward keeps is folded into another
    dimension than backward expects."""
    leaves, clamp = tensors(case, lead=(3,))

    def one_at_a_time(**values):
        def one(r):
            mine = None if clamp is None else clamp[:, r]
            return ours(case, mine)(**{k: v[:, r] if k == "input" else v[r] for k, v in values.items()})

        activity, trace, _ = zip(*[one(r) for r in range(3)], strict=True)
        return torch.stack(activity, dim=1), torch.stack(trace)

    def mapped(**values):
        names = [*values]
        dims = tuple(1 if name == "input" else 0 for name in names)

        def one(mask, *rest):
            return ours(case, mask)(**dict(zip(names, rest, strict=True)))[:2]

        mask_dim = None if clamp is None else 1
        return torch.func.vmap(one, in_dims=(mask_dim, *dims), out_dims=(1, 0))(clamp, *values.values())

    with path(case):
        expected = outcome(one_at_a_time, **leaves)
        assert_close(outcome(ours(case, clamp), **leaves), expected, rtol=1e-9, atol=1e-11)
        assert_close(outcome(mapped, **leaves), expected, rtol=1e-9, atol=1e-11)


@settings(max_examples=30, deadline=None, derandomize=True)
@given(case=schedules(), seed=st.integers(0, 99))
def test_a_network_without_plasticity_takes_the_order_too(case, seed, outcome):
    """Red when: the plain network reads row t at step t, or starts elsewhere than at silence."""
    case = case | {"rule": "hebb", "alpha": "shared", "B": 2, "carried": False, "per_unit": False, "seed": seed}
    leaves, clamp = tensors(case)
    given = {name: leaves[name] for name in ("input", "weight")}
    zero = torch.zeros((), dtype=torch.float64)

    def plain(input, weight):
        return ours(case, clamp)(input, weight, None, zero)[:1]

    def slow(input, weight):
        return truth(case, clamp)(input, weight, zero, zero)[:1]

    assert_close(outcome(plain, **given), outcome(slow, **given), rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("times", range(1, 40))
def test_equal_steps_in_one(times, random):
    """Red when: a doubling squares the retain before the sum has used it. A retain of zero, one, and below zero."""
    retain = torch.tensor([0.0, 1.0, -0.5, 0.9], dtype=torch.float64)
    trace, write = random(4), random(4)
    stepped = trace
    for _ in range(times):
        stepped = stepped * retain + write
    power, total = repeated(retain, write, times)
    assert_close(trace * power + total, stepped, rtol=1e-12, atol=1e-12)


def full_size(show, gap, test, patterns, cycles):
    """Patterns shown in turn, each followed by a gap; then a test: order and clamped steps."""
    turn = [(p, show, True) for p in range(patterns)]
    runs = [run for _ in range(cycles) for shown in turn for run in (shown, (patterns, gap, False))]
    runs.append((patterns + 1, test, False))
    return (
        tuple(row for row, times, _ in runs for _ in range(times)),
        tuple(held for _, times, held in runs for _ in range(times)),
    )


def test_what_a_free_step_asks():
    """Red when: a pattern that comes back is a term of its own, or silence is one. Three images, three cycles: two new
    terms a gap (its answer, and the first answer's successor), and at most three for the images."""
    order, clamped = full_size(show=20, gap=2, test=3, patterns=3, cycles=3)
    sheet = schedule(order, clamped, True, COSTS["never"])
    (segment,) = sheet.segments
    assert len(order) == 201
    assert [p.terms for p in segment.phases if p.free][:6] == [1, 1, 4, 4, 7, 7]
    assert [len(p.fresh) for p in segment.phases if p.free][:8] == [1, 1, 4, 4, 7, 7, 3, 9]
    assert sum(len(p.steps) for p in segment.phases) == 9 * 2 - 1 + 21
    assert sheet.slots == 3 + 21


@pytest.mark.parametrize("costs", sorted(COSTS))
@pytest.mark.parametrize("carried", [False, True])
@pytest.mark.parametrize("rule", ["hebb", "oja"])
def test_patterns_shown_again(rule, carried, costs, outcome):
    """Red when: the gradient of a product that is needed again is that of one need alone, or a product is handed on
    before all that need it have been met."""
    order, held = full_size(show=3, gap=2, test=2, patterns=2, cycles=3)
    case = {"rows": 4, "held": [True, True, False, False], "order": [*order], "masked": True, "rule": rule}
    assert held == tuple(case["held"][row] for row in order)
    case |= {"alpha": "full", "B": 2, "carried": carried, "per_unit": True, "costs": costs, "one_by_one": False}
    leaves, clamp = tensors(case | {"seed": 3})
    with path(case):
        found = outcome(ours(case, clamp), **leaves)
    assert_close(found, outcome(truth(case, clamp), **leaves), rtol=1e-9, atol=1e-11)


@settings(max_examples=100, deadline=None, derandomize=True)
@given(case=schedules(), blank=st.booleans(), costs=st.sampled_from(sorted(COSTS)))
def test_each_pair_of_activities_is_one_product(case, blank, costs):
    """Red when: a product is numbered by its order too, or by the term alone; a phase calls fresh what one before it
    has needed; the fresh products of a phase do not follow one another."""
    held = tuple(case["held"][row] for row in case["order"])
    for segment in schedule(tuple(case["order"]), held, blank, COSTS[costs]).segments:
        number = {}
        for phase in segment.phases:
            asks = range(phase.terms) if phase.free and phase.pre is not None else ()
            pairs = [frozenset((phase.pre, segment.slots[term])) for term in asks]
            assert phase.fresh == tuple(term for term in asks if pairs[term] not in number)
            assert [phase.products[term] for term in phase.fresh] == [*phase.numbers]
            number |= {pairs[term]: phase.products[term] for term in phase.fresh}
            assert phase.products == tuple(number[pair] for pair in pairs)
        assert sorted(number.values()) == [*range(segment.products)]


def test_places_as_slices():
    """Red when: a run goes on over a place left out, or the first or last run is lost."""
    for places in [(), (3,), (0, 1, 2), (4, 5, 1, 2, 3, 3), (2, 1, 0)]:
        pieces = runs(places)
        assert [place for _, there in pieces for place in range(there.start, there.stop)] == [*places]
        assert [i for here, _ in pieces for i in range(here.start, here.stop)] == [*range(len(places))]
    assert len(runs((4, 5, 1, 2, 3, 3))) == 3


def test_folds_come_where_they_pay():
    """Red when: a fold is placed inside clamped steps, or the choice is greedier than the cheapest one."""
    order, clamped = full_size(show=6, gap=4, test=6, patterns=5, cycles=2)

    def cost(costs, sheet):
        asked = sum(p.terms for s in sheet.segments for p in s.phases if p.free)
        dense = sum(p.free for s in sheet.segments[1:] for p in s.phases)
        return asked + costs.dense * dense + costs.fold * (len(sheet.segments) - 1)

    choices = [schedule(order, clamped, True, Costs(fold, 5.0)) for fold in (0.0, 1.0, 20.0, 60.0, 110.0, 300.0, 1e9)]
    assert len({len(sheet.segments) for sheet in choices}) > 4
    for fold in (20.0, 110.0):
        costs = Costs(fold, 5.0)
        chosen = cost(costs, schedule(order, clamped, True, costs))
        assert chosen <= min(cost(costs, sheet) for sheet in choices)
    for sheet in choices:
        assert all(segment.phases[0].free for segment in sheet.segments[1:])
