"""Figures that several commands draw. Plain ``Figure`` objects: no window, no global state."""

from collections.abc import Mapping, Sequence

from matplotlib.figure import Figure
from torch import Tensor


def matrices(named: Mapping[str, Tensor], xlabel: str, ylabel: str, one_scale: bool = False) -> Figure:
    """Matrices (pre, post) side by side, red positive, blue negative; each on its own scale, or all on one."""
    figure = Figure(figsize=(1.2 + 2.6 * len(named), 4.2), layout="constrained")
    largest = max(float(matrix.detach().abs().max()) for matrix in named.values()) if one_scale else None
    for axes, (name, matrix) in zip(figure.subplots(1, len(named), squeeze=False)[0], named.items(), strict=True):
        values = matrix.detach().float().cpu().numpy()
        reach = largest or float(abs(values).max()) or 1.0
        aspect = "equal" if values.shape[0] == values.shape[1] else "auto"
        image = axes.imshow(values, cmap="RdBu_r", vmin=-reach, vmax=reach, aspect=aspect, interpolation="nearest")
        axes.set(title=name, xlabel=xlabel, ylabel=ylabel)
        figure.colorbar(image, ax=axes, shrink=0.8)
    return figure


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
