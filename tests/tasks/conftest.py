"""What the tests of the commands share: ``tests/support`` to import from, and characters that need no file."""

import os
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import tiny_omniglot

import tasks.images
import tasks.omniglot
import tasks.patterns


@pytest.fixture
def blots(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command reads generated blots instead of drawings."""
    monkeypatch.setattr(tasks.omniglot, "load_characters", tiny_omniglot.load_characters)


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """An evaluation draws nothing, which saves a second."""
    for task in (tasks.omniglot, tasks.patterns, tasks.images):
        monkeypatch.setattr(task, "draw_figures", lambda *arguments: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def data() -> Path:
    """The folder of the real drawings; skipped where they are not."""
    beside = Path(__file__).parents[2].parent / "shared" / "data"
    folder = Path(os.environ.get("PLASTIC_DATA") or beside)
    if not (folder / "omniglot.npz").exists():
        pytest.skip(f"no omniglot.npz in {folder}: set PLASTIC_DATA to its folder")
    return folder
