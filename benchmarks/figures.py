"""The figures of the benchmarks: time against sizes, memory against steps."""

from collections.abc import Mapping
from typing import Any

from matplotlib.figure import Figure

AXES = {"units": "N, units", "steps": "T, steps", "batch": "B, episodes at once"}


def growth(works: Mapping[str, Mapping[str, Any]]) -> Figure:
    """A row for each work, a column for each size that grows: milliseconds of an episode, for every way."""
    figure = Figure(figsize=(10, 3.4 * len(works)), layout="constrained")
    grid = figure.subplots(len(works), len(AXES), squeeze=False, sharey="row")
    for row, (work, by_axis) in zip(grid, works.items(), strict=True):
        for axes, (axis, label) in zip(row, AXES.items(), strict=True):
            points = by_axis[axis]
            for way in points[0]["ms_per_episode"]:
                at, values = zip(*((point[axis], point["ms_per_episode"][way]) for point in points), strict=True)
                axes.plot(at, values, marker=".", label=way)
            fixed = ", ".join(f"{AXES[name][0]}={points[0][name]}" for name in AXES if name != axis)
            axes.set(xlabel=label, title=f"{work}, {fixed}", xscale="log", yscale="log")
            axes.set_xticks([point[axis] for point in points], [str(point[axis]) for point in points])
            axes.set_xticks([], minor=True)
            axes.grid(alpha=0.3)
        row[0].set_ylabel("ms an episode")
        row[0].legend(fontsize=8)
    return figure


def memory(found: Mapping[str, Any]) -> Figure:
    """Peak memory against steps for every way, and that of one activity vector a step."""
    figure = Figure(figsize=(6, 4.2), layout="constrained")
    axes = figure.subplots()
    for way, peaks in found["peak_mb"].items():
        known = [(T, peak) for T, peak in zip(found["steps"], peaks, strict=False) if peak is not None]
        axes.plot([T for T, _ in known], [peak for _, peak in known], marker=".", label=way)
    activity = [T * found["vector_mb"] for T in found["steps"]]
    axes.plot(found["steps"], activity, color="grey", linestyle=":", label="the activity itself")
    axes.set(xlabel="steps T", ylabel="MB at the peak", title=found["work"], xscale="log", yscale="log")
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)
    return figure
