"""What the tests of the agents share: ``tests/support`` to import from, and runs that draw nothing."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import agents.cue_a2c
import agents.maze_a2c


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """An evaluation draws nothing, which saves a second."""
    for task in (agents.maze_a2c, agents.cue_a2c):
        monkeypatch.setattr(task, "draw_figures", lambda *arguments: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"
