"""Which results of continual learning RESULTS.md shows, and what it calls them."""

import json
from pathlib import Path

from benchmarks.results import render
from benchmarks.tables.continual import tables

RESULT = {
    **{"seeds": [0, 1], "episodes": 9390, "seconds_per_seed": [24.5, 24.5], "machine": "1 core", "device": "cpu"},
    "config": {},
    "metrics": {name: {"mean": 0.98, "ci95": 0.01} for name in ("average_accuracy", "forgetting", "train_accuracy")},
}


def _write(folder: Path, *names: str, command: str = "python -m continual.splitmnist --preset default") -> None:
    for name in names:
        (folder / f"{name}.json").write_text(json.dumps({**RESULT, "command": command}))


def test_what_is_not_run_is_named_and_not_shown(tmp_path):
    """Red if a missing file stops the page, an open row is passed over in silence, or an empty table is shown."""
    assert tables(tmp_path) == ()
    _write(tmp_path, "split-none-linear", "split-si-dhp")
    (table,) = tables(tmp_path)
    assert list(table.rows) == ["finetuning", "SI, with DHP-Softmax"]
    assert table.text.endswith(
        "Not run yet: finetuning, with DHP-Softmax; SI; Online EWC; Online EWC, with DHP-Softmax; MAS; "
        "MAS, with DHP-Softmax."
    )
    _write(tmp_path, "cifar-none", "cifar-si", "cifar-scratch")
    _, cifar = tables(tmp_path)
    assert "Not run yet" not in cifar.text
    assert cifar.rows["SI"] == ("continual/cifar-si:average_accuracy", "continual/cifar-si:train_accuracy")
    _write(tmp_path, "permuted-si-linear")
    for name in ("split.png", "analysis/tables.md"):
        assert not any(name in table.text for table in tables(tmp_path))
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
        assert sum(f"(results/continual/{name})" in table.text for table in tables(tmp_path)) == 1


def test_a_row_with_dhp_says_what_it_gains(tmp_path):
    """Red if the gain is another method's, is no difference in points, or stands at a row without DHP."""
    _write(tmp_path, "split-none-dhp", "split-si-dhp", "split-si-linear")
    pairs = [
        {"name": "splitmnist, task: none", "gain": 0.0123, "ci95": 0.0021, "p": 3.2e-6, "verdict": "gain"},
        {"name": "splitmnist, task: si", "gain": -0.001, "ci95": None, "p": None, "verdict": "tie"},
    ]
    (tmp_path / "split-pairs.json").write_text(json.dumps({"pairs": pairs}))
    (table,) = tables(tmp_path)
    assert list(table.rows) == [
        "finetuning, with DHP-Softmax (+1.23 ± 0.21 points, p = 3e-06: gain)",
        "SI",
        "SI, with DHP-Softmax (-0.10 points: tie)",
    ]


def test_what_was_tried_is_called_by_its_options(tmp_path):
    """Red if an option is lost, those that all rows share are told, or a file goes to another table."""
    command = (
        "python -m continual.splitmnist --preset default --seeds 3 --dataset mnist --no-mask --lr 0.1 --hidden 8 8"
    )
    _write(tmp_path, "baseline-a", command=command)
    _write(tmp_path, "class-a", command="python -m continual.splitmnist --preset paper --seeds 2")
    _write(tmp_path, "open-a")
    baseline, left_open, by_class = tables(tmp_path)
    assert list(baseline.rows) == ["`--no-mask --lr 0.1 --hidden 8 8`"]
    assert list(left_open.rows) == ["`the default`"]
    assert list(by_class.rows) == ["`--preset paper`"]


def test_the_page_takes_them(tmp_path):
    """Red if a row's file, metric or count is not what the page reads."""
    (tmp_path / "continual").mkdir()
    _write(tmp_path / "continual", "split-none-linear")
    (table,) = tables(tmp_path / "continual")
    lines = render(table, tmp_path)
    assert "| finetuning | 0.9800 ± 0.0100 | 0.9800 ± 0.0100 | 2 x the test set | 9,390 | 24 | 1 core |" in lines
