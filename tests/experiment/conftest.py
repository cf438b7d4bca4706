"""What the tests of a run share: a place for it, and ``tests/support`` to import from."""

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "support"))

import torch
from tiny_task import Config

from plastic.experiment import Run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "run"


@pytest.fixture
def start(folder: Path) -> Callable[..., Run]:
    """``start(episodes=4, resume=True)``: a Run of the tiny task in ``folder``."""

    def start(**given: Any) -> Run:
        config = Config(**{"out": folder, "device": "cpu", **given})
        return Run(config.out, "tiny", config, torch.device("cpu"))

    return start
