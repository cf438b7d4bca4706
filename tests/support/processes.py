"""Commands as processes of their own that start in a blink: forked from a server that has imported torch already."""

import os
import signal
import time
from collections.abc import Callable
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

SUPPORT = Path(__file__).parent
CONTEXT = get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "matplotlib.backends.backend_agg",
        "scipy.stats",
        "torch._dynamo",
        "torch.utils.tensorboard",
        "tasks.omniglot",
        "agents.maze_a2c",
    ]
)
CHILD = """
import os, runpy, sys
for number, path in ((1, {out!r}), (2, {err!r})):
    os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), number)
os.environ.update({environ!r})
sys.argv = [{script!r}, *{arguments!r}]
runpy.run_path({script!r}, run_name="__main__")
"""


class Ended(NamedTuple):
    """How a process ended; a status below zero is the signal that killed it."""

    status: int
    out: str
    err: str


class Process:
    """``python <script> <arguments>``: a script of tests/support, or a whole path; its output is in ``folder``."""

    def __init__(self, script: str, arguments: list[str], folder: Path, **environ: str) -> None:
        stem = folder / f"process-{time.monotonic_ns()}"
        self._out, self._err = stem.with_suffix(".out"), stem.with_suffix(".err")
        code = CHILD.format(
            out=str(self._out),
            err=str(self._err),
            environ=environ,
            script=str(SUPPORT / script),
            arguments=list(map(str, arguments)),
        )
        self._process = CONTEXT.Process(target=exec, args=(code,))
        self._process.start()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def alive(self) -> bool:
        return self._process.is_alive()

    def send(self, signum: int, when: Callable[[], bool] = lambda: True) -> "Process":
        """A signal, as soon as ``when()`` holds."""
        while not when() and self._process.is_alive():
            time.sleep(0.002)
        if self._process.is_alive():
            os.kill(self._process.pid, signum)
        return self

    def ended(self, within: float = 60) -> Ended:
        """Wait for the end; a process that hangs is killed, and its status says so."""
        self._process.join(within)
        if self._process.is_alive():
            self.send(signal.SIGKILL)
            self._process.join()
        return Ended(self._process.exitcode, self._out.read_text(), self._err.read_text())
