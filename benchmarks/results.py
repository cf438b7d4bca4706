"""RESULTS.md from the JSON files under results/: every figure in it is read from a run's own result.

python -m benchmarks.results
"""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import tyro

from benchmarks.tables import INTRODUCTION, PUBLISHED, TABLES, Published, Table, faults
from plastic.errors import UserError
from plastic.experiment import program
from plastic.experiment.run import writing

ROOT = Path(__file__).parents[1]
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
    metrics = result["metrics"]
    metric = metrics[name] if name else next(iter(metrics.values()))
    digits = 4 if abs(metric["mean"]) < 1 else 2
    if each:
        return ", ".join(f"{value:.{digits}f}" for value in metric["per_seed"])
    interval = "" if metric["ci95"] is None else f" ± {metric['ci95']:.{digits}f}"
    return f"{metric['mean']:.{digits}f}{interval}"


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
        tests = f"{len(first['seeds'])} x {'the test set' if tested is None else f'{tested:,}'}"
        shown = [cell(result, metric) for result, (_, _, metric) in zip(results, cells, strict=True)]
        cost = (f"{first['episodes']:,}", span(first["seconds_per_seed"]), machine(first))
        if all(metric.startswith("baseline") for _, _, metric in cells):
            cost = ("none", "none", "")  # a way that needs no learning, beside the run that measured it
        lines.append(line([label, *shown, tests, *cost]))
    return [*lines, "", "```", *commands, "```", ""]


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
