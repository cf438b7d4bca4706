"""The commands of the maze and of cues from end to end, on lives that take a moment."""

import dataclasses
import io
import json
import math

import pytest
import torch
from PIL import Image
from processes import Process
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_agents import CUE, MAZE

import agents.cue_a2c as cue
import agents.maze_a2c as maze
from agents.envs.drawing import SQUARE
from agents.figures import steps_to_rewards
from agents.film import LARGER
from agents.learning import of_lives
from plastic.errors import UserError

FIGURES = {"reward.png", "reward-seconds.png", "within-a-life.png", "matrices.png"}
COMMON = {"reward", "reward_second_minus_first", "reward_random"}
MAZE_METRICS = COMMON | {"reward_oracle", "steps_to_first_reward", "steps_to_later_rewards", "lives_with_reward"}
CUE_METRICS = COMMON | {"reward_oracle", "right_answers"}


def _maze(folder, **given):
    return maze.main(maze.Config(**{**MAZE, "out": folder, **given}))


def _cue(folder, **given):
    return cue.main(cue.Config(**{**CUE, "out": folder, **given}))


@pytest.mark.parametrize(
    ("run", "metrics", "drawn"),
    [(_maze, MAZE_METRICS, FIGURES | {"before.gif", "after.gif"}), (_cue, CUE_METRICS, FIGURES)],
    ids=["maze", "cue"],
)
def test_a_run_leaves_everything_that_the_design_lists(folder, run, metrics, drawn):
    """Red if a file, a figure, a film, a scalar or a metric is left out, or result.json is no JSON."""
    result = run(folder, eval_every=12, length=40)
    assert {path.name for path in (folder / "figures").iterdir()} == drawn
    tags = EventAccumulator(str(folder)).Reload().Tags()
    assert set(tags["images"]) == {name.split(".")[0] for name in drawn}
    scalars = {"train/reward", "train/entropy", "train/value_loss", "eval/reward", "time/steps_per_second"}
    assert scalars | {"plasticity/eta", "plasticity/trace_rms"} <= set(tags["scalars"])
    assert set(result["metrics"]) == metrics
    assert next(iter(result["metrics"])) == "reward"
    json.loads((folder / "result.json").read_text(), parse_constant=pytest.fail)
    if "after.gif" in drawn:
        event = EventAccumulator(str(folder)).Reload().Images("after")[-1]
        assert event.encoded_image_string == (folder / "figures" / "after.gif").read_bytes()
        with Image.open(io.BytesIO(event.encoded_image_string)) as film:
            assert film.width == film.height == (MAZE["size"] + 2) * SQUARE * LARGER
            assert film.n_frames > 10  # frames that are the same as the one before become one, shown for longer
            assert (event.width, event.height) == film.size


@pytest.mark.usefixtures("no_figures")
def test_several_seeds_have_figures_together(folder):
    """Red if the curves of the seeds are not drawn."""
    _maze(folder, seeds=2, units=3)
    assert {path.name for path in (folder / "figures").iterdir()} == {"reward.png", "reward-seconds.png"}


ONE = {"episodes": 2, "batch": 2, "eval_every": 2, "units": 4, "length": 6}
VARIANTS = {
    **{model: (_maze, {"model": model}) for model in ("rnn", "lstm", "plastic_lstm")},
    **{rule: (_maze, {"rule": rule}) for rule in ("hebb", "clipped_hebb", "modulated", "retroactive")},
    "neuron": (_maze, {"alpha": "neuron"}),
    "shared": (_maze, {"alpha": "shared", "start": "orthogonal"}),
    "none": (_maze, {"alpha": "none"}),
    "less is told": (_maze, {"previous_action": False, "time": False}),
    "gae, no clip": (_maze, {"gae": 0.9, "max_norm": None}),
    "cartpole": (_maze, {"env": "CartPole-v1", "size": 9}),
    "fixed cues": (_cue, {"fixed_cues": True}),
    **{f"maze {name}": (_maze, {**preset, **ONE}) for name, preset in maze.Config.PRESETS.items()},
    **{f"cue {name}": (_cue, {**preset, **ONE}) for name, preset in cue.Config.PRESETS.items()},
}


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize(("run", "given"), VARIANTS.values(), ids=VARIANTS)
def test_every_variant_runs(folder, run, given):
    """Red if a variant fails anywhere between the options and the result."""
    metrics = run(folder, **{"episodes": 4, "eval_every": 4, **given})["metrics"]
    assert "reward_random" in metrics
    assert all(math.isfinite(value["mean"]) for value in metrics.values())
    assert ("reward_oracle" in metrics) == ("env" not in given)


def test_what_was_left_open_is_settled_in_the_result(folder):
    """Red if config.json, or the command in the result, does not say which rate was taken."""
    config = maze.Config(model="rnn").settled()
    assert (config.lr, config.entropy, config.start) == (1e-3, 0.03, "orthogonal")
    assert maze.Config(model="rnn", lr=0.5).settled().lr == 0.5
    assert "--lr 0.001 " in config.command() + " "


def test_steps_to_rewards_by_hand():
    """Red if the first is counted from 0, or waits of one life are those of another."""
    rewards = torch.tensor([[0, 1, 0], [10, -1, 0], [0, 1, 0], [10, 1, 0]]).float()
    nan = math.nan
    expected = torch.tensor([[2, 1, nan], [2, 2, nan], [nan, 1, nan], [nan, nan, nan]])
    torch.testing.assert_close(steps_to_rewards(rewards), expected, equal_nan=True)


def test_halves_of_a_life_by_hand():
    """Red if the middle step counts, or the halves change places."""
    world = maze.world_of(maze.Config(**MAZE), torch.device("cpu"))
    rewards = torch.tensor([[1.0], [2.0], [50.0], [4.0], [8.0]])
    lives = maze.Lives(rewards, rewards, rewards, rewards > 0)
    assert of_lives(lives)["reward_second_minus_first"].tolist() == [9]
    found = maze.measures(world, lives)
    assert (found["steps_to_first_reward"], found["steps_to_later_rewards"], found["reward"]) == (1, 1, 65)
    assert found["lives_with_reward"] == 1
    none = maze.measures(world, maze.Lives(rewards, rewards, -rewards, rewards > 0))
    waits = (none["steps_to_first_reward"], none["steps_to_later_rewards"], none["lives_with_reward"])
    assert waits == (world.length, world.length, 0)


@pytest.mark.usefixtures("no_figures")
def test_an_agent_is_watched(folder, capsys):
    """Red if the life is not that of the trained agent, or a checkpoint of another task is played."""
    _maze(folder, length=20)
    capsys.readouterr()
    shown = maze.main(maze.Config(watch=folder, seed=3))
    told = capsys.readouterr().out
    assert shown["steps"] == 20
    assert told.count("step ") == 21
    assert told.count("##########") == 2 * 21
    assert f"reward {shown['reward']:.2f} in 20 steps, after 12 training episodes" in told
    assert maze.main(maze.Config(watch=folder / "checkpoint.pt", seed=3)) == shown
    with pytest.raises(UserError, match="belongs to the task 'maze', not 'cue'"):
        cue.main(cue.Config(watch=folder))
    with pytest.raises(UserError, match="could not read the checkpoint"):
        maze.main(maze.Config(watch=folder / "nothing"))


@pytest.mark.usefixtures("no_figures")
def test_a_cue_agent_is_watched(folder, capsys):
    """Red if the cue task has nothing to show."""
    _cue(folder)
    capsys.readouterr()
    assert cue.main(cue.Config(watch=folder))["steps"] == 12
    assert capsys.readouterr().out.count("(target: cue") == 13


WRONG = {
    "--size: expected an odd number of squares, at least 3, got 8": {"size": 8},
    "--length: expected at least 1 step, got 0": {"length": 0},
    "--model: expected one of plastic, rnn, lstm, plastic_lstm, got gru": {"model": "gru"},
    "--rule: expected one of hebb, oja, clipped_hebb, modulated, retroactive, got hebbian": {"rule": "hebbian"},
    "--reward: expected more than 0": {"reward": 0.0},
    "--units: expected at least 1": {"units": 0},
    "--batch: expected at least 1": {"batch": 0},
    "--test-episodes: expected at least 2": {"test_episodes": 1},
    "--lr: expected more than 0": {"lr": 0.0},
    "--max-norm: expected more than 0": {"max_norm": -1.0},
    "--entropy: expected 0 or more": {"entropy": -0.1},
    "--alpha-scale: expected 0 or more": {"alpha_scale": -0.1},
    "--gae: expected a number from 0 to 1": {"gae": 1.5},
    "--discount: expected a number from 0 to 1": {"discount": -1.0},
    "--eta: expected a rate between 0 and 1": {"eta": 1.0},
    "--size: settings of the maze, and --env CartPole-v1": {"env": "CartPole-v1"},
    "--env NoSuch-v0: gymnasium cannot make it": {"env": "NoSuch-v0", "size": 9},
}


@pytest.mark.parametrize(("message", "given"), WRONG.items(), ids=WRONG)
def test_options_that_make_no_sense_are_refused(folder, message, given):
    """Red if a check is left out."""
    with pytest.raises(UserError) as caught:
        _maze(folder, **given)
    assert str(caught.value).startswith(message)


def test_cues_that_make_no_sense_are_refused(folder):
    """Red if a check is left out."""
    with pytest.raises(UserError, match="--bits: expected from 2"):
        _cue(folder, bits=1)
    with pytest.raises(UserError, match="--length: expected at least the 4 steps"):
        _cue(folder, length=2)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--size", "8"], "error: --size: expected an odd"),
        (["--length", "0"], "error: --length"),
        (["--rule", "x"], "x"),
    ],
    ids=lambda words: words[0] if isinstance(words, list) else "",
)
def test_as_a_program_it_exits_with_2(tmp_path, words, said):
    """Red if a traceback is shown, or the status is another."""
    ended = Process("tiny_agents.py", ["maze", *words, "--out", str(tmp_path / "run")], tmp_path).ended()
    assert ended.status == 2
    assert said in ended.err
    assert "Traceback" not in ended.err
    assert not (tmp_path / "run").exists()


def test_presets_say_how_they_differ():
    """Red if a preset names an option that is none, or the published settings move."""
    for task in (maze, cue):
        for name in task.Config.PRESETS:
            task.Config.from_preset(name).settled().validate()
    paper = maze.Config.from_preset("paper")
    assert (paper.units, paper.length, paper.size, paper.batch, paper.episodes) == (200, 250, 9, 30, 1_000_000)
    batched = dataclasses.asdict(maze.Config.from_preset("paper-batched"))
    assert (batched["size"], batched["length"], batched["max_norm"], batched["rule"]) == (11, 200, 4.0, "clipped_hebb")
