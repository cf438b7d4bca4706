"""What an agent lives in: B environments side by side, on the device."""

from typing import NamedTuple, Protocol

import torch
from torch import Tensor


class Moment(NamedTuple):
    """What a step brings."""

    observation: Tensor
    """(B, O)"""
    reward: Tensor
    """(B,)"""
    over: Tensor
    """(B,) bool: this was the life's last step"""


class World(Protocol):
    """Lives that begin together. All chance is drawn from the generator that ``reset`` is given."""

    name: str
    """what results call it"""
    observations: int
    """O"""
    actions: int
    length: int
    """most steps in a life"""
    ends_early: bool
    """whether a life may be shorter"""

    def reset(self, batch: int, chance: torch.Generator) -> Tensor:
        """B lives begin; what is seen first (B, O)."""

    def step(self, action: Tensor) -> Moment:
        """action (B,) of whole numbers."""

    def text(self) -> str:
        """How the first of the lives stands, to be read by people."""


def one_hot(action: Tensor, actions: int) -> Tensor:
    """(B,) -> (B, A) in single precision."""
    return torch.nn.functional.one_hot(action, actions).float()
