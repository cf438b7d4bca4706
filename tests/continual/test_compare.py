"""Runs side by side: which belong together, and what the test says of them."""

import json
import math

import pytest
from scipy.stats import ttest_rel

from continual.compare import Arguments, main, paired, read
from continual.figures import side_by_side
from plastic.errors import UserError

WITHOUT, WITH = [0.90, 0.92, 0.91, 0.93], [0.94, 0.95, 0.93, 0.96]


def _result(folder, values, **given):
    config = {
        **{"scenario": "task", "reg": "none", "head": "linear", "optimizer": "sgd", "lr": 0.01, "scale": "unit"},
        **{"epochs": 10, "joint": False, "scratch": False, "strength": None, "eta": 0.001, **given},
    }
    mean, std = sum(values) / len(values), 0.01
    content = {
        **{"task": "splitmnist", "dataset": "mnist", "seeds": list(range(len(values))), "config": config},
        **{"strength": 0.0, "seconds_per_seed": [1.0] * len(values)},
        "metrics": {"average_accuracy": {"per_seed": values, "mean": mean, "std": std}},
        "accuracy_matrix": [[[0.5, 0.5], [1.0, 0.4], [2 * v - 0.9, 0.9]] for v in values],
    }
    folder.mkdir()
    (folder / "result.json").write_text(json.dumps(content))
    return folder


def test_it_is_the_paired_test():
    """Red if the seeds are not paired, or one tail is taken."""
    pair = paired("", WITHOUT, WITH)
    assert pair.p == pytest.approx(ttest_rel(WITH, WITHOUT).pvalue)
    interval = ttest_rel(WITH, WITHOUT).confidence_interval(0.95)
    assert pair.ci95 == pytest.approx((interval.high - interval.low) / 2)
    assert pair.gain == pytest.approx(0.03)


@pytest.mark.parametrize(
    ("without", "with_", "verdict"),
    [
        (WITHOUT, WITH, "gain"),
        (WITH, WITHOUT, "loss"),
        (WITHOUT, [0.93, 0.90, 0.92, 0.91], "tie"),
        ([0.5], [0.9], "tie"),  # of one seed nothing can be said
        ([0.5, 0.5], [0.5, 0.5], "tie"),
        ([0.5, 0.5], [0.75, 0.75], "gain"),
    ],
)
def test_verdicts(without, with_, verdict):
    """Red if a loss is called a gain, or a single seed decides."""
    assert paired("", without, with_).verdict == verdict


def test_a_pair_differs_in_its_head_alone(tmp_path, capsys):
    """Red if runs of another rate or regularizer are paired."""
    runs = (
        _result(tmp_path / "a", WITHOUT),
        _result(tmp_path / "b", WITH, head="dhp", eta=0.01),
        _result(tmp_path / "c", WITH, head="dhp", lr=0.1),
        _result(tmp_path / "d", WITHOUT, reg="si"),
    )
    found = main(Arguments(runs, json=tmp_path / "pairs.json"))
    assert [pair.name for pair in found] == ["splitmnist, task: none"]
    assert json.loads((tmp_path / "pairs.json").read_text())["pairs"][0]["verdict"] == "gain"
    out = capsys.readouterr().out
    assert "| task | none | linear | sgd | 0.01 | unit | 10 | 0 | 4 | 91.50 ± 1.00 | 1.0 |" in out
    assert "| splitmnist, task: none | 91.50 | 94.50 | +3.00 ± " in out
    assert not math.isnan(found[0].p)


def test_the_figure_shows_every_task_seen(tmp_path):
    """Red if a row counts tasks that are not learned yet, a read-out looks like another, or joint runs are drawn."""
    names = {"a": {}, "b": {"head": "dhp"}, "c": {"reg": "si"}, "d": {"joint": True}}
    runs = tuple(_result(tmp_path / name, WITH, **given) for name, given in names.items())
    results = [read(run) for run in runs]
    (axes,) = side_by_side(results).axes
    assert [line.get_label() for line in axes.lines] == ["none, linear: 94.5", "none, dhp: 94.5", "si, linear: 94.5"]
    assert all(line.get_ydata() == pytest.approx([1.0, 0.945]) for line in axes.lines)
    assert [line.get_linestyle() for line in axes.lines] == ["--", "-", "--"]
    assert [line.get_color() for line in axes.lines] == ["C0", "C0", "C1"]
    main(Arguments(runs, figure=tmp_path / "all.png"))
    assert (tmp_path / "all.png").read_bytes().startswith(b"\x89PNG")


def test_a_foreign_result_is_one_sentence(tmp_path):
    """Red if it ends in a traceback."""
    (tmp_path / "result.json").write_text(json.dumps({"task": "maze", "metrics": {"reward": {}}}))
    with pytest.raises(UserError, match="no result of continual learning"):
        main(Arguments((tmp_path,)))
