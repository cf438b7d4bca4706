"""The campaign of faults sees a loss where there is one."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks.campaign import damage, data
from benchmarks.campaign.left import difference, left_by
from plastic.data import packs
from plastic.errors import UserError
from plastic.experiment import checkpoint

ROOT = Path(__file__).parents[1]
TENSOR = torch.tensor([1.0, 0.0, float("nan")])
SAME = {
    "tensors": (TENSOR, TENSOR.clone()),
    "not a number": (float("nan"), float("nan")),
    "nested": ({"a": [1, {"b": TENSOR}]}, {"a": [1, {"b": TENSOR.clone()}]}),
}
OTHER = {
    "a bit": (TENSOR, torch.tensor([1.0, -0.0, float("nan")])),
    "a dtype": (TENSOR, TENSOR.double()),
    "a shape": (TENSOR, TENSOR[None]),
    "a kind of number": (1, 1.0),
    "a key": ({"a": 1}, {"a": 1, "b": 2}),
    "a length": ([1], [1, 2]),
    "deep inside": ({"a": [1, {"b": TENSOR}]}, {"a": [1, {"b": TENSOR + 1}]}),
}


@pytest.mark.parametrize(("one", "other"), SAME.values(), ids=SAME)
def test_what_is_the_same(one, other):
    """Red if equal bits count as different."""
    assert difference(one, other) is None


@pytest.mark.parametrize(("one", "other"), OTHER.values(), ids=OTHER)
def test_what_is_not_the_same(one, other):
    """Red if numbers are compared instead of bits, or only what both sides have."""
    assert difference(one, other) is not None
    assert difference(other, one) is not None


def test_what_a_clock_decides_is_left_out_and_nothing_else(tmp_path):
    """Red if seconds are compared, or a metric is not."""
    lines = [{"episodes": 4, "train/loss": 0.5, "time/seconds": 1.0}]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (tmp_path / "result.json").write_text(json.dumps({"seconds": 3, "machine": "m", "metrics": {"a": 1}}))
    torch.save({"seconds": 2.0, "episodes": 4}, tmp_path / "checkpoint.pt")
    (tmp_path / ".result.json.1.part").write_text("")
    assert left_by(tmp_path) == {
        ".result.json.1.part": "half-written",
        "checkpoint.pt": {"episodes": 4},
        "metrics.jsonl": [{"episodes": 4, "train/loss": 0.5}],
        "result.json": {"metrics": {"a": 1}},
    }


@pytest.mark.parametrize("name", data.SMALL)
def test_every_damage_is_one_and_the_whole_file_is_none(tmp_path, name, monkeypatch):
    """Red if a damage leaves a file that can be read, or the small file is not what a loader expects."""
    monkeypatch.setattr(packs, "SPECS", data.SMALL)
    data.write_packs(tmp_path)
    path, sprung = tmp_path / f"{name}.npz", tmp_path / "sprung"
    whole = path.read_bytes()
    packs.read_pack(path, name)
    for kind, change in data.damages(name).items():
        change(path)
        with pytest.raises(UserError, match=str(path)) as refusal:
            packs.read_pack(path, name)
        assert "\n" not in str(refusal.value), kind
        assert not sprung.exists(), kind
        if path.is_dir():
            path.rmdir()
        path.write_bytes(whole)


def test_the_checkpoints_of_strangers_would_run_code(tmp_path):
    """Red if a trap is none, so that refusing it shows nothing, or if reading a checkpoint springs one."""
    path, sprung = tmp_path / "checkpoint.pt", tmp_path / "sprung"
    checkpoint.save(path, {"task": "tiny", "config": {}})
    for kind, content in damage.of_strangers(path, sprung).items():
        path.write_bytes(content)
        with pytest.raises(UserError, match=r"checkpoint\.pt"):
            checkpoint.read(path)
        assert not sprung.exists(), kind
        if kind == "a pickle":
            pickle.loads(content)
        else:
            torch.load(path, weights_only=False)
        assert sprung.exists(), kind
        sprung.rmdir()


LOSING = """
import sys, tempfile
from pathlib import Path
from benchmarks.campaign.against import Campaign, Lost
from benchmarks.campaign.attempts import get_ready
from benchmarks.campaign.subjects import SUBJECTS
from plastic.experiment import training

get_ready(["tasks.patterns"])
campaign = Campaign("tasks.patterns", SUBJECTS["tasks.patterns"], Path(sys.argv[1]), Path(sys.argv[1]), 0)
with campaign.facing("kill -9"):
    campaign.finish(campaign.begun())
restored = training._restored
training._restored = lambda run, parts: restored(run, {name: parts[name] for name in parts if name != "network"})
with campaign.facing("kill -9"):
    campaign.finish(campaign.begun())
assert (campaign.tried["kill -9"], campaign.survived["kill -9"]) == (2, 1), campaign.lost
print(campaign.lost[0])
"""


def _python(tmp_path: Path, *words: str) -> subprocess.CompletedProcess:
    environ = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *words], cwd=ROOT, env=environ, capture_output=True, text=True, timeout=900)


def test_a_resumed_run_with_another_network_is_lost(tmp_path):
    """Red if the campaign does not compare, or not after a kill in the middle."""
    ended = _python(tmp_path, "-c", LOSING, str(tmp_path))
    assert ended.returncode == 0, ended.stderr
    assert ended.stdout.startswith("tasks.patterns: kill -9: it ended in other bits: ")


@pytest.mark.slow
def test_a_small_campaign(tmp_path):
    """Red if a command does not survive what is tried, or a kind of fault is left out."""
    words = ["--kills", "3", "--others", "1", "--only", "tasks.omniglot", "--json", str(tmp_path / "faults.json")]
    ended = _python(tmp_path, "-m", "benchmarks.faults", *words)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    (found,) = json.loads((tmp_path / "faults.json").read_text())["commands"].values()
    assert all(count["survived"] == count["tried"] > 0 for count in found["faults"].values())
    assert found["faults"]["damaged data"]["tried"] == sum(len(data.damages(name)) for name in ("omniglot", "mnist"))
    assert np.sum([found["faults"].get(kind, {}).get("tried", 0) for kind in ("kill -9", "SIGTERM")]) == 3
