"""The plastic LSTM against the equations, gate by gate, and against torch's without plasticity."""

import pytest
import torch
from torch.testing import assert_close

from plastic import PlasticLSTMCell, PlasticLSTMState, reference

T, B, I, N = 7, 3, 4, 5
TIGHT = {"rtol": 1e-10, "atol": 1e-12}
RULES = ["hebb", "oja", "clipped_hebb", "modulated", "retroactive"]


def lived(cell, input):
    """Activity (T, B, N) and the last state."""
    outputs, state = [], None
    for x in input:
        output, state = cell(x, state)
        outputs.append(output)
    return torch.stack(outputs), state


def gradients(cell, result):
    """Of a sum with weights of chance, by name."""
    chance = torch.Generator().manual_seed(1)
    total = sum((v * torch.rand(v.shape, generator=chance, dtype=v.dtype)).sum() for v in result)
    names, parameters = zip(*cell.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(total, parameters, allow_unused=True), strict=True))


def strong(cell):
    """A plastic part that matters."""
    with torch.no_grad():
        cell.alpha.mul_(100)
        cell.eta.fill_(0.3)
    return cell


@pytest.mark.parametrize("alpha", ["full", "neuron", "shared"])
@pytest.mark.parametrize("rule", RULES)
def test_a_life_is_that_of_the_plain_loop(rule, alpha, random):
    """Activity, memory, trace and every gradient. Red when: the gates change places, the rule's post is the new hidden
    state, or its pre is; the signal comes from the old hidden state."""
    cell = strong(PlasticLSTMCell(I, N, rule, alpha, dtype=torch.float64))
    input = 2 * random(T, B, I)
    output, state = lived(cell, input)
    modulator = None if cell.m_weight is None else (cell.m_weight, cell.m_bias)
    expected = reference.plastic_lstm(
        input, cell.weight_ih, cell.weight, cell.bias, cell.alpha, cell.eta, rule, modulator
    )
    found = (output, state.cell, state.trace)
    assert state.trace.abs().max() > 0.01
    assert_close(found, expected, **TIGHT)
    assert_close(gradients(cell, found), gradients(cell, expected), **TIGHT)


def test_without_plasticity_it_is_torchs_cell(random):
    """Red when: alpha="none" writes a trace, or the order of the gates is not torch's."""
    ours = PlasticLSTMCell(I, N, alpha="none", dtype=torch.float64)
    torchs = torch.nn.LSTMCell(I, N, dtype=torch.float64)
    with torch.no_grad():
        torchs.weight_ih.copy_(ours.weight_ih.T)
        torchs.weight_hh.copy_(ours.weight.T)
        torchs.bias_ih.copy_(ours.bias)
        torchs.bias_hh.zero_()
    input, hidden, memory = random(B, I), random(B, N), random(B, N)
    output, state = ours(input, PlasticLSTMState(hidden, memory, None))
    assert state.trace is None
    assert state.eligibility is None
    assert_close((output, state.cell), torchs(input, (hidden, memory)), **TIGHT)
    assert set(dict(ours.named_parameters())) == {"weight_ih", "weight", "bias"}


def test_the_same_lives_go_on(random):
    """Red when: the cell drops the state that it is given."""
    cell, input = strong(PlasticLSTMCell(I, N, "retroactive", dtype=torch.float64)), random(T, B, I)
    output, state = lived(cell, input)
    _, carried = lived(cell, input[:3])
    for x in input[3:]:
        last, carried = cell(x, carried)
    assert_close(last, output[-1], **TIGHT)
    assert_close([*carried], [*state], **TIGHT)


def test_without_a_bias(random):
    """Red when: bias=False leaves one, or is not heard."""
    cell = PlasticLSTMCell(I, N, bias=False)
    assert "bias" not in dict(cell.named_parameters())
    assert cell(torch.zeros(B, I))[0].abs().max() == 0


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda cell: cell(torch.zeros(B, I + 1)), rf"input: expected \(B, {I}\), got \({B}, {I + 1}\)"),
        (lambda cell: cell(torch.zeros(I)), rf"input: expected \(B, {I}\)"),
        (
            lambda cell: cell(torch.zeros(B, I), PlasticLSTMState(torch.zeros(B, N), torch.zeros(B, N), None)),
            rf"trace: expected the shape \({B}, {N}, {N}\), got None",
        ),
        (
            lambda cell: cell(torch.zeros(B, I), cell.initial_state(B)._replace(eligibility=None)),
            "eligibility: Retroactive expects the shape",
        ),
        (lambda cell: PlasticLSTMCell(I, N, rule="hebbian"), "unknown rule 'hebbian'"),
        (lambda cell: PlasticLSTMCell(I, N, alpha="some"), "unknown alpha 'some'"),
    ],
)
def test_what_does_not_fit_is_said(call, message):
    """Red when: a shape is left to a matrix product to complain about."""
    with pytest.raises(ValueError, match=message):
        call(PlasticLSTMCell(I, N, rule="retroactive"))
