"""From a configuration to result.json."""

import json
import os
import signal
from pathlib import Path

import pytest
import torch
from left_by import left_by
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_task import Config, experiment, main
from torch.testing import assert_close

from plastic.errors import UserError
from plastic.experiment import Diverged, Estimate, Interrupted, Outcome, Together, checkpoint, conduct, conduct_together
from plastic.experiment.figures import matrices

SMALL = {"episodes": 8, "every": 4, "device": "cpu"}
KEYS = [
    *("task", "dataset", "preset", "command", "config", "seeds", "episodes", "seconds", "seconds_per_seed"),
    *("machine", "device", "torch", "metrics"),
]


def _read(folder: Path) -> dict:
    return json.loads((folder / "result.json").read_text(), parse_constant=pytest.fail)


def test_the_result_of_one_seed(folder):
    """Red if a key of the design is missing, or what is returned is not what is written."""
    config = Config(out=folder, seed=5, **SMALL)
    result = main(config)
    assert _read(folder) == result
    assert list(result) == KEYS
    assert (result["task"], result["dataset"], result["preset"]) == ("tiny", "noise", "default")
    assert (result["seeds"], result["episodes"], result["device"]) == ([5], 8, "cpu")
    assert result["torch"] == torch.__version__
    assert result["config"] == config.identity()
    assert result["command"] == config.command()
    assert result["seconds"] == result["seconds_per_seed"][0] >= 0
    size = result["metrics"]["size"]
    assert list(size) == ["per_seed", "mean", "median", "std", "ci95"]
    weight = torch.load(folder / "checkpoint.pt", weights_only=True)["parts"]["network"]["weight"].abs().double()
    assert size["per_seed"] == [size["mean"]] == pytest.approx([weight.mean().item()])
    assert size["ci95"] == pytest.approx(1.96 * weight.std().item() / 6**0.5)


def test_several_seeds_are_runs_of_their_own_and_an_aggregate(folder, tmp_path):
    """Red if a seed does not start afresh, or the aggregate is over something else: Student's t with 2 degrees."""
    result = main(Config(out=folder, seed=3, seeds=3, **SMALL))
    assert _read(folder) == result
    assert list(result) == KEYS
    assert result["seeds"] == [3, 4, 5]
    assert (result["config"]["seed"], result["config"]["seeds"]) == (3, 3)
    singles = [_read(folder / f"seed-{seed}") for seed in (3, 4, 5)]
    assert [single["seeds"] for single in singles] == [[3], [4], [5]]
    assert [single["config"]["seeds"] for single in singles] == [1, 1, 1]
    assert result["seconds_per_seed"] == [single["seconds"] for single in singles]
    assert result["seconds"] == pytest.approx(sum(result["seconds_per_seed"]), abs=0.051)
    values = [single["metrics"]["size"]["mean"] for single in singles]
    size = result["metrics"]["size"]
    assert size["per_seed"] == values
    mean = sum(values) / 3
    std = (sum((v - mean) ** 2 for v in values) / 2) ** 0.5
    expected = {"mean": mean, "median": sorted(values)[1], "std": std, "ci95": 4.302652729696142 * std / 3**0.5}
    assert {k: size[k] for k in expected} == pytest.approx(expected)

    main(Config(out=tmp_path / "alone", seed=4, **SMALL))
    assert_close(left_by(folder / "seed-4"), left_by(tmp_path / "alone"), rtol=0, atol=0)


def test_the_result_is_written_last(folder, monkeypatch):
    """Red if anything of the run is written after it."""
    written: list[str] = []
    write_whole = checkpoint.write_whole
    monkeypatch.setattr(
        checkpoint, "write_whole", lambda path, content: written.append(path.name) or write_whole(path, content)
    )
    main(Config(out=folder, **SMALL))
    assert written.count("result.json") == 1
    assert written[-1] == "result.json"
    youngest = max(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns)
    assert youngest.name == "result.json"


def test_several_seeds_resume_where_each_stands(folder, tmp_path):
    """Red if finished seeds train again, or the hint to resume names the folder of one seed."""
    main(Config(out=tmp_path / "undisturbed", seeds=3, **SMALL))
    calls: list[int] = []

    def stop_in_the_second(number: int) -> float:
        calls.append(number)
        if len(calls) == 6:
            signal.raise_signal(signal.SIGTERM)
        return 1.0

    with pytest.raises(
        Interrupted, match=r"at 4 episodes; checkpoint saved: go on with .*, --out (.*) --resume"
    ) as stop:
        main(Config(out=folder, seeds=3, **SMALL), stop_in_the_second)
    assert f"--out {folder} --resume" in str(stop.value)
    with pytest.raises(UserError, match="holds a run"):
        main(Config(out=folder, seeds=3, **SMALL))
    steps: list[int] = []
    result = main(Config(out=folder, seeds=3, resume=True, **SMALL), lambda number: steps.append(number) or 1.0)
    assert len(steps) == 2 + 4
    for seed in range(3):
        one, other = (left_by(place / f"seed-{seed}") for place in (folder, tmp_path / "undisturbed"))
        assert_close(one, other, rtol=0, atol=0)
    assert result["metrics"] == _read(tmp_path / "undisturbed")["metrics"]


def _never(config, run):
    pytest.fail("run again")


@pytest.mark.parametrize("seeds", [1, 3])
def test_what_is_finished_is_read_and_not_run_again(folder, seeds):
    """Red if a finished seed's final test runs again, or a number of its result does not come back to the bit."""
    first = main(Config(out=folder, seeds=seeds, **SMALL))
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.parent != folder or seeds == 1}
    again = conduct(Config(out=folder, seeds=seeds, resume=True, **SMALL), "tiny", _never)
    assert again == first == _read(folder)
    assert {path: path.stat().st_mtime_ns for path in before} == before


def _damage(folder: Path) -> None:
    (folder / "result.json").write_text('{"task": ')


def _age(folder: Path) -> None:
    """As if the run had gone on, and been killed, since its result was written."""
    then = (folder / "checkpoint.pt").stat().st_mtime_ns - 1
    os.utime(folder / "result.json", ns=(then, then))


STALE = {
    "damaged": (_damage, {}),
    "missing": (lambda folder: (folder / "result.json").unlink(), {}),
    "older than the checkpoint": (_age, {}),
    "with another limit": (lambda folder: None, {"max_seconds": 100.0}),
}


@pytest.mark.parametrize(("change", "given"), STALE.values(), ids=STALE)
def test_a_result_that_does_not_hold_is_made_again(folder, change, given):
    """Red if it is taken for the result of this configuration and this checkpoint."""
    first = main(Config(out=folder, **SMALL))
    change(folder)
    calls = []

    def counted(config, run):
        calls.append(config)
        return experiment(config, run)

    result = conduct(Config(out=folder, resume=True, **SMALL, **given), "tiny", counted)
    assert len(calls) == 1
    assert result["metrics"] == first["metrics"]


def test_what_a_kill_left_half_written_beside_several_seeds_is_removed(folder):
    """Red if only the seeds' own folders are cleared."""
    main(Config(out=folder, seeds=2, **SMALL))
    (folder / ".result.json.123.part").write_bytes(b"half")
    main(Config(out=folder, seeds=2, resume=True, **SMALL))
    assert not list(folder.rglob(".*.part"))


def test_more_seeds_can_be_added(folder):
    """Red if ``seeds`` is not free to change."""
    main(Config(out=folder, seeds=2, **SMALL))
    steps: list[int] = []
    result = main(Config(out=folder, seeds=3, resume=True, **SMALL), lambda number: steps.append(number) or 1.0)
    assert len(steps) == 4
    assert result["seeds"] == [0, 1, 2]


@pytest.mark.parametrize(
    ("first", "then", "message"), [(1, 2, "one seed"), (2, 1, "several seeds")], ids=["one then two", "two then one"]
)
@pytest.mark.parametrize("resume", [True, False], ids=["resume", "new"])
def test_one_seed_never_goes_over_several(folder, first, then, message, resume):
    """Red without the check: the aggregate would take the place of the other result."""
    main(Config(out=folder, seeds=first, **SMALL))
    before = (folder / "result.json").read_bytes()
    with pytest.raises(UserError, match=f"holds a run of {message}"):
        main(Config(out=folder, seeds=then, resume=resume, **SMALL))
    assert (folder / "result.json").read_bytes() == before


def test_options_are_checked_before_anything_is_made(folder):
    """Red if validate comes after the folder."""
    with pytest.raises(UserError, match="--seeds"):
        main(Config(out=folder, seeds=0))
    assert not folder.exists()


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there(folder):
    """Red without the check of pick_device."""
    with pytest.raises(UserError, match="--device cuda: torch finds no CUDA device"):
        main(Config(out=folder, device="cuda"))
    assert not folder.exists()


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM], ids=lambda s: s.name)
@pytest.mark.parametrize("late", [False, True], ids=["before training", "after it"])
def test_a_signal_outside_the_training_loop(folder, signum, late):
    """Red without ``interruptible``: SIGTERM would end the process, or the test run, without a word."""

    def interrupted(config, run):
        if late:
            experiment(config, run)
        signal.raise_signal(signum)

    handlers = [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(Interrupted, match=r"^interrupted: go on with the same command, --out .*run --resume$") as stop:
        conduct(Config(out=folder, **SMALL), "tiny", interrupted)
    assert stop.value.signal == signum
    assert [signal.getsignal(s) for s in (signal.SIGINT, signal.SIGTERM)] == handlers


def test_a_diverged_run_has_no_result(folder):
    """Red if the result is written in spite of it."""
    with pytest.raises(Diverged, match="at episode 6"):
        main(Config(out=folder, **SMALL), lambda number: float("nan") if number == 3 else 1.0)
    assert not (folder / "result.json").exists()


def test_the_last_lines_say_what_came_out_and_where(folder, capsys):
    """Red if a line of the summary is missing."""
    result = main(Config(out=folder, **SMALL))
    lines = capsys.readouterr().out.splitlines()[-4:]
    size = result["metrics"]["size"]
    assert lines[0].startswith(f"tiny on noise: size {size['mean']:.4f} ± {size['ci95']:.4f}  (seed 0, ")
    assert lines[1:] == [
        f"result   {folder / 'result.json'}",
        f"figures  {folder / 'figures'}",
        f"watch    tensorboard --logdir {folder}",
    ]


def test_what_several_seeds_logged_is_drawn_together(folder, tmp_path):
    """Red if a seed is left out, one seed has an overview as well, or TensorBoard does not get it."""
    seen = []

    def overview(config, histories):
        seen.append(histories)
        return {"together": matrices({"x": torch.eye(2)}, "post", "pre")}

    conduct(Config(out=folder, seeds=2, **SMALL), "tiny", experiment, overview)
    assert [[row["episodes"] for row in history] for (histories,) in [seen] for history in histories] == [[4, 8]] * 2
    assert (folder / "figures" / "together.png").stat().st_size > 0
    assert EventAccumulator(str(folder)).Reload().Tags()["images"] == ["together"]
    conduct(Config(out=tmp_path / "alone", **SMALL), "tiny", experiment, overview)
    assert len(seen) == 1


def test_the_printed_line_holds_the_first_metrics(folder, capsys):
    """Red if a result of many metrics is printed in full, or cut without a word."""

    def many(config, run):
        metrics = {f"metric{i}": Estimate(i, 0.0) for i in range(7)}
        return Outcome("noise", 1, 0.0, metrics)

    conduct(Config(out=folder, **SMALL), "tiny", many)
    (line,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("tiny on")]
    assert "metric4 4.0000 ± 0.0000, and 2 more" in line
    assert "metric5" not in line


def test_seeds_side_by_side_share_a_folder(folder):
    """Red if they are split over folders, a fact is lost, or a seed's outcome is taken for all of them."""

    def together(config, run):
        outcomes = [
            Outcome("noise", 8, 0.5, {"size": Estimate(float(seed), float("nan"))}) for seed in range(config.seeds)
        ]
        return Together(outcomes, {"matrix": [[1.0]]})

    result = conduct_together(Config(out=folder, seeds=3, **SMALL), "tiny", together)
    assert _read(folder) == result
    assert list(result) == [*KEYS, "matrix"]
    assert result["seeds"] == [0, 1, 2]
    assert result["seconds_per_seed"] == [0.5] * 3
    assert result["metrics"]["size"]["per_seed"] == [0.0, 1.0, 2.0]
    assert not list(folder.glob("seed-*"))
    with pytest.raises(UserError, match="holds a run"):
        conduct_together(Config(out=folder, seeds=3, **SMALL), "tiny", together)
    assert conduct_together(Config(out=folder, seeds=3, resume=True, **SMALL), "tiny", _never) == result
