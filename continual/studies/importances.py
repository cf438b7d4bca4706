"""What importance goes with: the Fisher information, and the importance of other tasks."""

import torch
from matplotlib.figure import Figure
from torch import Tensor, nn

from continual.importance import fisher
from continual.learning import Learner
from continual.networks import MLP
from continual.options import ContinualOptions
from continual.regularizers import SI
from continual.scenarios import Stream
from continual.studies import Row, Study, layer

DRAWN = 4000  # points of a scatter


class RememberingSI(SI):
    """SI that keeps every task's path and damped importance."""

    def __init__(self, model: nn.Module, strength: float, xi: float) -> None:
        super().__init__(model, strength, xi)
        self.paths: list[dict[str, Tensor]] = []
        self.added: list[dict[str, Tensor]] = []

    @torch.no_grad()
    def end_task(self, loader: object = (), answer: object = None) -> None:
        path, anchor = self.tensors["path"], self.tensors["anchor"]
        self.paths.append({name: value.clone() for name, value in path.items()})
        self.added.append(
            {name: path[name] / ((p.detach() - anchor[name]).square() + self.xi) for name, p in self.parameters.items()}
        )
        super().end_task()


def correlation(a: Tensor, b: Tensor) -> float:
    """Pearson's coefficient over all elements; 0 where they are all the same."""
    a, b = (x.flatten().double() - x.double().mean() for x in (a, b))
    return float((a @ b) / (a.norm() * b.norm()).clamp_min(1e-300))


def ranks(values: Tensor) -> Tensor:
    """Their order, for Spearman's coefficient."""
    flat = values.flatten()
    order = torch.empty(len(flat), dtype=torch.double)
    order[flat.cpu().argsort()] = torch.arange(len(flat), dtype=torch.double)
    return order


def learned(
    config: ContinualOptions, stream: Stream, hidden: tuple[int, ...], device: torch.device
) -> tuple[RememberingSI, dict[str, Tensor]]:
    """The regularizer after the whole stream, and the Fisher diagonal of the last task there."""
    learner = Learner(config, stream, lambda s, R: MLP((s.train.shape[1], *hidden), s.units, R), device)
    si = RememberingSI(learner.network, config.settled_strength, config.xi)
    learner.regularizer = si
    while learner.record.updates < learner.ends[-1]:
        learner.step()
    last = len(stream.tasks) - 1
    examples = learner.examples(last)
    return si, fisher(learner.network, si.parameters, examples, "exact", lambda inputs: learner.answer(inputs, last))


def fisher_and_importance(si: RememberingSI, diagonal: dict[str, Tensor]) -> Study:
    """The last task's importance against the Fisher diagonal at its end, layer by layer."""
    weights = [name for name in si.parameters if name.endswith("weight")]
    figure = Figure(figsize=(3.4 * len(weights), 3.4), layout="constrained")
    rows: list[Row] = []
    chance = torch.Generator().manual_seed(0)
    for axes, name in zip(figure.subplots(1, len(weights), squeeze=False)[0], weights, strict=True):
        omega, F = si.added[-1][name].flatten().cpu(), diagonal[name].flatten().cpu()
        live = (omega > 0) & (F > 0)
        both = live.nonzero().flatten()
        some = both[torch.randperm(len(both), generator=chance)[:DRAWN]]
        axes.loglog(F[some].tolist(), omega[some].tolist(), ".", ms=1.5, alpha=0.4)
        of_ranks = correlation(ranks(omega), ranks(F))
        axes.set(title=f"{layer(name)}: rank correlation {of_ranks:.2f}", xlabel="Fisher diagonal")
        axes.set(ylabel="importance of SI")
        rows.append(
            {
                "layer": layer(name),
                "connections": float(len(omega)),
                "correlation": correlation(omega, F),
                "of logarithms": correlation(omega[live].log(), F[live].log()),
                "of ranks": of_ranks,
            }
        )
    return Study({"fisher": figure}, rows)


def across_tasks(with_penalty: RememberingSI, without: RememberingSI) -> Study:
    """Correlation of w between tasks, a matrix a layer, with c > 0 and c = 0."""
    weights = [name for name in without.parameters if name.endswith("weight")]
    figure = Figure(figsize=(2.9 * len(weights) + 0.8, 5.8), layout="constrained")
    grid = figure.subplots(2, len(weights), squeeze=False, sharex=True, sharey=True)
    rows: list[Row] = []
    for i, (label, si) in enumerate((("c = 0", without), ("c > 0", with_penalty))):
        for axes, name in zip(grid[i], weights, strict=True):
            paths = [path[name] for path in si.paths]
            matrix = torch.tensor([[correlation(a, b) for b in paths] for a in paths])
            image = axes.imshow(matrix.numpy(), vmin=-1, vmax=1, cmap="RdBu_r")
            axes.set_xticks(range(len(matrix)), [str(task + 1) for task in range(len(matrix))])
            axes.set_yticks(range(len(matrix)), [str(task + 1) for task in range(len(matrix))])
            off = matrix[~torch.eye(len(matrix), dtype=torch.bool)]
            axes.set_title(f"{layer(name)}, {label}: mean {off.mean():.2f}", fontsize=10)
            rows.append(
                {"penalty": label, "layer": layer(name), "mean correlation of different tasks": float(off.mean())}
            )
    for axes in grid[-1]:
        axes.set_xlabel("task")
    for axes in grid[:, 0]:
        axes.set_ylabel("task")
    figure.colorbar(image, ax=grid, shrink=0.7, label="correlation of w")
    return Study({"tasks": figure}, rows)
