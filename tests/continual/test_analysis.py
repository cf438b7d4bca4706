"""The studies find what is known to be true, and the command leaves their figures and tables."""

import json

import pytest
import torch
from tiny_continual import blobs
from torch.testing import assert_close

import continual.analysis as analysis
import continual.studies.biases as biases
from continual.networks import MLP
from continual.studies.importances import correlation, ranks
from continual.studies.paths import FLOW, SGD, Walk, correction, walk
from continual.studies.pictures import hessian, trace_update, two_tasks
from plastic.errors import UserError

TINY = {
    **{"device": "cpu", "hidden": (8,), "examples": 100, "walked": 40, "steps": 8, "batch": 20},
    **{"tasks": 3, "epochs": 1, "updates": 2},
}


@pytest.fixture(autouse=True)
def few_images(monkeypatch):
    monkeypatch.setattr(analysis, "load_labelled", lambda *arguments: blobs())


def _walk(name, **given):
    images = blobs().train.flatten(1).float() / 255
    return walk(name, images, blobs().train_labels, (16,), seed=0, **given)


def test_gradient_flow_pays_for_the_whole_drop():
    """In small steps on all examples. Red if the path's sign or size is off, or a step is left out."""
    flow = _walk(FLOW, steps=200, lr=0.02, batch=1)
    assert flow.drop[-1] > 0.1
    assert_close(flow.shared, flow.drop, rtol=0.02, atol=1e-4)
    assert_close(flow.apart, flow.shared)
    assert flow.factor() == pytest.approx(1, abs=0.02)


def test_the_same_minibatch_overstates_the_drop():
    """And an independent one does not. Red if both sums are of the same gradients."""
    sgd = _walk(SGD, steps=600, lr=0.005, batch=16)
    assert sgd.shared[-1] > 1.15 * sgd.drop[-1]
    assert sgd.apart[-1] == pytest.approx(sgd.drop[-1].item(), rel=0.15)
    assert 0 < sgd.factor() < 0.9


def _made_up(shared: list[float], drop: list[float]) -> Walk:
    """A walk with two layers whose credits and moves are drawn."""
    network = MLP((4, 3), 10, 1)
    chance = torch.Generator().manual_seed(0)
    moved, one, other = (
        {name: torch.rand(p.shape, generator=chance) for name, p in network.named_parameters()} for _ in range(3)
    )
    path = torch.tensor(shared, dtype=torch.double)
    at, true = list(range(len(drop))), torch.tensor(drop, dtype=torch.double)
    return Walk("SGD", at, true, path, path, network, moved, (one, other))


def test_one_factor_is_fitted_to_the_whole_walk():
    """Red if the factor is inverted, the first half is the whole, or an error is no share of the drop."""
    (row,) = correction([_made_up([0, 2, 4, 8], [0, 1, 2, 4])]).table
    assert row == {
        "optimizer": "SGD",
        **{"factor": 0.5, "largest error without": 1.0, "largest error with": 0.0},
        **{"factor of the first half": 0.5, "largest error with that": 0.0},
    }
    (row,) = correction([_made_up([0, 2, 3, 5], [0, 1, 3, 5])]).table
    assert row["factor"] == pytest.approx((2 + 9 + 25) / (4 + 9 + 25))
    assert row["factor of the first half"] == 0.5
    assert row["largest error with that"] == 0.5


def test_the_bias_is_told_by_layer(monkeypatch):
    """Red if same and independent are exchanged, the damping or the root is forgotten, or a layer is another's."""
    one = _made_up([0, 4], [0, 2])
    shared = {name: w / (one.moved[name].square() + 0.1) for name, w in one.credit[0].items()}
    monkeypatch.setattr(biases, "fisher", lambda *given: {name: value.square() for name, value in shared.items()})
    rows = biases.bias([one], torch.rand(5, 4), torch.arange(5), 0.1).table
    assert [row["layer"] for row in rows] == ["W1", "read-out", "all"]
    assert all(row["with root F, the same"] == pytest.approx(1, abs=1e-6) for row in rows)
    assert all(abs(row["with root F, independent"]) < 0.9 for row in rows)
    assert rows[0]["sum / drop, the same"] == pytest.approx(one.credit[0]["hidden.0.weight"].sum().item() / 2)
    whole = sum(w.sum().item() for w in one.credit[1].values())
    assert rows[-1]["sum / drop, independent"] == pytest.approx(whole / 2)
    assert rows[1]["correlation of both"] == pytest.approx(
        correlation(shared["head.weight"], one.credit[1]["head.weight"] / (one.moved["head.weight"].square() + 0.1))
    )


def test_a_quadratic_gives_its_hessian():
    """Red if the table compares with H / 2 alone, which only an infinitesimal step reaches."""
    rows = hessian(count=5).table
    assert all(row["largest relative error against H / (2 - e H)"] < 1e-6 for row in rows)
    ratios = [row["mean ratio to H / 2"] for row in rows]
    assert ratios[0] > ratios[1] > ratios[2] > 1
    assert ratios[2] == pytest.approx(1, abs=0.03)


def test_the_trajectory_knows_more_than_the_local_curvature():
    """Red if a penalty is not that of the first task, or is left out."""
    losses = [row["loss of task 1 after task 2"] for row in two_tasks().table]
    assert losses[0] > losses[1] > losses[2]


def test_a_trace_changes_for_the_classes_of_its_batch():
    """Red if the picture is of another batch."""
    chance = torch.Generator().manual_seed(0)
    hidden, labels = torch.rand(20, 6, generator=chance), torch.tensor([0, 1, 2, 3, 4] * 2 + [1, 3] * 5)
    rows = trace_update(hidden, labels, 5).table
    assert [row["in the batch"] for row in rows] == [0, 5, 0, 5, 0]
    assert [row["size of the change"] > 0 for row in rows] == [False, True, False, True, False]


def test_correlations():
    """Red if the mean is left in, or ranks are not ranks."""
    a = torch.tensor([1.0, 2.0, 3.0, 4.0])
    assert correlation(a, 10 + 2 * a) == pytest.approx(1)
    assert correlation(a, torch.tensor([1.0, -1.0, -1.0, 1.0])) == pytest.approx(0)
    assert ranks(torch.tensor([[0.3, -5.0], [100.0, 0.2]])).tolist() == [2, 0, 3, 1]


def test_a_run_leaves_a_figure_and_a_table_for_each_claim(tmp_path):
    """Red if a claim is left out, or a number of a table is not in the result."""
    result = analysis.main(analysis.Config(out=tmp_path / "run", **TINY))
    figures = {path.stem for path in (tmp_path / "run" / "figures").iterdir()}
    assert figures == set(analysis.TITLES) - {"generalisation"}
    text = (tmp_path / "run" / "tables.md").read_text()
    assert all(f"![{analysis.TITLES[name]}](figures/{name}.png)" in text for name in figures)
    assert "correction_SGD_factor" in result["metrics"]
    assert "costs_si_bytes_a_parameter" in result["metrics"]
    assert result["metrics"]["costs_si_bytes_a_parameter"]["mean"] == 16
    json.loads((tmp_path / "run" / "result.json").read_text(), parse_constant=pytest.fail)


def test_costs_are_measured_on_however_few_examples(tmp_path):
    """Red if the stream ends before the updates that are timed do."""
    given = TINY | {"examples": 20, "updates": 7}
    config = analysis.Config(**{**given, "tasks": 2}, claims=("costs",), out=tmp_path / "run")
    assert analysis.main(config)["metrics"]["costs_si_times_finetuning"]["mean"] > 0


def test_where_nothing_is_learned_nothing_correlates(tmp_path):
    """On three examples all units of a layer may be dead. Red if the result has NaN in it, which is no JSON."""
    config = analysis.Config(
        **TINY | {"examples": 3, "hidden": (1, 1), "epochs": 1}, claims=("importances",), out=tmp_path / "run"
    )
    analysis.main(config)
    json.loads((tmp_path / "run" / "result.json").read_text(), parse_constant=pytest.fail)


def test_generalisation_reads_the_runs_of_splitcifar(tmp_path):
    """Red if a run's method or numbers are another's, or a foreign run is taken."""
    runs = []
    for name, given, accuracy in (("si", {"reg": "si"}, 0.8), ("fresh", {"reg": "none", "scratch": True}, 0.7)):
        runs.append(tmp_path / name)
        runs[-1].mkdir()
        content = {
            "task": "splitcifar",
            "dataset": "cifar10",
            "config": {"scratch": False, "head": "linear", "epochs": 10, **given},
            "metrics": {"train_accuracy": {"mean": 0.95}, "average_accuracy": {"mean": accuracy}},
            # a fresh network for each task knows nothing of the one before
            "accuracy_matrix": [[[0.1, 0.1], [accuracy, 0.2], [0.5 if name == "fresh" else accuracy, accuracy]]],
        }
        (runs[-1] / "result.json").write_text(json.dumps(content))
    given = (runs[0], runs[1] / "result.json")
    config = analysis.Config(out=tmp_path / "run", claims=("generalisation",), splitcifar=given, **TINY)
    analysis.main(config)
    text = (tmp_path / "run" / "tables.md").read_text()
    assert "| si, linear head | cifar10 | 10 | 0.95 | 0.8 | 0.8 | 0.8 |" in text
    assert "| from scratch, linear head | cifar10 | 10 | 0.95 | 0.7 | 0.7 | 0.7 |" in text
    content["task"] = "splitmnist"
    (runs[0] / "result.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"no run of continual\.splitcifar"):
        analysis.main(
            analysis.Config(out=tmp_path / "other", claims=("generalisation",), splitcifar=tuple(runs), **TINY)
        )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"tasks": 1}, "--tasks"),
        ({"strength": 0.0}, "--strength"),
        ({"claims": ("generalisation",)}, "go together"),
        ({"hidden": ()}, "--hidden"),
    ],
)
def test_bad_options_are_named(tmp_path, given, message):
    """Red if one of them is accepted."""
    with pytest.raises(UserError, match=message):
        analysis.main(analysis.Config(**{**TINY, "out": tmp_path / "run", **given}))
