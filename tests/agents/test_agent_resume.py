"""The agents' commands, stopped from outside and resumed, equal ones that nothing stopped; same seed, same bits."""

import json
import signal

import pytest
from left_by import left_by
from processes import Process
from tiny_agents import CUE, MAZE
from torch.testing import assert_close

import agents.maze_a2c as maze

TASKS = {
    "maze": ("maze", MAZE),
    "lstm": ("maze", {**MAZE, "model": "plastic_lstm", "rule": "retroactive"}),
    "cue": ("cue", {**CUE, "rule": "modulated"}),
}


def _start(task, folder, *words, **environ):
    command, options = TASKS[task]
    given = [word for name, value in options.items() for word in (f"--{name.replace('_', '-')}", str(value))]
    return Process("tiny_agents.py", [command, *given, "--out", str(folder), *words], folder.parent, **environ)


def _finish(task, folder, *words):
    ended = _start(task, folder, *words).ended(within=100)
    assert (ended.status, ended.err) == (0, "")


@pytest.mark.parametrize("task", TASKS)
def test_stopped_and_resumed_equals_never_stopped(tmp_path, task):
    """SIGTERM, then a kill, then the rest. Red if a part is missing in ``parts``, or an evaluation moves the chance."""
    undisturbed, folder = tmp_path / "undisturbed", tmp_path / "run"
    _finish(task, undisturbed)
    log = folder / "metrics.jsonl"
    process = _start(task, folder, PAUSE="0.3").send(signal.SIGTERM, when=lambda: log.exists() and log.stat().st_size)
    ended = process.ended()
    assert ended.status == 143, ended.err
    size = log.stat().st_size
    process = _start(task, folder, "--resume", PAUSE="0.3").send(signal.SIGKILL, when=lambda: log.stat().st_size > size)
    assert process.ended().status == -signal.SIGKILL
    _finish(task, folder, "--resume")
    assert_close(left_by(folder), left_by(undisturbed), rtol=0, atol=0)
    results = [json.loads((place / "result.json").read_text()) for place in (folder, undisturbed)]
    for key in ("metrics", "episodes", "dataset", "config", "seeds"):
        assert results[0][key] == results[1][key], key


@pytest.mark.usefixtures("no_figures")
def test_same_seed_same_bits_and_another_seed_other_ones(tmp_path):
    """Red if anything is drawn from elsewhere than the seed, or a seed is not heard."""
    places = [tmp_path / name for name in ("a", "b", "c")]
    results = [
        maze.main(maze.Config(**MAZE, out=place, seed=seed)) for place, seed in zip(places, (1, 1, 2), strict=True)
    ]
    first, again, other = (left_by(place) for place in places)
    assert_close(again, first, rtol=0, atol=0)
    assert results[0]["metrics"] == results[1]["metrics"]
    with pytest.raises(AssertionError):
        assert_close(other, first, rtol=0, atol=0)
