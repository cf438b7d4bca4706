"""Does the path integral account for the loss? -sum_k w_k against the true drop, by gradient flow, SGD and Adam."""

from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from continual.networks import MLP
from continual.studies import Study
from plastic.experiment import generator


@dataclass(frozen=True)
class Walk:
    """One way of going down: what the loss on all examples did, and what the path said."""

    name: str
    at: list[int]
    """steps at which the loss was measured"""
    drop: Tensor
    """L(0) - L(t) on all examples"""
    shared: Tensor
    """-sum of g · delta with g of the minibatch that made the step"""
    apart: Tensor
    """the same with g of an independent minibatch"""

    def factor(self, path: Tensor) -> float:
        """The one number f for which f · path is closest to the drop, by least squares."""
        return float((path * self.drop).sum() / path.square().sum().clamp_min(1e-30))


def walk(
    name: str,
    inputs: Tensor,
    labels: Tensor,
    hidden: tuple[int, ...],
    steps: int,
    lr: float,
    batch: int | None,
    seed: int,
    adam: bool = False,
    points: int = 20,
) -> Walk:
    """Train a rectified network on inputs (N, D); ``batch`` None takes all examples in each step."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator(seed, "weights").initial_seed())
        network = MLP((inputs.shape[1], *hidden), 10, 1).to(inputs.device)
    parameters = list(network.parameters())
    kind = torch.optim.Adam if adam else torch.optim.SGD
    optimizer = kind(parameters, lr=lr, fused=True)
    chance = generator(seed, f"walk {name}")

    def gradients() -> list[Tensor]:
        rows: Tensor | slice = slice(None)
        if batch is not None:
            rows = torch.randint(len(inputs), (batch,), generator=chance).to(inputs.device)
        loss = F.cross_entropy(network(inputs[rows].unsqueeze(0))[0], labels[rows])
        return list(torch.autograd.grad(loss, parameters))

    @torch.no_grad()
    def whole() -> float:
        losses = [
            F.cross_entropy(network(x.unsqueeze(0))[0], y, reduction="sum")
            for x, y in zip(inputs.split(1000), labels.split(1000), strict=True)
        ]
        return sum(loss.item() for loss in losses) / len(inputs)

    at, drop, sums = [0], [0.0], [torch.zeros(2, dtype=torch.double)]
    start, path = whole(), torch.zeros(2, dtype=torch.double)
    every = max(1, steps // points)
    for step in range(1, steps + 1):
        own = gradients()
        other = own if batch is None else gradients()
        before = [p.detach().clone() for p in parameters]
        for p, g in zip(parameters, own, strict=True):
            p.grad = g
        optimizer.step()
        with torch.no_grad():
            for p, old, g, h in zip(parameters, before, own, other, strict=True):
                change = (old - p).flatten()
                path += torch.stack([g.flatten() @ change, h.flatten() @ change]).double().cpu()
        if step % every == 0 or step == steps:
            at.append(step)
            drop.append(start - whole())
            sums.append(path.clone())
    both = torch.stack(sums)
    return Walk(name, at, torch.tensor(drop, dtype=torch.double), both[:, 0], both[:, 1])


def path_integral(
    inputs: Tensor, labels: Tensor, hidden: tuple[int, ...], steps: int, batch: int, seed: int, flow_steps: int
) -> Study:
    """Gradient flow in small steps on all examples, SGD, and Adam, on the same examples."""
    walks = [
        walk("gradient flow", inputs, labels, hidden, flow_steps, 0.02, None, seed),
        walk("SGD", inputs, labels, hidden, steps, 0.05, batch, seed),
        walk("Adam", inputs, labels, hidden, steps, 1e-3, batch, seed, adam=True),
    ]
    figure = Figure(figsize=(3.6 * len(walks), 3.6), layout="constrained")
    rows: list[dict[str, str | float]] = []
    for axes, one in zip(figure.subplots(1, len(walks)), walks, strict=True):
        factor = one.factor(one.shared)
        axes.plot(one.at, one.drop, color="black", label="true drop of the loss")
        axes.plot(one.at, one.shared, label="path, same minibatch")
        axes.plot(one.at, factor * one.shared, linestyle="--", label=f"the same x {factor:.3f}")
        axes.plot(one.at, one.apart, linestyle=":", label="path, other minibatch")
        axes.set(title=one.name, xlabel="step", ylabel="loss at the start - loss")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=7)
        end = float(one.drop[-1])
        rows.append(
            {
                "optimizer": one.name,
                "true drop": end,
                "path, same minibatch": float(one.shared[-1]),
                "ratio": float(one.shared[-1]) / end,
                "fitted factor": factor,
                "error after the factor": float((factor * one.shared - one.drop).abs().max()) / end,
                "path, other minibatch": float(one.apart[-1]),
                "ratio, other": float(one.apart[-1]) / end,
            }
        )
    return Study({"path_integral": figure}, rows)
