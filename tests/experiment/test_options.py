"""Options, presets and the command line."""

import re
import shlex
from dataclasses import fields
from pathlib import Path

import pytest
from tiny_task import Config

from agents.maze_a2c import Config as Maze
from plastic.errors import UserError
from plastic.experiment.options import parse
from tasks.images import Config as Images
from tasks.omniglot import Config as Omniglot


def test_a_preset_changes_what_it_names_and_nothing_else():
    """Red if from_preset drops the preset's values, or its name."""
    assert Config.from_preset("quick") == Config(preset="quick", episodes=6)
    assert Config.from_preset() == Config()


def test_an_option_given_beside_a_preset_wins():
    """Red if from_preset or parse puts the preset after what is given."""
    expected = Config(preset="quick", episodes=11)
    assert Config.from_preset("quick", episodes=11) == expected
    assert parse(Config, ["--episodes", "11", "--preset", "quick"]) == expected
    assert parse(Config, ["--preset", "quick", "--episodes", "24"]).episodes == 24, "even where it is the default"


@pytest.mark.parametrize("words", [["--preset", "odd"], ["--preset=odd"]], ids=["two words", "one word"])
def test_the_command_line_reads_a_preset(words):
    """Red without the branch of parse for either form."""
    assert parse(Config, words) == Config.from_preset("odd")


@pytest.mark.parametrize(
    ("name", "given", "message"),
    [
        ("fast", {}, "unknown preset 'fast': expected one of quick, default, odd"),
        ("quick", {"speed": 3}, "unknown option 'speed': expected one of batch, .*"),
    ],
    ids=["preset", "option"],
)
def test_an_unknown_name_says_which_there_are(name, given, message):
    """Red without the checks of from_preset (KeyError, TypeError)."""
    with pytest.raises(UserError, match=message):
        Config.from_preset(name, **given)


@pytest.mark.parametrize(
    "words",
    [["--preset", "fast"], ["--episodes", "many"], ["--loss", "hinge"], ["--speed", "3"]],
    ids=["preset", "not a number", "not a choice", "unknown option"],
)
def test_a_bad_word_on_the_command_line_is_exit_2(words, capsys):
    """Red if the type of an option is str."""
    with pytest.raises(SystemExit) as stop:
        parse(Omniglot if words[0] in ("--preset", "--loss") else Config, words)
    assert stop.value.code == 2
    assert words[0] in capsys.readouterr().err


def test_the_help_shows_the_values_of_the_preset(capsys):
    """Red if parse always takes the defaults of the class."""
    with pytest.raises(SystemExit) as stop:
        parse(Config, ["--preset", "odd", "--help"])
    assert stop.value.code == 0
    shown = re.sub(r"[\s│]+", " ", capsys.readouterr().out)
    assert "training episodes (default: 7)" in shown
    assert "learning rate (default: 3e-05)" in shown


@pytest.mark.parametrize("config_class", [Config, Omniglot], ids=["tiny", "omniglot"])
def test_every_option_has_a_help_text(config_class, capsys):
    """Red if an option has no text under it: only its default is then in brackets."""
    with pytest.raises(SystemExit):
        parse(config_class, ["--help"])
    shown = re.sub(r"[\s│]+", " ", capsys.readouterr().out)
    for name in (field.name for field in fields(config_class)):
        option = name.replace("_", "-")
        text = re.search(rf" --{option}[ ,](.*?)\(default:", shown)
        assert text, option
        words = re.sub(r"--no-[a-z-]+|\{.*?\}|\[.*?\]|[A-Z|]{2,}", " ", text[1])
        assert re.search(r"[a-z]{3,}", words), f"--{option} has no help text: {text[0]}"


GIVEN = {
    "nothing": {},
    "switch on": {"shuffle": True},
    "switch off": {"shuffle": False},
    "numbers": {"lr": 1e-7, "seed": 3, "seeds": 2},
    "tuple": {"sizes": (4, 5)},
    "no limit": {"max_seconds": None},
    "choice": {"loss": "l1"},
}


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
@pytest.mark.parametrize("preset", Config.PRESETS)
def test_the_command_gives_the_configuration_back(preset, given):
    """Red if command() compares with the default instead of the preset, or writes False as --flag."""
    config = Config.from_preset(preset, **given)
    words = shlex.split(config.command())
    assert words[:3] == ["python", "-m", "tiny_task"]
    assert parse(Config, words[3:]) == config


@pytest.mark.parametrize("preset", Omniglot.PRESETS)
def test_the_omniglot_command_gives_the_configuration_back(preset):
    """Red if a tuple is written as one word."""
    config = Omniglot.from_preset(preset, widths=(4, 5, 6, 7), ways=3, model="nonplastic")
    assert parse(Omniglot, shlex.split(config.command())[3:]) == config


def test_the_identity_leaves_out_the_places():
    """Red if identity() keeps out, data_dir or resume, or a value that JSON would change."""
    identity = Config(out=Path("a"), data_dir=Path("b"), resume=True).identity()
    assert not {"out", "data_dir", "resume"} & set(identity)
    assert identity["sizes"] == [3, 2], "a list, as JSON gives it back"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"preset": "fast"}, "--preset: expected one of quick, default, odd, got fast"),
        ({"seed": -1}, "--seed: expected 0 to 9223372036854775807, got -1"),
        ({"seed": 2**63}, "--seed: expected 0 to 9223372036854775807, got 9223372036854775808"),
        ({"seeds": 0}, "--seeds: expected at least 1, got 0"),
        ({"max_seconds": 0}, "--max-seconds: expected more than 0, got 0"),
        ({"max_seconds": float("inf")}, "--max-seconds: expected a finite number, got inf"),
        ({"lr": float("nan")}, "--lr: expected a finite number, got nan"),
        ({"loss": "huber"}, "--loss: expected one of mse, l1, got huber"),
        ({"resume": True}, "--resume needs --out DIR"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_an_option_that_makes_no_sense(given, message):
    """Red without the line of validate that names it."""
    with pytest.raises(UserError, match=message):
        Config(**given).validate()


def test_a_word_is_checked_wherever_the_annotation_lists_it(tmp_path):
    """Red if the words of an optional option, or those of a tuple, are taken for any."""
    with pytest.raises(UserError, match="--start: expected one of uniform, orthogonal, published, None, got zero"):
        Maze(start="zero").validate()
    Maze(start=None).validate()
    with pytest.raises(UserError, match="--test-mask: expected one of half, random, block, noise, got quarter"):
        Images(test_mask=("random", "quarter")).validate()
    Images(test_mask=("random", "noise"), test_dataset=("anything",)).validate()


OMNIGLOT = {
    "one way": ({"ways": 1}, "--ways: expected at least 2 classes"),
    "rounded episodes": ({"precision": "bfloat16", "model": "maml"}, "--precision bfloat16: only where drawings are"),
    "one training way": ({"train_ways": 1}, "--train-ways: expected at least 2 classes"),
    "no shots": ({"shots": 0}, "--shots: expected at least 1, got 0"),
    "no queries": ({"queries": 0}, "--queries: expected at least 1, got 0"),
    "no episodes": ({"episodes": 0}, "--episodes: expected at least 1, got 0"),
    "no batch": ({"batch": 0}, "--batch: expected at least 1, got 0"),
    "no evaluation": ({"eval_every": 0}, "--eval-every: expected at least 1, got 0"),
    "one test": ({"test_episodes": 1}, "--test-episodes: expected at least 2, got 1"),
    "standing still": ({"lr": 0.0}, "--lr: expected more than 0"),
    "rigid": ({"plastic_lr": -1.0}, "--plastic-lr: expected more than 0"),
    "undistorted": ({"distortion": -0.1}, "--distortion: expected 0 or more"),
    "no adaptation": ({"inner_steps": 0}, "--inner-steps: expected at least 1, got 0"),
    "ways above training": ({"ways": 9, "train_ways": 5, "queries": 15}, "above --train-ways 5"),
    "uneven turns": ({"queries": 61}, "--queries as a multiple of --train-ways 60, got 61"),
    "too many turns": ({"turns": 5}, "a class has 4 drawings in an episode, choose at most 4"),
}


@pytest.mark.parametrize(("given", "message"), OMNIGLOT.values(), ids=OMNIGLOT)
def test_an_omniglot_option_that_makes_no_sense(given, message):
    """Red without the line of Config.validate that names it."""
    with pytest.raises(UserError, match=message) as refusal:
        Omniglot(**given).validate()
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("preset", Omniglot.PRESETS)
def test_every_preset_makes_sense(preset):
    """Red if a preset's queries do not fit its turns."""
    Omniglot.from_preset(preset).validate()
