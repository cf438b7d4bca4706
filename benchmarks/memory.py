"""How much memory a piece of work needs at its peak, measured in a process of its own."""

import ctypes
import multiprocessing
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

T = TypeVar("T")


def apart(function: Callable[..., T], *arguments: object) -> T:
    """``function(*arguments)`` in a fresh process."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(function, arguments)


def peak(work: Callable[[], object], device: torch.device) -> float | None:
    """MB that the work adds at its peak; None where a CPU's system does not tell it (other than Linux with glibc)."""
    if device.type == "cuda":
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        work()
        return (torch.cuda.max_memory_allocated() - before) / 1e6
    try:
        ctypes.CDLL(None).malloc_trim(0)  # what earlier work has left would be used again, unseen
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark starts again from here
        resident = _status("VmRSS")
        work()
        return (_status("VmHWM") - resident) / 1e3
    except (OSError, AttributeError, StopIteration):
        return None


def _status(name: str) -> float:
    """In kB, as Linux tells it."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return float(next(line.split()[1] for line in lines if line.startswith(name)))
