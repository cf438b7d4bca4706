"""A grid of commands, options and seeds over this machine's cores and GPUs, or over a cluster.

    python -m plastic.experiment.sweep --out runs/rules --jobs 2 -- \\
        python -m tasks.omniglot --preset quick --seeds 3 --rule hebb,oja --alpha full,shared

What follows ``--`` is the command as it is typed for one condition, with commas where it varies (``grid.py`` has the
whole of it), so its --seeds are the command's own; another ``--`` begins another command. All of it is read before
anything starts: a bad option ends the sweep with status 2 and nothing done.

A cell is one process: a seed in ``<out>/<condition>/seed-<n>/``, then the same command over all its seeds, which finds
them finished and writes ``<out>/<condition>/result.json``. A command that trains its seeds side by side is one cell,
and so is a single seed; their folder is the condition's. What a cell prints is in ``log.txt`` of its folder. The
results side by side are printed at the end, and kept in ``<out>/sweep.json``.

The same line again goes on: a cell is done when its result.json exists, one that was begun continues from its
checkpoint, and one that a killed sweep left at work is waited for. Ctrl-C and SIGTERM are passed on, and each cell
saves a checkpoint; a second Ctrl-C kills. A cell that fails stops no other; it is named at the end, with status 1.

``--jobs`` cells run at a time and share the cores, by OMP_NUM_THREADS unless that is set already; with GPUs each sees
one of them, in turn. With ``--cluster slurm`` each cell is a job of a cluster instead (``cluster.py``).
"""

import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import tyro

from plastic.errors import UserError
from plastic.experiment import cluster, processes
from plastic.experiment.checkpoint import check_same
from plastic.experiment.conduct import refuse_other_layout
from plastic.experiment.grid import Cell, Condition, conditions
from plastic.experiment.jobs import Job, Screen, claim, summary
from plastic.experiment.options import program, require
from plastic.experiment.run import read_json, remove_parts, write_json, writing
from plastic.experiment.signals import Interrupted, Signals, interruptible

KEPT = ("seeds", "episodes", "seconds", "device", "metrics")  # of a result, in sweep.json
POLL = 0.2  # seconds between two looks at the cells


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """A grid of commands, here or on a cluster: [options] -- python -m tasks.omniglot --seeds 3 --rule hebb,oja"""

    out: Path
    """folder of the sweep, with one for each condition; the same again goes on"""
    jobs: int | None = None
    """cells at a time; none: one a GPU, or one a core where there is none; all of them on a cluster"""
    gpus: int | None = None
    """GPUs to use; none: all that torch finds, 0: the cores alone; on a cluster those of each cell, none: 0"""
    cluster: Literal["slurm"] | None = None
    """where the cells are queued; none: they run here"""
    partition: str | None = None
    """of the cluster; none: its default"""
    minutes: int = 60
    """on a cluster: the time limit of a cell, which then saves a checkpoint and is queued again, three times at most"""
    cpus: int = 1
    """on a cluster: cores of each cell"""


def main(arguments: Arguments, commands: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Run what is not done yet; returns what sweep.json holds. SystemExit with status 1 if a cell failed."""
    processes.require_one("a sweep")
    grid = conditions(commands)
    cells = {condition.name: condition.cells(arguments.out) for condition in grid}
    trained = sum(not cell.after for group in cells.values() for cell in group)
    slots = _slots(arguments, trained)
    executor = _executor(arguments)
    with writing(arguments.out):
        arguments.out.mkdir(parents=True, exist_ok=True)
    with _alone(arguments.out):
        remove_parts(arguments.out)
        _refuse_others(arguments.out, grid)
        _record(arguments.out, cells)
        every = [cell for group in cells.values() for cell in group]
        if executor is None:
            cluster.refuse_submitted(every)
        jobs = [Job(cell) if executor is None else cluster.Submitted(cell, executor) for cell in every]
        try:
            _work(jobs, slots, POLL if executor is None else cluster.POLL)
        finally:
            record = _record(arguments.out, cells)
    table = summary(record["conditions"], cells)
    print("\n".join(["", *table, "", f"result   {arguments.out / 'sweep.json'}"]))
    print(f"watch    tensorboard --logdir {arguments.out}", flush=True)
    if failed := [job for job in jobs if job.state == "failed"]:
        print("\n".join(f"failed: {job.cell.name}, {job.note}" for job in failed), file=sys.stderr)
        raise SystemExit(1)
    return record


def _slots(arguments: Arguments, cells: int) -> list[dict[str, str]]:
    """The environment of each cell that runs at a time: its share of the cores, and its GPU.

    No more of them than cells, whether these are done or not: threads, and so the last bits, outlast an interruption.
    """
    require(arguments.jobs is None or arguments.jobs >= 1, f"--jobs: expected at least 1, got {arguments.jobs}")
    if arguments.cluster:  # the GPUs are the cluster's to give
        return [{"OMP_NUM_THREADS": str(arguments.cpus)}] * (arguments.jobs or cells)
    count, visible = torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES")
    found = visible.split(",")[:count] if visible else [str(number) for number in range(count)]
    wanted = len(found) if arguments.gpus is None else arguments.gpus
    require(0 <= wanted <= len(found), f"--gpus: expected 0 to {len(found)}, which is what torch finds, got {wanted}")
    gpus = found[:wanted] or [""]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jobs = min(arguments.jobs or wanted or cores, cells)
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, cores // jobs)))
    return [{"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)], "OMP_NUM_THREADS": threads} for i in range(jobs)]


def _executor(arguments: Arguments) -> Any:
    """What submits the cells; None where they run here."""
    if arguments.cluster is None:
        for name in ("partition", "minutes", "cpus"):
            given = getattr(arguments, name) != getattr(Arguments, name)
            require(not given, f"--{name} is for a cluster: add --cluster slurm, or leave it out")
        return None
    return cluster.executor(arguments.out, arguments.partition, arguments.minutes, arguments.cpus, arguments.gpus or 0)


@contextmanager
def _alone(out: Path) -> Iterator[None]:
    """A lock on the folder against another sweep; a cell that one left has its own."""
    with writing(out):
        lock = claim(out)
    if lock is None:
        raise UserError(f"a sweep is still at work in {out}: wait, or end it first")
    with lock:
        yield


def _refuse_others(out: Path, grid: Sequence[Condition]) -> None:
    """UserError where a condition's folder is one of other options; more seeds of the same are welcome."""
    path = out / "sweep.json"
    before = read_json(path).get("conditions", {}) if path.exists() else {}
    for name, config in grid:
        refuse_other_layout(out / name, several=config.seeds > 1 and not config.SEEDS_TOGETHER)
        if name in before:
            free = () if config.SEEDS_TOGETHER else ("seeds",)
            check_same(out / name, name, config.identity(), name, before[name].get("config"), free)


def _record(out: Path, cells: Mapping[str, Sequence[Cell]]) -> dict[str, Any]:
    """Write sweep.json: what each condition is, and what it came to. Conditions of an earlier grid stay."""
    path = out / "sweep.json"
    known: dict[str, dict[str, Any]] = read_json(path).get("conditions", {}) if path.exists() else {}
    for name, (*_, whole) in cells.items():
        found = whole.result() or {}
        known[name] = {"command": whole.config.command(), "config": whole.config.identity()}
        known[name] |= {key: found[key] for key in KEPT if key in found}
    record = {"conditions": known}
    write_json(path, record)
    return record


def _work(jobs: Sequence[Job], slots: Sequence[Mapping[str, str]], poll: float) -> None:
    """Run every job that is not done, as many at a time as there are slots. Interrupted after a signal."""
    screen, free = Screen(), list(slots)
    with interruptible(), _hanging_up(), Signals() as signals:
        try:
            for job in jobs:
                if job.find() and free:
                    job.slot = free.pop(0)
            while signals.received is None:
                for job in jobs:
                    if job.ended() and job.slot is not None:
                        free.append(job.slot)
                while free and (ready := _first(jobs)) is not None:
                    ready.start(free.pop(0))
                screen.show(jobs)
                if not any(job.active for job in jobs):
                    return
                time.sleep(poll)
        finally:
            _stop([job for job in jobs if job.active and not job.lasting], signals.received or signal.SIGTERM)
    kept = cluster.farewell(jobs) or "what was begun has its checkpoint; go on with the same line"
    raise Interrupted(signals.received, f"interrupted: {kept}")


def _first(jobs: Sequence[Job]) -> Job | None:
    """What comes next: first seeds first, so that conditions can be compared early; wholes as soon as they can be."""
    done = {job.cell.name for job in jobs if job.state == "done"}
    ready = [job for job in jobs if job.state == "waiting" and all(cell.name in done for cell in job.cell.after)]
    return min(ready, key=lambda job: job.cell.config.seed, default=None)


def _stop(running: Sequence[Job], signum: int) -> None:
    """Pass a signal on and wait for the checkpoints; one more signal kills."""
    try:
        for job in running:
            job.send(signum)
        with suppress(OSError):  # a terminal that was closed
            if running:
                print(f"\nstopping {len(running)} running; each saves a checkpoint (Ctrl-C again: at once)", flush=True)
        for job in running:
            job.wait()
    except BaseException:
        for job in running:
            job.kill()
        raise
    for job in running:
        job.state = "stopped"


@contextmanager
def _hanging_up() -> Iterator[None]:
    """A terminal that is closed ends the sweep as SIGTERM does, unless nohup said otherwise."""
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)


def from_command_line(words: Sequence[str]) -> dict[str, Any]:
    """What stands before the first ``--`` is the sweep's, each part after it a command."""
    parts: list[list[str]] = [[]]
    for word in words:
        if word == "--":
            parts.append([])
        else:
            parts[-1].append(word)
    arguments = tyro.cli(Arguments, args=parts[0], prog="python -m plastic.experiment.sweep")
    require(len(parts) > 1, "what is to run is missing: end the line with -- python -m tasks.omniglot --rule hebb,oja")
    return main(arguments, parts[1:])


if __name__ == "__main__":
    program(lambda: from_command_line(sys.argv[1:]))
