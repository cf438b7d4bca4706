"""What a run of continual learning shows: the accuracy matrix, and each task's accuracy as others follow."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from matplotlib.figure import Figure
from torch import Tensor

from continual.options import ContinualOptions
from plastic.experiment import Run

LINES = {"linear": "--", "dhp": "-", "memory": ":"}  # of each read-out


def draw_figures(run: Run, matrices: Tensor, config: ContinualOptions, dataset: str, at: int) -> None:
    """Figures of the matrices (R, learned + 1, T), means over seeds."""
    title = f"{dataset}, {config.scenario} scenario: {config.reg}, {config.head} head"
    run.figure("accuracy_matrix", heat_map(matrices.mean(0), title), at)
    if not config.joint:
        run.figure("accuracy_by_task", curves(matrices, title), at)


def heat_map(matrix: Tensor, title: str) -> Figure:
    """Accuracy on each task (columns) after learning 0, 1, ... tasks (rows), in per cent."""
    rows, columns = matrix.shape
    figure = Figure(figsize=(2.2 + 0.62 * columns, 1.6 + 0.5 * rows), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(matrix.numpy(), vmin=0, vmax=1, cmap="viridis", aspect="auto")
    for i in range(rows):
        for j in range(columns):
            value = matrix[i, j].item()
            if value == value:  # joint learning has no rows between
                colour = "white" if value < 0.6 else "black"
                axes.text(j, i, f"{100 * value:.1f}", ha="center", va="center", color=colour, fontsize=8)
    axes.set_xticks(range(columns), [str(j + 1) for j in range(columns)])
    axes.set_yticks(range(rows))
    axes.set(xlabel="tested on task", ylabel="tasks learned", title=title)
    axes.title.set_fontsize(9)
    figure.colorbar(image, ax=axes, label="accuracy")
    return figure


def curves(matrices: Tensor, title: str) -> Figure:
    """Each task's accuracy from when it is learned on, and the mean over the tasks seen; bands are ± one deviation."""
    seeds, rows, tasks = matrices.shape
    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    mean = matrices.mean(0)
    spread = matrices.std(0) if seeds > 1 else mean.new_zeros(mean.shape)
    for j in range(min(tasks, rows - 1)):
        x = list(range(j + 1, rows))
        (line,) = axes.plot(x, mean[j + 1 :, j].tolist(), marker=".", lw=1, label=f"task {j + 1}")
        low, high = (mean + sign * spread for sign in (-1, 1))
        axes.fill_between(x, low[j + 1 :, j].tolist(), high[j + 1 :, j].tolist(), color=line.get_color(), alpha=0.2)
    seen = [mean[i, :i].mean().item() for i in range(1, rows)]
    axes.plot(range(1, rows), seen, color="black", lw=2, label="mean of tasks seen")
    axes.set_xticks(range(1, rows))
    axes.set(xlabel="tasks learned", ylabel="accuracy", title=title)
    axes.title.set_fontsize(9)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=7, ncols=2)
    return figure


def side_by_side(results: Sequence[Mapping[str, Any]]) -> Figure:
    """The accuracy over the tasks seen after each of them: a colour for each regularizer, a dash for each read-out.

    ``results`` are what result.json holds; joint runs and fresh networks, which see no task after another, are left
    out. Bands are ± one deviation over seeds.
    """
    shown = [r for r in results if not (r["config"]["joint"] or r["config"]["scratch"])]
    kinds = list(dict.fromkeys(r["config"]["reg"] for r in shown))
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    axes = figure.subplots()
    for result in shown:
        config, R = result["config"], torch.tensor(result["accuracy_matrix"], dtype=torch.double)  # (seeds, T + 1, T)
        seen = torch.stack([R[:, n, :n].mean(-1) for n in range(1, R.shape[1])], -1)  # (seeds, T)
        mean, spread = seen.mean(0), seen.std(0) if len(seen) > 1 else seen.new_zeros(seen.shape[1])
        at, colour = range(1, R.shape[1]), f"C{kinds.index(config['reg'])}"
        label = f"{config['reg']}, {config['head']}: {100 * mean[-1]:.1f}"
        axes.plot(at, mean.tolist(), marker=".", color=colour, linestyle=LINES[config["head"]], label=label)
        axes.fill_between(at, (mean - spread).tolist(), (mean + spread).tolist(), color=colour, alpha=0.12, lw=0)
    axes.set_xticks(range(1, 1 + max((len(result["accuracy_matrix"][0][0]) for result in shown), default=1)))
    axes.set(xlabel="tasks learned", ylabel="accuracy over the tasks seen")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8, title="after the last, in per cent", title_fontsize=8)
    return figure
