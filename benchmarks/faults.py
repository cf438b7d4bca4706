"""Faults against every command: what is begun is never lost.

    python -m benchmarks.faults --kills 20 --json results/faults.json

Each command, made small, is ended at random moments, by kill -9 and by SIGTERM, and resumed until it is done: what it
leaves (checkpoint, log, result) has to equal what an undisturbed run leaves, bit for bit. Then come a full disk, a
read-only folder, checkpoints with wrong bytes, checkpoints of strangers that would run code, and damaged data files:
each has to end in one sentence and status 2, or in the same result, and must not change what is there. A fault that is
not survived is named, and the status is 1.

As root it mounts a small disk of its own; otherwise files are limited in size, and folders lose their permissions.
"""

import json
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro

from benchmarks.campaign.against import Campaign
from benchmarks.campaign.attempts import SWEEP, get_ready
from benchmarks.campaign.data import write_packs
from benchmarks.campaign.subjects import SUBJECTS
from plastic.errors import UserError
from plastic.experiment import program
from plastic.experiment.machine import describe_machine
from plastic.experiment.run import write_json


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Faults against every command."""

    kills: int = 20
    """times that each command is ended; a sweep, whose cells are slow to start, a quarter of it"""
    others: int = 3
    """times that each of the other random faults is tried on each command"""
    seed: int = 0
    """of where and when the faults come; what the clock decides is another moment each time"""
    only: tuple[str, ...] = ()
    """of the commands, such as tasks.patterns; none: all"""
    json: Path | None = None
    """where to write what was found"""


def main(arguments: Arguments) -> dict[str, Any]:
    """Returns, and prints, what was tried and survived. SystemExit with status 1 for a loss."""
    if unknown := set(arguments.only) - set(SUBJECTS):
        raise UserError(f"--only: expected some of {', '.join(SUBJECTS)}, got {', '.join(sorted(unknown))}")
    subjects = {module: subject for module, subject in SUBJECTS.items() if module in (arguments.only or SUBJECTS)}
    get_ready(list(subjects))
    started, found = time.monotonic(), dict[str, Any]()
    words = [f"--kills {arguments.kills}", f"--others {arguments.others}", f"--seed {arguments.seed}"]
    words += ["--only", *arguments.only] if arguments.only else []
    result: dict[str, Any] = {
        "benchmark": "faults: tried, and survived without a loss",
        "command": " ".join(["python -m benchmarks.faults", *words]),
        "machine": describe_machine(),
        "torch": torch.__version__,
    }
    lost: list[str] = []
    for module, subject in subjects.items():
        with tempfile.TemporaryDirectory(prefix="faults-") as place:
            data, runs = Path(place, "data"), Path(place, "runs")
            data.mkdir()
            runs.mkdir()
            write_packs(data)
            kills = arguments.kills if module != SWEEP else -(-arguments.kills // 4)
            campaign = Campaign(module, subject, runs, data, arguments.seed)
            found[module] = campaign.whole(kills, arguments.others)
        told = ", ".join(f"{kind} {n['survived']}/{n['tried']}" for kind, n in found[module]["faults"].items())
        print(f"{module}: {told}  ({found[module]['seconds']:.0f} s)", flush=True)
        lost += campaign.lost
        result |= {"seconds": round(time.monotonic() - started, 1), "commands": found, "lost": lost}
        if arguments.json:
            write_json(arguments.json, result)
    print(json.dumps({kind: result[kind] for kind in ("machine", "seconds", "lost")}, indent=1))
    if lost:
        sys.exit(1)
    return result


if __name__ == "__main__":
    program(lambda: main(tyro.cli(Arguments)))
