"""Seeds side by side, stopped and resumed, and what is learned at all."""

import os
import signal
from pathlib import Path

import pytest
import torch
from left_by import left_by
from tiny_continual import TINY
from torch.testing import assert_close

import continual.splitcifar as splitcifar
import continual.splitmnist as splitmnist
from continual.learning import Learner
from plastic.errors import UserError
from plastic.experiment import Interrupted

pytestmark = pytest.mark.usefixtures("blobs", "no_figures")


def _split(folder, **given):
    return splitmnist.main(splitmnist.Config(**{**TINY, "out": folder, **given}))


def _weights(folder):
    return torch.load(folder / "checkpoint.pt", weights_only=True)["parts"]["network"]


SIDE_BY_SIDE = {
    "si, dhp": {"reg": "si", "head": "dhp"},
    "adam, mas": {"reg": "mas", "optimizer": "adam", "lr": 0.01},
    "ewc, few examples": {"reg": "ewc", "strength": 1.0, "importance_examples": 9},
    "joint": {"joint": True},
    "scratch": {"scratch": True, "epochs": 1},
}


@pytest.mark.parametrize("given", SIDE_BY_SIDE.values(), ids=SIDE_BY_SIDE)
def test_seeds_side_by_side_are_seeds_alone(tmp_path, given):
    """Red if a seed's weights, order or examples depend on its place, or a gradient is divided by the seeds."""
    together = _split(tmp_path / "together", seed=4, seeds=3, **given)
    for r in range(3):
        alone = _split(tmp_path / f"alone-{r}", seed=4 + r, **given)
        weights = {name: value[r : r + 1] for name, value in _weights(tmp_path / "together").items()}
        assert_close(_weights(tmp_path / f"alone-{r}"), weights, rtol=1e-3, atol=1e-5)
        for name, metric in alone["metrics"].items():
            assert metric["per_seed"][0] == pytest.approx(together["metrics"][name]["per_seed"][r], abs=0.03)
    assert len(set(map(str, together["accuracy_matrix"]))) == 3  # and they differ


def test_convolutions_side_by_side(tmp_path):
    """Dropout too. Red if channels of two seeds are mixed, or a seed's dropped units depend on its place."""
    given = {"device": "cpu", "widths": (2, 3, 8), "epochs": 1, "batch": 20, "reg": "si"}
    splitcifar.main(splitcifar.Config(out=tmp_path / "together", seed=4, seeds=2, **given))
    splitcifar.main(splitcifar.Config(out=tmp_path / "alone", seed=5, **given))
    weights = {name: value[1:] for name, value in _weights(tmp_path / "together").items()}
    assert_close(_weights(tmp_path / "alone"), weights, rtol=1e-3, atol=1e-5)


def test_every_seed_and_update_drops_units_of_its_own(folder, monkeypatch):
    """Red if seeds share their dropped units, or an update repeats those of another."""
    drawn = []
    forward = splitcifar.ConvNet.forward

    def watching(self, x, y=None, chances=()):
        drawn.extend(chance.initial_seed() for chance in chances)
        return forward(self, x, y, chances)

    monkeypatch.setattr(splitcifar.ConvNet, "forward", watching)
    result = splitcifar.main(splitcifar.Config(out=folder, seeds=2, device="cpu", widths=(2, 3, 8), epochs=1, batch=50))
    assert result["episodes"] == 4
    assert len(set(drawn)) == len(drawn) == 2 * 4


RESUMED = {
    "si, dhp": {"reg": "si", "head": "dhp", "seeds": 2},
    "online ewc, adam": {"reg": "online_ewc", "optimizer": "adam", "lr": 0.01},
    "mas": {"reg": "mas"},
}


@pytest.mark.parametrize("at", [1, 10, 13, 27])  # in the first task, at its end, in the second, in the third
@pytest.mark.parametrize("given", RESUMED.values(), ids=RESUMED)
def test_stopped_and_resumed_equals_never_stopped(tmp_path, monkeypatch, given, at):
    """Bit for bit. Red if path, importance, trace, moments, matrix or order are not brought back."""
    undisturbed, folder = tmp_path / "undisturbed", tmp_path / "run"
    expected = _split(undisturbed, **given)
    with monkeypatch.context() as patch:
        step = Learner.step

        def stopping(self):
            if self.record.updates == at:
                os.kill(os.getpid(), signal.SIGTERM)
            return step(self)

        patch.setattr(Learner, "step", stopping)
        with pytest.raises(Interrupted, match="--resume"):
            _split(folder, **given)
    found = _split(folder, resume=True, **given)
    assert_close(left_by(folder), left_by(undisturbed), rtol=0, atol=0)
    assert found["metrics"] == expected["metrics"]
    assert found["accuracy_matrix"] == expected["accuracy_matrix"]
    tables = [(place / "accuracy_matrix.csv").read_text() for place in (folder, undisturbed)]
    assert tables[0] == tables[1]


def test_seeds_cannot_be_added_later(folder):
    """They share one checkpoint. Red if a resumed run takes the weights of one seed for all."""
    _split(folder)
    with pytest.raises(UserError, match="trained_seeds"):
        _split(folder, seeds=2, resume=True)


def test_stopped_by_the_clock_it_reports_the_tasks_it_came_to(folder):
    """Red if tasks that were never learned count, or the result is not written."""
    result = _split(folder, max_seconds=1e-9)
    assert result["episodes"] == 1
    assert result["tasks_learned"] == 1
    assert set(result["metrics"]) == {"average_accuracy", "train_accuracy"}
    assert (folder / "result.json").exists()


@pytest.mark.parametrize("reg", ["l2", "ewc", "online_ewc", "si", "mas"])
def test_no_regularizer_is_finetuning_in_disguise(tmp_path, reg):
    """Through the command, in every weight of the network's first layer. Red if its gradient is dropped."""
    given = {"tasks": 2, "epochs": 1}
    _split(tmp_path / "plain", **given)
    _split(tmp_path / "regularized", reg=reg, **given)
    plain, regularized = (_weights(tmp_path / which)["hidden.0.weight"] for which in ("plain", "regularized"))
    assert not torch.equal(plain, regularized)
    assert (plain != regularized).float().mean() > 0.5


def test_blobs_are_learned_and_protected(tmp_path):
    """Three seeds, tasks that share their units. Red if a regularizer's anchor or importance is another task's."""
    given = {"scenario": "domain", "seeds": 3, "epochs": 10}
    plain = _split(tmp_path / "plain", **given)["metrics"]
    joint = _split(tmp_path / "joint", joint=True, **given)["metrics"]
    assert min(joint["average_accuracy"]["per_seed"]) > 0.9
    assert plain["forgetting"]["mean"] > 0.1
    for reg, strength in (("ewc", 5.0), ("online_ewc", 5.0), ("si", 0.3), ("mas", 0.1)):
        found = _split(tmp_path / reg, reg=reg, strength=strength, **given)["metrics"]
        assert found["forgetting"]["mean"] < plain["forgetting"]["mean"] - 0.03, reg


def test_the_class_scenario_forgets_all_but_the_last_task(folder):
    """Red if the class scenario is told the task, in training or in a test."""
    found = _split(folder, scenario="class", seeds=2, epochs=10)
    last = torch.tensor(found["accuracy_matrix"])[:, -1]
    assert last[:, :4].mean() < 0.3
    assert last[:, 4].mean() > 0.9


def test_scratch_counts_every_task_when_it_was_learned(folder):
    """Red if the accuracy is that of the last network, or a network goes on from the one before."""
    found = _split(folder, scratch=True)
    matrix = torch.tensor(found["accuracy_matrix"])[0]
    assert found["metrics"]["average_accuracy"]["mean"] == pytest.approx(matrix[1:].diagonal().mean().item())
    assert set(found["metrics"]) == {"average_accuracy", "train_accuracy"}


def test_scratch_starts_every_task_afresh(folder, monkeypatch):
    """Weights and trace. Red if the network goes on, or all tasks start from the same weights."""
    starts = []
    begin = Learner.begin

    def watching(self, number):
        begin(self, number)
        starts.append((self.network.hidden[0].weight.detach().clone(), self.network.head.trace.abs().sum().item()))

    monkeypatch.setattr(Learner, "begin", watching)
    _split(folder, scratch=True, head="dhp", epochs=1, tasks=2)
    (first, _), (second, trace) = starts
    assert trace == 0
    assert not torch.equal(first, second)
    assert second.abs().max() <= 1 / 6  # as it is initialised: U(-1/sqrt(36), 1/sqrt(36))


def test_every_example_is_seen_once_in_an_epoch(folder):
    """The last, smaller batch too. Red if it is dropped, or positions are taken for rows."""
    seen: list[list[int]] = []
    update = Learner.update

    def watching(self, phase, chosen):
        seen.append(phase.rows[chosen[0]].tolist())
        return update(self, phase, chosen)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Learner, "update", watching)
        _split(folder, batch=16, epochs=1)
    assert list(map(len, seen)) == [16, 16, 8] * 5
    assert sorted(row for batch in seen for row in batch) == list(range(200))
    assert isinstance(folder, Path)


def test_a_rate_that_falls_is_nothing_at_the_end_of_each_task(tmp_path, monkeypatch):
    """Red if the rate falls over all tasks, stays where it is, or the penalty keeps the rate of the beginning."""
    rates = []
    update = Learner.update

    def seen(self, *given):
        rates.append((self.optimizer.param_groups[0]["lr"], self.regularizer.implicit))
        return update(self, *given)

    monkeypatch.setattr(Learner, "update", seen)
    result = _split(tmp_path, reg="si", decay=True, lr=0.2)
    each = result["episodes"] // 5
    assert [rate for rate, _ in rates[:each]] == pytest.approx([0.2 * (1 - k / each) for k in range(each)])
    assert rates[each][0] == 0.2
    assert all(rate == implicit for rate, implicit in rates)
    rates.clear()
    _split(tmp_path / "adam", reg="si", decay=False, optimizer="adam", lr=0.2)
    assert set(rates) == {(0.2, 0.0)}
