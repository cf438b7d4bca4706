"""Whatever the options, valid or not: a result, or one sentence, and never a traceback."""

import json
import os
import shlex
import sys
import tempfile
import types
import warnings
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from PIL import Image

sys.path.insert(0, str(Path(__file__).parent / "support"))

import tiny_agents
import tiny_continual
import tiny_omniglot
import tiny_recall

import agents.cue_a2c
import agents.maze_a2c
import continual.analysis
import continual.learning
import continual.permutedmnist
import continual.splitcifar
import continual.splitmnist
import tasks.images
import tasks.omniglot
import tasks.patterns
from continual.options import CannotWorkWarning
from plastic.data import Labelled
from plastic.errors import UserError
from plastic.experiment import Diverged, Options, machine
from plastic.experiment.options import parse

BRIEF = {"episodes": 4, "eval_every": 2, "test_episodes": 4}
SMALL: dict[Any, dict[str, Any]] = {
    tasks.patterns: {**tiny_recall.PATTERNS, **BRIEF},
    tasks.images: {**tiny_recall.IMAGES, **BRIEF, "brief": 2},
    tasks.omniglot: {**tiny_omniglot.TINY, **BRIEF},
    agents.maze_a2c: {**tiny_agents.MAZE, **BRIEF},
    agents.cue_a2c: {**tiny_agents.CUE, **BRIEF},
    continual.splitmnist: {**tiny_continual.TINY, "epochs": 1, "batch": 40, "importance_examples": 20},
    continual.permutedmnist: {**tiny_continual.TINY, "epochs": 1, "batch": 40, "tasks": 2, "importance_examples": 20},
    continual.splitcifar: {"widths": (2, 3, 4), "epochs": 1, "batch": 40, "importance_examples": 20},
    continual.analysis: {
        **{"claims": ("paths", "importances", "trace"), "hidden": (4, 4), "examples": 60, "steps": 3},
        **{"walked": 30, "tasks": 2, "epochs": 1, "updates": 1},
    },
}
KEPT = {"out", "data_dir", "resume", "device"}
SEEDS = st.one_of(st.integers(-1, 6), st.sampled_from([2**31, 2**63, 2**70]))
COUNTS = st.integers(1, 6) | st.integers(-1, 6)
RATES = st.sampled_from([1e-3, 0.01, 0.1, 0.5, 0.9])
NUMBERS = RATES | st.sampled_from([float("nan"), float("inf"), -1.0, 0.0, 1e-8, 1.0, 3.0, 1e30])
WORDS = st.sampled_from(["nonsense", "mnist", ""])
PATHS = st.sampled_from([Path("nowhere"), Path("/dev/null")])


class Asked(NamedTuple):
    """A command, and options for it."""

    task: Any
    config: Options


def _values(hint: Any) -> st.SearchStrategy[Any]:
    """What somebody might give: of the right type, but for words that are none of those known."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Literal:
        return st.sampled_from([*parts, *parts, *parts, "nonsense"])
    if origin in (Union, types.UnionType):
        return st.one_of(*(st.none() if part is types.NoneType else _values(part) for part in parts))
    if origin is tuple and parts[-1] is Ellipsis:
        return st.lists(_values(parts[0]), max_size=3).map(tuple)
    if origin is tuple:
        return st.tuples(*map(_values, parts))
    return {bool: st.booleans(), int: COUNTS, float: NUMBERS, str: WORDS, Path: PATHS}[hint]


@st.composite
def asked(draw: Callable[[Any], Any]) -> Asked:
    """A command that is small, with a few options changed."""
    task = draw(st.sampled_from(list(SMALL)))
    hints = get_type_hints(task.Config)
    names = sorted(field.name for field in fields(task.Config) if field.name not in KEPT)
    changed = draw(st.lists(st.sampled_from(names), min_size=1, max_size=4, unique=True))
    options = {name: draw(SEEDS if name == "seed" else _values(hints[name])) for name in changed}
    return Asked(task, task.Config(**{**SMALL[task], "device": "cpu", **options}))


def _labelled(dataset: str, data_dir: Any, wanted: str = "mnist") -> Labelled:
    """Blobs in place of digits and of photographs."""
    return tiny_continual.load_labelled(dataset, wanted="cifar10" if "cifar" in dataset + wanted else "mnist")


@pytest.fixture
def light(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data that is made in a moment, in place of files and the network; figures are composed, but not drawn; nothing
    waits for the disk."""
    monkeypatch.setattr(os, "fsync", lambda number: None)
    monkeypatch.setattr(tasks.images, "load_pictures", lambda dataset, folder, size: tiny_recall.blurs(max(2, size)))
    monkeypatch.setattr(tasks.omniglot, "load_characters", tiny_omniglot.load_characters)
    monkeypatch.setattr(tasks.omniglot, "load_digits", tiny_omniglot.load_characters)
    for task in (continual.splitmnist, continual.permutedmnist, continual.splitcifar, continual.analysis):
        monkeypatch.setattr(task, "load_labelled", _labelled)
    monkeypatch.setattr(machine, "_git_state", lambda: None)
    monkeypatch.setattr(Figure, "savefig", lambda figure, file, **_: Image.new("L", (8, 8)).save(file, "png"))


@pytest.fixture
def no_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor composed."""
    for task in (tasks.images, tasks.omniglot, tasks.patterns, agents.maze_a2c, agents.cue_a2c, continual.learning):
        monkeypatch.setattr(task, "draw_figures", lambda *arguments: None)


def _ends_well(asked: Asked) -> bool:
    """Whether there is a result, which every JSON reader understands; else what is raised is one sentence."""
    with tempfile.TemporaryDirectory() as place, warnings.catch_warnings():
        warnings.simplefilter("ignore", CannotWorkWarning)
        config = type(asked.config)(**{**vars(asked.config), "out": Path(place, "run")})
        said = _said_by(asked.task, config)
        if said is None and not getattr(config, "watch", None):
            json.loads(Path(place, "run", "result.json").read_text(), parse_constant=pytest.fail)
    assert said is None or (said.strip() and "\n" not in said)
    return said is None


def _said_by(task: Any, config: Options) -> str | None:
    """What a command says when it refuses; None where it does not."""
    try:
        task.main(config)
    except (UserError, Diverged) as error:
        return str(error)
    return None


LIGHT = settings(
    deadline=None, database=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.mark.usefixtures("light", "no_figures")
@settings(LIGHT, max_examples=300, derandomize=True)
@given(asked())
def test_any_options_end_in_a_result_or_a_sentence(asked):
    """Red if an option is not checked before it is used: a seed of 2**70 alone had three ways to fail."""
    _ends_well(asked)


@pytest.mark.slow
@pytest.mark.usefixtures("light")
@settings(LIGHT, max_examples=2000)
@given(asked())
def test_any_options_for_longer(asked):
    """The same with figures; and the command line that a result states gives its options back."""
    if _ends_well(asked):
        words = shlex.split(asked.config.command())
        assert parse(type(asked.config), words[3:]).identity() == asked.config.identity()
