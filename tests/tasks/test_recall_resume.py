"""The commands of recall, stopped from outside and resumed, equal ones that nothing stopped."""

import json
import signal
from pathlib import Path

import pytest
from left_by import left_by
from processes import Process
from tiny_recall import IMAGES, PATTERNS
from torch.testing import assert_close

TASKS = {
    "patterns": {**PATTERNS, "eval_every": 4},
    "images": {**IMAGES, "eval_every": 4},
}


def _start(task: str, folder: Path, *words: str, **environ: str) -> Process:
    given = [word for name, value in TASKS[task].items() for word in (f"--{name.replace('_', '-')}", str(value))]
    return Process("tiny_recall.py", [task, *given, "--out", str(folder), *words], folder.parent, **environ)


def _finish(task: str, folder: Path, *words: str) -> None:
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
    assert ended.err.endswith(f"go on with the same command, --out {folder} --resume\n")
    size = log.stat().st_size
    process = _start(task, folder, "--resume", PAUSE="0.3").send(signal.SIGKILL, when=lambda: log.stat().st_size > size)
    assert process.ended().status == -signal.SIGKILL
    assert not (folder / "result.json").exists()
    _finish(task, folder, "--resume")
    assert_close(left_by(folder), left_by(undisturbed), rtol=0, atol=0)
    results = [json.loads((place / "result.json").read_text()) for place in (folder, undisturbed)]
    for key in ("metrics", "episodes", "dataset", "config", "seeds"):
        assert results[0][key] == results[1][key], key


def test_max_seconds_and_then_more_equals_never_stopped(tmp_path):
    """Red if the evaluation at the stop leaves a trace in the resumed run."""
    undisturbed, folder = tmp_path / "undisturbed", tmp_path / "run"
    _finish("patterns", undisturbed)
    ended = _start("patterns", folder, "--max-seconds", "0.5", PAUSE="0.3").ended()
    assert (ended.status, ended.err) == (0, "")
    stopped = json.loads((folder / "result.json").read_text())
    assert 2 <= stopped["episodes"] < 12
    assert 0 <= stopped["metrics"]["error_rate"]["mean"] <= 1
    _finish("patterns", folder, "--resume")
    assert_close(left_by(folder), left_by(undisturbed), rtol=0, atol=0)
