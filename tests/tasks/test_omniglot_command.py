"""The Omniglot command from end to end, on characters that are made in a moment."""

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
from processes import Process
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_omniglot import TINY, blots
from torch.testing import assert_close

import tasks.omniglot as omniglot
from plastic.errors import UserError
from tasks.fewshot import training
from tasks.fewshot.episodes import split_classes
from tasks.omniglot import Config, main

ROOT = Path(__file__).parents[2]
SHRUNK = {"widths": (4, 4, 4, 8), "episodes": 6, "eval_every": 6}


def _config(**given) -> Config:
    return Config(**{**TINY, **given})


@pytest.mark.usefixtures("blots")
def test_a_run_leaves_everything_that_the_design_lists(folder):
    """Red if a file, a figure, a group of scalars or a fact is left out."""
    result = main(_config(out=folder))
    assert {path.name for path in folder.iterdir() if not path.name.startswith("events")} == {
        *("config.json", "env.json", "metrics.jsonl", "checkpoint.pt", "figures", "result.json")
    }
    assert {path.name for path in (folder / "figures").iterdir()} == {
        *("accuracy.png", "alpha.png", "episode.png", "plasticity.png", "trace.png")
    }
    tags = EventAccumulator(str(folder)).Reload().Tags()
    assert set(tags["images"]) >= {"alpha", "trace", "episode", "plasticity", "accuracy"}
    assert any(tag.startswith("episode/support") for tag in tags["images"])
    assert {tag.split("/")[0] for tag in tags["scalars"]} == {"train", "eval", "plasticity", "time", "result"}
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["episodes"] for row in rows] == [4, 8, 12]
    assert {"train/loss", "train/accuracy", "eval/test_accuracy", "plasticity/eta"} <= set(rows[0])

    split = json.loads(json.dumps(split_classes(230)._asdict()))
    described = json.loads((folder / "config.json").read_text())
    content = torch.load(folder / "checkpoint.pt", weights_only=True)
    for facts in (described, content):
        assert (facts["dataset"], facts["split"]) == ("blots", split)
    assert (result["task"], result["dataset"], result["episodes"]) == ("omniglot", "blots", 12)
    assert list(result["metrics"]) == ["test_accuracy"]
    json.loads((folder / "result.json").read_text(), parse_constant=pytest.fail)


VARIANTS = {
    "nonplastic": {"model": "nonplastic"},
    "5 shots, hebb, neuron": {"shots": 5, "turns": 1, "rule": "hebb", "alpha": "neuron"},
    "clipped, shared, two turns": {"rule": "clipped_hebb", "alpha": "shared", "turns": 2},
    "uneven queries, batches": {"queries": 7, "turns": 1, "batch": 5},
    "validation, no distortion": {"evaluate_on": "validation", "distortion": 0.0},
    "more ways than columns": {"ways": 12, "train_ways": 12, "queries": 36},
    "paper": {**Config.PRESETS["paper"], "preset": "paper", **SHRUNK},
}


@pytest.mark.parametrize("given", VARIANTS.values(), ids=VARIANTS)
@pytest.mark.usefixtures("blots")
def test_every_variant_runs(folder, given):
    """Red if a variant fails anywhere between the options and the figures."""
    result = main(_config(out=folder, **{"eval_every": 12, **given}))
    (name,) = result["metrics"]
    assert name == f"{given.get('evaluate_on', 'test')}_accuracy"
    assert 0 <= result["metrics"][name]["mean"] <= 1
    for name in ("trace.png", "plasticity.png"):
        assert (folder / "figures" / name).exists() == (given.get("model") != "nonplastic")


@pytest.mark.parametrize("evaluate_on", ["test", "validation"])
@pytest.mark.usefixtures("blots", "no_figures")
def test_no_test_class_is_trained_on_in_any_rotation(folder, evaluate_on, monkeypatch):
    """Red if the wrong part of the split, or rotations as classes of their own, reach an update or the calibration."""
    split = split_classes(230)
    seen: set[tuple[int, int]] = set()
    tested: list[torch.Tensor] = []
    inputs_of, correct = training.inputs_of, omniglot.correct

    def watched(config, images, numbers, chance):
        assert len(images) == 4 * 230 * 8
        turned = numbers // 8
        seen.update(zip((turned // 230).flatten().tolist(), (turned % 230).flatten().tolist(), strict=True))
        return inputs_of(config, images, numbers, chance)

    def watched_test(learner, images, *arguments):
        tested.append(images)
        return correct(learner, images, *arguments)

    monkeypatch.setattr(training, "inputs_of", watched)
    monkeypatch.setattr(omniglot, "correct", watched_test)
    main(_config(out=folder, evaluate_on=evaluate_on, train_ways=20, queries=60, episodes=400, batch=4, eval_every=200))
    allowed = split.train + (split.validation if evaluate_on == "test" else [])
    assert seen == {(rotation, cls) for rotation in range(4) for cls in allowed}
    assert len(tested) == 3
    for images in tested:
        assert_close(images, blots()[getattr(split, evaluate_on)], rtol=0, atol=0)


@pytest.mark.usefixtures("blots", "no_figures")
def test_the_same_seed_gives_the_same_result(tmp_path):
    """Red if anything is drawn from a generator that the seed does not fix."""
    results = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.rand(1)
        main(_config(out=tmp_path / name, seed=seed))
        results.append(torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)["parts"])
    assert_close(results[0], results[1], rtol=0, atol=0)
    assert not torch.equal(results[0]["network"]["readout.weight"], results[2]["network"]["readout.weight"])


TOO_FEW = {
    "drawings": ({"shots": 6}, "--shots 6 and 3 queries a class need 9 drawings of it, there are 8: choose fewer"),
    "paper's one query": ({"shots": 8, "queries": 1}, "--shots 8 and 1 queries a class need 9 drawings"),
    "classes": ({"train_ways": 131, "queries": 131}, "--train-ways 131: there are 130 training classes"),
    "classes in validation": (
        {"train_ways": 31, "queries": 31, "evaluate_on": "validation"},
        "--train-ways 31: there are 30 training classes",
    ),
    "test classes": ({"ways": 101, "train_ways": 110, "queries": 110}, "--ways 101: there are 100 test classes"),
}


@pytest.mark.parametrize(("given", "message"), TOO_FEW.values(), ids=TOO_FEW)
@pytest.mark.usefixtures("blots")
def test_more_than_there_is_is_one_sentence(folder, given, message):
    """Red without the line of fit or validate that names it."""
    with pytest.raises(UserError, match=message):
        main(_config(out=folder, **{"turns": 1, **given}))
    assert not (folder / "checkpoint.pt").exists()


def test_the_module_as_a_program_shows_its_help():
    """Red if the module cannot be run, or an option is hidden."""
    command = [sys.executable, "-m", "tasks.omniglot", "--help"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert shown.returncode == 0
    assert shown.stderr == ""
    for field in fields(Config):
        assert f"--{field.name.replace('_', '-')}" in shown.stdout


def _damaged(path: Path) -> None:
    path.write_bytes(b"PK\3\4 cut short")


def _foreign(path: Path) -> None:
    np.savez(path, images_background=np.zeros((9, 20, 105, 105), bool), images_evaluation=np.zeros(3))


@pytest.mark.parametrize("write", [_damaged, _foreign], ids=["damaged", "foreign"])
def test_a_bad_data_file_ends_the_program_with_status_2(tmp_path, write):
    """Red if what the loader says is not shown as one line."""
    path = tmp_path / "omniglot.npz"
    write(path)
    words = ["--dataset", "omniglot", "--data-dir", str(tmp_path), "--out", str(tmp_path / "run")]
    ended = Process(str(ROOT / "tasks" / "omniglot.py"), words, tmp_path).ended()
    assert ended.status == 2, ended.err
    (line,) = ended.err.splitlines()
    assert line.startswith("error: ")
    assert str(path) in line
