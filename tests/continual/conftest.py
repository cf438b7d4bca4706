"""What the tests of continual learning share: a place for a run, and images that are made in a moment."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import tiny_continual

import continual.learning
import continual.permutedmnist
import continual.splitcifar
import continual.splitmnist


@pytest.fixture
def blobs(monkeypatch: pytest.MonkeyPatch) -> None:
    """The commands read noisy prototypes instead of digits and photographs."""
    for module in (continual.splitmnist, continual.permutedmnist, continual.splitcifar):
        monkeypatch.setattr(module, "load_labelled", tiny_continual.load_labelled)


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """A run draws nothing, which saves a second."""
    monkeypatch.setattr(continual.learning, "draw_figures", lambda *arguments: None)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"
