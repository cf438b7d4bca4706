"""The Omniglot command, stopped from outside and resumed, equals one that nothing stopped."""

import json
import signal
import time
from pathlib import Path

import pytest
from left_by import left_by
from processes import Ended, Process
from tiny_omniglot import TINY
from torch.testing import assert_close

GIVEN = {**TINY, "batch": 2, "eval_every": 6, "widths": "4 4 4 8"}
WORDS = [word for name, value in GIVEN.items() for word in (f"--{name.replace('_', '-')}", *str(value).split())]


def _start(folder: Path, *words: str, **environ: str) -> Process:
    return Process("tiny_omniglot.py", [*WORDS, "--out", str(folder), *words], folder.parent, **environ)


def _finish(folder: Path, *words: str) -> Ended:
    ended = _start(folder, *words).ended(within=100)
    assert (ended.status, ended.err) == (0, "")
    return ended


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory) -> Path:
    """A run that nothing stopped."""
    folder = tmp_path_factory.mktemp("undisturbed") / "run"
    _finish(folder)
    return folder


def _assert_same(folder: Path, undisturbed: Path) -> None:
    assert_close(left_by(folder), left_by(undisturbed), rtol=0, atol=0)
    results = [json.loads((place / "result.json").read_text()) for place in (folder, undisturbed)]
    for key in ("metrics", "episodes", "dataset", "config", "seeds"):
        assert results[0][key] == results[1][key], key


STOPS = {
    "Ctrl-C": (signal.SIGINT, 130),
    "SIGTERM": (signal.SIGTERM, 143),
    "kill -9": (signal.SIGKILL, -signal.SIGKILL),
}


@pytest.mark.parametrize(("signum", "status"), STOPS.values(), ids=STOPS)
def test_stopped_and_resumed_equals_never_stopped(folder, undisturbed, signum, status):
    """Red if a part is missing in ``parts``, or the order of chance depends on an evaluation."""
    log = folder / "metrics.jsonl"
    process = _start(folder, PAUSE="0.3").send(signum, when=lambda: log.exists() and log.stat().st_size > 0)
    ended = process.ended()
    assert ended.status == status, ended.err
    if status > 0:
        assert ended.err.endswith(f"go on with the same command, --out {folder} --resume\n")
        assert len(ended.err.splitlines()) == 1
    else:
        assert ended.err == ""
    assert not (folder / "result.json").exists()
    _finish(folder, "--resume")
    _assert_same(folder, undisturbed)


def test_max_seconds_and_then_more_equals_never_stopped(folder, undisturbed):
    """Red if the evaluation at the stop leaves a trace in the resumed run."""
    ended = _start(folder, "--max-seconds", "0.5", PAUSE="0.3").ended()
    assert (ended.status, ended.err) == (0, "")
    stopped = json.loads((folder / "result.json").read_text())
    assert 2 <= stopped["episodes"] < 12
    assert 0 <= stopped["metrics"]["test_accuracy"]["mean"] <= 1
    _finish(folder, "--resume")
    resumed = json.loads((folder / "result.json").read_text())
    resumed["config"]["max_seconds"] = None
    _assert_same(folder, undisturbed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(20))
def test_killed_at_random_moments_equals_never_killed(folder, undisturbed, seed):
    """Two kills by the clock, anywhere between the start and the end."""
    for sitting in range(2):
        process = _start(folder, *["--resume"][:sitting], PAUSE="0.1")
        time.sleep(0.2 + (seed * 0.37 + sitting * 0.61) % 3.0)
        status = process.send(signal.SIGKILL).ended().status
        assert status in (0, -signal.SIGKILL)
    _finish(folder, "--resume")
    _assert_same(folder, undisturbed)
