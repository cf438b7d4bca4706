"""How several runs learned, in one figure against episodes and one against seconds, and the numbers behind both.

    python -m benchmarks.curves plastic=runs/fair rnn=runs/fair-rnn --metric eval/error_rate --out results/patterns/fair

reads metrics.jsonl of every run, or of each seed of it, and writes <out>-curves.json, <out>-episodes.png and
<out>-seconds.png.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from plastic.errors import UserError
from plastic.experiment import History, program
from plastic.experiment.figures import quartiles
from plastic.experiment.run import read_histories, read_json, write_json, writing

DIGITS = 4  # of a number in the file


@dataclass(frozen=True)
class Arguments:
    """How several runs learned, in one figure against episodes and one against seconds."""

    runs: Annotated[tuple[str, ...], tyro.conf.Positional]
    """LABEL=FOLDER, one a condition; the folder is that of one seed or of several"""
    out: Path
    """where to write, without an ending"""
    metric: str = "eval/error_rate"
    """what to show, as metrics.jsonl names it"""
    ylabel: str = "bits with the wrong sign"
    """what it is called"""
    title: str = ""
    """above the figures"""


def histories(folder: Path, metric: str) -> list[History]:
    """What each seed of a run logged of this metric, in few digits."""
    keys = ("episodes", "time/seconds", metric)
    return [[{k: _short(row[k]) for k in keys} for row in seed] for seed in read_histories(folder, metric)]


def _short(value: float) -> float:
    return float(f"{value:.{DIGITS}g}") if isinstance(value, float) else value


def main(arguments: Arguments) -> None:
    """Gather, write, draw."""
    conditions: dict[str, list[History]] = {}
    machines: dict[str, Any] = {}
    for given in arguments.runs:
        label, equals, folder = given.partition("=")
        if not equals:
            raise UserError(f"expected LABEL=FOLDER, got {given}")
        conditions[label] = histories(Path(folder), arguments.metric)
        result = read_json(Path(folder) / "result.json")
        machines[label] = {key: result[key] for key in ("command", "machine", "device", "torch")}
    with writing(arguments.out):
        arguments.out.parent.mkdir(parents=True, exist_ok=True)
        write_json(Path(f"{arguments.out}-curves.json"), {"runs": machines, "histories": conditions})
        for against in ("episodes", "seconds"):
            figure = quartiles(conditions, arguments.metric, arguments.ylabel, arguments.title, against, log=True)
            figure.axes[0].set_ylim(bottom=0)
            figure.savefig(f"{arguments.out}-{against}.png", dpi=100)


if __name__ == "__main__":
    program(lambda: main(tyro.cli(Arguments)))
