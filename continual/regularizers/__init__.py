"""Regularizers by name. One of your own: a file with a subclass of ``Regularizer`` or ``Quadratic``, a line here."""

from collections.abc import Callable
from typing import Literal

from torch import nn

from continual.importance import Fisher
from continual.regularizers.base import Quadratic, Regularizer, slow_parameters
from continual.regularizers.ewc import EWC, OnlineEWC
from continual.regularizers.l2 import L2
from continual.regularizers.mas import MAS
from continual.regularizers.si import SI

Name = Literal["none", "l2", "ewc", "online_ewc", "si", "mas"]

__all__ = ["EWC", "L2", "MAS", "SI", "Name", "OnlineEWC", "Quadratic", "Regularizer", "make", "slow_parameters"]


def make(
    name: Name, model: nn.Module, strength: float, xi: float = 1e-3, gamma: float = 1.0, fisher: Fisher = "exact"
) -> Regularizer:
    """The regularizer ``name`` on the slow weights of ``model``; ValueError for settings that make no sense."""
    makers: dict[str, Callable[[], Regularizer]] = {
        "none": lambda: Regularizer(model, strength),
        "l2": lambda: L2(model, strength),
        "ewc": lambda: EWC(model, strength, fisher),
        "online_ewc": lambda: OnlineEWC(model, strength, fisher, gamma),
        "si": lambda: SI(model, strength, xi),
        "mas": lambda: MAS(model, strength),
    }
    if name not in makers:
        raise ValueError(f"unknown regularizer {name!r}: expected one of {', '.join(makers)}")
    return makers[name]()
