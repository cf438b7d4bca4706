"""A sweep's cells as they run: the processes, a live table of them, and the results side by side."""

import fcntl
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, ClassVar, Literal

from plastic.experiment.grid import Cell
from plastic.experiment.run import writing
from plastic.experiment.statistics import in_words

State = Literal["waiting", "queued", "running", "done", "failed", "stopped"]
# which rows stay on a small screen
URGENCY: tuple[State, ...] = ("failed", "running", "queued", "stopped", "waiting", "done")
TAIL = 8192  # bytes at the end of a log that hold its last line
LOCK = ".lock"  # in a folder that is worked on


def claim(folder: Path) -> IO[str] | None:
    """A lock on the folder, which holds until it is closed everywhere it was passed on to; None if there is one."""
    lock = os.fdopen(os.open(folder / LOCK, os.O_RDWR | os.O_CREAT, 0o666), "r+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        if isinstance(error, BlockingIOError):
            return None
        raise
    return lock


class Job:
    """A cell and its process, which holds the lock on the cell's folder as long as it lives."""

    lasting: ClassVar[bool] = False
    """whether it goes on when the sweep ends"""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.result = cell.result()
        self.state: State = "done" if self.result else "waiting"
        self.slot: Mapping[str, str] | None = None
        """the environment that it was started in, and leaves to another"""
        self.note = ""
        """why it failed, and where to read more"""
        self._process: subprocess.Popen[bytes] | None = None
        self._pid: int | None = None

    @property
    def active(self) -> bool:
        return self.state in ("queued", "running")

    def find(self) -> bool:
        """Whether a sweep that was killed left a process at work on the cell, which is ours from now on."""
        with writing(self.cell.folder):
            if self.state == "waiting" and self.cell.folder.exists() and (lock := self._claim()):
                lock.close()
        return self.active

    def start(self, slot: Mapping[str, str]) -> None:
        """In a session of its own, so that Ctrl-C reaches the sweep alone."""
        self.slot = slot
        with writing(self.cell.folder):
            self.cell.folder.mkdir(parents=True, exist_ok=True)
            if (lock := self._claim()) is None:
                return
            with lock, open(self._log, "ab") as log:
                lock.truncate()
                self._process = subprocess.Popen(
                    self.cell.words,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **slot},
                    start_new_session=True,
                    pass_fds=(lock.fileno(),),
                )
                self._pid = self._process.pid
                lock.write(str(self._pid))  # for a sweep that finds it
        self.state = "running"

    def _claim(self) -> IO[str] | None:
        """The lock; None where another's process has it, which then is the cell's."""
        lock = claim(self.cell.folder)
        if lock is None:
            known = (self.cell.folder / LOCK).read_text()
            self.state, self._process, self._pid = "running", None, int(known) if known else None
        return lock

    def ended(self) -> bool:
        """Whether it came to its end since the last call, which settles its state."""
        if self.state != "running" or not self._gone():
            return False
        if self._process is None:  # what a sweep left: nobody knows its status
            self.result = self.cell.result()
            self.state = "done" if self.result else "waiting"
        else:
            status = self._process.returncode
            self._settle(status == 0, f"killed by signal {-status}" if status < 0 else f"status {status}")
        return True

    def _gone(self) -> bool:
        if self._process is not None:
            return self._process.poll() is not None
        with writing(self.cell.folder):
            if (lock := claim(self.cell.folder)) is not None:
                lock.close()
        return lock is not None

    def _settle(self, fine: bool, how: str) -> None:
        """Done if there is a result, else failed, with what it said last."""
        self.result = self.cell.result() if fine else None
        self.state = "done" if self.result else "failed"
        if self.state == "failed":
            self.note = f"{how}: {_last_line(self._log)}  ({self._log})"

    def send(self, signum: int) -> None:
        if self._pid is not None and not self._gone():
            with suppress(ProcessLookupError):
                os.kill(self._pid, signum)

    def kill(self) -> None:
        """With all that it started."""
        if self._pid is not None and not self._gone():
            with suppress(ProcessLookupError):
                os.killpg(self._pid, signal.SIGKILL)
            self.wait()

    def wait(self) -> None:
        while not self._gone():
            time.sleep(0.02)

    @property
    def _log(self) -> Path:
        return self.cell.folder / "log.txt"

    def row(self) -> list[str]:
        """Name, state, episodes, seconds of training, and the main metric."""
        if self.result is not None:
            found = [str(self.result["episodes"]), f"{self.result['seconds']:.0f}", main_metric(self.result)]
        elif self.note:
            found = ["", "", self.note]
        else:
            latest = _latest(self.cell.folder / "metrics.jsonl")
            seconds = latest.get("time/seconds")
            shown = next((name for name in latest if name.startswith("eval/")), None)
            metric = f"{shown} {latest[shown]:.4f}" if shown else ""
            found = [f"{latest.get('episodes', '')}", "" if seconds is None else f"{seconds:.0f}", metric]
        return [self.cell.name, self.state, *found]


class Screen:
    """On a terminal a table that is drawn over; elsewhere a line whenever a cell starts or ends."""

    def __init__(self) -> None:
        self._live = sys.stdout.isatty()
        self._drawn: list[str] = []
        self._states: dict[str, State] = {}

    def show(self, jobs: Sequence[Job]) -> None:
        if self._live:
            self._draw(jobs)
        else:
            self._tell(jobs)

    def _draw(self, jobs: Sequence[Job]) -> None:
        size = shutil.get_terminal_size()
        room = max(1, size.lines - 4)
        urgent = sorted(jobs, key=lambda job: URGENCY.index(job.state))[:room]
        rows = [job.row() for job in jobs if job in urgent]
        lines = columns([["cell", "state", "episodes", "seconds", "metric"], *rows])
        counts = ((state, sum(job.state == state for job in jobs)) for state in URGENCY)
        lines += ["", ", ".join(f"{count} {state}" for state, count in counts if count)]
        lines = [line[: size.columns - 1] for line in lines]
        if lines != self._drawn:
            up = f"\x1b[{len(self._drawn)}F" if self._drawn else ""
            print(up + "\x1b[J" + "\n".join(lines), flush=True)
        self._drawn = lines

    def _tell(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            if job.state != self._states.get(job.cell.name, "waiting"):
                name, state, *found = job.row()
                where = [str(job.cell.folder / "log.txt")] if state == "running" else found[2:]
                print("  ".join([time.strftime("%H:%M:%S"), f"{state:7}", name, *where]), flush=True)
            self._states[job.cell.name] = job.state


def summary(found: Mapping[str, Mapping[str, Any]], cells: Mapping[str, Sequence[Cell]]) -> list[str]:
    """A line for each condition: its main metric ± the half-width of its interval, seeds, and seconds of all seeds."""
    rows = [["condition", "metric", "seeds", "seconds"]]
    for name, group in cells.items():
        done = found[name]
        if "metrics" in done:
            rows.append([name, main_metric(done), str(len(done["seeds"])), f"{done['seconds']:.0f}"])
        else:
            parts = group[-1].after or group
            finished = sum(cell.result() is not None for cell in parts)
            rows.append([name, "not finished", f"{finished} of {len(parts)}", ""])
    return columns(rows)


def main_metric(result: Mapping[str, Any]) -> str:
    """The first one, as the command prints it."""
    return in_words(*next(iter(result["metrics"].items())))


def columns(rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]


def _latest(path: Path) -> dict[str, Any]:
    """The last whole line of metrics.jsonl; nothing where there is none."""
    with suppress(OSError, ValueError):
        for line in reversed(_tail(path).splitlines()):
            with suppress(ValueError):
                found: dict[str, Any] = json.loads(line)
                return found
    return {}


def _last_line(path: Path) -> str:
    with suppress(OSError):
        lines = [line for line in _tail(path).splitlines() if line.strip()]
        return lines[-1] if lines else "it said nothing"
    return "it has not begun"


def _tail(path: Path) -> str:
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL))
        return file.read().decode(errors="replace")
