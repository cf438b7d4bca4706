"""Small exact pictures: a quadratic, two tasks in two dimensions, and one update of DHP's trace."""

from collections.abc import Callable

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from continual.dhp import DHPSoftmax
from continual.regularizers import SI, Quadratic
from continual.studies import Row, Study
from plastic.experiment.figures import matrices


class Point(nn.Module):
    """Parameters with no network around them."""

    def __init__(self, values: Tensor) -> None:
        super().__init__()
        self.theta = nn.Parameter(values.clone())


def descend(
    point: Point, regularizer: Quadratic, loss: Callable[[Tensor], Tensor], steps: int, lr: float
) -> list[Tensor]:
    """Plain gradient descent; where it went."""
    optimizer, way = torch.optim.SGD(point.parameters(), lr=lr), [point.theta.detach().clone()]
    for _ in range(steps):
        optimizer.zero_grad()
        loss(point.theta).backward()
        regularizer.add_penalty_grad_()
        optimizer.step()
        regularizer.after_step()
        way.append(point.theta.detach().clone())
    return way


def hessian(count: int = 24, step: float = 0.4) -> Study:
    """On sum H theta² / 2, descent in steps e leaves Omega = H / (2 - e H): the Hessian's half as e goes to 0."""
    H = torch.linspace(0.5, 4.5, count, dtype=torch.double)
    figure = Figure(figsize=(4.6, 3.8), layout="constrained")
    axes = figure.subplots()
    rows: list[Row] = []
    for e in (step, step / 4, step / 40):
        point = Point(torch.ones(count, dtype=torch.double))
        si = SI(point, 0.0, xi=1e-30)
        descend(point, si, lambda theta: (0.5 * H * theta.square()).sum(), int(40 / e), e)
        si.end_task()
        omega, exact = si.tensors["importance"]["theta"], H / (2 - e * H)
        axes.plot(H, omega, ".", label=f"measured, e = {e:g}")
        axes.plot(H, exact, lw=0.8, color="grey")
        rows.append(
            {
                "step": e,
                "largest relative error against H / (2 - e H)": float(((omega - exact) / exact).abs().max()),
                "mean ratio to H / 2": float((2 * omega / H).mean()),
            }
        )
    axes.plot(H, H / 2, color="black", lw=1, linestyle="--", label="H / 2")
    axes.plot([], [], lw=0.8, color="grey", label="H / (2 - e H)")
    axes.set(xlabel="Hessian H", ylabel="importance", title="A quadratic: SI recovers the Hessian", yscale="log")
    axes.legend(fontsize=8)
    return Study({"hessian": figure}, rows)


def _first(theta: Tensor) -> Tensor:
    """A valley that is flat at its end and steep before: local curvature there tells little of the way."""
    x, y = theta[..., 0], theta[..., 1]
    return 0.5 * y.square() + 0.25 * x.pow(4)


def _second(theta: Tensor) -> Tensor:
    x, y = theta[..., 0], theta[..., 1]
    return 0.3 * (x - 1.6).square() + 0.3 * (y - 1.2).square()


class _Local(Quadratic):
    """The true curvature at the end, halved as in EWC."""

    FACTOR = 0.5

    def end_task(self, loader: object = (), answer: object = None) -> None:
        here = self.here()["theta"]
        curvature = torch.autograd.functional.hessian(_first, here)
        assert isinstance(curvature, Tensor)
        self.tensors = {"importance": {"theta": curvature.diagonal().clamp(min=0)}, "anchor": {"theta": here}}


def two_tasks() -> Study:
    """Two tasks with two parameters: penalties from the curvature where the first ended, and from the way there."""
    start = torch.tensor([-1.6, -1.2], dtype=torch.double)
    kinds: dict[str, Callable[[nn.Module], Quadratic]] = {
        "no penalty": lambda model: _Local(model, 0.0),
        "local curvature": lambda model: _Local(model, 1.0),
        "trajectory (SI)": lambda model: SI(model, 1.0, xi=1e-3),
    }
    figure = Figure(figsize=(11, 3.8), layout="constrained")
    rows: list[Row] = []
    x, y = torch.meshgrid(torch.linspace(-2, 2.2, 120), torch.linspace(-1.8, 1.8, 120), indexing="xy")
    surface, other = (task(torch.stack([x, y], -1)) for task in (_first, _second))
    for axes, (name, make) in zip(figure.subplots(1, len(kinds), sharey=True), kinds.items(), strict=True):
        point = Point(start)
        regularizer = make(point)
        ways = [descend(point, regularizer, _first, 400, 0.05)]
        regularizer.end_task(())
        ways.append(descend(point, regularizer, _second, 400, 0.05))
        axes.contourf(x.numpy(), y.numpy(), surface.numpy(), levels=24, cmap="Blues")
        axes.contour(x.numpy(), y.numpy(), other.numpy(), levels=8, colors="crimson", linewidths=0.5, alpha=0.6)
        for way, colour, label in zip(ways, ("black", "crimson"), ("task 1", "task 2"), strict=True):
            line = torch.stack(way)
            axes.plot(line[:, 0], line[:, 1], color=colour, label=label)
        axes.plot(1.6, 1.2, "*", color="crimson", ms=10)
        axes.set(xlabel="theta 1", ylabel="theta 2")
        axes.legend(fontsize=8, loc="lower right")
        end = ways[1][-1]
        axes.set_title(f"{name}: task 1 at {float(_first(end)):.2f}", fontsize=10)
        rows.append({"penalty": name, "loss of task 1 after task 2": float(_first(end)), "task 2": float(_second(end))})
    return Study({"two_tasks": figure}, rows)


def trace_update(hidden: Tensor, labels: Tensor, units: int, eta: float = 0.3) -> Study:
    """One update of DHP's trace by a batch of activity (B, m): before, after, and what changed, by class."""
    layer = DHPSoftmax(hidden.shape[1], units, eta)
    half = len(hidden) // 2
    layer(hidden[:half], labels[:half])
    before = layer.trace.clone()
    layer(hidden[half:], labels[half:])
    after = layer.trace
    shown = {"before": before, "after": after, "change": after - before}
    counts = torch.bincount(labels[half:], minlength=units)
    figure = matrices(shown, "class (bold: in the batch)", "hidden unit", one_scale=True)
    for axes in figure.axes[: len(shown)]:
        axes.set_xticks(range(units), [str(c) for c in range(units)])
        for label, count in zip(axes.get_xticklabels(), counts.tolist(), strict=True):
            label.set_fontweight("bold" if count else "normal")
    rows: list[Row] = [
        {"class": str(c), "in the batch": float(counts[c]), "size of the change": float((after - before)[:, c].norm())}
        for c in range(units)
    ]
    return Study({"trace_update": figure}, rows)
