"""A disk that is full, or cannot be written: one sentence, no hang, and the previous checkpoint survives."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from left_by import left_by
from processes import Process
from tiny_task import Config, main
from torch.testing import assert_close

from benchmarks.campaign.disks import Disk
from plastic.errors import UserError
from plastic.experiment import Run
from plastic.experiment.figures import matrices


def _mount(options: str, folder: Path) -> None:
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"cannot mount a small disk here: {getattr(error, 'stderr', '') or error}")


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk of one megabyte."""
    _mount("size=1m", tmp_path / "disk")
    yield tmp_path / "disk"
    subprocess.run(["umount", "--lazy", str(tmp_path / "disk")], check=True)


@pytest.mark.parametrize("leave", [0, 4096, 8192, 16384], ids=lambda n: f"{n} bytes left")
def test_a_disk_that_fills_up_in_training(disk, leave):
    """Red if any write of the loop is outside ``writing``, or TensorBoard's thread shows its traceback or hangs."""
    folder = disk / "run"
    full = [False]

    def on_step(number: int) -> float:
        if number == 6:
            Disk(disk).fill(leave)
            full[0] = True
        return 1.0

    with pytest.raises(UserError, match=r"could not write .*: No space left on device") as refusal:
        main(Config(out=folder, device="cpu", episodes=4000, batch=2, every=8), on_step)
    assert full == [True]
    assert "\n" not in str(refusal.value)
    assert not list(folder.glob(".*.part"))
    content = torch.load(folder / "checkpoint.pt", weights_only=True)
    assert content["episodes"] >= 8


def test_a_run_goes_on_when_there_is_space_again(disk, tmp_path):
    """Red if the failure damages the log or the checkpoint."""
    given = {"device": "cpu", "episodes": 48, "batch": 2, "every": 8}
    main(Config(out=tmp_path / "undisturbed", **given))
    with pytest.raises(UserError, match="No space left"):
        main(Config(out=disk / "run", **given), lambda number: (number == 14 and Disk(disk).fill(0)) or 1.0)
    Disk(disk).empty()
    main(Config(out=disk / "run", resume=True, **given))
    assert_close(left_by(disk / "run"), left_by(tmp_path / "undisturbed"), rtol=0, atol=0)


def _many_images(run: Run) -> None:
    for episodes in range(100):
        run.images("noise", torch.rand(3, 64, 64), episodes)


CALLS = {
    "log": lambda run: run.log(8, {f"train/{number}": 0.1 for number in range(1000)}),
    "images": _many_images,
    "figure": lambda run: run.figure("alpha", matrices({"weight": torch.randn(9, 9)}, "post", "pre"), 8),
    "save": lambda run: run.save({"weight": torch.zeros(9)}),
    "describe": lambda run: run.describe(split=list(range(9999))),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_each_way_to_write(start, disk, call, capfd):
    """Red if a call is outside ``writing``, or TensorBoard's thread shows a traceback (images)."""
    with start(out=disk / "run") as run:
        Disk(disk).fill(0)
        with pytest.raises(UserError, match=r"could not write .*: No space left on device"):
            call(run)
        Disk(disk).empty()
        if call is _many_images:  # the thread has ended: what follows must say so, too
            with pytest.raises(UserError, match="could not write"):
                run.save({})
            with pytest.raises(UserError, match="could not write the TensorBoard events"):
                run.__exit__(None, None, None)
            run._events.all_writers = None  # closed, as far as torch knows
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.parametrize("draw", [False, True], ids=["scalars", "figures"])
def test_the_command_on_a_full_disk(disk, draw):
    """Red if the command hangs, shows a traceback or does not end with status 2."""
    Disk(disk).fill(60_000)
    words = ["--out", str(disk / "run"), "--device", "cpu", "--episodes", "4000", "--every", "2"]
    ended = Process("tiny_task.py", [*words, "--draw" if draw else "--no-draw"], disk.parent).ended(within=60)
    assert ended.status == 2, ended
    (line,) = ended.err.splitlines()
    assert line.startswith("error: could not write ")


def test_a_disk_that_is_full_from_the_start(disk):
    """Red if making the folder or its first files is outside ``writing``."""
    Disk(disk).fill(0)
    ended = Process("tiny_task.py", ["--out", str(disk / "run"), "--device", "cpu"], disk.parent).ended(within=60)
    assert ended.status == 2, ended
    assert ended.err.startswith("error: could not write ")
    assert len(ended.err.splitlines()) == 1


def test_a_disk_that_cannot_be_written(disk):
    """Red if the clean-up after a failed write hides what failed."""
    with pytest.raises(ZeroDivisionError):
        main(Config(out=disk / "run", device="cpu"), lambda number: 1 / 0 if number == 10 else 1.0)
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    with pytest.raises(UserError, match=r"could not write .*: Read-only file system$"):
        main(Config(out=disk / "other", device="cpu"))
    with pytest.raises(UserError, match=r"could not write .*: Read-only file system; the previous one is intact$"):
        main(Config(out=disk / "run", device="cpu", resume=True))
    assert os.listdir(disk) == ["run"]
