"""The training loop: when it reports, what it saves, how it stops."""

import json
import os
import signal
from collections.abc import Callable
from typing import Any

import pytest
import torch
from left_by import left_by
from tiny_task import Config, Task
from torch.testing import assert_close

from plastic.errors import UserError
from plastic.experiment import Diverged, Interrupted, Progress, train, training

NAN = float("nan")


@pytest.fixture
def trained(start) -> Callable[..., tuple[Task, Progress]]:
    """``trained(on_step, episodes=4)``: train the tiny task and return it."""

    def trained(on_step: Callable[[int], float] | None = None, **given: Any) -> tuple[Task, Progress]:
        with start(**given) as run:
            task = Task(run.config, on_step)
            return task, task.train(run)

    return trained


def _at(step: int, value: float) -> Callable[[int], float]:
    return lambda number: value if number == step else 1.0


@pytest.mark.parametrize(
    ("every", "batch", "episodes", "reports"),
    [
        (4, 2, 8, [4, 8]),
        (5, 2, 12, [6, 10, 12]),
        (3, 4, 12, [4, 8, 12]),
        (5, 4, 22, [8, 12, 16, 20, 24]),
        (100, 1, 3, [3]),
        (1, 1, 3, [1, 2, 3]),
    ],
    ids=["divides", "does not divide", "batch above every", "episodes not a multiple", "never but the end", "always"],
)
def test_it_evaluates_whenever_a_multiple_of_every_is_passed(trained, folder, every, batch, episodes, reports):
    """Red with ``episodes % every == 0``, or without the evaluation at the end."""
    task, progress = trained(every=every, batch=batch, episodes=episodes)
    assert task.evaluated == reports
    assert [row["episodes"] for row in left_by(folder)["rows"]] == reports
    assert progress.episodes == reports[-1] == task.steps * batch


def test_the_log_holds_means_since_the_last_one(trained, folder):
    """Red if the mean is over all steps so far, or of the last one."""
    seen: list[torch.Tensor] = []
    with_losses = Task.step

    def step(task: Task) -> dict[str, torch.Tensor]:
        seen.append(with_losses(task)["loss"].detach())
        return {"loss": seen[-1]}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Task, "step", step)
        trained(episodes=16, batch=2, every=8)
    means = [torch.stack(part).double().mean().item() for part in (seen[:4], seen[4:])]
    assert [row["train/loss"] for row in left_by(folder)["rows"]] == means


def test_what_updates_return_is_kept_in_few_tensors_and_in_full(start, monkeypatch):
    """Red if every update's tensors live until the next evaluation, or if joining them loses or reorders one."""
    monkeypatch.setattr(training, "PIECES", 4)
    kept, losses = [], torch.rand(22)
    record = training.Progress.record

    def watched(progress, scalars):
        record(progress, scalars)
        kept.append(len(progress.recorded["loss"]))

    monkeypatch.setattr(training.Progress, "record", watched)
    given = iter(losses)
    with start(episodes=22, batch=1) as run:
        train(run, lambda: {"loss": next(given)}, lambda episodes: {}, {}, 22, 1, 11)
        assert [row["train/loss"] for row in run.history()] == [
            part.double().mean().item() for part in losses.split(11)
        ]
    assert max(kept) < 4


def test_the_same_seed_gives_the_same_bits_and_another_gives_others(trained, tmp_path):
    """Red if the seed does not reach the generators, or if something else does."""
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        trained(out=tmp_path / name, seed=seed)
    a, b, c = (left_by(tmp_path / name) for name in "abc")
    assert_close(a, b, rtol=0, atol=0)
    for part in ("network", "episodes"):
        with pytest.raises(AssertionError):
            assert_close(a["parts"][part], c["parts"][part])


class _Reads:
    """A loss that notes at which step it is brought to the host."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.steps: list[int] = []
        self.now = 0
        for name in ("item", "__float__", "__bool__", "tolist", "cpu", "numpy"):
            monkeypatch.setattr(torch.Tensor, name, self._noting(getattr(torch.Tensor, name)))

    def _noting(self, read: Callable) -> Callable:
        def noting(tensor: torch.Tensor, *arguments: Any) -> Any:
            self.steps.append(self.now)
            return read(tensor, *arguments)

        return noting


def test_nothing_waits_for_the_device_between_two_evaluations(start, monkeypatch):
    """Red if the loop looks at a loss at every step (``.item()``, ``float()``, an ``if`` on it)."""
    loss = torch.ones(())
    with start(episodes=12, batch=1, every=4) as run:
        reads = _Reads(monkeypatch)

        def step() -> dict[str, torch.Tensor]:
            reads.now += 1
            return {"loss": loss}

        train(run, step, lambda episodes: {}, {}, 12, 1, 4)
    assert set(reads.steps) == {4, 8, 12}


@pytest.mark.parametrize(
    ("step", "episode", "kept"),
    [(2, 4, None), (4, 8, None), (5, 10, 8), (7, 14, 8), (12, 24, 16)],
    ids=["first part", "end of it", "start of the second", "second part", "last step"],
)
def test_a_loss_that_is_not_finite_is_named_and_the_good_checkpoint_kept(trained, folder, step, episode, kept):
    """Red if the episode is off by one update, or if save comes before the look at the losses."""
    with pytest.raises(Diverged, match=f"the loss stopped being finite at episode {episode};"):
        trained(_at(step, NAN), episodes=24, batch=2, every=8)
    if kept is None:
        assert not (folder / "checkpoint.pt").exists()
        return
    content = torch.load(folder / "checkpoint.pt", weights_only=True)
    assert content["episodes"] == kept
    assert all(tensor.isfinite().all() for tensor in content["parts"]["network"].values())
    assert [row["episodes"] for row in left_by(folder)["rows"]] == list(range(8, kept + 1, 8))


@pytest.mark.parametrize("stop", ["signal", "max_seconds"])
def test_a_diverged_run_that_is_stopped_keeps_its_good_checkpoint(trained, folder, stop):
    """Red if a stop between two evaluations saves without looking at the losses."""

    def on_step(number: int) -> float:
        if number == 7:
            if stop == "signal":
                signal.raise_signal(signal.SIGTERM)
            else:
                _jump_ahead(100)
        return NAN if number == 6 else 1.0

    with pytest.raises(Diverged, match="at episode 12;"), _clock():
        trained(on_step, max_seconds=50.0 if stop == "max_seconds" else None)
    assert torch.load(folder / "checkpoint.pt", weights_only=True)["episodes"] == 8


def test_a_weight_that_is_not_finite_never_reaches_the_checkpoint(start, folder):
    """Red without the look at the weights: a finite loss can have a gradient that is not."""
    with start() as run:
        task = Task(run.config)

        def step() -> dict[str, torch.Tensor]:
            scalars = task.step()
            if task.steps == 8:  # the last one before the second checkpoint
                with torch.no_grad():
                    task.network.bias[0] = NAN
            return scalars

        with pytest.raises(Diverged, match="a weight stopped being finite at episode 16;"):
            train(run, step, lambda episodes: {}, task.parts, 24, 2, 8)
    assert torch.load(folder / "checkpoint.pt", weights_only=True)["episodes"] == 8


_ahead = 0.0


def _jump_ahead(seconds: float) -> None:
    global _ahead
    _ahead += seconds


class _clock(pytest.MonkeyPatch):
    """While the block runs, nothing but ``_jump_ahead`` moves the clock of the training loop."""

    def __enter__(self) -> None:
        self.setattr(training.time, "monotonic", lambda: _ahead)

    def __exit__(self, *error: object) -> None:
        self.undo()


def test_max_seconds_stops_evaluates_and_returns(trained, folder):
    """Red if the limit is not looked at, or if the last steps are not reported."""
    with _clock():
        task, progress = trained(lambda number: _jump_ahead(1) or 1.0, max_seconds=6.5, every=8)
    assert task.evaluated == [8, 14]
    assert progress.episodes == 14
    assert 6.5 < progress.seconds < 8
    assert [row["episodes"] for row in left_by(folder)["rows"]] == [8, 14]


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
@pytest.mark.parametrize("step", [1, 3, 4, 12], ids=lambda s: f"step {s}")
def test_a_signal_stops_after_the_update_with_a_checkpoint(trained, folder, signum, step):
    """Red if the flag is only looked at after an evaluation, or if nothing is saved."""

    def on_step(number: int) -> float:
        if number == step:
            os.kill(os.getpid(), signum)
        return 1.0

    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(Interrupted, match=f"interrupted at {2 * step} episodes; checkpoint saved") as stop:
        trained(on_step)
    assert stop.value.signal == signum
    assert torch.load(folder / "checkpoint.pt", weights_only=True)["episodes"] == 2 * step
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_a_signal_during_the_last_report_is_heeded(start):
    """Red if the flag is looked at inside the loop alone."""

    def evaluate(episodes: int) -> dict[str, float]:
        if episodes == 14:
            signal.raise_signal(signal.SIGTERM)
        return {}

    with start(max_seconds=6.5) as run, _clock():
        task = Task(run.config, lambda number: _jump_ahead(1) or 1.0)
        with pytest.raises(Interrupted, match="at 14 episodes"):
            train(run, task.step, evaluate, task.parts, 24, 2, 8)


def test_the_checkpoint_holds_what_the_task_adds(start, folder):
    """Red if the facts are dropped."""
    with start(episodes=2) as run:
        Task(run.config).train(run, dataset="noise", split={"train": [1, 2]})
    content = torch.load(folder / "checkpoint.pt", weights_only=True)
    assert (content["dataset"], content["split"]) == ("noise", {"train": [1, 2]})


def test_weights_of_another_shape_are_one_sentence(start):
    """Red without the except around load_state_dict: a checkpoint from before an edit of the model."""
    with start(episodes=2) as run:
        Task(run.config).train(run)
    with start(episodes=2, resume=True) as run, pytest.raises(UserError, match="does not fit the network") as refusal:
        Task(Config(sizes=(4, 4))).train(run)
    assert "\n" not in str(refusal.value)


def test_without_a_terminal_each_evaluation_is_one_line(trained, capsys):
    """Red if the bar is drawn into a log file."""
    trained(episodes=16)
    out, err = capsys.readouterr()
    assert [line.split("  ")[0] for line in out.splitlines()] == ["tiny 8/16 episodes", "tiny 16/16 episodes"]
    assert "train/loss" in out
    assert "eval/size" in out
    assert err == ""


def test_a_row_is_json(trained, folder):
    """Red if a tensor or a NaN gets into the log."""
    trained(episodes=8)
    (line,) = (folder / "metrics.jsonl").read_text().splitlines()
    row = json.loads(line, parse_constant=pytest.fail)
    assert {name.split("/")[0] for name in row} == {"episodes", "train", "eval", "plasticity", "time"}


def test_evaluations_at_given_counts(start):
    """``every`` as a collection. Red if other counts are evaluated, or the last one is left out."""
    with start(episodes=24, batch=2) as run:
        task = Task(run.config)
        train(run, task.step, lambda n: task.evaluate(run, n), task.parts, 24, 2, {6, 20})
    assert task.evaluated == [6, 20, 24]
