"""Speed and memory against plainly written loops: the table of speeds, growth with size, memory with length.

    python -m benchmarks.run                       # everything, minutes on two cores
    python -m benchmarks.run --only maze memory    # parts of it; what the file says of the others stays

Both sides of a row work in one process and in turns, after they have given the same loss and gradients; the floor is
what a row cannot do without, at the rates of this machine, measured then. The results are written after each part.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import torch
import tyro

from benchmarks import figures, growth, lengths, rows
from benchmarks.tell import told
from plastic.experiment import program, require
from plastic.experiment.machine import describe_backend, describe_device, describe_machine, pick_device
from plastic.experiment.run import read_json, write_json, writing

RESULTS = Path(__file__).parents[1] / "results"
Name = Literal["patterns", "images", "omniglot", "maze", "splitmnist", "growth", "memory"]
PARTS: dict[str, Callable[[torch.device, int | None], dict[str, Any]]] = {
    **{name: partial(rows.measure, name) for name in rows.ROWS},
    "growth": growth.measure,
    "memory": lambda device, rounds: lengths.measure(device),
}


@dataclass(frozen=True)
class Arguments:
    """Speed and memory against plainly written loops."""

    only: tuple[Name, ...] = get_args(Name)
    """which parts"""
    json: Path | None = None
    """where to write the results, and the figures beside them; none: results/benchmarks-<device>.json"""
    rounds: int | None = None
    """rounds of each side, in turns, of which the median counts; none: what each part needs"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: a GPU where there is one"""


def main(arguments: Arguments) -> dict[str, Any]:
    """Measure, print and write one part after the other, then draw; returns all that the file says."""
    require(arguments.rounds is None or arguments.rounds > 0, f"--rounds: expected 1 or more, got {arguments.rounds}")
    device = pick_device(arguments.device)
    path = arguments.json or RESULTS / f"benchmarks-{device.type}.json"
    results = read_json(path) if path.exists() else {}
    given = "" if arguments.rounds is None else f" --rounds {arguments.rounds}"
    for name in arguments.only:
        measured = PARTS[name](device, arguments.rounds)
        results[name] = {
            "command": f"python -m benchmarks.run --only {name}{given}",
            "machine": describe_machine(),
            "device": describe_device(device),
            "backend": describe_backend(device),
            "threads": torch.get_num_threads(),
            "torch": torch.__version__,
            **measured,
        }
        with writing(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, results)
        print("\n".join(told(name, results[name])), flush=True)
    draw(path, results)
    return results


def draw(path: Path, results: dict[str, Any]) -> None:
    """The figures of what there is, beside the file."""
    made = {}
    if "growth" in results:
        made["growth"] = figures.growth(results["growth"]["growth"])
    if "memory" in results:
        made["memory"] = figures.memory(results["memory"])
    for name, figure in made.items():
        place = path.with_name(f"{path.stem}-{name}.png")
        with writing(place):
            figure.savefig(place, dpi=100)


if __name__ == "__main__":
    program(lambda: main(tyro.cli(Arguments, prog="python -m benchmarks.run")))
