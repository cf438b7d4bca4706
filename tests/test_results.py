"""RESULTS.md says what the files under results/ say."""

import json
import math
from pathlib import Path

import pytest

from benchmarks.results import main, render, render_claims, span
from benchmarks.tables import Claims, Table, faults, figures
from benchmarks.tables.claims import Claim, Measured, difference, measured, read_by_eye, verdict
from plastic.errors import UserError
from plastic.experiment import Estimate
from plastic.experiment.statistics import over_seeds

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


@pytest.mark.parametrize(("chosen_on", "shown"), [("test", "the test set"), ("validation", "what is held out")])
def test_a_row_says_what_it_was_tested_on(tmp_path, chosen_on, shown):
    """Red if accuracy on training images that were held out passes for one on test images."""
    _write(tmp_path, a={"config": {"evaluate_on": chosen_on}})
    assert any(f" 2 x {shown} |" in row for row in render(Table("", "", ("five",), {"one": ("a",)}), tmp_path))


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


def _metric(*values: float, ci95: float | None = 0.01) -> dict:
    return {**over_seeds([Estimate(value, 0.0) for value in values]), "ci95": ci95}


def _claim(**given) -> Claim:
    return Claim(**{"what": "it", "published": "0.9", "source": "them", "bounds": (0.9, 0.92), "result": "a", **given})


@pytest.mark.parametrize(
    ("given", "metric", "expected"),
    [
        ({}, _metric(0.91), "yes"),
        ({}, _metric(0.93), "no"),  # a baseline's figure is there to be met, not beaten
        ({}, _metric(0.89), "no"),
        ({"good": "high"}, _metric(0.89), "no"),
        ({"good": "high"}, _metric(0.925), "yes"),  # beyond, but not with all of its interval
        ({"good": "high"}, _metric(0.935), "better"),
        ({"good": "low"}, _metric(0.93), "no"),
        ({"good": "low"}, _metric(0.895), "yes"),
        ({"good": "low"}, _metric(0.885), "better"),
        ({"good": "high", "median": True}, _metric(0.8, 0.91, 0.91), "yes"),
        ({"good": "high"}, _metric(0.8, 0.91, 0.91), "no"),
        ({"good": "high"}, _metric(0.93, ci95=None), "better"),
    ],
)
def test_the_verdict_follows_from_the_figures(given, metric, expected):
    """Red if the mean stands in for the median, better ignores the interval, or a baseline may be exceeded."""
    assert verdict(_claim(**given), measured(metric)) == expected


@pytest.mark.parametrize(("ci95", "expected"), [(0.04, "yes"), (0.06, "no"), (None, "no")])
def test_a_difference_has_to_be_certain(ci95, expected):
    """Red if its mean is enough."""
    claim = _claim(bounds=(0, math.inf), minus="b")
    assert verdict(claim, Measured(0.05, 0.05, None, ci95)) == expected


def test_a_difference_is_paired_over_equal_seeds():
    """Red if it is taken the other way round, or if the spread that two runs share counts."""
    one, other = _metric(0.5, 0.7, 0.9, ci95=0.3), _metric(0.4, 0.6, 0.8, ci95=0.4)
    paired, apart = difference(one, other, paired=True), difference(one, other, paired=False)
    assert [*paired[:2], *apart[:2]] == pytest.approx([0.1] * 4)
    assert (paired.std, paired.ci95) == pytest.approx((0, 0), abs=1e-12)
    assert (apart.std, apart.ci95) == (None, pytest.approx(0.5))


def test_a_claim_stands_beside_what_its_run_measured(tmp_path):
    """Red if a figure, a bound, a command or the verdict goes missing, or is of another run."""
    seeds = {"metrics": {"loss": _metric(9.0, 9.0), "sse": _metric(1.5, 2.5, 2.75, ci95=0.5)}}
    _write(tmp_path, a=seeds, b={**seeds, "command": "python -m tasks.images", "machine": "2 cores"})
    rows = (
        _claim(bounds=(2, 3), result="a:sse", note="{episodes:,} episodes"),
        _claim(bounds=(-math.inf, 1), result="a:sse", minus="b:sse"),
        _claim(bounds=(0, 2.5), good="low", median=True, result="b:sse"),
        _claim(result=None, note="too long"),
    )
    lines = render_claims(Claims("Title", "Text.", rows), tmp_path)
    assert lines[:3] == ["## Title", "", "Text. Reproduced: yes 3, better 0, no 1."]
    figures = "2.25 ± 0.50 | 2.50 | 0.66"
    assert (
        f"| 1. it | 0.9 (them) | 2 to 3 | {figures} | 2 | 300 to 311 | 1 core AMD EPYC | yes | 6,000 episodes |"
        in lines
    )
    assert any(
        "| up to 1 | 0.0000 ± 0.0000 | 0.0000 | 0.0000 | 2 | 300 to 311 | 1 core AMD EPYC; 2 cores | yes |" in row
        for row in lines
    )
    assert f"| 3. it | 0.9 (them) | up to 2.5 | {figures} | 2 | 300 to 311 | 2 cores | yes |  |" in lines
    assert "| 4. it | 0.9 (them) | 0.9 to 0.92 | not run |  |  |  |  |  | no | too long |" in lines
    assert lines[-5:-1] == ["```", f"{RESULT['command']}  # 1, 2", "python -m tasks.images  # 2, 3", "```"]
    assert "```" not in render_claims(Claims("", "", rows[3:]), tmp_path)


def test_what_is_not_reproduced_says_why(tmp_path):
    """Red if a no goes without a reason."""
    _write(tmp_path, a={"metrics": {"sse": _metric(0.8)}})
    with pytest.raises(UserError, match="its note has to say why"):
        render_claims(Claims("", "", (_claim(),)), tmp_path)
    with pytest.raises(UserError, match="its note has to say why"):
        render_claims(Claims("", "", (_claim(result=None),)), tmp_path)


def test_a_figure_read_by_eye_is_as_sure_as_a_tenth():
    """Red if a range loses an end."""
    assert read_by_eye(15) == pytest.approx((13.5, 16.5))
    assert read_by_eye(26, 28) == pytest.approx((23.4, 30.8))


def test_the_faults_are_counted_by_command_and_in_all():
    """Red if a fault that was not survived is not seen, or a kind is summed with another."""
    commands = {
        "tasks.a": {"faults": {"kill -9": {"tried": 3, "survived": 2}, "damaged data": {"tried": 5, "survived": 5}}},
        "tasks.b": {"faults": {"kill -9": {"tried": 4, "survived": 4}}},
    }
    result = {"command": "python -m benchmarks.faults", "seconds": 61, "machine": "1 core", "commands": commands}
    assert "Not survived" not in faults.table(result).text
    assert faults.table({**result, "lost": ["a: gone"]}).text.endswith("Not survived: a: gone.")
    made = faults.table(result)
    rows = [dict(zip(made.columns, row, strict=True)) for row in made.rows]
    assert [row["kill -9"] for row in rows] == ["2 of 3", "4 of 4", "6 of 7"]
    assert [row["damaged data"] for row in rows] == ["5 of 5", "none", "5 of 5"]
    assert rows[-1]["SIGTERM"] == "none"
    assert "1 minutes on 1 core" in made.text


def test_a_figure_is_shown_where_its_picture_is(tmp_path):
    """Red if a picture that is not there is shown, or a figure without any is named."""
    (tmp_path / "maze").mkdir()
    (tmp_path / "maze" / "reward.png").touch()
    lines = figures.section(tmp_path)
    (shown,) = (figure for figure in figures.REDRAWN if "maze/reward.png" in figure.pictures)
    assert lines[2:] == [f"**{shown.shows}** ({shown.source})", "", f"![{shown.shows}](results/maze/reward.png)", ""]
