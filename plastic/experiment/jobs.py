"""A sweep's cells as they run: the processes, a live table of them, and the results side by side."""

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Literal

from plastic.experiment.grid import Cell
from plastic.experiment.run import writing
from plastic.experiment.statistics import in_words

State = Literal["waiting", "running", "done", "failed", "stopped"]
URGENCY: tuple[State, ...] = ("failed", "running", "stopped", "waiting", "done")  # which rows stay on a small screen
TAIL = 8192  # bytes at the end of a log that hold its last line


class Job:
    """A cell and its process."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.result = cell.result()
        self.state: State = "done" if self.result else "waiting"
        self.note = ""
        """why it failed, and where to read more"""

    def start(self, slot: Mapping[str, str], lock: int) -> None:
        """In a session of its own, so that Ctrl-C reaches the sweep alone; ``lock`` stays open in it."""
        self.slot, self._started = slot, time.monotonic()
        with writing(self.cell.folder):
            self.cell.folder.mkdir(parents=True, exist_ok=True)
            with open(self._log, "ab") as log:
                self.process = subprocess.Popen(
                    self.cell.words,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env={**os.environ, **slot},
                    start_new_session=True,
                    pass_fds=(lock,),
                )
        self.state = "running"

    def ended(self) -> bool:
        """Whether it came to its end since the last call, which settles its state."""
        if self.state != "running" or (status := self.process.poll()) is None:
            return False
        self.result = self.cell.result() if status == 0 else None
        self.state = "done" if self.result else "failed"
        if self.state == "failed":
            how = f"killed by signal {-status}" if status < 0 else f"status {status}"
            self.note = f"{how}: {_last_line(self._log)}  ({self._log})"
        return True

    @property
    def _log(self) -> Path:
        return self.cell.folder / "log.txt"

    def row(self) -> list[str]:
        """Name, state, episodes, seconds of training, and the main metric."""
        if self.result is not None:
            found = [str(self.result["episodes"]), f"{self.result['seconds']:.0f}", main_metric(self.result)]
        elif self.state == "failed":
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
    lines = [line for line in _tail(path).splitlines() if line.strip()]
    return lines[-1] if lines else "it said nothing"


def _tail(path: Path) -> str:
    with open(path, "rb") as file:
        file.seek(max(0, path.stat().st_size - TAIL))
        return file.read().decode(errors="replace")
