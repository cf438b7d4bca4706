"""Synaptic intelligence."""

import torch
from torch import Tensor, nn

from continual.importance import Answer, Batches
from continual.regularizers.base import Quadratic


class SI(Quadratic):
    """penalty = strength · sum_i Omega_i (theta_i - theta*_i)², no factor of 1/2.

    In every step w_i <- w_i - g_i delta_i: g the gradient of the task's loss alone, without the penalty; delta the
    change that the optimizer really made, which implicit steps know beforehand. After a task

        Omega_i <- max(0, Omega_i + w_i / (Delta_i² + xi)),   Delta_i = theta_i - theta*_i,

    then theta* <- theta and w <- 0. Zenke, Poole, Ganguli 2017, eqs. 3-5, arXiv 1703.04200, with the rectification of
    their program. theta* of the first task is where training started. On a quadratic with curvature H, descent in
    steps of e gives Omega = H / (2 - e H).

    Args:
        xi: damping, above 0; ValueError for anything else.
    """

    def __init__(self, model: nn.Module, strength: float, xi: float = 1e-3) -> None:
        super().__init__(model, strength)
        if not xi > 0:
            raise ValueError(f"xi: expected more than 0, got {xi}")
        self.xi = xi
        self.tensors = {"anchor": self.here(), "path": self._zeros()}
        self._gradient: dict[str, Tensor | None] = {}
        self._before: dict[str, Tensor] = {}

    def _zeros(self) -> dict[str, Tensor]:
        return {name: torch.zeros_like(p, requires_grad=False) for name, p in self.parameters.items()}

    @torch.no_grad()
    def add_penalty_grad_(self) -> None:
        path, held = self.tensors["path"], "importance" in self.tensors and self.strength
        for name, p in self.parameters.items():
            if not self.implicit:  # whatever the optimizer makes of the gradient: seen after the step
                self._gradient[name] = None if p.grad is None else p.grad.clone()
                self._before[name] = p.detach().clone()
            if held:
                self._pull_(name, p, path[name] if self.implicit else None)
            elif self.implicit and p.grad is not None:
                path[name].addcmul_(p.grad, p.grad, value=self.implicit)

    @torch.no_grad()
    def after_step(self) -> None:
        for name, before in self._before.items():
            if (gradient := self._gradient[name]) is not None:
                self.tensors["path"][name].addcmul_(gradient, before - self.parameters[name])  # minus delta
        self._gradient, self._before = {}, {}

    @torch.no_grad()
    def end_task(self, loader: Batches = (), answer: Answer | None = None) -> None:
        """Needs no data."""
        before, here = self.tensors.get("importance", {}), self.here()
        importance = {}
        for name, path in self.tensors["path"].items():
            moved = here[name] - self.tensors["anchor"][name]
            added = path / (moved.square() + self.xi)
            importance[name] = (added + before[name] if before else added).clamp(min=0)
        self.tensors = {"importance": importance, "anchor": here, "path": self._zeros()}
