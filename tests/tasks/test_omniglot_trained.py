"""Other tests of a network than those that it was trained for: more ways, other alphabets, other data."""

import json

import pytest
import torch
from tiny_omniglot import TINY, blots

import tasks.omniglot as omniglot
from plastic.data import Characters
from plastic.errors import UserError
from tasks.fewshot.episodes import split_classes
from tasks.omniglot import Config, as_trained, main

pytestmark = pytest.mark.usefixtures("blots", "no_figures")


def _config(**given) -> Config:
    return Config(**{**TINY, **given})


def test_a_trained_network_gives_the_result_of_its_own_run_again(folder, tmp_path):
    """Red if weights, the statistics of the normalisation or the test episodes are others than at the run's end."""
    result = main(_config(out=folder, seeds=2))
    again = main(Config(trained=folder, seeds=2, test_episodes=20, device="cpu", out=tmp_path / "again"))
    assert again["metrics"] == result["metrics"]
    assert again["episodes"] == result["episodes"]
    assert all(0 < s <= t for s, t in zip(again["seconds_per_seed"], result["seconds_per_seed"], strict=True))
    differing = {name for name in result["config"] if result["config"][name] != again["config"][name]}
    assert differing == {"trained"}
    assert f"--trained {folder}" in again["command"]


def test_a_trained_network_is_tested_as_asked(folder, tmp_path):
    """Red if the ways or shots of the training run stay in force."""
    main(_config(out=folder))
    seen = []

    def watched(learner, images, ways, shots, *rest):
        seen.append((len(images), ways, shots))
        return torch.ones(20)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(omniglot, "correct", watched)
        main(Config(trained=folder, ways=6, shots=4, device="cpu", out=tmp_path / "again"))
    assert seen == [(100, 6, 4)]


def test_what_training_has_settled_is_not_asked_again(folder):
    """Red if another model, rule or split is accepted and silently ignored, or the preset's own value is refused."""
    main(_config(out=folder, rule="hebb", preset="quick"))
    assert as_trained(Config(trained=folder)).rule == "hebb"
    assert as_trained(Config(trained=folder, rule="hebb")).preset == "quick"
    for given, message in (
        ({"rule": "clipped_hebb"}, "--rule clipped_hebb: .* was trained with hebb; leave --rule out"),
        ({"evaluate_on": "validation"}, "--evaluate-on validation: .* was trained with test"),
        ({"widths": (1, 2, 3, 4)}, r"--widths \(1, 2, 3, 4\)"),
    ):
        with pytest.raises(UserError, match=message):
            as_trained(Config(trained=folder, **given))


def test_what_is_no_trained_run_is_one_sentence(folder, tmp_path, monkeypatch):
    """Red if a missing folder, another task or another split ends in a traceback or a result."""
    with pytest.raises(UserError, match=r"config\.json"):
        main(Config(trained=tmp_path / "nowhere", out=folder))
    (tmp_path / "config.json").write_text(json.dumps({"task": "maze", "config": {}}))
    with pytest.raises(UserError, match="not of a run of this task"):
        main(Config(trained=tmp_path, out=folder))
    main(_config(out=folder))
    fewer = Characters("blots", blots()[:220], generated=True)
    monkeypatch.setattr(omniglot, "load_characters", lambda *arguments: fewer)
    with pytest.raises(UserError, match="another split"):
        main(Config(trained=folder, device="cpu", out=tmp_path / "again"))


def test_a_run_of_another_program_is_one_sentence(folder, tmp_path):
    """Red if an option or a weight that this program does not know ends in a traceback."""
    main(_config(out=folder))
    described = json.loads((folder / "config.json").read_text())
    for change, message in (({"neurons": 3}, "does not know: neurons"), ({"widths": [4, 4, 4, 9]}, "does not fit")):
        altered = {**described, "config": {**described["config"], **change}}
        (folder / "config.json").write_text(json.dumps(altered))
        with pytest.raises(UserError, match=message):
            main(Config(trained=folder, device="cpu", out=tmp_path / message[-4:]))


@pytest.mark.parametrize("evaluate_on", ["test", "validation"])
def test_held_out_alphabets_are_never_trained_on(folder, evaluate_on, monkeypatch):
    """Red if a class of the evaluation set reaches training, or one of the background set the test."""
    lettered = Characters("blots", blots(), generated=False, background=130)
    monkeypatch.setattr(omniglot, "load_characters", lambda *arguments: lettered)
    main(_config(out=folder, split="alphabets", evaluate_on=evaluate_on))
    split = json.loads((folder / "config.json").read_text())["split"]
    assert split["test"] == list(range(130, 230))
    assert sorted(split["train"] + split["validation"]) == list(range(130))
    assert len(split["validation"]) == 100
    assert split == split_classes(230, 130)._asdict()


def test_characters_without_alphabets_cannot_be_split_by_them(folder):
    """Red if the split falls back on another one."""
    with pytest.raises(UserError, match="--split alphabets: blots has no alphabets"):
        main(_config(out=folder, split="alphabets"))


def test_digits_are_tested_upright_and_named(folder, monkeypatch):
    """Red if digits are turned, drawings of the training set are tested, or the result does not say MNIST."""
    digits = Characters("mnist", blots()[:10], generated=False)
    seen = []
    monkeypatch.setattr(omniglot, "load_digits", lambda *arguments: digits)
    correct = omniglot.correct

    def watched(learner, images, ways, shots, count, chance, rotations):
        seen.append((images, rotations))
        return correct(learner, images, ways, shots, count, chance, rotations)

    monkeypatch.setattr(omniglot, "correct", watched)
    result = main(_config(out=folder, test_dataset="mnist"))
    assert result["dataset"] == "blots, tested on mnist"
    assert [rotations for _, rotations in seen] == [1] * len(seen)
    assert all(torch.equal(images, digits.images) for images, _ in seen)


def test_more_ways_than_digits_is_one_sentence(folder, monkeypatch):
    """Red if the classes under test are counted before the data set is known."""
    monkeypatch.setattr(omniglot, "load_digits", lambda *a: Characters("mnist", blots()[:10], generated=False))
    with pytest.raises(UserError, match="--ways 12: there are 10 test classes"):
        main(_config(out=folder, test_dataset="mnist", ways=12, train_ways=12, queries=36))


def test_prototypes_have_no_units_that_would_limit_the_ways(folder):
    """Red if a learner without class units is held to --train-ways, or one with them is not."""
    main(_config(out=folder, model="protonet", ways=20))
    for model in ("plastic", "nonplastic", "maml"):
        with pytest.raises(UserError, match="above --train-ways 6"):
            _config(model=model, ways=20).validate()


def test_real_digits_are_as_many_of_each_black_on_white(data):
    """Red if classes differ in number, ink and paper change places, or a digit is put with another."""
    if not (data / "mnist.npz").exists():
        pytest.skip("no mnist.npz")
    digits = omniglot.load_digits(data)
    assert (digits.name, digits.images.shape) == ("mnist", (10, 892, 31, 31))
    paper = digits.images.float() / 255
    assert 0.8 < paper.mean() < 0.92
    assert paper[:, :, 0].mean() > 0.99
    means = paper.mean(1).flatten(1)
    nearest = torch.cdist(paper.flatten(2), means).argmin(-1)  # (10, 892)
    assert (nearest == torch.arange(10)[:, None]).float().mean() > 0.75
