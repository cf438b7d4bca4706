"""The compiled kernels as a library: built by the machine's own C++ compiler when first asked for, kept for the user.

A plain compiler and ctypes are all it takes: no headers of torch or Python, which take a minute to compile, and no
further dependency.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import tempfile
from functools import cache
from pathlib import Path
from typing import Literal

SOURCE = Path(__file__).parent / "cpu" / "kernels.cpp"  # it includes its neighbours
FLAGS = ("-std=gnu++17", "-O3", "-march=native", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math")
LIBRARY = ("-shared", "-fPIC", "-pthread")
PATIENCE = 600  # seconds that a compiler may take
Standing = Literal["built", "to be built", "absent"]


@cache
def library() -> ctypes.CDLL | None:
    """The library, once a process; None where it cannot be had."""
    try:
        path = _place()
        if not path.exists():
            _build(path)
        return ctypes.CDLL(str(path))
    except (OSError, RuntimeError, subprocess.SubprocessError):  # no compiler, no home, a full disk, another processor
        return None


def standing() -> Standing:
    """Whether there is a library, or a compiler for one, found out without building it."""
    if library.cache_info().currsize:
        return "absent" if library() is None else "built"
    try:
        if _place().exists():
            return "built"
    except (OSError, RuntimeError):
        return "absent"
    return "absent" if compiler() is None else "to be built"


def _place() -> Path:
    """One file for each version of the source and kind of processor: homes are shared between machines."""
    sources = sorted(path for path in SOURCE.parent.iterdir() if path.suffix in (".h", ".cpp"))
    made_of = [path.read_bytes() for path in sources]
    made_of += map(str.encode, (*FLAGS, platform.system(), platform.machine(), _processor()))
    name = f"kernels-{hashlib.sha256(b'|'.join(made_of)).hexdigest()[:16]}.so"
    root = os.environ.get("XDG_CACHE_HOME")
    return (Path(root) if root else Path.home() / ".cache") / "plastic" / name


def _processor() -> str:
    """What the processor can do, where the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return "".join(sorted({line for line in lines if line.startswith(("model name", "flags", "Features"))}))


def compiler() -> str | None:
    """The machine's C++ compiler: $CXX, or what it is usually called."""
    return next(filter(None, map(shutil.which, (os.environ.get("CXX", "c++"), "g++", "clang++"))), None)


def _build(path: Path) -> None:
    """Written beside its place and renamed: processes that build at once do not meet."""
    found = compiler()
    if found is None:
        raise FileNotFoundError("no C++ compiler")
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=path.parent, prefix=".kernels-") as folder:
        made = Path(folder) / path.name
        command = [found, *FLAGS, *LIBRARY, "-o", str(made), str(SOURCE)]
        subprocess.run(command, check=True, capture_output=True, stdin=subprocess.DEVNULL, timeout=PATIENCE)
        made.replace(path)
