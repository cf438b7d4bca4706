"""How much memory a piece of work needs: resident memory at its peak, in a process of its own."""

import multiprocessing
from collections.abc import Callable
from pathlib import Path


def apart(function: Callable[..., float | None], *arguments: object) -> float | None:
    """``function(*arguments)`` in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def peak(work: Callable[[], object]) -> float | None:
    """MB that the work adds at its peak; None where the system does not tell it (other than Linux)."""
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again from here
        before = _status("VmRSS")
        work()
        return (_status("VmHWM") - before) / 1e3
    except (OSError, StopIteration):
        return None


def _status(name: str) -> float:
    """In kB, as Linux tells it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(name)))
