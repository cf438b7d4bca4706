"""What the tasks of recall show: errors against episodes, an episode over time, and what was learned."""

from collections.abc import Sequence

from matplotlib.figure import Figure
from torch import Tensor

from plastic.experiment import History
from plastic.experiment.figures import matrices, quartiles
from tasks.recall.networks import Network
from tasks.recall.schedule import Episode

DRAWN = 60  # elements of an episode over time: as many as one can tell apart


def error_curves(histories: Sequence[History], name: str, ylabel: str, title: str) -> dict[str, Figure]:
    """The error of every seed against episodes, and against seconds."""
    figures = {
        "error": quartiles({"": histories}, name, ylabel, title),
        "error-seconds": quartiles({"": histories}, name, ylabel, title, "seconds"),
    }
    for figure in figures.values():
        figure.axes[0].set_ylim(bottom=0)
    return figures


def episode_over_time(activity: Tensor, target: Tensor, shown: Sequence[bool], test: int, title: str) -> Figure:
    """The first elements' activity (T, n) of one episode step by step, and the item (n,) that was asked for.

    ``shown`` are the T presentation steps; the last ``test`` steps are the test.
    """
    activity, target = activity[:, :DRAWN], target[:DRAWN]
    steps, elements = activity.shape
    figure = Figure(figsize=(9, 4), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(20, 1))
    look = {"cmap": "RdBu_r", "vmin": -1, "vmax": 1, "aspect": "auto", "interpolation": "nearest"}
    image = left.imshow(activity.T.cpu().numpy(), extent=(0, steps, elements, 0), **look)
    right.imshow(target.unsqueeze(1).cpu().numpy(), extent=(0, 1, elements, 0), **look)
    starts = [t for t in range(steps) if shown[t] and not (t and shown[t - 1])]
    left.set_xticks([*starts, steps - test], [*map(str, starts), f"test\n{steps - test}"], fontsize=8)
    left.axvline(steps - test, color="black", linewidth=1)
    left.set(xlabel="step (the start of each presentation is marked)", ylabel="element", title=title)
    right.set(xticks=[], title="asked for")
    right.title.set_fontsize(9)
    figure.colorbar(image, ax=right, label="activity")
    return figure


def completions(episodes: Episode, answer: Tensor, title: str) -> Figure:
    """Original, degraded, completed and error of B pictures (B, S * S), as in the paper's figure 4."""
    side = round(answer.shape[-1] ** 0.5)
    target, hidden = episodes.target, episodes.hidden
    degraded = target.where(~hidden, 0.0)
    error = (answer - target).square().sum(-1)
    rows = {"original": target, "degraded": degraded, "completed": answer, "error": answer - target}
    figure = Figure(figsize=(0.9 + 1.3 * len(answer), 5.6), layout="constrained")
    axes = figure.subplots(len(rows), len(answer), squeeze=False)
    for row, (name, pictures) in enumerate(rows.items()):
        colours = "RdBu_r" if name == "error" else "gray"
        for column, picture in enumerate(pictures.unflatten(-1, (side, side)).cpu().numpy()):
            axes[row][column].imshow(picture, cmap=colours, vmin=-1, vmax=1, interpolation="nearest")
            axes[row][column].set(xticks=[], yticks=[])
        axes[row][0].set_ylabel(name)
    for column, value in enumerate(error.tolist()):
        axes[-1][column].set_xlabel(f"SSE {value:.1f}", fontsize=9)
    figure.suptitle(title, fontsize=11)
    return figure


def learned_matrices(network: Network) -> Figure | None:
    """weight, and alpha where there is one, as matrices; None for an LSTM."""
    weight, alpha = getattr(network.model, "weight", None), getattr(network.model, "alpha", None)
    if not isinstance(weight, Tensor):
        return None
    named = {"weight": weight}
    if isinstance(alpha, Tensor):
        named["alpha"] = alpha.expand_as(weight)
    return matrices(named, "unit (post)", "unit (pre)")
