"""Does the path integral account for the loss? sum_k w_k against the true drop, by gradient flow, SGD and Adam."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from matplotlib.figure import Figure
from torch import Tensor
from torch.nn import functional as F

from continual.importance import Sums
from continual.networks import MLP
from continual.studies import Row, Study
from plastic.experiment import generator

FLOW, SGD, ADAM = "gradient flow", "SGD", "Adam"
RATES = {FLOW: 0.05, SGD: 0.05, ADAM: 1e-3}
"""flow and SGD take the same steps, so that only the noise of minibatches is between them"""


@dataclass(frozen=True)
class Walk:
    """One way of going down: what the loss on all examples did, and what the path said."""

    name: str
    at: list[int]
    """steps at which the loss was measured"""
    drop: Tensor
    """L(0) - L(t) on all examples"""
    shared: Tensor
    """sum over parameters of w = -sum g delta, with g of the minibatch that made the step"""
    apart: Tensor
    """the same with g of an independent minibatch"""
    network: MLP
    """at the end"""
    moved: Sums
    """how far each parameter went"""
    credit: tuple[Sums, Sums]
    """w of each parameter at the end, shared and apart"""

    def factor(self, until: float = 1.0) -> float:
        """The one f for which f · shared is closest to the drop, by least squares over this share of the walk."""
        n = max(2, round(until * len(self.at)))
        path, drop = self.shared[:n], self.drop[:n]
        return float((path * drop).sum() / path.square().sum().clamp_min(1e-30))

    def error(self, factor: float = 1.0) -> float:
        """The largest distance of factor · shared from the drop, as a share of the whole drop."""
        return float((factor * self.shared - self.drop).abs().max() / self.drop[-1])


def walk(
    name: str,
    inputs: Tensor,
    labels: Tensor,
    hidden: tuple[int, ...],
    steps: int,
    lr: float,
    batch: int,
    seed: int,
    points: int = 20,
) -> Walk:
    """Train a rectified network on inputs (N, D) by ``name``; gradient flow takes all examples in each step."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator(seed, "weights").initial_seed())
        network = MLP((inputs.shape[1], *hidden), 10, 1).to(inputs.device)
    named = dict(network.named_parameters())
    parameters = list(named.values())
    kind = torch.optim.Adam if name == ADAM else torch.optim.SGD
    optimizer = kind(parameters, lr=lr, fused=True)
    chance = generator(seed, f"walk {name}")

    def gradients() -> Sequence[Tensor]:
        rows: Tensor | slice = slice(None)
        if name != FLOW:
            rows = torch.randint(len(inputs), (batch,), generator=chance).to(inputs.device)
        loss = F.cross_entropy(network(inputs[rows].unsqueeze(0))[0], labels[rows])
        return torch.autograd.grad(loss, parameters)

    @torch.no_grad()
    def whole() -> float:
        losses = [
            F.cross_entropy(network(x.unsqueeze(0))[0], y, reduction="sum")
            for x, y in zip(inputs.split(1000), labels.split(1000), strict=True)
        ]
        return sum(loss.item() for loss in losses) / len(inputs)

    begin = [p.detach().clone() for p in parameters]
    before = [torch.empty_like(p) for p in begin]
    credit = [[torch.zeros_like(p) for p in begin] for _ in range(2)]
    at, drop, sums = [0], [0.0], [[0.0, 0.0]]
    start = whole()
    every = max(1, steps // points)
    for step in range(1, steps + 1):
        own = gradients()
        other = own if name == FLOW else gradients()
        with torch.no_grad():
            for p, old, g in zip(parameters, before, own, strict=True):
                old.copy_(p)
                p.grad = g
            optimizer.step()
            for i, p in enumerate(parameters):
                change = before[i].sub_(p)  # minus delta
                credit[0][i].addcmul_(own[i], change)
                credit[1][i].addcmul_(other[i], change)
        if step % every == 0 or step == steps:
            at.append(step)
            drop.append(start - whole())
            sums.append([sum(w.double().sum().item() for w in way) for way in credit])
    both = torch.tensor(sums, dtype=torch.double)
    moved = {n: p.detach() - old for (n, p), old in zip(named.items(), begin, strict=True)}
    shared, apart = (dict(zip(named, way, strict=True)) for way in credit)
    return Walk(
        name, at, torch.tensor(drop, dtype=torch.double), both[:, 0], both[:, 1], network, moved, (shared, apart)
    )


def path_integral(walks: Sequence[Walk]) -> Study:
    """Gradient flow in small steps on all examples, SGD, and Adam: sum and drop along the way."""
    figure = Figure(figsize=(3.6 * len(walks), 3.4), layout="constrained")
    rows: list[Row] = []
    for axes, one in zip(figure.subplots(1, len(walks), squeeze=False)[0], walks, strict=True):
        end, total = float(one.drop[-1]), float(one.shared[-1])
        axes.plot(one.at, one.drop, color="black", label="true drop of the loss")
        axes.plot(one.at, one.shared, color="tab:red", linestyle="--", label="sum over the path")
        axes.set(title=f"{one.name}: {total / end:.2f} times the drop", xlabel="step", ylabel="drop of the loss")
        axes.grid(alpha=0.3)
        axes.set_ylim(top=1.25 * max(end, total))
        axes.legend(fontsize=8, loc="upper left")
        rows.append({"optimizer": one.name, "true drop": end, "sum over the path": total, "ratio": total / end})
    return Study({"path_integral": figure}, rows)


def correction(walks: Sequence[Walk]) -> Study:
    """One factor for each optimizer: how much of the deviation it takes away, and whether the first half tells it."""
    figure = Figure(figsize=(5, 4), layout="constrained")
    axes = figure.subplots()
    rows: list[Row] = []
    for i, one in enumerate(walks):
        factor, early = one.factor(), one.factor(0.5)
        axes.plot(one.shared, one.drop, ".", color=f"C{i}", label=f"{one.name}, factor {factor:.2f}")
        axes.plot([0, float(one.shared[-1])], [0, factor * float(one.shared[-1])], color=f"C{i}", lw=1)
        rows.append(
            {
                "optimizer": one.name,
                "factor": factor,
                "largest error without": one.error(),
                "largest error with": one.error(factor),
                "factor of the first half": early,
                "largest error with that": one.error(early),
            }
        )
    reach = max(float(one.shared.max()) for one in walks)
    axes.plot([0, reach], [0, reach], color="grey", linestyle=":", label="sum = drop")
    axes.set(xlabel="sum over the path", ylabel="true drop of the loss", title="One factor for each optimizer")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return Study({"correction": figure}, rows)
