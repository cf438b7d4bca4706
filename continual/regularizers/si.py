"""Synaptic intelligence."""

import torch
from torch import Tensor, nn

from continual.importance import Answer, Batches
from continual.regularizers.base import Quadratic


class SI(Quadratic):
    """penalty = strength · sum_i Omega_i (theta_i - theta*_i)², no factor of 1/2.

    In every step w_i <- w_i - g_i delta_i: g the gradient of the task's loss alone, without the penalty; delta the
    change that the optimizer really made. After a task

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
        self._before = self.here()

    def _zeros(self) -> dict[str, Tensor]:
        return {name: torch.zeros_like(p, requires_grad=False) for name, p in self.parameters.items()}

    @torch.no_grad()
    def add_penalty_grad_(self) -> None:
        self._gradient = {name: p.grad for name, p in self.parameters.items()}
        for name, p in self.parameters.items():
            self._before[name].copy_(p)
        super().add_penalty_grad_()

    @torch.no_grad()
    def after_step(self) -> None:
        for name, p in self.parameters.items():
            gradient, step = self._gradient[name], self._before[name].sub_(p)  # minus delta
            if gradient is not None:
                self.tensors["path"][name].addcmul_(gradient, step)

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
