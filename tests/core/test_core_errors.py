"""Wrong shapes, names and options: a ValueError says what came and what was expected.

Each case is red when its check is removed: the call then passes, or fails later in other words.
"""

import pytest
import torch

from plastic import Hebb, Modulated, PlasticLinear, PlasticRNN, PlasticRNNCell, PlasticState
from plastic import functional as PF

T, B, I, O, N = 3, 2, 4, 5, 6
zeros = torch.zeros
step = {"trace": zeros(B, I, O), "pre": zeros(B, I), "post": zeros(B, O), "eta": zeros(()), "rule": "hebb"}
steps = step | {"pre": zeros(B, T, I), "post": zeros(B, T, O)}
tagged = step | {"eligibility": zeros(B, I, O), "rule": "retroactive", "m": zeros(B)}
linear = {"input": zeros(B, I), "weight": zeros(I, O), "alpha": zeros(O), "trace": zeros(B, I, O), "bias": zeros(O)}
blank = PlasticState(zeros(B, N), zeros(B, N, N), zeros(B, N, N))
rnn = {
    "input": zeros(T, B, N),
    "state": blank,
    "weight": zeros(N, N),
    "alpha": zeros(()),
    "eta": zeros(()),
    "rule": "hebb",
}
signal = {"rule": "modulated", "modulator": (zeros(N), zeros(()))}

WRONG = [
    (PF.trace_step, step, {"pre": zeros(B, O)}, r"pre: expected the shape \(2, 4\), got \(2, 5\)"),
    (PF.trace_step, step, {"post": zeros(B, I)}, r"post: expected the shape \(2, 5\), got \(2, 4\)"),
    (PF.trace_step, step, {"eta": zeros(I)}, r"eta: expected the shape \(\), or one that .* \(2, 5\), got \(4,\)"),
    (PF.trace_step, step, {"rule": "modulated", "m": zeros(3)}, r"m: expected the shape \(2,\).*got \(3,\)"),
    (PF.trace_step, step, {"rule": "modulated"}, "m: Modulated needs a modulatory signal, got None"),
    (PF.trace_step, step, {"rule": "retroactive"}, "trace_step carries one trace; Retroactive needs an eligibility"),
    (PF.trace_step, step, {"rule": "hebbian"}, "unknown rule 'hebbian': expected one of hebb, oja, clipped_hebb"),
    (PF.trace_step, step, {"rule": Hebb}, "unknown rule .*Hebb.*, or an instance of plastic.Rule"),
    (PF.trace_write, steps, {"pre": zeros(B, T, O)}, r"pre: expected the shape \(2, 3, 4\), got \(2, 3, 5\)"),
    (PF.trace_write, steps, {"post": zeros(B, 9, O)}, r"post: expected the shape \(2, 3, 5\), got \(2, 9, 5\)"),
    (PF.trace_write, steps, {"rule": "modulated", "m": zeros(T, B)}, r"m: expected the shape \(2, 3\).*got \(3, 2\)"),
    (PF.trace_write, steps, {"rule": "retroactive"}, "trace_write carries one trace; Retroactive needs an eligibility"),
    (PF.retroactive_step, tagged, {"eligibility": zeros(B, O, I)}, r"eligibility: expected the shape \(2, 4, 5\)"),
    (PF.retroactive_step, tagged, {"pre": zeros(B, O)}, r"pre: expected the shape \(2, 4\), got \(2, 5\)"),
    (PF.retroactive_step, tagged, {"post": zeros(B, I)}, r"post: expected the shape \(2, 5\), got \(2, 4\)"),
    (PF.retroactive_step, tagged, {"m": None}, "m: Retroactive needs a modulatory signal, got None"),
    (PF.retroactive_step, tagged, {"rule": "oja"}, "expects a retroactive rule, got Oja"),
    (PF.plastic_linear, linear, {"input": zeros(B, O)}, r"input: expected the shape \(2, 4\), got \(2, 5\)"),
    (PF.plastic_linear, linear, {"input": zeros(3, I)}, r"input: expected the shape \(2, 1, 4\), got \(3, 1, 4\)"),
    (PF.plastic_linear, linear, {"trace": zeros(B, O, I)}, r"trace: expected the shape \(2, 4, 5\), got \(2, 5, 4\)"),
    (
        PF.plastic_linear,
        linear,
        {"alpha": zeros(I)},
        r"alpha: expected the shape \(4, 5\) or \(5,\) or \(\), got \(4,\)",
    ),
    (PF.plastic_linear, linear, {"bias": zeros(I)}, r"bias: expected the shape \(5,\), got \(4,\)"),
    (PF.plastic_rnn, rnn, {"weight": zeros(N, O)}, r"weight: expected a square .*got \(6, 5\)"),
    (PF.plastic_rnn, rnn, {"input": zeros(B, N)}, r"input: expected \(T, B, N\) with T >= 1, got \(2, 6\)"),
    (PF.plastic_rnn, rnn, {"input": zeros(0, B, N)}, r"input: expected \(T, B, N\) with T >= 1, got \(0, 2, 6\)"),
    (PF.plastic_rnn, rnn, {"input": zeros(T, B, O)}, r"input: expected the shape \(3, 2, 6\), got \(3, 2, 5\)"),
    (
        PF.plastic_rnn,
        rnn,
        {"state": blank._replace(hidden=zeros(N))},
        r"hidden: expected the shape \(2, 6\), got \(6,\)",
    ),
    (PF.plastic_rnn, rnn, {"state": blank._replace(trace=zeros(B, N))}, r"trace: expected the shape \(2, 6, 6\)"),
    (PF.plastic_rnn, rnn, {"state": blank._replace(trace=None)}, r"trace: expected the shape \(2, 6, 6\), got None"),
    (PF.plastic_rnn, rnn, {"alpha": zeros(O)}, r"alpha: expected the shape \(6, 6\) or \(6,\) or \(\), got \(5,\)"),
    (PF.plastic_rnn, rnn, {"eta": zeros(O)}, r"eta: expected the shape \(\) or \(6,\), got \(5,\)"),
    (PF.plastic_rnn, rnn, {"order": []}, r"order: expected at least one row of input, each from 0 to 2, got \[\]"),
    (PF.plastic_rnn, rnn, {"order": [0, 3]}, r"order: expected .* each from 0 to 2, got \[0, 3\]"),
    (PF.plastic_rnn, rnn, {"order": [0, -1]}, r"order: expected .* each from 0 to 2, got \[0, -1\]"),
    (
        PF.plastic_rnn,
        rnn | {"order": [0, 1, 2, 2]},
        {"clamped_steps": [True] * 3},
        "clamped_steps: expected 4 values, one a step, got 3",
    ),
    (PF.plastic_rnn, rnn, {"rule": "ojas"}, "unknown rule 'ojas': expected one of hebb, oja"),
    (PF.plastic_rnn, rnn, {"nonlinearity": "gelu"}, "nonlinearity: expected one of tanh, relu, got 'gelu'"),
    (PF.plastic_rnn, rnn, {"clamp": zeros(T, B, N)}, "clamp: expected a mask of dtype bool, got torch.float32"),
    (PF.plastic_rnn, rnn, {"clamp": zeros(T, N).bool()}, r"clamp: expected the shape \(3, 2, 6\), got \(3, 6\)"),
    (PF.plastic_rnn, rnn, {"clamped_steps": [True]}, "clamped_steps: expected 3 values, one a step, got 1"),
    (PF.plastic_rnn, rnn, {"rule": "modulated"}, r"modulator: Modulated expects \(weight, bias\), got None"),
    (PF.plastic_rnn, rnn, {"modulator": signal["modulator"]}, "modulator: Hebb expects None, got one"),
    (
        PF.plastic_rnn,
        rnn | signal,
        {"modulator": (zeros(O), zeros(()))},
        r"modulator weight: expected the shape \(6,\)",
    ),
    (PF.plastic_rnn, rnn | signal, {"modulator": (zeros(N), zeros(1))}, r"modulator bias: expected the shape \(\)"),
    (
        PF.plastic_rnn,
        rnn | signal,
        {"rule": "retroactive", "state": blank._replace(eligibility=None)},
        "eligibility: Retro",
    ),
    (
        PF.plastic_rnn,
        rnn | signal,
        {"rule": "retroactive", "state": blank._replace(eligibility=zeros(B, N))},
        r"eligibility: expected the shape \(2, 6, 6\), got \(2, 6\)",
    ),
    (Hebb, {}, {"clip": -1.0}, "expected a positive number or None, got -1.0"),
    (PlasticLinear, {"in_features": I, "out_features": O}, {"rule": "retroactive"}, "Retroactive needs an eligibility"),
    (PlasticLinear, {"in_features": I, "out_features": O}, {"rule": "hopfield"}, "unknown rule 'hopfield'"),
    (
        PlasticLinear,
        {"in_features": I, "out_features": O},
        {"alpha": "row"},
        "unknown alpha 'row': .*full, neuron, shared",
    ),
    (PlasticLinear, {"in_features": I, "out_features": O}, {"eta": zeros(I)}, r"eta: expected .*\(5,\), got .* \(4,\)"),
    (
        PlasticRNNCell,
        {"input_size": I, "hidden_size": N},
        {"nonlinearity": "gelu"},
        "nonlinearity: expected one of tanh",
    ),
    (PlasticRNN, {"input_size": I, "hidden_size": N}, {"alpha": 1}, "unknown alpha 1: expected one of full"),
    (PlasticLinear(I, O), {"input": zeros(B, I)}, {"input": zeros(I)}, r"input: expected \(B, 4\) or .*got \(4,\)"),
    (
        PlasticLinear(I, O),
        {"input": zeros(B, I)},
        {"input": zeros(B, O)},
        r"input: expected \(B, 4\) or .*got \(2, 5\)",
    ),
    (PlasticLinear(I, O), {"input": zeros(B, I)}, {"target": zeros(B)}, r"target: .*\(2, 5\), got \(2,\)"),
    (
        PlasticRNNCell(I, N),
        {"input": zeros(B, I)},
        {"input": zeros(T, B, I)},
        r"input: expected \(B, 4\), got \(3, 2, 4\)",
    ),
    (PlasticRNNCell(I, N), {"input": zeros(B, I)}, {"state": blank._replace(trace=None)}, "trace: .* got None"),
    (PlasticRNN(I, N), {"input": zeros(T, B, I)}, {"input": zeros(B, I)}, r"input: expected \(T, B, 4\), got \(2, 4\)"),
    (PlasticRNN(I, N, batch_first=True), {"input": zeros(B, T, I)}, {"input": zeros(T)}, r"expected \(B, T, 4\), got"),
]


def name(case):
    function, _, wrong, _ = case
    return f"{getattr(function, '__name__', type(function).__name__)}-{'-'.join(wrong)}"


@pytest.mark.parametrize(("function", "right", "wrong", "message"), WRONG, ids=map(name, WRONG))
def test_wrong_arguments_are_named(function, right, wrong, message):
    """The same call without its one wrong argument passes, so it is that argument which is refused."""
    function(**right)
    with pytest.raises(ValueError, match=message):
        function(**(right | wrong))


def test_replicas_must_agree():
    """Red when: the trace of six replicas meets the weight of five, or of one, by broadcasting."""
    with pytest.raises(ValueError, match=r"trace: expected the shape \(1, 2, 4, 5\), got \(6, 2, 4, 5\)"):
        PF.plastic_linear(zeros(6, B, I), zeros(1, I, O), zeros(1), zeros(6, B, I, O))
    with pytest.raises(ValueError, match=r"input: expected the shape \(3, 1, 2, 6\), got \(3, 5, 2, 6\)"):
        PF.plastic_rnn(zeros(T, 5, B, N), blank, zeros(1, N, N), None, zeros(1), "hebb")


def test_a_rule_alone_says_what_it_needs():
    """Red when: the vectors of a modulated rule go on without a signal."""
    with pytest.raises(ValueError, match="the modulated rule needs a modulatory signal m, got None"):
        Modulated().vectors(zeros(B, O), zeros(()))
