"""Plasticity in one look: an episode, the connections before and after it, the answers with the trace and without."""

from collections.abc import Mapping

import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from torch import Tensor

CLASSES = 5  # as many rows as one takes in at once
UNIT = 0.72  # inches: the side of a drawing, of a tile of connections, of a field of the answers
LEFT, BETWEEN, APART, BELOW, ABOVE = 1.1, 0.15, 0.9, 0.8, 2.7  # in units


def plasticity_figure(
    shown: Tensor,
    asked: Tensor,
    connections: Mapping[str, Tensor],
    answers: Mapping[str, Tensor],
    shots: int,
    rule: str,
    dataset: str,
) -> Figure:
    """An episode of N classes, one of them a row.

    Args:
        shown, asked: a drawing of each class, uint8 (N, S, S): from the support, and another one.
        connections: (F, N), those into each class's unit, by what they are called; each a column of tiles. All that
            begin with "trace" share a scale.
        answers: (N, N) probabilities of the classes (columns) for what was ``asked`` (rows), by the state of the trace.
        shots: drawings of each class in the support.
    """
    count = len(shown)
    widths = [1.0, *[1.0] * len(connections), *[float(count)] * len(answers)]
    gaps = [LEFT, APART, *[BETWEEN] * (len(connections) - 1), *[APART] * len(answers)]
    wide, high = sum(widths) + sum(gaps) + APART / 2, count + ABOVE + BELOW
    figure = Figure(figsize=(UNIT * wide, UNIT * high))
    starts = [sum(gaps[: i + 1]) + sum(widths[:i]) for i in range(len(widths))]

    def place(column: int, bottom: float, height: float) -> Axes:
        axes = figure.add_axes((starts[column] / wide, bottom / high, widths[column] / wide, height / high))
        axes.set(xlim=(0, widths[column]), ylim=(height, 0), xticks=[], yticks=[])
        axes.set_axis_off()
        return axes

    def heading(column: int, words: str) -> None:
        figure.text(starts[column] / wide, 1 - 1.05 / high, words, fontsize=11, weight="bold", va="center")

    heading(0, "1  Shown once" if shots == 1 else f"1  {shots} shown")
    _drawings(place(0, BELOW, count), shown, down=True)
    for row in range(count):
        figure.text(
            0.8 * LEFT / wide,
            (BELOW + count - row - 0.5) / high,
            f"class {row + 1}",
            ha="right",
            va="center",
            fontsize=10,
        )
    features = next(iter(connections.values())).shape[0]
    heading(1, f"2  The {features} connections into its unit")
    for column, (name, values) in enumerate(connections.items(), 1):
        traces = [part.abs().max().item() for other, part in connections.items() if other.startswith("trace")]
        reach = (max(traces) if name.startswith("trace") else values.abs().max().item()) or 1.0
        axes = place(column, BELOW, count)
        axes.set_title(name.replace(" ", "\n", 1), fontsize=10)
        _tiles(axes, values, reach)
    first = 1 + len(connections)
    heading(first, "3  Asked for new drawings of them: how sure it is of each class")
    for column, (name, values) in enumerate(answers.items(), first):
        right = int((values.argmax(1).cpu() == torch.arange(count)).sum())
        queries = place(column, BELOW + count + 0.1, 1)
        queries.set_title(f"{name}: {right} of {count} right", fontsize=10)
        _drawings(queries, asked, down=False)
        _answers(place(column, BELOW, count), values.T)
    figure.suptitle(
        f"A plastic layer learns characters that training never saw ({dataset})", fontsize=13, y=1 - 0.4 / high
    )
    figure.text(
        0.5,
        0.35 / high,
        "answer = softmax(features @ (weight + alpha * trace)).  Training learned weight and alpha; in the episode "
        f"only the trace changes, by the rule {rule}.  Red: positive, blue: negative.",
        ha="center",
        va="center",
        fontsize=9.5,
    )
    return figure


def _drawings(axes: Axes, drawings: Tensor, down: bool) -> None:
    """Below one another, or side by side."""
    for i, drawing in enumerate(drawings.cpu().numpy()):
        x, y = (0, i) if down else (i, 0)
        axes.imshow(drawing, cmap="gray", vmin=0, vmax=255, extent=(x + 0.05, x + 0.95, y + 0.95, y + 0.05))
        axes.add_patch(Rectangle((x + 0.05, y + 0.05), 0.9, 0.9, fill=False, linewidth=0.5))
    axes.set(xlim=(0, 1 if down else len(drawings)), ylim=(len(drawings) if down else 1, 0))


def _tiles(axes: Axes, values: Tensor, reach: float) -> None:
    """The connections of each class as a rectangle that is nearly square."""
    features, count = values.shape
    rows = max(n for n in range(1, int(features**0.5) + 1) if features % n == 0)
    for i, tile in enumerate(values.T.reshape(count, rows, -1).cpu().numpy()):
        place = (0.05, 0.95, i + 0.95, i + 0.05)
        axes.imshow(tile, cmap="RdBu_r", vmin=-reach, vmax=reach, extent=place, interpolation="nearest", aspect="auto")
        axes.add_patch(Rectangle((0.05, i + 0.05), 0.9, 0.9, fill=False, linewidth=0.5))
    axes.set(xlim=(0, 1), ylim=(count, 0))


def _answers(axes: Axes, values: Tensor) -> None:
    """Probabilities of the classes (rows) for each query (columns); the answer has a frame."""
    count = len(values)
    axes.imshow(values.cpu().numpy(), cmap="Greys", vmin=0, vmax=1.3, extent=(0, count, count, 0))
    said = values.argmax(0).tolist()
    for row in range(count):
        for column in range(count):
            p = values[row, column].item()
            axes.text(
                column + 0.5,
                row + 0.5,
                f"{p:.0%}",
                ha="center",
                va="center",
                fontsize=9,
                color="white" if p > 0.7 else "black",
            )
    for column, row in enumerate(said):
        colour = "green" if row == column else "red"
        axes.add_patch(Rectangle((column + 0.05, row + 0.05), 0.9, 0.9, fill=False, linewidth=2.5, edgecolor=colour))
    axes.set(xlim=(0, count), ylim=(count, 0))
