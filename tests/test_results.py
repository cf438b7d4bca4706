"""RESULTS.md says what the files under results/ say."""

import json
from pathlib import Path

import pytest

from benchmarks.results import main, render, span
from benchmarks.tables import Table, faults
from plastic.errors import UserError

RESULT = {
    "command": "python -m tasks.omniglot --seeds 2",
    "seeds": [0, 1],
    "episodes": 6000,
    "seconds_per_seed": [299.6, 311.2],
    "machine": "1 core AMD EPYC",
    "device": "cpu",
    "config": {"test_episodes": 10_000},
    "metrics": {"test_accuracy": {"mean": 0.97654, "ci95": 0.00321}, "baseline_sse": {"mean": 15.234, "ci95": None}},
}


def _write(folder: Path, **files) -> None:
    for name, given in files.items():
        (folder / f"{name}.json").write_text(json.dumps({**RESULT, **given}))


def test_the_page_is_up_to_date():
    """Red if a result, or the text around it, changes without ``make results``."""
    main(check=True)


def test_a_row_shows_what_its_files_hold(tmp_path):
    """Red if a figure comes from another file or metric, loses its interval, a command goes missing, or a
    baseline has learned."""
    _write(tmp_path, a={}, b={"command": "python -m tasks.omniglot --ways 20"}, c={"device": "NVIDIA H200"})
    table = Table("Title", "Text.", ("five", "twenty"), {"both": ("a", "b"), "one": ("c", None)})
    lines = render(table, tmp_path)
    assert lines[:3] == ["## Title", "", "Text."]
    assert "| both | 0.9765 ± 0.0032 | 0.9765 ± 0.0032 | 2 x 10,000 | 6,000 | 300 to 311 | 1 core AMD EPYC |" in lines
    assert "| one | 0.9765 ± 0.0032 | not run | 2 x 10,000 | 6,000 | 300 to 311 | NVIDIA H200 |" in lines
    table = Table("", "", ("accuracy", "sse"), {"one": ("a", "a:baseline_sse")})
    assert "| one | 0.9765 ± 0.0032 | 15.23 | 2 x 10,000 | 6,000 | 300 to 311 | 1 core AMD EPYC |" in render(
        table, tmp_path
    )
    _write(tmp_path, d={"metrics": {"sse": {"mean": 15.0, "ci95": 1.0, "per_seed": [14.125, 15.875]}}})
    (row,) = (row for row in render(Table("", "", ("sse",), {"one": ("d:sse#",)}), tmp_path) if "| one |" in row)
    assert row.startswith("| one | 14.12, 15.88 | 2 x 10,000 |")
    table = Table("", "", ("sse",), {"one": ("a:baseline_sse",)})
    assert "| one | 15.23 | 2 x 10,000 | none | none |  |" in render(table, tmp_path)
    assert lines[-5:-1] == ["```", RESULT["command"], "python -m tasks.omniglot --ways 20", "```"]


def test_columns_of_different_runs_do_not_share_a_row(tmp_path):
    """Red if a row's episodes and seconds hold for its first column only."""
    _write(tmp_path, a={}, b={"episodes": 1500})
    with pytest.raises(UserError, match="not tests of the same runs"):
        render(Table("", "", ("five", "twenty"), {"both": ("a", "b")}), tmp_path)


def test_a_missing_result_is_one_sentence(tmp_path):
    """Red if the page is written without it."""
    with pytest.raises(UserError, match=r"gone\.json is missing or damaged"):
        render(Table("", "", ("five",), {"both": ("gone",)}), tmp_path)


@pytest.mark.parametrize(("values", "shown"), [([299.6, 300.4], "300"), ([1.0, 2236.4], "1 to 2,236")])
def test_a_span_is_one_number_or_two(values, shown):
    """Red if the larger comes first, or a range is shown where there is none."""
    assert span(values) == shown


def test_the_faults_are_counted_by_command_and_in_all():
    """Red if a fault that was not survived is not seen, or a kind is summed with another."""
    commands = {
        "tasks.a": {"faults": {"kill -9": {"tried": 3, "survived": 2}, "damaged data": {"tried": 5, "survived": 5}}},
        "tasks.b": {"faults": {"kill -9": {"tried": 4, "survived": 4}}},
    }
    result = {"command": "python -m benchmarks.faults", "seconds": 61, "machine": "1 core", "commands": commands}
    made = faults.table(result)
    rows = [dict(zip(made.columns, row, strict=True)) for row in made.rows]
    assert [row["kill -9"] for row in rows] == ["2 of 3", "4 of 4", "6 of 7"]
    assert [row["damaged data"] for row in rows] == ["5 of 5", "none", "5 of 5"]
    assert rows[-1]["SIGTERM"] == "none"
    assert "1 minutes on 1 core" in made.text
