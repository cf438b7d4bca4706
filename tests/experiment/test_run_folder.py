"""The run folder: claimed once, told what happened, rewound on resume."""

import json
import os
import signal
import subprocess
from functools import cache
from itertools import count
from pathlib import Path
from types import SimpleNamespace

import matplotlib.image
import pytest
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer
from tiny_task import Config, Task, main

from plastic.errors import UserError
from plastic.experiment import Interrupted, machine
from plastic.experiment.run import read_history, refuse_taken
from plastic.kernels import build

GROUPS = {"train", "eval", "plasticity", "time", "result"}


def _events(folder: Path) -> EventAccumulator:
    return EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0}).Reload()


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("finished") / "run"
    main(Config(out=folder, device="cpu", episodes=16, every=8, draw=True))
    return folder


@pytest.mark.parametrize("held", ["config.json", "checkpoint.pt", "result.json"])
def test_a_folder_that_holds_a_run_is_refused(start, folder, held):
    """Red without the name in refuse_taken."""
    folder.mkdir()
    (folder / held).write_text("{}")
    with pytest.raises(UserError, match=r"run holds a run: choose another --out, or add --resume"):
        start()
    assert [path.name for path in folder.iterdir()] == [held], "and left as it was"


def test_a_folder_that_cannot_be_looked_at_is_one_sentence():
    """Red if the look is outside ``writing``."""
    with pytest.raises(UserError, match=r"could not write .*: File name too long"):
        refuse_taken(Path("x" * 300))


def test_a_folder_with_something_else_is_taken(start, folder):
    """Red if any file in the folder counts as a run."""
    folder.mkdir()
    (folder / "notes.txt").write_text("mine")
    with start():
        pass
    assert (folder / "notes.txt").read_text() == "mine"


@pytest.mark.parametrize(
    ("out", "message"),
    [("file/run", "Not a directory"), ("file", "File exists|Not a directory"), ("x" * 300, "File name too long")],
    ids=["below a file", "a file", "too long a name"],
)
@pytest.mark.parametrize("resume", [False, True], ids=["new", "resume"])
@pytest.mark.parametrize("seeds", [1, 2], ids=["one seed", "two seeds"])
def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path, out, message, resume, seeds):
    """Red if any look at the folder is outside ``writing``."""
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=rf"could not write .*: ({message})$") as refusal:
        main(Config(out=tmp_path / out, resume=resume, seeds=seeds, device="cpu"))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("content", [b"{", b"[1]", b"\xff\xfe", b""], ids=["cut", "a list", "not text", "empty"])
def test_a_damaged_description_is_one_sentence(start, folder, content):
    """Red without the checks of read_json."""
    folder.mkdir()
    (folder / "config.json").write_bytes(content)
    with pytest.raises(UserError, match=r"config.json is .*: choose another --out") as refusal:
        start(resume=True)
    assert "\n" not in str(refusal.value)


def test_the_description_and_the_environment(finished):
    """Red if the task's facts, or a key of the environment, are left out."""
    described = json.loads((finished / "config.json").read_text())
    assert described["task"] == "tiny"
    assert described["dataset"] == "noise"
    assert described["config"] == Config(device="cpu", episodes=16, every=8, draw=True).identity()
    environment = json.loads((finished / "env.json").read_text())
    keys = {"python", "torch", "cuda", "platform", "machine", "device", "processes", "threads", "backend", "git"}
    assert set(environment) == keys
    assert environment["processes"] == 1
    assert environment["backend"] in ("torch", "compiled", "compiled on first use")
    assert environment["git"] is None or set(environment["git"]) == {"commit", "dirty"}


@pytest.mark.parametrize(("compiler", "then"), [(build.compiler(), "compiled"), ("false", "torch")])
def test_the_backend_is_named_before_it_is_built(compiler, then, start, folder, tmp_path, monkeypatch):
    """Red if naming the backend builds it, or if env.json still promises what a first use could not build."""
    if compiler is None:
        pytest.skip("no C++ compiler")
    source = tmp_path / "source" / "small.cpp"
    source.parent.mkdir()
    source.write_text('extern "C" int seven() { return 7; }')
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(build, "SOURCE", source)
    monkeypatch.setattr(build, "compiler", lambda: compiler)
    monkeypatch.setattr(build, "library", cache(build.library.__wrapped__))

    def named() -> str:
        return json.loads((folder / "env.json").read_text())["backend"]

    with start():
        assert named() == "compiled on first use"
        assert not (tmp_path / "cache").exists()
        build.library()
    assert named() == then
    monkeypatch.setattr(build, "library", cache(build.library.__wrapped__))
    known = {"compiled": "compiled", "torch": "compiled on first use"}  # to another process
    assert machine.describe_backend(torch.device("cpu")) == known[then]
    monkeypatch.setattr(build, "compiler", lambda: None)
    assert machine.describe_backend(torch.device("cpu")) == then
    assert machine.describe_backend(torch.device("cuda")) == "torch"


def test_tensorboard_has_the_scalars_in_groups(finished):
    """Red if log drops a scalar, or the step is not the number of episodes."""
    events = _events(finished)
    tags = events.Tags()
    assert {tag.split("/")[0] for tag in tags["scalars"]} == GROUPS
    for row in map(json.loads, (finished / "metrics.jsonl").read_text().splitlines()):
        for tag in set(row) - {"episodes"}:
            (value,) = [e.value for e in events.Scalars(tag) if e.step == row["episodes"]]
            assert value == pytest.approx(row[tag], rel=1e-6)
    assert "config/text_summary" in tags["tensors"]


def test_figures_and_images_are_files_and_events(finished):
    """Red if figure or images writes only one of the two."""
    picture = matplotlib.image.imread(finished / "figures" / "alpha.png")
    assert picture.std() > 0.05, "not blank"
    events = _events(finished)
    for tag in ("alpha", "drawings"):
        assert [e.step for e in events.Images(tag)] == [8, 16]


@pytest.mark.parametrize("steps", [(3,), (6,), (9, 2)], ids=["before a checkpoint", "after one", "twice"])
def test_a_resumed_run_does_not_show_a_step_twice(start, folder, steps, monkeypatch):
    """Red without purge_step: what came after the checkpoint would be shown twice."""
    clock = count(1e9, 100)  # files of the same second are read in any order
    monkeypatch.setattr(event_file_writer, "time", SimpleNamespace(time=lambda: next(clock)))
    given = {"out": folder, "device": "cpu", "episodes": 24, "batch": 2, "every": 4}
    for sitting, step in enumerate(steps):
        with pytest.raises(ZeroDivisionError):
            main(Config(resume=sitting > 0, **given), lambda number, at=step: 1 / 0 if number == at else 1.0)
        with start(resume=True, **given) as run:  # as if a kill had come between the log and the checkpoint
            run.log(20, {"train/loss": -1.0})
    main(Config(resume=True, **given))
    events = _events(folder)
    assert [e.step for e in events.Scalars("train/loss")] == [4, 8, 12, 16, 20, 24]
    assert -1.0 not in [e.value for e in events.Scalars("train/loss")]


@pytest.mark.parametrize(
    "tail",
    [b'{"episodes": 12, "train/lo', b'{"episodes": 12}\n', b"\0\0\0\n", b"\xff\xfe\n", b"[]\n", b'{"train/loss": 1}\n'],
    ids=["half a line", "after the checkpoint", "zeros", "not text", "not a row", "no episodes"],
)
def test_the_log_is_rewound_to_the_checkpoint(start, folder, tail):
    """Red if a half-written line, or one after the checkpoint, is kept or raises."""
    with start(episodes=8) as run:
        Task(run.config).train(run)
    log = folder / "metrics.jsonl"
    before = log.read_bytes()
    log.write_bytes(before + tail)
    with start(episodes=8, resume=True) as run:
        assert [row["episodes"] for row in run.history()] == [8]
    assert log.read_bytes() == before


def test_the_log_is_on_the_disk_before_the_checkpoint_that_counts_on_it(start, folder, monkeypatch):
    """Red if the power can take lines of the log and leave the checkpoint after them."""
    synced, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: synced.append(os.fstat(number).st_ino) or fsync(number))
    with start() as run:
        del synced[:]
        run.log(4, {"train/loss": 0.5})
    assert (folder / "metrics.jsonl").stat().st_ino in synced


def test_a_damaged_log_is_one_sentence(folder):
    """Red if what JSON says of it is a traceback: a finished seed's log is read, and not rewound."""
    folder.mkdir()
    (folder / "metrics.jsonl").write_bytes(b'{"episodes": 4}\n\xff\0\n{"episodes": 8}\n')
    with pytest.raises(UserError, match=r"metrics.jsonl is damaged .*: put back an intact copy") as refusal:
        read_history(folder)
    assert "\n" not in str(refusal.value)


def test_what_a_kill_left_half_written_is_removed(start, folder):
    """Red if temporary files of killed runs pile up."""
    with start():
        pass
    (folder / ".checkpoint.pt.123.part").write_bytes(b"half")
    with start(resume=True):
        pass
    assert not list(folder.glob(".*"))


def test_stopping_in_between_writes_no_result(folder):
    """Red if the result is written before the run is done."""
    with pytest.raises(Interrupted):
        main(Config(out=folder, device="cpu"), lambda number: signal.raise_signal(signal.SIGINT) or 1.0)
    assert not (folder / "result.json").exists()


def test_an_installed_copy_does_not_name_the_repository_around_it(tmp_path, monkeypatch):
    """Red if any enclosing checkout counts as this project's."""
    author = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    subprocess.run(["git", "init", "-q", tmp_path], check=True)
    subprocess.run(["git", "-C", tmp_path, *author, "commit", "-q", "--allow-empty", "-m", "theirs"], check=True)
    library = tmp_path / "lib"
    library.mkdir()
    monkeypatch.setattr(machine, "__file__", str(library / "plastic" / "experiment" / "machine.py"))
    assert machine.environment(torch.device("cpu"))["git"] is None
