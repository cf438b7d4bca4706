"""A command as a process, forked in a blink from this one, which has imported everything, and ended on purpose.

This process has one thread, and never trains: that is what makes the fork safe. Figures stay blank.
"""

import importlib
import math
import os
import resource
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, NamedTuple, NoReturn

import torch
from matplotlib.figure import Figure
from PIL import Image

from benchmarks.campaign.data import make_small
from plastic.experiment import command, program

SWEEP = "plastic.experiment.sweep"
IMPORTED_LATE = ("matplotlib.backends.backend_agg", "scipy.stats", "torch._dynamo", "torch.utils.tensorboard")
PATIENCE = 900.0  # seconds after which a process hangs
POLL = 0.01


class End(NamedTuple):
    """A signal, before the n-th time that the process writes to its run folder, or after some seconds."""

    signum: int
    write: int = 0
    seconds: float = math.inf

    def __str__(self) -> str:
        when = f"before write {self.write}" if self.write else f"after {self.seconds:.2f} s"
        return f"{signal.Signals(self.signum).name} {when}"


class Ended(NamedTuple):
    """How a process ended."""

    status: int
    """below zero: the signal that killed it"""
    err: str
    writes: int
    """files opened for writing, renamed, removed, and folders made, below the run folder"""
    seconds: float


def get_ready(modules: list[str]) -> None:
    """Import what the commands would import, so that no process has to."""
    torch.set_num_threads(1)
    for module in (*IMPORTED_LATE, *modules):
        importlib.import_module(module)


def attempt(module: str, words: list[str], folder: Path, end: End | None = None, room: int | None = None) -> Ended:
    """``python -m <module> <words>``, which writes to ``folder``; with ``room``, no file may grow larger (bytes)."""
    assert threading.active_count() == 1
    with tempfile.TemporaryDirectory() as place:
        paths = {name: Path(place, name) for name in ("out", "err", "writes")}
        started = time.monotonic()
        pid = os.fork()
        if pid == 0:
            _child(lambda: _work(module, words, folder, paths["writes"], end, room), paths)
        status = _wait(pid, end.seconds if end else math.inf)
        if status is None:
            assert end is not None
            _send(pid, end.signum, whole=module == SWEEP)
            status = _wait(pid, math.inf)
        seconds = time.monotonic() - started
        assert status is not None
        writes = paths["writes"].read_text() if paths["writes"].exists() else "0"
        return Ended(status, paths["err"].read_text(errors="replace"), int(writes), seconds)


def _wait(pid: int, seconds: float) -> int | None:
    """Its exit status, as soon as it ends; None where it lives longer, and it dies where it lives for ever."""
    started = time.monotonic()
    while (passed := time.monotonic() - started) < seconds:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        if passed > PATIENCE:
            _send(pid, signal.SIGKILL, whole=True)
        time.sleep(POLL)
    return None


def _send(pid: int, signum: int, whole: bool) -> None:
    """A signal; ``whole``: SIGKILL ends what the process has started, too, as when the power goes."""
    started = Path(f"/proc/{pid}/task/{pid}/children")
    children = started.read_text().split() if whole and signum == signal.SIGKILL and started.exists() else []
    for target in (pid, *map(int, children)):
        with suppress(ProcessLookupError):
            os.kill(target, signum)
    while any(map(_lives, children)):  # what they have locked is free when they are gone
        time.sleep(POLL)


def _lives(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes() != b""  # a process that nobody has waited for has none
    except OSError:
        return False


def _child(work: Callable[[], None], paths: dict[str, Path]) -> NoReturn:
    """Do the work as a program would: output in files, a status at the end."""
    status = 1
    try:
        for number, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(paths[name], os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
        work()
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(status)


def _blank(figure: Figure, file: IO[bytes], **_: Any) -> None:
    """In place of drawing, which takes most of the time of a small run and decides nothing."""
    Image.new("L", (8, 8)).save(file, "png")


def _work(module: str, words: list[str], folder: Path, writes: Path, end: End | None, room: int | None) -> None:
    make_small()
    Figure.savefig = _blank  # type: ignore[method-assign, assignment]
    found: Any = importlib.import_module(module)
    sys.argv = [module, *words]
    watch = _Writes(folder, end)
    sys.addaudithook(watch)
    if room is not None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, room))
    try:
        if module == SWEEP:
            program(lambda: found.from_command_line(words))
        else:
            command(found.Config, found.main)
    finally:
        writes.write_text(str(watch.count))


class _Writes:
    """An audit hook that counts what is written below a folder, and sends the signal when its time has come."""

    def __init__(self, folder: Path, end: End | None) -> None:
        self.folder, self.end, self.count = str(folder), end, 0

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            flags = arguments[2]
            written = isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR)
        else:
            written = event in ("os.rename", "os.remove", "os.mkdir")
        if written and str(arguments[0]).startswith(self.folder):
            self.count += 1
            if self.end is not None and self.count == self.end.write:
                os.kill(os.getpid(), self.end.signum)
