"""From a configuration to result.json: every seed in its folder, then the aggregate."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import torch
from matplotlib.figure import Figure

from plastic.errors import UserError
from plastic.experiment import processes
from plastic.experiment.machine import describe_device, describe_machine, pick_device
from plastic.experiment.options import Options
from plastic.experiment.run import (
    History,
    Run,
    draw_apart,
    read_history,
    read_json,
    refuse_taken,
    remove_parts,
    write_json,
    writing,
)
from plastic.experiment.signals import Interrupted, interruptible
from plastic.experiment.statistics import Estimate, in_words, over_seeds

C = TypeVar("C", bound=Options)

LISTED = 5  # metrics in the line that is printed; result.json has them all


class Outcome(NamedTuple):
    """What one seed came to."""

    dataset: str
    """source of the data, as results name it"""
    episodes: int
    """training episodes"""
    seconds: float
    """training seconds, evaluations on the way included"""
    metrics: Mapping[str, Estimate]


def conduct(
    config: C,
    task: str,
    experiment: Callable[[C, Run], Outcome],
    overview: Callable[[C, Sequence[History]], Mapping[str, Figure]] | None = None,
) -> dict[str, Any]:
    """Run ``experiment`` for every seed and write the result. Returns what result.json holds.

    With several seeds each has ``<out>/seed-<n>/``; ``--resume`` goes on where each of them stands, and takes what a
    finished one has found. ``overview`` then draws what they logged, in ``<out>/figures/``.
    """
    config.validate()
    device = pick_device(config.device)
    folder = config.out or Path("runs") / task / f"{time.strftime('%Y%m%d-%H%M%S')}-seed{config.seed}"
    seeds = list(range(config.seed, config.seed + config.seeds))
    folders = [folder] if len(seeds) == 1 else [folder / f"seed-{seed}" for seed in seeds]
    results: list[dict[str, Any]] = []
    with processes.joined(device), _resumable(folder):
        _refuse(folder, folders, config.resume)
        for seed, place in zip(seeds, folders, strict=True):
            single = dataclasses.replace(config, seed=seed, seeds=1)
            results.append(_finished(place, task, single) or _run(place, task, single, device, experiment))
            if len(seeds) > 1 and processes.first():
                print(_line(results[-1]), flush=True)

        def aggregate() -> dict[str, Any]:
            remove_parts(folder)
            if overview is not None:
                draw_apart(folder, overview(config, [read_history(place) for place in folders]), results[0]["episodes"])
            found = _result(config, task, device, [_outcome(result) for result in results])
            write_json(folder / "result.json", found)
            return found

        result = results[0] if len(seeds) == 1 else processes.of_first(aggregate)
        if processes.first():
            _tell(result, folder, folder if overview is not None else folders[0])
    return result


def _run(
    place: Path, task: str, config: C, device: torch.device, experiment: Callable[[C, Run], Outcome]
) -> dict[str, Any]:
    """One seed, and its result."""
    with Run(place, task, config, device) as run:
        outcome = experiment(config, run)
        run.conclude({name: metric.value for name, metric in outcome.metrics.items()}, outcome.episodes)
    return _written(place, _result(config, task, device, [outcome]))


@processes.by_first
def _written(place: Path, result: dict[str, Any]) -> dict[str, Any]:
    write_json(place / "result.json", result)
    return result


class Together(NamedTuple):
    """What several seeds came to that ran side by side."""

    outcomes: Sequence[Outcome]
    """one a seed"""
    facts: Mapping[str, Any]
    """more for result.json, as plain JSON values"""


def conduct_together(config: C, task: str, experiment: Callable[[C, Run], Together]) -> dict[str, Any]:
    """Run ``experiment``, which takes all seeds at once, in one folder. Returns what result.json holds."""
    config.validate()
    device = pick_device(config.device)
    folder = config.out or Path("runs") / task / f"{time.strftime('%Y%m%d-%H%M%S')}-seed{config.seed}"
    refuse_other_layout(folder, False)
    with _resumable(folder):
        result = _finished(folder, task, config)
        if result is None:
            with Run(folder, task, config, device) as run:
                found = experiment(config, run)
                result = {**_result(config, task, device, found.outcomes), **found.facts}
                run.conclude({name: metric["mean"] for name, metric in result["metrics"].items()}, result["episodes"])
            write_json(folder / "result.json", result)
    _tell(result, folder, folder)
    return result


def _tell(result: Mapping[str, Any], folder: Path, drawn: Path) -> None:
    """What came out, and where it is."""
    print(f"{_line(result)}\nresult   {folder / 'result.json'}\nfigures  {drawn / 'figures'}")
    print(f"watch    tensorboard --logdir {folder}", flush=True)


@contextmanager
def _resumable(folder: Path) -> Iterator[None]:
    """A signal ends the block, and what is raised says how to go on."""
    try:
        with interruptible():
            yield
    except Interrupted as stop:
        raise Interrupted(stop.signal, f"{stop}: go on with the same command, --out {folder} --resume") from stop


@processes.by_first
def _refuse(folder: Path, folders: Sequence[Path], resume: bool) -> None:
    """UserError where a run stands in the way."""
    refuse_other_layout(folder, len(folders) > 1)
    if not resume:
        for place in {folder, *folders}:
            refuse_taken(place)


@processes.by_first
def _finished(folder: Path, task: str, config: Options) -> dict[str, Any] | None:
    """The result that --resume finds: of the same options, and no older than the checkpoint."""
    path, saved = folder / "result.json", folder / "checkpoint.pt"
    if not config.resume:
        return None
    with suppress(OSError, UserError):  # missing or damaged: its run can make it again
        result = read_json(path)
        last = saved.stat().st_mtime_ns if saved.exists() else 0
        same = (result.get("task"), result.get("config")) == (task, config.identity())
        return result if same and path.stat().st_mtime_ns >= last else None
    return None


def _outcome(result: Mapping[str, Any]) -> Outcome:
    """What a seed came to, as its result.json has it; an interval over seeds has no use for its own."""
    metrics = {name: Estimate(found["mean"], math.nan) for name, found in result["metrics"].items()}
    return Outcome(result["dataset"], result["episodes"], result["seconds"], metrics)


def refuse_other_layout(folder: Path, several: bool) -> None:
    """UserError where one seed would go over the folder of several, or the other way round."""
    with writing(folder):
        held = (folder / "config.json").exists() if several else any(folder.glob("seed-*"))
    if held:
        found = "one seed" if several else "several seeds"
        raise UserError(f"{folder} holds a run of {found}: choose another --out, or --seeds as it was")


def _result(config: Options, task: str, device: torch.device, outcomes: Sequence[Outcome]) -> dict[str, Any]:
    seconds = [round(outcome.seconds, 1) for outcome in outcomes]
    return {
        "task": task,
        "dataset": outcomes[0].dataset,
        "preset": config.preset,
        "command": config.command(),
        "config": config.identity(),
        "seeds": list(range(config.seed, config.seed + config.seeds)),
        "episodes": outcomes[0].episodes,
        "seconds": round(sum(seconds), 1),
        "seconds_per_seed": seconds,
        "machine": describe_machine(),
        "device": describe_device(device),
        "torch": torch.__version__,
        "metrics": {name: over_seeds([o.metrics[name] for o in outcomes]) for name in outcomes[0].metrics},
    }


def _line(result: Mapping[str, Any]) -> str:
    """One line for people: the first metrics with their intervals, and what these are intervals of."""
    named = [in_words(name, metric) for name, metric in result["metrics"].items()]
    more = [f"and {len(named) - LISTED} more"] if len(named) > LISTED else []
    metrics = ", ".join(named[:LISTED] + more)
    seeds = result["seeds"]
    which = f"seed {seeds[0]}" if len(seeds) == 1 else f"{len(seeds)} seeds"
    where = result["machine"] if result["device"] == "cpu" else result["device"]
    return f"{result['task']} on {result['dataset']}: {metrics}  ({which}, {result['seconds'] / 60:.1f} min, {where})"
