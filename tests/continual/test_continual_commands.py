"""The commands of continual learning from end to end, on images that take a moment."""

import json
import warnings
from dataclasses import replace
from pathlib import Path

import pytest
import tiny_continual
import torch
from processes import Process
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_continual import TINY

import continual.permutedmnist as permutedmnist
import continual.splitcifar as splitcifar
import continual.splitmnist as splitmnist
from continual.options import CannotWorkWarning
from plastic.errors import UserError
from plastic.experiment import Diverged
from plastic.experiment.options import parse

ONE = {**TINY, "epochs": 1, "batch": 20}
CIFAR = {"device": "cpu", "widths": (2, 3, 8), "epochs": 1, "batch": 20, "importance_examples": 10}
METRICS = {"average_accuracy", "forgetting", "backward_transfer", "forward_transfer", "train_accuracy"}
FIGURES = {"accuracy_matrix.png", "accuracy_by_task.png"}


def _split(folder, **given):
    return splitmnist.main(splitmnist.Config(**{**ONE, "out": folder, **given}))


def _permuted(folder, **given):
    return permutedmnist.main(permutedmnist.Config(**{**ONE, "tasks": 2, "out": folder, **given}))


def _cifar(folder, **given):
    return splitcifar.main(splitcifar.Config(**{**CIFAR, "out": folder, **given}))


@pytest.mark.usefixtures("blobs")
@pytest.mark.parametrize(("run", "tasks"), [(_split, 5), (_permuted, 2), (_cifar, 2)])
def test_a_run_leaves_everything_that_the_design_lists(folder, run, tasks):
    """Red if a file, a figure, a group of scalars or a metric is left out."""
    result = run(folder, head="dhp", seeds=2)
    assert {path.name for path in folder.iterdir() if not path.name.startswith("events")} == {
        *("config.json", "env.json", "metrics.jsonl", "checkpoint.pt", "figures", "accuracy_matrix.csv", "result.json")
    }
    assert {path.name for path in (folder / "figures").iterdir()} == FIGURES
    tags = EventAccumulator(str(folder)).Reload().Tags()
    assert set(tags["images"]) == {name.removesuffix(".png") for name in FIGURES}
    assert {tag.split("/")[0] for tag in tags["scalars"]} == {"train", "eval", "plasticity", "time", "result"}
    logged = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert len(logged) == tasks
    assert ["eval/forgetting" in row for row in logged] == [False] + [True] * (tasks - 1)
    for name in ("forgetting", "backward_transfer", "forward_transfer"):
        assert logged[-1][f"eval/{name}"] == pytest.approx(result["metrics"][name]["mean"])
    assert len((folder / "accuracy_matrix.csv").read_text().splitlines()) == 1 + 2 * (tasks + 1) * tasks
    assert set(result["metrics"]) == METRICS
    assert all(len(metric["per_seed"]) == 2 for metric in result["metrics"].values())
    assert torch.tensor(result["accuracy_matrix"]).shape == (2, tasks + 1, tasks)
    json.loads((folder / "result.json").read_text(), parse_constant=pytest.fail)


VARIANTS = {
    "l2": {"reg": "l2"},
    "ewc, batched": {"reg": "ewc", "fisher": "batched"},
    "online ewc, sampled": {"reg": "online_ewc", "fisher": "sampled", "gamma": 0.5},
    "mas, few examples": {"reg": "mas", "importance_examples": 7},
    "si preset": {**splitmnist.SI_PROGRAM, "preset": "si", "reg": "si", "epochs": 1},
    "plastic everywhere": {"head": "dhp", "plastic": "all", "reg": "si"},
    "predictions teach": {"head": "dhp", "teacher": "prediction"},
    "joint, dhp": {"joint": True, "head": "dhp", "teacher": "prediction"},
    "joint, domain": {"joint": True, "scenario": "domain"},
    "scratch": {"scratch": True},
    "no mask": {"mask": False},
    "class": {"scenario": "class", "head": "dhp"},
    "standard, two layers": {"scale": "standard", "hidden": (5, 4)},
    "validation": {"evaluate_on": "validation"},
}


@pytest.mark.usefixtures("blobs", "no_figures")
@pytest.mark.parametrize("given", VARIANTS.values(), ids=VARIANTS)
def test_every_variant_of_splitmnist_runs(folder, given):
    """Red if a variant fails anywhere between the options and the result."""
    result = _split(folder, **given)
    alone = given.get("joint") or given.get("scratch")
    assert set(result["metrics"]) == ({"average_accuracy", "train_accuracy"} if alone else METRICS)
    assert all(0 <= result["metrics"][name]["mean"] <= 1 for name in ("average_accuracy", "train_accuracy"))


@pytest.mark.usefixtures("blobs", "no_figures")
@pytest.mark.parametrize(("plastic", "traces"), [("readout", {"head"}), ("all", {"head", "hidden.0"})])
def test_plasticity_is_where_it_is_asked_for(folder, plastic, traces):
    """Red if the hidden layers have no trace, or one that is never written."""
    _split(folder, head="dhp", plastic=plastic)
    weights = torch.load(folder / "checkpoint.pt", weights_only=True)["parts"]["network"]
    assert {
        name.removesuffix(".trace") for name, value in weights.items() if name.endswith("trace") and value.any()
    } == (traces)


@pytest.mark.usefixtures("blobs", "no_figures")
def test_from_scratch_each_task_is_known_to_its_own_network(folder):
    """On training examples as in tests. Red if the last network is asked about the tasks before it."""
    metrics = _split(folder, scratch=True, epochs=12)["metrics"]
    assert metrics["average_accuracy"]["mean"] > 0.9
    assert metrics["train_accuracy"]["mean"] > 0.9


@pytest.mark.usefixtures("blobs", "no_figures")
@pytest.mark.parametrize("scenario", ["task", "domain", "class"])
@pytest.mark.parametrize("joint", [False, True])
def test_every_scenario_of_permutedmnist_runs(folder, scenario, joint):
    """Red if labels and units do not meet."""
    _permuted(folder, scenario=scenario, joint=joint, imbalanced=True)


@pytest.mark.usefixtures("blobs", "no_figures")
@pytest.mark.parametrize("reg", ["ewc", "si", "mas"])
def test_the_regularizers_take_convolutions(folder, reg):
    """Red if a layer has no importance."""
    _cifar(folder, reg=reg, head="dhp")
    held = torch.load(folder / "checkpoint.pt", weights_only=True)["parts"]["regularizer"]["importance"]
    assert set(held) == {
        *(f"convolutions.{i}.{kind}" for i in range(4) for kind in ("weight", "bias")),
        *("full.weight", "full.bias", "head.weight"),
    }
    assert all(value.sum() > 0 for value in held.values())


@pytest.mark.usefixtures("no_figures")
def test_cifar_10_and_then_tens_of_cifar_100(folder, monkeypatch):
    """Red if the second dataset's classes take the units of the first, or generated digits pass for CIFAR."""
    asked = []

    def load(name, *arguments, **options):
        asked.append(name)
        return tiny_continual.blobs(3, 8)

    monkeypatch.setattr(splitcifar, "load_labelled", load)
    _cifar(folder, benchmark="cifar100", dataset="real")
    assert asked == ["cifar10", "cifar100"]
    weights = torch.load(folder / "checkpoint.pt", weights_only=True)["parts"]["network"]
    assert weights["head.weight"].shape == (1, 8, 20)
    assert (weights["head.weight"] != 0).any(1).all()  # every unit has been taught
    monkeypatch.setattr(
        splitcifar, "load_labelled", lambda *a, **o: replace(tiny_continual.blobs(3, 8), generated=True)
    )
    with pytest.raises(UserError, match="needs CIFAR"):
        _cifar(folder / "other", benchmark="cifar100")


@pytest.mark.parametrize("module", [splitmnist, permutedmnist, splitcifar])
def test_every_preset_is_a_configuration(module):
    """Red if a preset names an option that is not there, or one that makes no sense."""
    for preset in module.Config.PRESETS:
        config = parse(module.Config, ["--preset", preset, "--reg", "si"])
        config.validate()
        assert config.preset == preset
        assert config.settled_strength > 0


def test_strengths_are_those_of_the_paper():
    """Red if the imbalanced benchmark takes the strengths of the balanced one, a given one is ignored, or the published
    settings take the strengths of others."""
    config = permutedmnist.Config
    paper = config.from_preset
    assert paper("paper", reg="online_ewc").settled_strength == 100
    assert paper("paper", reg="online_ewc", imbalanced=True).settled_strength == 400
    assert paper("paper", reg="online_ewc", imbalanced=True, strength=3.0).settled_strength == 3
    assert config(reg="mas", imbalanced=True).settled_strength == config.STRENGTHS["mas"]
    assert config(reg="online_ewc", imbalanced=True).settled_strength == 12  # red if the balanced one is taken
    assert config.from_preset("paper", reg="mas").settled_strength == 0.1
    paper = splitmnist.Config.from_preset("paper", reg="mas")
    assert (paper.settled_strength, paper.lr, paper.explicit, paper.decay) == (1.5, 0.01, True, False)
    assert splitmnist.Config.from_preset("paper", reg="mas", strength=3.0).settled_strength == 3
    assert splitmnist.Config(reg="mas").settled_strength == splitmnist.Config.STRENGTHS["mas"]
    assert splitmnist.Config().settled_strength == 0


BAD = {
    "--strength": {"reg": "si", "strength": -1.0},
    "finite": {"reg": "si", "strength": float("nan")},
    "nothing to act on": {"strength": 1.0},
    "--gamma": {"reg": "online_ewc", "gamma": 1.5},
    "--xi": {"reg": "si", "xi": 0.0},
    "--eta": {"head": "dhp", "eta": 1.0},
    "--epochs": {"epochs": 0},
    "--importance-examples": {"reg": "mas", "importance_examples": 0},
    "does not divide the 10 classes": {"tasks": 3},
    "no earlier task": {"joint": True, "reg": "si"},
    "two different references": {"joint": True, "scratch": True},
    "--head dhp": {"teacher": "prediction"},
    "--hidden": {"hidden": ()},
}


@pytest.mark.usefixtures("blobs", "no_figures")
@pytest.mark.parametrize(("message", "given"), BAD.items(), ids=BAD)
def test_bad_options_are_named(folder, message, given):
    """Red if one of them is accepted, or the sentence does not name it."""
    with pytest.raises(UserError, match=message):
        _split(folder, **given)


@pytest.mark.usefixtures("blobs", "no_figures")
def test_options_of_the_other_commands_are_named(folder):
    """Red if a mistake goes on to a traceback."""
    with pytest.raises(UserError, match="--no-mask"):
        _permuted(folder, scenario="task", mask=False)
    with pytest.raises(UserError, match="not plastic here"):
        _cifar(folder, head="dhp", plastic="all")
    with pytest.raises(UserError, match="2 to 11"):
        _cifar(folder, benchmark="cifar100", tasks=12)


DIVERGING = {
    r"above 2, here 2e\+03: leave --explicit out": {"reg": "l2", "strength": 1e4, "explicit": True},
    "kept; lower --lr or --strength$": {"reg": "l2", "strength": 1e4, "lr": 1e30},
    "kept; lower --lr$": {"lr": 1e30},
}


@pytest.mark.usefixtures("blobs", "no_figures")
@pytest.mark.parametrize(("message", "given"), DIVERGING.items(), ids=["explicit", "penalty", "plain"])
def test_divergence_says_what_to_try(folder, message, given):
    """Red if a steep penalty is not told from a rate that is too large."""
    with pytest.raises(Diverged, match=message):
        _split(folder, **{"batch": 4, "epochs": 2, **given})


@pytest.mark.usefixtures("blobs", "no_figures")
def test_a_checkpoint_of_another_scenario_is_refused(folder):
    """Red if a run goes on with weights that learned something else."""
    _split(folder)
    with pytest.raises(UserError, match="scenario is 'task' there and 'domain' here"):
        _split(folder, scenario="domain", resume=True)


@pytest.mark.parametrize("reg", ["ewc", "online_ewc", "si", "mas"])
def test_what_cannot_work_warns(reg):
    """Red if the class scenario is taken on in silence, or another one warns."""
    with pytest.warns(CannotWorkWarning, match=f"--reg {reg} cannot work in the class scenario"):
        splitmnist.Config(scenario="class", reg=reg).validate()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        splitmnist.Config(scenario="domain", reg=reg).validate()
        splitmnist.Config(scenario="class").validate()


def test_as_a_process(tmp_path):
    """Exit status and what is printed. Red if a mistake has a traceback, or the run does not end with its result."""
    words = ["--device", "cpu", "--hidden", "8", "--epochs", "1", "--batch", "40", "--tasks", "2"]
    folder = tmp_path / "run"
    processes = [
        Process("tiny_continual.py", [*words, "--reg", "si", "--out", str(folder)], tmp_path),
        Process("tiny_continual.py", [*words, "--reg", "si", "--strength", "-1", "--out", str(folder)], tmp_path),
        Process("tiny_continual.py", ["--tasks", "3", "--out", str(tmp_path / "other")], tmp_path),
    ]
    good, negative, uneven = (process.ended() for process in processes)
    assert (good.status, good.err) == (0, "")
    assert good.out.count("splitmnist on blobs: average_accuracy") == 1
    assert Path(folder, "result.json").exists()
    assert (negative.status, negative.out) == (2, "")
    assert negative.err == "error: --strength: expected a finite number of 0 or more, got -1.0\n"
    assert (uneven.status, uneven.err) == (2, "error: --tasks 3 does not divide the 10 classes of blobs\n")
