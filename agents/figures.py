"""What an agent learned: reward against training, and within a life."""

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from torch import Tensor

from agents.a2c import Lives
from agents.networks import Agent, Core
from plastic.experiment import History, Run
from plastic.experiment.figures import matrices, quartiles

BINS = 25  # points of a curve over a life
SHOWN = 10  # rewards of a life, in order


def draw_lives(run: Run, agent: Agent, lives: Lives, title: str, episodes: int) -> None:
    """Figures of lives that were not learned from, and of what was learned."""
    run.figure("within-a-life", within_a_life(lives, title), episodes)
    if (learned := learned_matrices(agent.core)) is not None:
        run.figure("matrices", learned, episodes)


def reward_curves(
    conditions: Mapping[str, Sequence[History]], levels: Mapping[str, float], title: str
) -> dict[str, Figure]:
    """The reward of fresh lives against training episodes, and against seconds: median and quartiles over the seeds.

    ``levels`` are rewards to compare with. A curve ends where the first of its seeds does.
    """
    figures = {
        "reward": quartiles(conditions, "eval/reward", "reward of a life", title),
        "reward-seconds": quartiles(conditions, "eval/reward", "reward of a life", title, "seconds"),
    }
    for figure in figures.values():
        (axes,) = figure.axes
        for name, level in levels.items():
            axes.axhline(level, color="grey", linestyle=":" if level else "-", linewidth=1)
            left = axes.get_yaxis_transform()
            axes.text(0.01, level, f"{name} {level:.1f}", transform=left, va="bottom", fontsize=8)
    return figures


def within_a_life(lives: Lives, title: str) -> Figure:
    """The reward of a step as life goes on, and the steps it takes to the first reward and to later ones.

    Both are means over lives with their 95% intervals; a reward that does not come any more in a life is left out.
    """
    figure = Figure(figsize=(9, 3.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    parts = np.array_split(lives.rewards.double().cpu().numpy(), min(BINS, len(lives.rewards)))
    ends = np.cumsum([len(part) for part in parts])
    _band(left, ends, [part.mean(0) for part in parts])
    left.set(xlabel="step of the life", ylabel="reward of a step", title="as life goes on")
    waits = steps_to_rewards(lives.rewards)[:SHOWN].double().cpu().numpy()
    known = [wait[~np.isnan(wait)] for wait in waits]
    _band(right, np.arange(1, len(known) + 1), [wait if len(wait) else np.array([np.nan]) for wait in known])
    right.set(xlabel="which reward of the life", ylabel="steps since the one before", title="to each reward")
    right.set_xticks(range(1, SHOWN + 1))
    for axes in (left, right):
        axes.set_ylim(bottom=0 if axes is right else None)
        axes.grid(alpha=0.3)
    figure.suptitle(title)
    return figure


def _band(axes: Axes, at: np.ndarray, samples: Sequence[np.ndarray]) -> None:
    means = np.array([values.mean() for values in samples])
    half = np.array([1.96 * values.std() / max(len(values), 1) ** 0.5 for values in samples])
    (line,) = axes.plot(at, means, marker=".")
    axes.fill_between(at, means - half, means + half, color=line.get_color(), alpha=0.25)


def steps_to_rewards(rewards: Tensor) -> Tensor:
    """Rewards (T, B) -> (T, B): the steps from the k-th positive reward of a life to the next; NaN where none comes.

    Row 0 is the time to the first one, counted from 1.
    """
    steps, lives = rewards.shape
    hit = rewards > 0
    order = hit.cumsum(0) - 1  # which reward of its life a hit is
    times = rewards.new_full((steps + 1, lives), float("nan"))
    when = hit.nonzero()  # (hits, 2): step, life
    times[order[hit], when[:, 1]] = when[:, 0].to(rewards.dtype) + 1
    times = times[:steps]
    return times - times.roll(1, 0).index_fill(0, times.new_zeros(1).long(), 0)


def learned_matrices(core: Core) -> Figure | None:
    """The recurrent weight and alpha of a plastic or plain recurrent core; None for an LSTM."""
    cell = getattr(getattr(core, "rnn", None), "cell", None)
    if cell is None:
        return None
    named = {"weight": cell.weight} | ({} if cell.alpha is None else {"alpha": cell.alpha.expand_as(cell.weight)})
    return matrices(named, "unit (post)", "unit (pre)")
