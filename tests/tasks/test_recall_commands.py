"""The commands of patterns and images from end to end, on episodes that take a moment."""

import json
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import tiny_recall
import torch
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_recall import IMAGES, PATTERNS
from torch.testing import assert_close

import tasks.images as images
import tasks.patterns as patterns
from plastic.errors import UserError
from tasks.recall import learning

ROOT = Path(__file__).parents[2]
FIGURES = {"error.png", "error-seconds.png", "episode.png", "matrices.png"}
PATTERN_METRICS = {"error_rate", "error_rate_hidden", "test_sse"}
IMAGE_METRICS = {
    *(f"test_{name}" for name in ("sse", "sse_hidden", "psnr_hidden", "ssim_hidden")),
    *(f"baseline_{n}_{w}" for n in ("sse", "psnr_hidden", "ssim_hidden") for w in ("mean_fill", "mirror", "nearest")),
}


@pytest.fixture(autouse=True)
def blurs(monkeypatch):
    monkeypatch.setattr(images, "load_pictures", tiny_recall.load_pictures)


def _patterns(folder, **given):
    return patterns.main(patterns.Config(**{**PATTERNS, "out": folder, **given}))


def _images(folder, **given):
    return images.main(images.Config(**{**IMAGES, "out": folder, **given}))


@pytest.mark.parametrize(
    ("run", "metrics", "figures"),
    [(_patterns, PATTERN_METRICS, FIGURES), (_images, IMAGE_METRICS, FIGURES | {"completions.png"})],
    ids=["patterns", "images"],
)
def test_a_run_leaves_everything_that_the_design_lists(folder, run, metrics, figures):
    """Red if a file, a figure, a group of scalars or a metric is left out."""
    result = run(folder)
    assert {path.name for path in folder.iterdir() if not path.name.startswith("events")} == {
        *("config.json", "env.json", "metrics.jsonl", "checkpoint.pt", "figures", "result.json")
    }
    assert {path.name for path in (folder / "figures").iterdir()} == figures
    tags = EventAccumulator(str(folder)).Reload().Tags()
    assert set(tags["images"]) == {name.removesuffix(".png") for name in figures}
    assert {tag.split("/")[0] for tag in tags["scalars"]} == {"train", "eval", "plasticity", "time", "result"}
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["episodes"] for row in rows] == [6, 12]
    assert set(result["metrics"]) == metrics
    json.loads((folder / "result.json").read_text(), parse_constant=pytest.fail)


def test_several_seeds_have_figures_together(folder):
    """Red if the curves of the seeds are not drawn, or not in TensorBoard."""
    _patterns(folder, seeds=2)
    assert {path.name for path in (folder / "figures").iterdir()} == {"error.png", "error-seconds.png"}
    assert set(EventAccumulator(str(folder)).Reload().Tags()["images"]) == {"error", "error-seconds"}


ONE = {"episodes": 2, "batch": 1, "eval_every": 2, "milestones": ()}
PATTERN_VARIANTS = {
    "rnn": {"model": "rnn", "extra_units": 5},
    "lstm": {"model": "lstm", "extra_units": 5},
    "lstm, additive": {"model": "lstm", "input": "additive"},
    "additive, neuron": {"input": "additive", "alpha": "neuron", "drive": 10.0},
    "clipped, shared, fixed eta": {"rule": "clipped_hebb", "alpha": "shared", "learn_eta": False},
    "oja, odd bits, milestones": {"rule": "oja", "bits": 7, "milestones": (6, 12)},
    **{name: {**preset, **ONE, "preset": name, "bits": 12} for name, preset in patterns.Config.PRESETS.items()},
}


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("given", PATTERN_VARIANTS.values(), ids=PATTERN_VARIANTS)
def test_every_variant_of_patterns_runs(folder, given):
    """Red if a variant fails anywhere between the options and the result."""
    result = _patterns(folder, **given)
    assert set(result["metrics"]) == PATTERN_METRICS | {f"error_rate_at_{n}" for n in given.get("milestones", ())}
    assert all(0 <= result["metrics"][name]["mean"] <= 1 for name in ("error_rate", "error_rate_hidden"))


@pytest.mark.parametrize("model", ["rnn", "lstm"])
def test_a_network_without_a_trace_has_figures_too(folder, model):
    """Red if a figure asks for an alpha, or an LSTM for its matrix."""
    _patterns(folder, model=model)
    assert {path.name for path in (folder / "figures").iterdir()} == FIGURES - (
        {"matrices.png"} if model == "lstm" else set()
    )


IMAGE_VARIANTS = {
    "rnn": {"model": "rnn", "extra_units": 5},
    "lstm": {"model": "lstm"},
    "random, shared": {"mask": "random", "alpha": "shared"},
    "block": {"mask": "block", "size": 5},
    "noise, additive": {"mask": "noise", "input": "additive"},
    "validation": {"evaluate_on": "validation"},
    **{name: {**preset, **ONE, "preset": name, "size": 4} for name, preset in images.Config.PRESETS.items()},
}


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("given", IMAGE_VARIANTS.values(), ids=IMAGE_VARIANTS)
def test_every_variant_of_images_runs(folder, given):
    """Red if a variant fails anywhere between the options and the result."""
    result = _images(folder, **given)
    assert set(result["metrics"]) == IMAGE_METRICS
    assert result["metrics"]["baseline_sse_nearest"]["mean"] == 0


@pytest.mark.usefixtures("no_figures")
def test_a_trained_network_is_tested_on_other_sets_and_masks(folder):
    """Red if the resumed run trains again, or the metrics of a test take the name of another."""
    first = _images(folder)
    weights = torch.load(folder / "checkpoint.pt", weights_only=True)["parts"]["network"]
    again = _images(folder, resume=True, test_dataset=("mnist",), test_mask=("random", "noise"))
    assert set(again["metrics"]) == {
        *IMAGE_METRICS,
        *(f"{name}@{where}" for name in IMAGE_METRICS for where in ("mnist", "random", "noise")),
    }
    assert {name: again["metrics"][name] for name in IMAGE_METRICS} == first["metrics"]
    assert again["metrics"]["test_sse@random"] != first["metrics"]["test_sse"]
    assert_close(torch.load(folder / "checkpoint.pt", weights_only=True)["parts"]["network"], weights, rtol=0, atol=0)


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("brief", [0, 400])
@pytest.mark.parametrize("evaluate_on", ["test", "validation"])
def test_no_test_picture_is_in_a_training_episode(folder, evaluate_on, brief, monkeypatch):
    """The released program drew its test figures from the training pictures. Red if ``exam`` draws from ``train``."""
    pictures = tiny_recall.blurs()
    practised, tested = set(), set()
    learn, test = images.learn, images.test

    def numbers(items, sums):
        known = {bytes(p): i for i, p in enumerate(pictures.activity(sums).flatten(1).numpy().view("uint8"))}
        return {known.get(bytes(p)) for p in items.flatten(0, 1).contiguous().numpy().view("uint8")}

    def watched(config, run, trial, facts):
        def seen(draw):
            def drawn(batch, chance):
                episodes = draw(batch, chance)
                practised.update(numbers(episodes.items, pictures.train))
                return episodes

            return drawn

        return learn(config, run, trial._replace(practice=seen(trial.practice), brief=seen(trial.brief)), facts)

    def watched_test(network, exam, measure, count, chance):
        part = pictures.test if evaluate_on == "test" else pictures.train
        tested.update(numbers(exam(200, chance).items, part))
        return test(network, exam, measure, count, chance)

    monkeypatch.setattr(images, "learn", watched)
    monkeypatch.setattr(images, "test", watched_test)
    _images(folder, evaluate_on=evaluate_on, brief=brief, episodes=400, batch=50, eval_every=400)
    if evaluate_on == "test":
        assert (practised, tested) == (set(range(60)), set(range(20)))
    else:
        held = set(range(0, 60, 10))  # spread: the first tenth of a sorted set would be one class
        assert (practised, tested) == (set(range(60)) - held, held)


@pytest.mark.usefixtures("no_figures")
def test_the_logged_loss_is_the_mean_since_the_last_evaluation(folder, monkeypatch):
    """The released programs carried a part of the last mean into the next. Red if what was logged is not forgotten."""
    losses = iter(range(1, 7))
    monkeypatch.setattr(learning, "squared_error", lambda episodes, answer: answer.sum(-1) * 0 + next(losses))
    _patterns(folder)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [row["train/loss"] for row in rows] == [2.0, 5.0]


@pytest.mark.usefixtures("no_figures")
def test_the_same_seed_gives_the_same_result(tmp_path):
    """Red if anything is drawn from a generator that the seed does not fix."""
    parts = []
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        torch.rand(1)
        _images(tmp_path / name, seed=seed)
        parts.append(torch.load(tmp_path / name / "checkpoint.pt", weights_only=True)["parts"])
    assert_close(parts[0], parts[1], rtol=0, atol=0)
    assert not torch.equal(parts[0]["network"]["model.weight"], parts[2]["network"]["model.weight"])


def test_every_choice_of_pictures_is_as_likely():
    """Red if a picture can come twice in an episode, or one is left out."""
    chosen = images.choose(4, 3, 24_000, torch.Generator().manual_seed(0))
    counts = (chosen * torch.tensor([16, 4, 1])).sum(-1).bincount(minlength=64)
    assert (counts > 0).sum() == 24
    assert (counts[counts > 0] - 1000).abs().max() < 150


BAD = {
    "bits": (_patterns, {"bits": 1}, "--bits: expected at least 2, got 1"),
    "patterns": (_patterns, {"patterns": 0}, "--patterns: expected at least 1, got 0"),
    "eta": (_patterns, {"eta": 1.5}, "--eta: expected a rate between 0 and 1, got 1.5"),
    "gap": (_patterns, {"gap": -1}, "--gap: expected 0 or more, got -1"),
    "test steps": (_patterns, {"test_steps": 0}, "--test-steps: expected at least 1, got 0"),
    "drive": (_patterns, {"drive": 0.0}, "--drive: expected more than 0, got 0"),
    "lr": (_patterns, {"lr": 0.0}, "--lr: expected more than 0, got 0"),
    "weight pace": (_patterns, {"weight_pace": 0.0}, "--weight-pace: expected more than 0, got 0"),
    "test episodes": (_patterns, {"test_episodes": 1}, "--test-episodes: expected at least 2, got 1"),
    "milestones": (_patterns, {"milestones": (7,)}, "--milestones: expected multiples of --eval-every 6, got 7"),
    "size": (_images, {"size": 1}, "--size: expected at least 2 pixels, got 1"),
    "too few": (_images, {"pictures": 21}, "blurs: 20 test pictures, and --pictures 21 in an episode"),
    "two sources": (_images, {"images": Path("x"), "dataset": "mnist"}, "--images takes the place of --dataset mnist"),
}


@pytest.mark.parametrize(("run", "given", "message"), BAD.values(), ids=BAD)
def test_what_makes_no_sense_is_one_sentence(folder, run, given, message):
    """Red without the line of validate or load that names it."""
    with pytest.raises(UserError, match=message):
        run(folder, **given)
    assert not (folder / "checkpoint.pt").exists()


@pytest.mark.parametrize("config", [patterns.Config, images.Config])
def test_the_modules_as_programs_show_their_help(config):
    """Red if a module cannot be run, or an option is hidden."""
    command = [sys.executable, "-m", config.MODULE, "--help"]
    shown = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100)
    assert (shown.returncode, shown.stderr) == (0, "")
    for field in fields(config):
        assert f"--{field.name.replace('_', '-')}" in shown.stdout


@pytest.mark.parametrize("config", [patterns.Config, images.Config])
def test_every_preset_makes_sense(config):
    """Red if a preset names an option that is not there, or settings that do not go together."""
    for name in config.PRESETS:
        config.from_preset(name).validate()
