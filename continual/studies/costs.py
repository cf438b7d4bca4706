"""What each regularizer adds: seconds of an update, seconds at the end of a task, and bytes."""

import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from matplotlib.figure import Figure

from continual.learning import Learner
from continual.networks import MLP
from continual.options import ContinualOptions
from continual.regularizers import SI, Name
from continual.scenarios import Stream
from continual.studies import Row, Study

BYTES = "bytes a parameter"
NAMES: tuple[Name, ...] = ("none", "l2", "ewc", "online_ewc", "si", "mas")


def costs(
    config: ContinualOptions, stream: Stream, hidden: tuple[int, ...], device: torch.device, updates: int
) -> Study:
    """The fastest of ``updates``, timed in turns in the second task, where every penalty acts."""
    learners: dict[Name, Learner] = {}
    ends: dict[Name, float] = {}
    for name in NAMES:
        # as long as is measured: an epoch has an update or more
        given = replace(config, reg=name, strength=None if name == "none" else 1e-3, epochs=updates + 3)
        learner = Learner(given, stream, lambda s, R: MLP((s.train.shape[1], *hidden), s.units, R), device)
        learner.step()
        ends[name] = _timed(device, partial(_end, learner))
        learners[name] = learner
    seconds: dict[Name, list[float]] = {name: [] for name in NAMES}
    for turn in range(updates + 2):
        for name in NAMES:
            taken = _timed(device, learners[name].step)
            if turn > 1:
                seconds[name].append(taken)
    plain = min(seconds["none"])  # what other programs take of the processor is not counted
    rows: list[Row] = []
    for name in NAMES:
        regularizer = learners[name].regularizer
        kept = sum(value.nbytes for values in regularizer.tensors.values() for value in values.values())
        if isinstance(regularizer, SI):
            kept += sum(p.nbytes for p in regularizer.parameters.values())  # where a step began
        rows.append(
            {
                "regularizer": name,
                "ms an update": 1e3 * min(seconds[name]),
                "times finetuning": min(seconds[name]) / plain,
                "seconds at the end of a task": ends[name],
                BYTES: kept / sum(p.numel() for p in regularizer.parameters.values()),
            }
        )
    figure = Figure(figsize=(9, 3.2), layout="constrained")
    for axes, column in zip(
        figure.subplots(1, 3), ("times finetuning", "seconds at the end of a task", BYTES), strict=True
    ):
        bars = axes.bar(
            [str(row["regularizer"]).replace("_", "\n") for row in rows], [float(row[column]) for row in rows]
        )
        axes.bar_label(bars, fmt=lambda value: f"{round(value, 2):.3g}", fontsize=8)
        axes.set_title(column, fontsize=10)
        axes.tick_params(axis="x", labelsize=8)
        axes.margins(y=0.15)
    return Study({"costs": figure}, rows)


def _end(learner: Learner) -> None:
    learner.regularizer.end_task(learner.examples(0), lambda inputs: learner.answer(inputs, 0))


def _timed(device: torch.device, work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started
