"""What a run runs on: device, memory, seeds, and a description for env.json and result.json."""

import ctypes
import hashlib
import os
import platform
import subprocess
import sys
from functools import cache
from pathlib import Path
from typing import Any

import torch

from plastic.errors import UserError
from plastic.experiment import processes
from plastic.kernels import build


def pick_device(name: str) -> torch.device:
    """``auto`` is the GPU where there is one; UserError for ``cuda`` where there is none."""
    if name == "cuda" and not torch.cuda.is_available():
        raise UserError("--device cuda: torch finds no CUDA device here; use --device cpu")
    device = processes.local_device() if name != "cpu" and torch.cuda.is_available() else torch.device("cpu")
    if device.type == "cpu":
        _keep_memory()
    return device


@cache
def _keep_memory() -> bool:
    """Tell glibc to keep freed memory for the next update instead of handing it back to the kernel.

    A training step frees and takes the same megabytes again; on fresh pages the page faults cost more than the sums.
    """
    M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # from malloc.h
    try:
        mallopt = ctypes.CDLL("libc.so.6").mallopt
    except (OSError, AttributeError):
        return False  # another C library
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, 2**31 - 1))


def generator(seed: int, stream: str, device: torch.device | str = "cpu") -> torch.Generator:
    """An independent source of chance for each named stream of a seed."""
    digest = hashlib.sha256(f"{stream}:{seed}".encode()).digest()  # torch's CPU generator looks at 32 bits of a seed
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:4]))


def describe_machine() -> str:
    """Such as ``2 cores AMD EPYC``."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{cores} {'core' if cores == 1 else 'cores'} {_processor()}"


def describe_device(device: torch.device) -> str:
    return "cpu" if device.type == "cpu" else torch.cuda.get_device_name(device)


def describe_backend(device: torch.device) -> str:
    """What steps a plastic recurrent network that is left to itself: ``compiled`` or ``torch``; nothing is built."""
    if device.type != "cpu":
        return "torch"
    return {"built": "compiled", "to be built": "compiled on first use", "absent": "torch"}[build.standing()]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())


def environment(device: torch.device) -> dict[str, Any]:
    """Versions, device and the state of the source tree."""
    return {
        "python": sys.version.split()[0],
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "platform": platform.platform(),
        "machine": describe_machine(),
        "device": describe_device(device),
        "processes": processes.count(),
        "threads": torch.get_num_threads(),
        "backend": describe_backend(device),
        "git": _git_state(),
    }


def _git_state() -> dict[str, Any] | None:
    """Commit, and whether files differ from it; None outside a checkout of this project or without git."""
    root = Path(__file__).resolve().parents[2]

    def git(*words: str) -> str:
        return subprocess.run(["git", "-C", root, *words], capture_output=True, text=True, check=True).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")) != root:
            return None  # installed below somebody else's checkout
        return {"commit": git("rev-parse", "HEAD"), "dirty": git("status", "--porcelain") != ""}
    except (OSError, subprocess.CalledProcessError):
        return None
