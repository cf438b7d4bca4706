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
from continual.studies import Study

NAMES: tuple[Name, ...] = ("none", "l2", "ewc", "online_ewc", "si", "mas")


def costs(
    config: ContinualOptions, stream: Stream, hidden: tuple[int, ...], device: torch.device, updates: int
) -> Study:
    """Timed in turns, in the second task, where every penalty acts."""
    learners: dict[Name, Learner] = {}
    ends: dict[Name, float] = {}
    for name in NAMES:
        given = replace(config, reg=name, strength=None if name == "none" else 1e-3)
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
    plain = sorted(seconds["none"])[updates // 2]
    rows: list[dict[str, str | float]] = []
    for name in NAMES:
        median = sorted(seconds[name])[updates // 2]
        regularizer = learners[name].regularizer
        kept = sum(value.nbytes for values in regularizer.tensors.values() for value in values.values())
        if isinstance(regularizer, SI):
            kept += sum(p.nbytes for p in regularizer.parameters.values())  # where a step began
        rows.append(
            {
                "regularizer": name,
                "ms an update": 1e3 * median,
                "times finetuning": median / plain,
                "seconds at the end of a task": ends[name],
                "bytes a parameter": kept / sum(p.numel() for p in regularizer.parameters.values()),
            }
        )
    figure = Figure(figsize=(5, 3.4), layout="constrained")
    axes = figure.subplots()
    axes.bar([str(row["regularizer"]) for row in rows], [float(row["times finetuning"]) for row in rows])
    axes.axhline(1, color="grey", linestyle=":")
    axes.set(ylabel="time of an update / finetuning", title="What a regularizer costs")
    return Study({"costs": figure}, rows)


def _end(learner: Learner) -> None:
    learner.regularizer.end_task(learner.examples(0), lambda inputs: learner.answer(inputs, 0))


def _timed(device: torch.device, work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started
