"""Checkpoints: whole or not at all, and never code."""

import errno
import os
import pickle
import zipfile
from pathlib import Path

import pytest
import torch
from torch.testing import assert_close

from plastic.errors import UserError
from plastic.experiment import checkpoint

CONFIG = {"lr": 0.1, "sizes": [3, 2], "max_seconds": None, "seeds": 1, "device": "cpu", "name": "a"}
CONTENT = {"task": "tiny", "config": CONFIG, "weight": torch.arange(5000.0), "list": [1, 2.5, "x", None, {"y": True}]}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    checkpoint.save(tmp_path / "checkpoint.pt", CONTENT)
    return tmp_path / "checkpoint.pt"


def test_everything_comes_back(path):
    """Red if save drops what it is given."""
    found = checkpoint.load(path, "tiny", CONFIG)
    assert_close(found.pop("weight"), CONTENT["weight"], rtol=0, atol=0)
    assert found == {"format": 1, **{k: v for k, v in CONTENT.items() if k != "weight"}}


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_full_disk_leaves_the_previous_checkpoint(path, call, monkeypatch):
    """Red if write_whole writes to the path itself, or leaves its temporary file."""

    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = path.read_bytes()
    monkeypatch.setattr(os, call, full)
    with pytest.raises(UserError, match=r"could not write .*: No space left on device; the previous one is intact$"):
        checkpoint.save(path, {**CONTENT, "weight": torch.zeros(1)})
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == ["checkpoint.pt"]


def test_the_rename_comes_after_the_data_are_on_the_disk(path, monkeypatch):
    """Red without the fsync, or with the rename before it."""
    calls = []
    fsync, replace = os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda number: calls.append("fsync") or fsync(number))
    monkeypatch.setattr(os, "replace", lambda part, whole: calls.append("replace") or replace(part, whole))
    checkpoint.save(path, CONTENT)
    assert calls == ["fsync", "replace"]


def test_a_path_below_a_file(path):
    """Red if a failure to clean up hides why the write failed."""
    with pytest.raises(UserError, match=r"could not write .*: Not a directory$"):
        checkpoint.write_whole(path / "result.json", b"")


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def _flip(path: Path) -> None:
    """One bit of one weight: the archive stays readable, torch.load would not notice."""
    content = bytearray(path.read_bytes())
    at = content.index(torch.tensor([1234.0, 1235.0]).numpy().tobytes())
    content[at] ^= 1
    path.write_bytes(content)
    assert torch.load(path, weights_only=True)["weight"][1234] != 1234, "the damage is where this test wants it"


def _foreign(path: Path) -> None:
    path.write_bytes(b"something else")


def _archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "another zip")


def _bare(path: Path) -> None:
    torch.save({"weight": torch.zeros(3)}, path)


DAMAGE = {
    "empty": (lambda path: path.write_bytes(b""), r"damaged or no checkpoint \(BadZipFile\)"),
    "truncated": (_truncate, r"damaged or no checkpoint \(BadZipFile\)"),
    "flipped": (_flip, r"damaged \(wrong checksum of .*\)"),
    "foreign": (_foreign, r"damaged or no checkpoint \(BadZipFile\)"),
    "another archive": (_archive, r"damaged or no checkpoint \(RuntimeError\)"),
    "weights of another program": (_bare, "is not a checkpoint of this program"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_or_foreign_file_is_one_clear_sentence(path, damage, message):
    """Red without the check of the checksums (flipped), of the format (another program), or without the except."""
    damage(path)
    with pytest.raises(UserError, match=message) as refusal:
        checkpoint.load(path, "tiny", CONFIG)
    assert "\n" not in str(refusal.value)
    assert "another --out" in str(refusal.value)


class _Trap:
    """A pickle that creates a file when it is loaded."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def test_a_checkpoint_runs_no_code(path):
    """Red with weights_only=False."""
    sprung = path.with_name("sprung")
    torch.save({**CONTENT, "format": 1, "trap": _Trap(sprung)}, path)
    with pytest.raises(UserError, match="UnpicklingError"):
        checkpoint.load(path, "tiny", CONFIG)
    assert not sprung.exists()
    with pytest.raises((pickle.UnpicklingError, RuntimeError)):
        torch.load(path, weights_only=True)


def test_a_missing_file(tmp_path):
    """Red without the except for OSError."""
    with pytest.raises(UserError, match=r"could not read the checkpoint .*: No such file"):
        checkpoint.load(tmp_path / "checkpoint.pt", "tiny", CONFIG)


def test_another_task_is_refused(path):
    """Red without the comparison of the tasks."""
    with pytest.raises(UserError, match="belongs to the task 'tiny', not 'maze'"):
        checkpoint.load(path, "maze", CONFIG)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lr": 0.2}, "lr is 0.1 there and 0.2 here;"),
        ({"lr": 0.2, "name": "b"}, "lr is 0.1 there and 0.2 here, name is 'a' there and 'b' here;"),
        ({"new": 1}, "new is None there and 1 here;"),
    ],
    ids=["one", "two", "unknown then"],
)
def test_another_configuration_is_refused_by_name(path, change, message):
    """Red without the comparison, or with one that only looks at the options of one side."""
    with pytest.raises(UserError, match=f"made with another configuration: {message}"):
        checkpoint.load(path, "tiny", {**CONFIG, **change})


@pytest.mark.parametrize(
    "change", [{"max_seconds": 3.0}, {"seeds": 4}, {"device": "cuda"}], ids=lambda c: next(iter(c))
)
def test_what_may_change_between_a_run_and_its_resumption(path, change):
    """Red with the option left out of FREE_TO_CHANGE."""
    checkpoint.load(path, "tiny", {**CONFIG, **change})
