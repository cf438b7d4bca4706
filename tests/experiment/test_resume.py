"""A run that was stopped, however, goes on as if it had not been."""

import json
import random
import signal
import time
from pathlib import Path

import pytest
import tiny_task
import torch
from left_by import left_by
from processes import Process
from tiny_task import Config, Task, main
from torch.testing import assert_close

from plastic.errors import UserError
from plastic.experiment import Interrupted, training

SMALL = {"episodes": 24, "batch": 2, "every": 8, "device": "cpu"}
WORDS = ["--episodes", "24", "--batch", "2", "--every", "8", "--device", "cpu"]
WRITES = 30  # more than a run of this size has


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """A run that nothing stopped."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    main(Config(out=folder, **SMALL))
    return folder


def _assert_same(folder: Path, undisturbed: Path) -> None:
    assert_close(left_by(folder), left_by(undisturbed), rtol=0, atol=0)
    results = [json.loads((place / "result.json").read_text()) for place in (folder, undisturbed)]
    assert results[0]["metrics"] == results[1]["metrics"]
    assert results[0]["episodes"] == results[1]["episodes"]
    assert not list(folder.glob(".*.part")), "nothing half-written is left"


def _interrupt(number: int) -> float:
    signal.raise_signal(signal.SIGTERM)
    return 1.0


def _crash(number: int) -> float:
    raise RuntimeError("the power went")


@pytest.mark.parametrize("stop", [_interrupt, _crash], ids=["signal", "exception"])
@pytest.mark.parametrize("steps", [(1,), (3, 1, 2), (4,), (6,), (12,)], ids=str)
def test_stopped_and_resumed_equals_never_stopped(folder, undisturbed, stop, steps):
    """Red if a part of the state, or what was recorded since the last evaluation, is not restored."""
    for sitting, step in enumerate(steps):
        config = Config(out=folder, resume=sitting > 0, **SMALL)
        with pytest.raises((Interrupted, RuntimeError)):
            main(config, lambda number, at=step: stop(number) if number == at else 1.0)
    main(Config(out=folder, resume=True, **SMALL))
    _assert_same(folder, undisturbed)


@pytest.mark.parametrize("step", [2, 4, 7], ids=lambda s: f"step {s}")
def test_max_seconds_then_more_equals_never_stopped(folder, undisturbed, step, monkeypatch):
    """Red if the report at the stop is saved as if it belonged to the run: the next means then lack its steps."""
    ahead, monotonic = [0.0], time.monotonic
    monkeypatch.setattr(training.time, "monotonic", lambda: monotonic() + ahead[0])

    def on_step(number: int) -> float:
        ahead[0] += 100.0 if number == step else 0.0
        return 1.0

    result = main(Config(out=folder, max_seconds=60.0, **SMALL), on_step)
    assert result["episodes"] == 2 * step
    assert json.loads((folder / "metrics.jsonl").read_text().splitlines()[-1])["episodes"] == 2 * step
    main(Config(out=folder, resume=True, **SMALL))
    _assert_same(folder, undisturbed)


def test_resuming_a_finished_run_changes_nothing(folder, undisturbed):
    """Red if the loop trains once more, or logs once more."""
    for resume in (False, True):
        main(Config(out=folder, resume=resume, **SMALL))
    _assert_same(folder, undisturbed)


def test_resume_before_the_first_checkpoint_starts_from_the_beginning(folder, undisturbed):
    """Red if --resume wants a checkpoint, or a folder."""
    main(Config(out=folder, resume=True, **SMALL))
    _assert_same(folder, undisturbed)


def test_a_run_on_other_data_is_refused_and_left_as_it_was(folder, monkeypatch):
    """Red if describe does not compare with the checkpoint, or writes before it does."""
    with pytest.raises(Interrupted):
        main(Config(out=folder, **SMALL), lambda number: _interrupt(number) if number == 6 else 1.0)
    before = {path.name: path.read_bytes() for path in folder.glob("[cm]*")}
    assert {"config.json", "checkpoint.pt", "metrics.jsonl"} <= set(before)

    def on_other_data(config, run):
        run.describe(dataset="music")
        pytest.fail("not refused")

    monkeypatch.setattr(tiny_task, "experiment", on_other_data)
    with pytest.raises(
        UserError, match=r"made with another dataset \('noise', not 'music'\): go on with the same data"
    ):
        tiny_task.conduct(Config(out=folder, resume=True, **SMALL), "tiny", on_other_data)
    assert {path.name: path.read_bytes() for path in folder.glob("[cm]*")} == before


def test_another_configuration_is_refused_before_the_first_checkpoint_too(folder):
    """Red if only the checkpoint is compared, and not config.json."""
    with pytest.raises(RuntimeError, match="the power went"):
        main(Config(out=folder, **SMALL), _crash)
    assert not (folder / "checkpoint.pt").exists()
    with pytest.raises(UserError, match=r"config.json was made with another configuration: lr is 0.05 there"):
        main(Config(out=folder, resume=True, lr=0.1, **SMALL))


def test_a_checkpoint_counts_even_if_its_description_is_lost(folder, undisturbed):
    """Red if the checkpoint is only looked for beside a config.json: the run would start again, over it."""
    with pytest.raises(Interrupted):
        main(Config(out=folder, **SMALL), lambda number: _interrupt(number) if number == 6 else 1.0)
    (folder / "config.json").unlink()
    with pytest.raises(UserError, match="holds a run"):
        main(Config(out=folder, **SMALL))
    steps = []
    main(Config(out=folder, resume=True, **SMALL), lambda number: steps.append(number) or 1.0)
    assert len(steps) == 6, "the second half"
    _assert_same(folder, undisturbed)


def _killed_then_resumed(folder: Path, undisturbed: Path, kills: list[dict[str, str]], delays: list[float]) -> int:
    """Kill the command at each of these moments, then let it end; how many kills met a running process."""
    met = 0
    for sitting, (environ, delay) in enumerate(zip(kills, delays, strict=True)):
        words = [*WORDS, "--out", str(folder), *(["--resume"] if sitting else [])]
        process = Process("tiny_task.py", words, folder.parent, **environ)
        if delay:
            time.sleep(delay)
            process.send(signal.SIGKILL)
        ended = process.ended()
        assert ended.status in (0, -signal.SIGKILL), ended.err
        met += ended.status != 0
        before = folder / "checkpoint.pt"
        if before.exists():
            torch.load(before, weights_only=True)
    ended = Process("tiny_task.py", [*WORDS, "--out", str(folder), "--resume"], folder.parent).ended()
    assert ended.status == 0, ended.err
    assert ended.err == ""
    _assert_same(folder, undisturbed)
    return met


@pytest.mark.parametrize("at", [3, 9, 11, 13, 14, 19], ids=lambda n: f"write {n}")
def test_killed_at_a_write_equals_never_killed(folder, undisturbed, at):
    """Red if a file is written in place, or if the log is not rewound to the checkpoint."""
    assert _killed_then_resumed(folder, undisturbed, [{"KILL_AT": str(at)}], [0])


@pytest.mark.slow
@pytest.mark.parametrize("at", range(1, WRITES), ids=lambda n: f"write {n}")
def test_killed_at_any_write_equals_never_killed(folder, undisturbed, at):
    """The same at every write of the run, and at another one of the resumed run."""
    met = _killed_then_resumed(folder, undisturbed, [{"KILL_AT": str(at)}, {"KILL_AT": str(1 + at // 2)}], [0, 0])
    assert met or at > 19


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_killed_at_random_moments_equals_never_killed(folder, undisturbed, seed):
    """Three kills by the clock, wherever they meet the run."""
    chance = random.Random(seed)
    delays = [chance.uniform(0.1, 1.2) for _ in range(3)]
    _killed_then_resumed(folder, undisturbed, [{"PAUSE": "0.05"}] * 3, delays)


def test_a_task_needs_no_module_to_resume(start):
    """Red if only modules are restored: a generator alone is a part too."""
    with start(episodes=4) as run:
        task = Task(run.config)
        training.train(run, task.step, lambda n: {}, {"episodes": task.chance}, 4, 2, 4)
    with start(episodes=4, resume=True) as run:
        other = Task(run.config)
        training.train(run, other.step, lambda n: {}, {"episodes": other.chance}, 4, 2, 4)
    assert_close(other.chance.get_state(), task.chance.get_state(), rtol=0, atol=0)
