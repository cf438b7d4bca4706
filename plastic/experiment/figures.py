"""Figures that several commands draw. Plain ``Figure`` objects: no window, no global state."""

from collections.abc import Mapping, Sequence
from typing import Literal

import numpy as np
from matplotlib.figure import Figure
from torch import Tensor


def matrices(named: Mapping[str, Tensor], xlabel: str, ylabel: str, one_scale: bool = False) -> Figure:
    """Matrices (pre, post) side by side, red positive, blue negative; each on its own scale, or all on one.

    Of a thousand connections the few strongest are as dark as the scale goes, so that they do not hide the others.
    """
    figure = Figure(figsize=(1.2 + 2.6 * len(named), 4.2), layout="constrained")
    reaches = {name: _reach(matrix) for name, matrix in named.items()}
    for axes, (name, matrix) in zip(figure.subplots(1, len(named), squeeze=False)[0], named.items(), strict=True):
        values = matrix.detach().float().cpu().numpy()
        reach = (max(reaches.values()) if one_scale else reaches[name]) or 1.0
        aspect = "equal" if values.shape[0] == values.shape[1] else "auto"
        image = axes.imshow(values, cmap="RdBu_r", vmin=-reach, vmax=reach, aspect=aspect, interpolation="nearest")
        axes.set(title=name, xlabel=xlabel, ylabel=ylabel)
        figure.colorbar(image, ax=axes, shrink=0.8, extend="both")
    return figure


def _reach(matrix: Tensor) -> float:
    sizes = np.sort(matrix.detach().float().abs().flatten().cpu().numpy())
    return float(sizes[int(0.997 * (len(sizes) - 1))])


def curve(
    history: Sequence[Mapping[str, float]],
    names: Mapping[str, str],
    ylabel: str,
    title: str,
    level: float | None = None,
) -> Figure:
    """Logged scalars against training episodes; ``names`` maps each to its label, ``level`` is chance."""
    figure = Figure(figsize=(6, 3.8), layout="constrained")
    axes = figure.subplots()
    for name, label in names.items():
        points = [(row["episodes"], row[name]) for row in history if name in row]
        axes.plot([x for x, _ in points], [y for _, y in points], marker=".", label=label)
    if level is not None:
        axes.axhline(level, color="grey", linestyle=":", label="chance")
    axes.set(xlabel="training episodes", ylabel=ylabel, title=title)
    axes.grid(alpha=0.3)
    axes.legend()
    return figure


def quartiles(
    conditions: Mapping[str, Sequence[Sequence[Mapping[str, float]]]],
    name: str,
    ylabel: str,
    title: str,
    against: Literal["episodes", "seconds"] = "episodes",
    log: bool = False,
) -> Figure:
    """A logged scalar of every condition, the histories of its seeds: their median, and quartiles of several.

    A curve ends where the first of its seeds does; ``log`` spreads what is on the horizontal axis.
    """
    figure = Figure(figsize=(6, 3.8), layout="constrained")
    axes = figure.subplots()
    key = "time/seconds" if against == "seconds" else "episodes"
    for label, histories in conditions.items():
        seeds = [[(row[key], row[name]) for row in history if name in row] for history in histories]
        points = np.array([seed[: min(map(len, seeds))] for seed in seeds])  # (seeds, evaluations, 2)
        at, values = np.median(points[..., 0], axis=0), points[..., 1]
        low, median, high = np.quantile(values, (0.25, 0.5, 0.75), axis=0)
        several = len(seeds) > 1
        labels = ", ".join([label] * bool(label) + [f"median and quartiles of {len(seeds)} seeds"] * several)
        (line,) = axes.plot(at, median, marker=".", label=labels or None)
        if several:
            axes.fill_between(at, low, high, color=line.get_color(), alpha=0.25)
        if labels:
            axes.legend(fontsize=8)
    axes.set(xlabel=f"training {against}", ylabel=ylabel, title=title)
    axes.set_xscale("log" if log else "linear")
    axes.grid(alpha=0.3)
    return figure
