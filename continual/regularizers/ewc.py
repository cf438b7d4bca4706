"""Elastic weight consolidation, offline and online."""

import torch
from torch import Tensor, nn

from continual.importance import Answer, Batches, Fisher, fisher
from continual.regularizers.base import Quadratic


class EWC(Quadratic):
    """penalty = (strength / 2) sum over tasks t, sum_i F_ti (theta_i - theta*_ti)²: a term a task.

    Kirkpatrick et al. 2017, eq. 3, arXiv 1612.00796; F_t is the diagonal Fisher information at the task's own optimum
    theta*_t, a mean over samples (see ``continual.importance.fisher``). The terms of all tasks are kept as one: with
    A = sum F_t and mu = sum F_t theta*_t / A their sum is A (theta - mu)² plus a constant, so memory does not grow.
    """

    FACTOR = 0.5

    def __init__(self, model: nn.Module, strength: float, kind: Fisher = "exact", samples_seed: int = 0) -> None:
        super().__init__(model, strength)
        self.kind: Fisher = kind
        self.samples_seed = samples_seed

    def measured(self, loader: Batches, answer: Answer | None) -> dict[str, Tensor]:
        chance = torch.Generator().manual_seed(self.samples_seed)
        return fisher(self.model, self.parameters, loader, self.kind, answer, chance)

    @torch.no_grad()
    def penalty(self) -> Tensor:
        constant = sum((c.sum() for c in self.tensors.get("constant", {}).values()), torch.zeros(()))
        return super().penalty() + self.FACTOR * self.strength * constant

    def end_task(self, loader: Batches, answer: Answer | None = None) -> None:
        found, here = self.measured(loader, answer), self.here()
        if not self.tensors:
            zeros = {name: torch.zeros_like(value) for name, value in here.items()}
            self.tensors = {"importance": found, "anchor": here, "constant": zeros}
            return
        for name, F in found.items():
            before, anchor = self.tensors["importance"][name], self.tensors["anchor"][name]
            total = before + F
            share = torch.where(total > 0, F / total.clamp_min(torch.finfo(F.dtype).tiny), 0)
            moved = here[name] - anchor
            self.tensors["constant"][name] += before * share * moved.square()
            self.tensors["importance"][name] = total
            self.tensors["anchor"][name] = anchor + share * moved


class OnlineEWC(EWC):
    """penalty = (strength / 2) gamma sum_i F~_i (theta_i - theta*_i)², F~ <- gamma F~ + F after each task.

    Schwarz et al. 2018, eqs. 8-9, arXiv 1805.06370: one penalty centred where the last task ended, gamma in it too.
    ``gamma`` in [0, 1] is how much earlier tasks count; ValueError for anything else.
    """

    def __init__(self, model: nn.Module, strength: float, kind: Fisher = "exact", gamma: float = 1.0) -> None:
        super().__init__(model, strength, kind)
        if not 0 <= gamma <= 1:
            raise ValueError(f"gamma: expected a number from 0 to 1, got {gamma}")
        self.gamma = gamma
        self.FACTOR = 0.5 * gamma

    def end_task(self, loader: Batches, answer: Answer | None = None) -> None:
        found = self.measured(loader, answer)
        before = self.tensors.get("importance", {})
        kept = {name: F + self.gamma * before[name] if before else F for name, F in found.items()}
        self.tensors = {"importance": kept, "anchor": self.here()}
