"""The recurrent modules: a cell, a sequence, and torch's own layers where nothing is plastic."""

import pytest
import torch
from torch.testing import assert_close

from plastic import Acting, ClippedHebb, PlasticRNN, PlasticRNNCell, PlasticState

T, B, I, N = 9, 3, 4, 6
RULES = ["hebb", "oja", "clipped_hebb", "modulated", "retroactive"]
TIGHT = {"rtol": 1e-10, "atol": 1e-12}


def module_outcome(module, run, upstream_seed=3):
    """Outputs of run(module), and the gradient of each parameter under random upstream gradients."""
    outputs = [v for v in run(module) if v is not None]
    generator = torch.Generator().manual_seed(upstream_seed)
    upstream = [torch.randn(v.shape, generator=generator, dtype=v.dtype) for v in outputs]
    parameters = [*module.parameters()]  # a modulated rule has no use for eta
    gradients = torch.autograd.grad(outputs, parameters, upstream, allow_unused=True, materialize_grads=True)
    return outputs, dict(zip(dict(module.named_parameters()), gradients, strict=True))


def stepped(cell, input, state=None):
    """A cell over a sequence, one step at a time, through plain autograd."""
    outputs = []
    for x in input:
        output, state = cell(x, state)
        outputs.append(output)
    return torch.stack(outputs), *state


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
@pytest.mark.parametrize("alpha", ["full", "neuron", "shared", "none"])
@pytest.mark.parametrize("rule", RULES)
def test_a_sequence_equals_the_cell_stepped(rule, alpha, nonlinearity, random):
    """Red when: the cell and the sequence differ in the order of response, signal and write."""
    rnn = PlasticRNN(I, N, rule, alpha, eta=0.2, nonlinearity=nonlinearity, dtype=torch.float64)
    input = random(T, B, I)

    def whole(rnn):
        output, state = rnn(input)
        return output, *state

    outputs, gradients = module_outcome(rnn, whole)
    expected, slow = module_outcome(rnn, lambda rnn: stepped(rnn.cell, input))
    assert_close(outputs, expected, **TIGHT)
    assert_close(gradients, slow, **TIGHT)


@pytest.mark.parametrize("rule", RULES)
def test_the_same_lives_go_on(rule, random):
    """Red when: PlasticRNN drops the state that it is given."""
    rnn, input = PlasticRNN(I, N, rule, eta=0.2, dtype=torch.float64), random(T, B, I)
    output, state = rnn(input)
    first, carried = rnn(input[:4])
    second, carried = rnn(input[4:], carried)
    assert_close(torch.cat([first, second]), output, **TIGHT)
    assert_close([*filter(torch.is_tensor, carried)], [*filter(torch.is_tensor, state)], **TIGHT)


def test_batch_first_only_swaps_the_first_two(random):
    """Red when: only the input or only the output is swapped."""
    rnn = PlasticRNN(I, N, batch_first=True, dtype=torch.float64)
    other = PlasticRNN(I, N, dtype=torch.float64)
    other.load_state_dict(rnn.state_dict())
    input = random(B, T, I)
    (output, state), (expected, final) = rnn(input), other(input.transpose(0, 1))
    assert_close(output, expected.transpose(0, 1), **TIGHT)
    assert_close(state.hidden, final.hidden, **TIGHT)


def copied(ours, torchs, suffix=""):
    """torch's layer with the weights of ours, transposed; its second bias is zero."""
    pairs = {"weight_ih": ours.weight_ih.T, "weight_hh": ours.weight.T, "bias_ih": ours.bias, "bias_hh": None}
    with torch.no_grad():
        for name, value in pairs.items():
            parameter = getattr(torchs, name + suffix)
            parameter.zero_() if value is None else parameter.copy_(value)
    return torchs


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_without_plasticity_a_sequence_is_torchs_rnn(nonlinearity, random, outcome):
    """Red when: alpha="none" leaves a part of the drive out, or writes a trace all the same."""
    ours = PlasticRNN(I, N, alpha="none", nonlinearity=nonlinearity, dtype=torch.float64)
    torchs = copied(ours.cell, torch.nn.RNN(I, N, nonlinearity=nonlinearity, dtype=torch.float64), "_l0")

    def mine(input, hidden):
        output, state = ours(input, PlasticState(hidden, None))
        assert state.trace is None
        return output, state.hidden

    def theirs(input, hidden):
        output, hidden = torchs(input, hidden.unsqueeze(0))
        return output, hidden.squeeze(0)

    given = {"input": random(T, B, I), "hidden": random(B, N)}
    assert_close(outcome(mine, **given), outcome(theirs, **given), **TIGHT)
    _, gradients = module_outcome(ours, lambda rnn: mine(**given))
    _, expected = module_outcome(torchs, lambda rnn: theirs(**given))
    assert_close(gradients["cell.weight"].T, expected["weight_hh_l0"], **TIGHT)
    assert_close(gradients["cell.weight_ih"].T, expected["weight_ih_l0"], **TIGHT)
    assert_close(gradients["cell.bias"], expected["bias_ih_l0"], **TIGHT)


@pytest.mark.parametrize("nonlinearity", ["tanh", "relu"])
def test_without_plasticity_a_cell_is_torchs_cell(nonlinearity, random, outcome):
    """Red when: the cell forgets its nonlinearity or its bias."""
    ours = PlasticRNNCell(I, N, alpha="none", nonlinearity=nonlinearity, dtype=torch.float64)
    torchs = copied(ours, torch.nn.RNNCell(I, N, nonlinearity=nonlinearity, dtype=torch.float64))
    given = {"input": random(B, I), "hidden": random(B, N)}
    mine = outcome(lambda input, hidden: [ours(input, PlasticState(hidden, None))[0]], **given)
    assert_close(mine, outcome(lambda input, hidden: [torchs(input, hidden)], **given), **TIGHT)


def test_an_alpha_of_zero_is_a_plain_network(random):
    """Red when: the trace reaches the response other than through alpha."""
    plastic = PlasticRNN(I, N, eta=0.5, dtype=torch.float64)
    plain = PlasticRNN(I, N, alpha="none", dtype=torch.float64)
    plain.load_state_dict(plastic.state_dict(), strict=False)
    torch.nn.init.zeros_(plastic.cell.alpha)
    input = random(T, B, I)
    assert_close(plastic(input)[0], plain(input)[0], **TIGHT)


@pytest.mark.parametrize(("rule", "extra"), [("hebb", set()), ("modulated", {"m_weight", "m_bias"})])
@pytest.mark.parametrize(("alpha", "shape"), [("full", (N, N)), ("neuron", (N,)), ("shared", ()), ("none", None)])
def test_a_cell_has_the_parameters_of_its_kind(rule, extra, alpha, shape):
    """Red when: a plain cell carries plastic parameters, or a modulated one none."""
    cell = PlasticRNNCell(I, N, rule, alpha)
    plastic = set() if shape is None else {"alpha", "eta"} | extra
    assert set(dict(cell.named_parameters())) == {"weight_ih", "weight", "bias"} | plastic
    assert shape is None or cell.alpha.shape == shape
    assert f"alpha={alpha!r}" in repr(cell)
    state = cell.initial_state(B)
    assert (state.trace is None) == (shape is None)
    assert cell(torch.randn(B, I))[0].abs().max() > 0


@pytest.mark.parametrize("rule", RULES)
def test_no_episodes(rule):
    """Red when: an empty batch fails, forwards or backwards."""
    rnn = PlasticRNN(I, N, rule)
    output, state = rnn(torch.randn(T, 0, I))
    (output.sum() + state.trace.sum()).backward()
    assert output.shape == (T, 0, N)
    assert_close(rnn.cell.weight.grad, torch.zeros(N, N))


@pytest.mark.parametrize("alpha", ["full", "neuron", "shared", "none"])
@pytest.mark.parametrize("rule", [*RULES, ClippedHebb(clip=0.05)])
def test_acting_is_step_by_step(rule, alpha, random):
    """Red when: a step answers with the trace that it has written, takes another signal, or has a gradient."""
    cell, input = PlasticRNNCell(I, N, rule, alpha, eta=0.2, dtype=torch.float64), 3 * random(T, B, I)
    if cell.alpha is not None:
        with torch.no_grad():
            cell.alpha.mul_(100)
    expected, acting = None, Acting(cell, cell.initial_state(B))
    for x in input:
        output, expected = cell(x, expected)
        found = acting(x)
        assert not found.requires_grad
        assert_close(found, output.detach(), **TIGHT)
    found, expected = ([v.detach() for v in state if v is not None] for state in (acting.state, expected))
    assert_close(found, expected, **TIGHT)
