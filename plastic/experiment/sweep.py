"""A grid of commands, options and seeds over this machine's cores and GPUs.

    python -m plastic.experiment.sweep --out runs/rules --jobs 2 -- \\
        python -m tasks.omniglot --preset quick --seeds 3 --rule hebb,oja --alpha full,shared

What follows ``--`` is the command as it is typed for one condition, with commas where it varies (``grid.py`` has the
whole of it), so its --seeds are the command's own; another ``--`` begins another command. All of it is read before
anything starts: a bad option ends the sweep with status 2 and nothing done.

A cell is one process: a seed in ``<out>/<condition>/seed-<n>/``, then the same command over all its seeds, which finds
them finished and writes ``<out>/<condition>/result.json``. A command that trains its seeds side by side is one cell,
and so is a single seed; their folder is the condition's. What a cell prints is in ``log.txt`` of its folder. The
results side by side are printed at the end, and kept in ``<out>/sweep.json``.

The same line again goes on: a cell is done when its result.json exists, and one that was begun continues from its
checkpoint. Ctrl-C and SIGTERM are passed on, and each cell saves a checkpoint; a second Ctrl-C kills. A cell that fails
stops no other; it is named at the end, and the status is 1.

``--jobs`` cells run at a time and share the cores, by OMP_NUM_THREADS unless that is set already; with GPUs each sees
one of them, in turn.
"""

import fcntl
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro

from plastic.errors import UserError
from plastic.experiment import processes
from plastic.experiment.checkpoint import check_same
from plastic.experiment.conduct import refuse_other_layout
from plastic.experiment.grid import Cell, Condition, conditions
from plastic.experiment.jobs import Job, Screen, summary
from plastic.experiment.options import program, require
from plastic.experiment.run import read_json, remove_parts, write_json, writing
from plastic.experiment.signals import Interrupted, Signals, interruptible

KEPT = ("seeds", "episodes", "seconds", "device", "metrics")  # of a result, in sweep.json
POLL = 0.2  # seconds between two looks at the cells


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """A grid of commands over this machine: [options] -- python -m tasks.omniglot --seeds 3 --rule hebb,oja"""

    out: Path
    """folder of the sweep, with one for each condition; the same again goes on"""
    jobs: int | None = None
    """cells at a time; none: one a GPU, or one a core where there is none"""
    gpus: int | None = None
    """GPUs to use; none: all that torch finds, 0: the cores alone"""


def main(arguments: Arguments, commands: Sequence[Sequence[str]]) -> dict[str, Any]:
    """Run what is not done yet; returns what sweep.json holds. SystemExit with status 1 if a cell failed."""
    processes.require_one("a sweep")
    grid = conditions(commands)
    cells = {condition.name: condition.cells(arguments.out) for condition in grid}
    trained = sum(not cell.after for group in cells.values() for cell in group)
    slots = _slots(arguments, trained)
    with writing(arguments.out):
        arguments.out.mkdir(parents=True, exist_ok=True)
    with _alone(arguments.out) as lock:
        remove_parts(arguments.out)
        _refuse_others(arguments.out, grid)
        _record(arguments.out, cells)
        jobs = [Job(cell) for group in cells.values() for cell in group]
        try:
            _work(jobs, slots, lock)
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
    count, visible = torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES")
    found = visible.split(",")[:count] if visible else [str(number) for number in range(count)]
    wanted = len(found) if arguments.gpus is None else arguments.gpus
    require(0 <= wanted <= len(found), f"--gpus: expected 0 to {len(found)}, which is what torch finds, got {wanted}")
    gpus = found[:wanted] or [""]
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    jobs = min(arguments.jobs or wanted or cores, cells)
    threads = os.environ.get("OMP_NUM_THREADS", str(max(1, cores // jobs)))
    return [{"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)], "OMP_NUM_THREADS": threads} for i in range(jobs)]


@contextmanager
def _alone(out: Path) -> Iterator[int]:
    """A lock on the folder, which the cells inherit: it holds as long as one of them lives, whatever ends the sweep."""
    with writing(out):
        lock = os.open(out / ".lock", os.O_RDWR | os.O_CREAT)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield lock
    except BlockingIOError:
        raise UserError(f"a sweep, or a cell that one left, is still at work in {out}: wait, or end it first") from None
    finally:
        os.close(lock)


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


def _work(jobs: Sequence[Job], slots: Sequence[Mapping[str, str]], lock: int) -> None:
    """Run every job that is not done, as many at a time as there are slots. Interrupted after a signal."""
    screen, free = Screen(), list(slots)
    with interruptible(), _hanging_up(), Signals() as signals:
        try:
            while signals.received is None:
                for job in jobs:
                    if job.ended():
                        free.append(job.slot)
                while free and (ready := _first(jobs)) is not None:
                    ready.start(free.pop(0), lock)
                screen.show(jobs)
                if not any(job.state == "running" for job in jobs):
                    return
                time.sleep(POLL)
        finally:
            _stop([job for job in jobs if job.state == "running"], signals.received or signal.SIGTERM)
    raise Interrupted(signals.received, "interrupted: what was begun has its checkpoint; go on with the same line")


def _first(jobs: Sequence[Job]) -> Job | None:
    """What comes next: first seeds first, so that conditions can be compared early; wholes as soon as they can be."""
    done = {job.cell.name for job in jobs if job.state == "done"}
    ready = [job for job in jobs if job.state == "waiting" and all(cell.name in done for cell in job.cell.after)]
    return min(ready, key=lambda job: job.cell.config.seed, default=None)


def _stop(running: Sequence[Job], signum: int) -> None:
    """Pass a signal on and wait for the checkpoints; one more signal kills."""
    try:
        for job in running:
            job.process.send_signal(signum)
        with suppress(OSError):  # a terminal that was closed
            if running:
                print(f"\nstopping {len(running)} running; each saves a checkpoint (Ctrl-C again: at once)", flush=True)
        for job in running:
            job.process.wait()
    except BaseException:
        for job in running:
            with suppress(ProcessLookupError):
                os.killpg(job.process.pid, signal.SIGKILL)
            job.process.wait()
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
