"""What a regularizer is: four calls around a training step, and a state."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from continual.importance import Answer, Batches
from plastic.kernels.penalty import pull_


def slow_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that regularizers protect: all but those a layer lists as ``FAST`` (DHP's alpha and eta)."""
    fast = {id(getattr(layer, name)) for layer in model.modules() for name in getattr(layer, "FAST", ())}
    return {name: p for name, p in model.named_parameters() if id(p) not in fast and p.requires_grad}


class Regularizer:
    """No regularization: the base, and the reference of plain finetuning.

    A training step calls, in this order, ``loss.backward()`` on the loss of the task alone, ``add_penalty_grad_()``,
    the optimizer's ``step()``, and ``after_step()``; when a task is over, ``end_task``.

    Args:
        model: its slow parameters are protected.
        strength: the factor of the penalty, 0 or more. ValueError for anything else.
    """

    def __init__(self, model: nn.Module, strength: float = 0.0) -> None:
        if not (math.isfinite(strength) and strength >= 0):
            raise ValueError(f"strength: expected a finite number of 0 or more, got {strength}")
        self.model, self.strength = model, strength
        self.parameters = slow_parameters(model)
        self.tensors: dict[str, dict[str, Tensor]] = {}
        """what the regularizer remembers: kind of memory, then parameter name"""

    def penalty(self) -> Tensor:
        """What is added to the loss: ()."""
        return next(self.model.parameters()).new_zeros(())

    def steepest(self) -> float:
        """The largest second derivative k of the penalty: explicit descent at a rate e runs away where e k > 2."""
        return 0.0

    def add_penalty_grad_(self) -> None:
        """Add the gradient of the penalty to ``.grad``, which holds the gradient of the task's loss."""

    def after_step(self) -> None:
        """Look at what the optimizer did."""

    def end_task(self, loader: Batches, answer: Answer | None = None) -> None:
        """Remember what the task needs: ``loader`` yields its inputs and labels, ``answer`` gives its logits."""

    def state_dict(self) -> dict[str, Any]:
        return {kind: dict(values) for kind, values in self.tensors.items()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """ValueError where the state is of other parameters."""
        for kind, values in state.items():
            shapes = {name: p.shape for name, p in self.parameters.items()}
            if {name: value.shape for name, value in values.items()} != shapes:
                raise ValueError(f"{kind}: the state is of another network")
        self.tensors = {
            kind: {name: value.to(self.parameters[name].device) for name, value in values.items()}
            for kind, values in state.items()
        }


class Quadratic(Regularizer):
    """penalty = factor · strength · sum_i importance_i (theta_i - anchor_i)²; nothing before the first task is over.

    Subclasses set ``importance`` and ``anchor`` in ``end_task``.

    Attributes:
        implicit: the rate e of plain descent whose steps follow the penalty where they end, 0 for where they begin.
            With k_i = 2 factor strength importance_i and d = theta - anchor, an explicit step d' = d - e (g + k d)
            runs away where e k_i > 2; the implicit one, d' = d - e (g + k d'), never does. It is plain descent along
            (g + k d) / (1 + e k), which is what ``.grad`` becomes.
    """

    FACTOR = 1.0
    implicit: float = 0.0

    @torch.no_grad()
    def penalty(self) -> Tensor:
        total = super().penalty()
        if "importance" in self.tensors:
            for name, p in self.parameters.items():
                distance = p - self.tensors["anchor"][name]
                total = total + (self.tensors["importance"][name] * distance.square()).sum()
        return self.FACTOR * self.strength * total

    def steepest(self) -> float:
        held = self.tensors.get("importance", {}).values()
        return 2 * self.FACTOR * self.strength * max((value.max().item() for value in held), default=0.0)

    @torch.no_grad()
    def add_penalty_grad_(self) -> None:
        if "importance" in self.tensors and self.strength:
            for name, p in self.parameters.items():
                self._pull_(name, p)

    def _pull_(self, name: str, p: nn.Parameter, path: Tensor | None = None) -> None:
        """Add the penalty to the gradient of one parameter; for ``path`` see ``pull_``."""
        anchor, importance = self.tensors["anchor"][name], self.tensors["importance"][name]
        if p.grad is None:
            p.grad = torch.zeros_like(p)
        pull_(p.grad, p, anchor, importance, 2 * self.FACTOR * self.strength, self.implicit, path)

    def here(self) -> dict[str, Tensor]:
        """The parameters as they are."""
        return {name: p.detach().clone() for name, p in self.parameters.items()}
