"""RESULTS.md from the JSON files under results/: every figure in it is read from a run's own result.

python -m benchmarks.results
"""

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tyro

from benchmarks.tables import CLAIMS, INTRODUCTION, PUBLISHED, TABLES, Published, Table, faults
from benchmarks.tables import figures as redrawn
from benchmarks.tables.claims import Claim, Claims, Measured, Metric, difference, measured, verdict
from plastic.errors import UserError
from plastic.experiment import program
from plastic.experiment.run import writing

ROOT = Path(__file__).parents[1]
CLAIMED = (
    "",
    "published",
    "agrees",
    "ours",
    "median",
    "std",
    "seeds",
    "seconds a seed",
    "machine",
    "reproduced",
    "note",
)
Result = Mapping[str, Any]


def read(folder: Path, name: str) -> Result:
    """One result; UserError if it is not there."""
    path = folder / f"{name}.json"
    try:
        result: Result = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is missing or damaged ({error}): copy the run's result.json there") from error
    return result


def cell(result: Result | None, name: str) -> str:
    """A metric, by default the first: mean ± half of the 95% interval, or after a # each seed's; fractions with more
    digits."""
    if result is None:
        return "not run"
    name, each, _ = name.partition("#")
    metric = metric_of(result, name)
    if each:
        return ", ".join(number(value, metric["mean"]) for value in metric["per_seed"])
    return with_interval(metric["mean"], metric["ci95"])


def metric_of(result: Result, name: str) -> Metric:
    """By default the first."""
    metrics: Mapping[str, Metric] = result["metrics"]
    return metrics[name] if name else next(iter(metrics.values()))


def number(value: float, beside: float) -> str:
    """With as many digits as ``beside`` has: fractions have more."""
    return f"{value:.{4 if abs(beside) < 1 else 2}f}"


def with_interval(mean: float, half: float | None) -> str:
    return number(mean, mean) + ("" if half is None else f" ± {number(half, mean)}")


def span(values: Iterable[float]) -> str:
    """One number, or the range."""
    least, most = min(values := list(values)), max(values)
    return f"{least:,.0f}" if round(least) == round(most) else f"{least:,.0f} to {most:,.0f}"


def render(table: Table, folder: Path) -> list[str]:
    """The lines of one table, and the commands that made it."""
    head = ("", *table.columns, "seeds x tests", table.counted, "seconds a seed", "machine")
    lines = [f"## {table.title}", "", table.text, "", line(head), line(["---"] * len(head))]
    commands: dict[str, None] = {}
    for label, names in table.rows.items():
        cells = [(name or "").partition(":") for name in names]
        results = [read(folder, file) if file else None for file, _, _ in cells]
        first, *others = [result for result in results if result is not None]
        if any(r["episodes"] != first["episodes"] or r["seeds"] != first["seeds"] for r in others):
            raise UserError(f"{label}: {names} are not tests of the same runs")
        commands |= {result["command"]: None for result in results if result is not None}
        tested = first["config"].get("test_episodes")
        whole = "what is held out" if first["config"].get("evaluate_on") == "validation" else "the test set"
        tests = f"{len(first['seeds'])} x {whole if tested is None else f'{tested:,}'}"
        shown = [cell(result, metric) for result, (_, _, metric) in zip(results, cells, strict=True)]
        cost = (f"{first['episodes']:,}", span(first["seconds_per_seed"]), machine(first))
        if all(metric.startswith("baseline") for _, _, metric in cells):
            cost = ("none", "none", "")  # a way that needs no learning, beside the run that measured it
        lines.append(line([label, *shown, tests, *cost]))
    return [*lines, "", "```", *commands, "```", ""]


def render_claims(claims: Claims, folder: Path) -> list[str]:
    """Published figures beside ours, what they come to, and the commands, each with the numbers of its rows."""
    rows, commands, verdicts = [], dict[str, list[str]](), []
    for count, claim in enumerate(claims.rows, 1):
        runs = [read(folder, name.partition(":")[0]) for name in (claim.result, claim.minus) if name is not None]
        found = find(claim, runs)
        verdicts.append(verdict(claim, found))
        if verdicts[-1] == "no" and not claim.note:
            raise UserError(f"{claim.what!r} is not reproduced: its note has to say why")
        for run in runs:
            commands.setdefault(run["command"], []).append(str(count))
        note = claim.note.format_map(runs[0]) if runs else claim.note
        published = f"{claim.published} ({claim.source})"
        seeds = " and ".join(dict.fromkeys(str(len(run["seeds"])) for run in runs))
        costs = dict.fromkeys(span(run["seconds_per_seed"]) for run in runs), dict.fromkeys(map(machine, runs))
        ours = ("not run", "", "") if found is None else figures(found)
        which = f"{count}. {claim.what}"
        rows.append(line([which, published, agreeing(claim), *ours, seeds, *map("; ".join, costs), verdicts[-1], note]))
    tally = ", ".join(f"{name} {verdicts.count(name)}" for name in ("yes", "better", "no"))
    lines = [f"## {claims.title}", "", f"{claims.text} Reproduced: {tally}.", "", line(CLAIMED)]
    lines += [line(["---"] * len(CLAIMED)), *rows, ""]
    made = [f"{command}  # {', '.join(numbers)}" for command, numbers in commands.items()]
    return [*lines, "```", *made, "```", ""] if made else lines


def find(claim: Claim, runs: Sequence[Result]) -> Measured | None:
    """What a claim's runs measured; None without a run."""
    names = [name.partition(":")[2] for name in (claim.result, claim.minus) if name is not None]
    metrics = [metric_of(run, name) for run, name in zip(runs, names, strict=True)]
    if len(metrics) == 2:
        one, other = metrics
        return difference(one, other, paired=runs[0]["seeds"] == runs[1]["seeds"])
    return measured(metrics[0]) if metrics else None


def figures(found: Measured) -> tuple[str, str, str]:
    """Mean with its interval, median, and standard deviation over seeds."""
    std = "" if found.std is None else number(found.std, found.mean)
    return with_interval(found.mean, found.ci95), number(found.median, found.mean), std


def agreeing(claim: Claim) -> str:
    """What agrees with a claim, in words."""
    low, high = (f"{bound:g}" for bound in claim.bounds)
    if claim.bounds[1] == math.inf:
        return f"above {low}"
    beyond = {"high": ", or more", "low": ", or less", "neither": ""}[claim.good]
    below = claim.bounds[0] == -math.inf or (claim.bounds[0] == 0 and claim.good == "low")
    return f"up to {high}" if below else f"{low} to {high}{beyond}"


def given(published: Published) -> list[str]:
    """The lines of a table whose figures are what they are."""
    lines = [f"## {published.title}", "", published.text, "", line(published.columns)]
    return [*lines, line(["---"] * len(published.columns)), *map(line, published.rows), ""]


def machine(result: Result) -> str:
    return str(result["machine"] if result["device"] == "cpu" else result["device"])


def line(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |"


def page(folder: Path) -> str:
    """RESULTS.md as a whole."""
    lines = ["# Results", "", INTRODUCTION, ""]
    for claims in CLAIMS:
        lines += render_claims(claims, folder)
    lines += redrawn.section(folder)
    for published in PUBLISHED:
        lines += given(published)
    for table in TABLES:
        lines += render(table, folder)
    if (folder / "faults.json").exists():
        lines += given(faults.table(read(folder, "faults")))
    return "\n".join(lines).rstrip() + "\n"


def main(check: bool = False) -> None:
    """Write RESULTS.md; with ``check``, only say whether it is up to date."""
    path, content = ROOT / "RESULTS.md", page(ROOT / "results")
    with writing(path):
        if not check:
            path.write_text(content)
        elif path.read_text() != content:
            raise UserError(f"{path} is not what results/ says: python -m benchmarks.results")


if __name__ == "__main__":
    program(lambda: tyro.cli(main))
