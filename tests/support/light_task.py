"""A command that only pretends to train. As a program it imports nothing, so that a test can start many.

``--mode`` says what it does: fail; hang until a signal and leave a checkpoint, unless there is one; deaf: only note
that it ``heard`` SIGTERM. It appends what it was given to ``calls`` in its folder.
"""

import json
import os
import signal
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal

if __name__ != "__main__":
    from plastic.experiment import Options, Presets

    @dataclass(frozen=True, kw_only=True)
    class Config(Options):
        """What can be said to it."""

        MODULE: ClassVar[str] = "light_task"
        PRESETS: ClassVar[Presets] = {"default": {}, "quick": {"rate": 0.5}}

        mode: Literal["plain", "fail", "hang", "deaf"] = "plain"
        """what it does"""
        rule: str = "hebb"
        """a name"""
        rate: float = 0.1
        """a number"""
        hidden: tuple[int, ...] = (4,)
        """several numbers"""
        joint: bool = False
        """a switch"""


def pretend(words: list[str]) -> int:
    def given(name: str, default: str) -> str:
        return words[words.index(name) + 1] if name in words else default

    folder, mode = Path(given("--out", "")), given("--mode", "plain")
    seed, seeds = int(given("--seed", "0")), int(given("--seeds", "1"))
    wanted = [seed + k for k in range(seeds)]
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint, begun = folder / "checkpoint.pt", time.monotonic()
    environ = {name: os.environ.get(name) for name in ("CUDA_VISIBLE_DEVICES", "OMP_NUM_THREADS")}

    def stop(signum: int, frame: object) -> None:
        checkpoint.touch()
        sys.exit(128 + signum)

    if mode == "deaf":
        signal.signal(signal.SIGTERM, lambda *_: (folder / "heard").touch())
    else:
        signal.signal(signal.SIGTERM, stop)
        signal.signal(signal.SIGINT, stop)

    def note() -> None:
        call = {
            "pid": os.getpid(),
            "session": os.getsid(0),
            "words": words,
            "begun": begun,
            "ended": time.monotonic(),
            **environ,
        }
        with (folder / "calls").open("a") as file:
            file.write(json.dumps(call) + "\n")

    if mode == "fail" and seed == 1:
        print("error: the sky fell", file=sys.stderr)
        return 3
    if mode in ("hang", "deaf") and not checkpoint.exists():
        note()
        time.sleep(60)
    if seeds > 1:
        values = [json.loads((folder / f"seed-{s}" / "result.json").read_text())["episodes"] / 10 for s in wanted]
    else:
        values = [seed / 10]
        time.sleep(0.05)
    note()
    metric = {"per_seed": values, "mean": sum(values) / seeds, "ci95": 0.5 if seeds > 1 else None}
    result = {"seeds": wanted, "episodes": seed, "seconds": 2.0 * seeds, "device": "cpu", "metrics": {"m": metric}}
    (folder / "result.json").write_text(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(pretend(sys.argv))
