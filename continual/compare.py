"""Finished runs side by side, and each plastic read-out against the same run without, paired over seeds.

    python -m continual.compare runs/split-none runs/split-none-dhp runs/split-si runs/split-si-dhp --figure split.png

A pair is two runs of the same command and seeds whose options differ in the read-out alone.
"""

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import tyro

from continual.figures import side_by_side
from plastic.experiment import program, require
from plastic.experiment.run import read_json, write_json, writing

METRIC = "average_accuracy"
LEVEL = 0.05  # of the test, two-sided
HEAD_ALONE = ("head", "eta", "alpha", "preset", "max_seconds", "device")  # what may differ in a pair
SHOWN = ("scenario", "reg", "head", "optimizer", "lr", "scale", "epochs")


@dataclass(frozen=True)
class Arguments:
    """Finished runs of continual learning side by side."""

    runs: tyro.conf.Positional[tuple[Path, ...]]
    """their folders, or their result.json"""
    json: Path | None = None
    """where to write the pairs"""
    figure: Path | None = None
    """where to draw the accuracy after each task"""


class Pair(NamedTuple):
    """The same seeds without and with a plastic read-out."""

    name: str
    without: float
    with_: float
    gain: float
    """mean difference over seeds"""
    ci95: float
    """half-width of its interval, Student's"""
    p: float
    """two-sided paired t-test"""

    @property
    def verdict(self) -> str:
        return "tie" if not self.p < LEVEL else "gain" if self.gain > 0 else "loss"


def read(path: Path) -> dict[str, Any]:
    """One result; UserError if it is of another kind of task."""
    file = path / "result.json" if path.is_dir() else path
    result = read_json(file)
    known = METRIC in result.get("metrics", {}) and "config" in result
    require(known, f"{file} is no result of continual learning: name a folder that a run has finished")
    return result


def per_seed(result: Mapping[str, Any]) -> list[float]:
    values: list[float] = result["metrics"][METRIC]["per_seed"]
    return values


def pairs(results: Sequence[Mapping[str, Any]]) -> list[Pair]:
    """Every linear read-out with the plastic one that differs from it in nothing else."""
    found = []
    for one in results:
        for other in results:
            heads = one["config"]["head"], other["config"]["head"]
            if heads == ("linear", "dhp") and _rest(one) == _rest(other):
                config = one["config"]
                name = f"{one['task']}, {config['scenario']}: {config['reg']}"
                found.append(paired(name, per_seed(one), per_seed(other)))
    return found


def _rest(result: Mapping[str, Any]) -> dict[str, Any]:
    settled = {k: v for k, v in result["config"].items() if k not in (*HEAD_ALONE, "strength")}
    facts = {key: result.get(key) for key in ("task", "dataset", "seeds", "strength")}
    return {**settled, **{f"result {key}": value for key, value in facts.items()}}


def paired(name: str, without: Sequence[float], with_: Sequence[float]) -> Pair:
    """Differences seed by seed, and Student's test of their mean."""
    gains = [b - a for a, b in zip(without, with_, strict=True)]
    mean = statistics.fmean(gains)
    error = statistics.stdev(gains) / math.sqrt(len(gains)) if len(gains) > 1 else math.nan
    p = half = math.nan
    if error > 0:
        from scipy.stats import t  # half a second, and only needed here

        p = float(2 * t.sf(abs(mean) / error, len(gains) - 1))
        half = float(t.ppf(0.975, len(gains) - 1)) * error
    elif error == 0:  # every seed says the same
        p, half = (0.0 if mean else 1.0), 0.0
    return Pair(name, statistics.fmean(without), statistics.fmean(with_), mean, half, p)


def table(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """A line for each run: its options, and mean ± standard deviation over seeds in per cent."""
    lines = [_line([*SHOWN, "strength", "seeds", "average accuracy", "seconds a seed"]), _line(["---"] * 11)]
    for result in results:
        metric, config = result["metrics"][METRIC], result["config"]
        way = "joint" if config["joint"] else "scratch" if config["scratch"] else config["reg"]
        shown = [way if name == "reg" else str(config[name]) for name in SHOWN]
        accuracy = f"{100 * metric['mean']:.2f} ± {100 * metric['std']:.2f}"
        seconds = f"{statistics.fmean(result['seconds_per_seed']):.1f}"
        lines.append(_line([*shown, f"{result['strength']:g}", str(len(result["seeds"])), accuracy, seconds]))
    return lines


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def main(arguments: Arguments) -> list[Pair]:
    """Print both tables; returns the pairs."""
    results = [read(path) for path in arguments.runs]
    print("\n".join(table(results)))
    found = pairs(results)
    if found:
        print(
            "\n"
            + _line(["with and without DHP", "without", "with", "gain", "p", "verdict"])
            + f"\n{_line(['---'] * 6)}"
        )
    for pair in found:
        accuracies = f"{100 * pair.without:.2f}", f"{100 * pair.with_:.2f}"
        gain = f"{100 * pair.gain:+.2f} ± {100 * pair.ci95:.2f}"
        print(_line([pair.name, *accuracies, gain, f"{pair.p:.2g}", pair.verdict]))
    if arguments.json:
        finite = [
            {k: v if isinstance(v, str) or math.isfinite(v) else None for k, v in pair._asdict().items()}
            | {"verdict": pair.verdict}
            for pair in found
        ]
        write_json(arguments.json, {"pairs": finite})
    if arguments.figure:
        with writing(arguments.figure):
            side_by_side(results).savefig(arguments.figure, dpi=120)
    return found


if __name__ == "__main__":
    program(lambda: main(tyro.cli(Arguments)))
