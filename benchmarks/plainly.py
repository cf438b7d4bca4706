"""Plastic networks step by step as the equations read, for autograd to keep all of it; and who could do it better."""

from functools import partial
from typing import Literal

import torch
from torch import Tensor

from benchmarks.comparison import PLAIN, Errors, Way, differences
from plastic import functional as PF
from plastic.kernels import sequence
from plastic.kernels.sequence import Backend
from plastic.rules import as_rule

Side = Backend | Literal["plain"]
BACKENDS: dict[str, tuple[Backend, ...]] = {"cpu": ("torch", "compiled"), "cuda": ("torch", "triton")}


def backends(rule: str, weight: Tensor) -> list[Backend]:
    """What can run a free network with this weight here, the plainest first."""
    found = []
    for backend in BACKENDS[weight.device.type]:
        try:
            sequence.choose(backend, as_rule(rule), True, 0, (weight,))
        except ValueError:  # no compiler, no Triton
            continue
        found.append(backend)
    return found


def rewritten(trace: Tensor, outer: Tensor, post: Tensor, eta: Tensor, rule: str) -> Tensor:
    """The trace (B, N, N) after a step; ``outer``: pre (B, N, 1) times post (B, 1, N)."""
    if rule == "oja":
        return trace + eta * (outer - post.square().unsqueeze(1) * trace)
    if rule == "hebb":
        return (1 - eta) * trace + eta * outer
    return torch.clamp(trace + eta * outer, -1, 1)


class Free:
    """A plastic network that runs freely on inputs of chance, and a loss on all of its activity."""

    def __init__(self, rule: str, units: int, steps: int, batch: int, device: torch.device) -> None:
        torch.manual_seed(0)
        self.rule, self.batch = rule, batch
        self.title = f"a free network, {rule}, N={units}, T={steps}, B={batch}: one episode, forward and backward"
        self.weight = (torch.randn(units, units, device=device) / units).requires_grad_()
        self.alpha = (torch.randn(units, units, device=device) / units).requires_grad_()
        self.eta = torch.tensor(0.1, device=device, requires_grad=True)
        self.input, self.wanted = torch.randn(2, steps, batch, units, device=device)
        self.backends = backends(rule, self.weight)

    def plain(self) -> None:
        """Episodes in batched products, one autograd step at a time."""
        hidden = torch.zeros_like(self.input[0])
        trace = hidden.new_zeros(*hidden.shape, hidden.shape[-1])
        loss = hidden.new_zeros(())
        for input, wanted in zip(self.input, self.wanted, strict=True):
            recurrent = torch.bmm(hidden.unsqueeze(1), self.weight + self.alpha * trace).squeeze(1)
            post = torch.tanh(recurrent + input)
            trace = rewritten(trace, torch.bmm(hidden.unsqueeze(2), post.unsqueeze(1)), post, self.eta, self.rule)
            loss = loss + (post * wanted).sum()
            hidden = post
        loss.backward()

    def ours(self, backend: Backend) -> None:
        output, _ = PF.plastic_rnn(self.input, None, self.weight, self.alpha, self.eta, self.rule, backend=backend)
        (output * self.wanted).sum().backward()

    def run(self, way: Side) -> None:
        self.plain() if way == "plain" else self.ours(way)

    def gradients(self, way: Side) -> dict[str, Tensor]:
        parameters = {"weight": self.weight, "alpha": self.alpha, "eta": self.eta}
        for parameter in parameters.values():
            parameter.grad = None
        self.run(way)
        return {name: p.grad.clone() for name, p in parameters.items() if p.grad is not None}

    def errors(self) -> Errors:
        expected = self.gradients(PLAIN)
        return {way: differences(self.gradients(way), expected) for way in self.backends}

    def ways(self) -> dict[str, Way]:
        sides: tuple[Side, ...] = (PLAIN, *self.backends)
        return {way: Way(partial(self.run, way), self.batch) for way in sides}
