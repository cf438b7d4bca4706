"""The three networks of recall: what is held, what is free, what is learned."""

import math

import pytest
import torch
from torch.nn import functional as F
from torch.testing import assert_close

from plastic import reference
from tasks.patterns import Config, draw
from tasks.recall import Chance, build
from tasks.recall.networks import LSTM

SMALL = {"bits": 8, "patterns": 2, "cycles": 1, "presentation": 3, "gap": 2, "test_steps": 2}


def _made(**given):
    config = Config(**{**SMALL, **given})
    torch.manual_seed(0)
    network = build(config, config.bits)
    return network, draw(config, config.schedule, 3, Chance.of(1, "episodes"))


MODELS = [
    *({"alpha": alpha, "rule": rule} for alpha in ("full", "neuron", "shared") for rule in ("hebb", "oja")),
    *({"model": model, "extra_units": extra} for model in ("plastic", "rnn", "lstm") for extra in (0, 4)),
]


@pytest.mark.parametrize("given", MODELS, ids=str)
def test_a_held_unit_has_exactly_the_value_shown(given):
    """Red if the bias is not held, or a test clamps the hidden half, or a model forgets the mask."""
    network, episodes = _made(**given)
    activity, _ = network.activity(episodes)
    input, clamp = episodes.input[episodes.order], episodes.clamp[episodes.order]
    assert activity.shape == input.shape
    assert_close(activity[clamp], input[clamp], rtol=0, atol=0)
    free = activity[~clamp]
    assert ((free > -1) & (free < 1)).all()
    assert network(episodes).shape == episodes.target.shape
    assert_close(network(episodes), activity[-1, :, :8])


@pytest.mark.parametrize("extra", [0, 3])
@pytest.mark.parametrize("way", ["clamp", "additive"])
def test_the_plastic_network_equals_the_equations(way, extra):
    """Red if the drive is applied to what is held, or not applied to what is added."""
    network, episodes = _made(input=way, extra_units=extra, eta=0.1)
    network, episodes = network.double(), episodes._replace(input=episodes.input.double())
    model = network.model
    units = 8 + extra + 1
    blank = torch.zeros(3, units, units, dtype=torch.float64)
    added = way == "additive"
    input = episodes.input[episodes.order]
    expected, trace, _ = reference.plastic_rnn(
        input * (20 if added else 1), blank[:, 0], blank, model.weight, model.alpha, model.eta, "hebb",
        clamp=None if added else episodes.clamp[episodes.order],
    )  # fmt: skip
    activity, last = network.activity(episodes)
    assert_close(activity, expected, rtol=1e-9, atol=1e-9)
    assert_close(last, trace, rtol=1e-9, atol=1e-9)
    if added:
        whole = torch.tensor(Config(**SMALL).schedule.presenting())
        assert_close(activity[whole][..., :8], input[whole][..., :8], rtol=0, atol=1e-6)


def test_the_rnn_equals_the_plastic_network_with_alpha_0():
    """Red if the plain network is another one."""
    network, episodes = _made(model="rnn", extra_units=2)
    plastic, _ = _made(extra_units=2)
    with torch.no_grad():
        plastic.model.weight.copy_(network.model.weight)
        plastic.model.alpha.zero_()
    assert_close(network(episodes), plastic(episodes))
    assert network.activity(episodes)[1] is None


def test_the_lstm_equals_torch_where_nothing_is_held():
    """Red if a gate sees something else than the input and what came out before."""
    torch.manual_seed(0)
    model, inputs = LSTM(5), torch.randn(7, 3, 5)
    plain = torch.nn.LSTM(5, 5)
    plain.load_state_dict({f"{name}_l0": value for name, value in model.cell.state_dict().items()})
    assert_close(model(inputs, None, [False] * 7, [*range(7)])[0], plain(inputs)[0])


def test_sizes_and_parameters_are_those_of_the_paper():
    """2,004,002 numbers for 1,000 bits, and eta besides. Red without the bias unit."""
    count = sum(p.numel() for p in build(Config(), 1000).parameters())
    assert count == 2_004_002 + 1
    assert build(Config(extra_units=2000, bits=50, model="lstm"), 50).model.cell.hidden_size == 2051
    full, shared = build(Config(), 100).model, build(Config(alpha="shared"), 100).model
    assert full.weight.std().item() == pytest.approx(0.01, rel=0.05)
    assert full.alpha.std().item() == pytest.approx(0.01, rel=0.05)
    assert (shared.alpha.item(), shared.eta.item()) == pytest.approx((0.01, 0.01))


@pytest.mark.parametrize("learn_eta", [True, False])
def test_eta_is_learned_unless_it_is_fixed(learn_eta):
    """Red if ``--no-learn-eta`` leaves a gradient, or the other weights lose theirs."""
    network, episodes = _made(learn_eta=learn_eta)
    F.mse_loss(network(episodes), episodes.target).backward()
    assert (network.model.eta.grad is not None) == learn_eta
    assert network.model.alpha.grad.abs().max() > 0
    assert math.isclose(network.plasticity()["plasticity/eta"], 0.01, rel_tol=1e-6)


@pytest.mark.parametrize("alpha", ["full", "neuron", "shared"])
def test_a_slower_trace_starts_as_strong_and_learns_as_fast(alpha):
    """Red if alpha or its rate does not make up for eta, or the weights' rate changes too."""
    paper, slow = (_made(alpha=alpha, eta=eta)[0] for eta in (0.01, 0.001))
    assert_close(slow.model.alpha * slow.model.eta, paper.model.alpha * paper.model.eta)
    assert_close(slow.model.weight, paper.model.weight, rtol=0, atol=0)
    assert [group["lr"] for group in paper.groups(0.5)] == [0.5, 0.5, 0.5]
    rates = {id(group["params"][0]): group["lr"] for group in slow.groups(0.5)}
    model = slow.model
    assert [rates[id(p)] for p in (model.weight, model.alpha, model.eta)] == pytest.approx([0.5, 5.0, 0.05])


def test_the_weights_have_a_pace_of_their_own():
    """Red if ``weight_pace`` is lost, or slows alpha and eta too."""
    network = _made(eta=0.001)[0]
    model, rates = network.model, {id(group["params"][0]): group["lr"] for group in network.groups(0.5, 0.1)}
    assert [rates[id(p)] for p in (model.weight, model.alpha, model.eta)] == pytest.approx([0.05, 5.0, 0.05])


@pytest.mark.parametrize("scale", [0.0, 0.02])
def test_the_scale_is_that_of_what_starts_at_random(scale):
    """Red if weight or alpha starts at another size, or the one coefficient of all starts at 0."""
    model = _made(bits=99, scale=scale)[0].model
    assert [p.std().item() for p in (model.weight, model.alpha)] == pytest.approx([scale, scale], rel=0.05)
    assert _made(alpha="shared", scale=scale)[0].model.alpha.item() == pytest.approx(0.01)


def test_what_is_not_learned_is_in_no_group():
    """Red if a fixed eta is handed to the optimizer."""
    network, _ = _made(learn_eta=False)
    assert len(network.groups(0.5)) == 2
