"""Plastic networks: layers whose connections keep learning after training (Miconi, Stanley, Clune 2018)."""

from plastic import functional
from plastic.acting import Acting
from plastic.functional import PlasticState
from plastic.linear import PlasticLinear
from plastic.lstm import PlasticLSTMCell, PlasticLSTMState
from plastic.recurrent import PlasticRNN, PlasticRNNCell
from plastic.rules import ClippedHebb, Hebb, Modulated, Oja, Retroactive, Rule

__all__ = [
    "Acting",
    "ClippedHebb",
    "Hebb",
    "Modulated",
    "Oja",
    "PlasticLSTMCell",
    "PlasticLSTMState",
    "PlasticLinear",
    "PlasticRNN",
    "PlasticRNNCell",
    "PlasticState",
    "Retroactive",
    "Rule",
    "functional",
]
