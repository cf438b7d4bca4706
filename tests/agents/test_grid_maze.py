"""The maze: one by one, as a vector environment, and as tables on the device."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import SyncVectorEnv

import agents  # noqa: F401  makes the environments known
from agents.envs.batched_maze import BatchedMaze
from agents.envs.drawing import AGENT, REWARD, SQUARE, WALL
from agents.envs.grid_maze import GridMazeEnv, GridMazeVectorEnv
from agents.envs.ground import Maze

ID = "plastic/GridMaze-v0"
PICTURE = """\
##############
##          ##
##  ##  ##  ##
##    @     ##
##  ##  ##  ##
##      o   ##
##############
"""


def test_the_ground_is_as_described():
    """Red when: the pillars stand elsewhere, the centre is not where a life begins, or the picture swaps its axes."""
    maze = GridMazeEnv(size=5, render_mode="ansi")
    maze.reset(options={"goal": 19})  # reading order: 5 + 3 + 5 + 3 squares, then the fourth of the last row
    assert maze.render() == PICTURE
    assert GridMazeEnv().solid[1:-1, 1:-1].sum() == 16
    assert not GridMazeEnv(size=7).solid[4, 4]  # a pillar's place, but it is the centre


def test_what_a_move_brings():
    """By hand. Red when: a move goes another way, a bump moves or is free, the reward pays elsewhere or leaves the
    agent there, or an observation puts its parts in another order."""
    maze = GridMazeEnv(size=5, length=8)
    first, _ = maze.reset(options={"goal": 8, "landings": [0] * 8})  # the reward: left end of the middle row
    centre = [1, 0, 1, 0, 0, 0, 1, 0, 1]
    assert first.tolist() == [*centre, 0, 0, 0, 0, 0, 0]
    seen, reward, terminated, truncated, _ = maze.step(np.int64(2))
    assert (reward, terminated, truncated) == (0, False, False)
    assert seen.tolist() == [*[0, 1, 0, 0, 0, 0, 0, 1, 0], 0, 0, 0, 1, 0, 0.125]
    seen, reward, *_ = maze.step(np.int64(0))
    assert reward == -0.1
    np.testing.assert_allclose(seen, [*[0, 1, 0, 0, 0, 0, 0, 1, 0], -0.1, 1, 0, 0, 0, 0.25], rtol=1e-6)
    seen, reward, *_ = maze.step(np.int64(2))
    assert reward == 10
    assert seen.tolist() == [*[1, 1, 1, 1, 0, 0, 1, 0, 1], 10, 0, 0, 1, 0, 0.375]  # put down in the corner
    assert maze.position == (1, 1)


@pytest.mark.parametrize(
    "settings",
    [{}, {"size": 7, "reward": 3.0, "penalty": 0.5}, {"previous_action": False}, {"time": False, "size": 3}],
    ids=str,
)
def test_one_by_one_side_by_side_and_in_tables_are_the_same(settings):
    """Red when: a table leads elsewhere, a landing counts the reward's square, the clock or the reward differs."""
    B, T = 24, 60
    maze = Maze(length=T, **settings)
    tables, chance = BatchedMaze(maze), torch.Generator().manual_seed(0)
    goals, landings = tables.draw(B, chance)
    goals[:2] = torch.tensor([len(tables.squares) - 1, tables._start])  # the last square, and the one to begin on
    several = gymnasium.make_vec(ID, num_envs=B, length=T, **settings)
    assert isinstance(several.unwrapped, GridMazeVectorEnv)
    singles = [GridMazeEnv(length=T, **settings) for _ in range(B)]
    options = [{"goal": g, "landings": way} for g, way in zip(goals.tolist(), landings.T.tolist(), strict=True)]
    ours = tables.begin(goals, landings)
    theirs, _ = several.reset(options={"goal": goals, "landings": landings.T})
    alone = [maze.reset(options=given)[0] for maze, given in zip(singles, options, strict=True)]
    hits = 0
    for _ in range(T):
        np.testing.assert_array_equal(ours.numpy(), np.stack(alone))
        np.testing.assert_array_equal(theirs, np.stack(alone))
        action = torch.randint(4, (B,), generator=chance)
        ours, reward, over = tables.step(action)
        theirs, rewards, terminations, truncations, _ = several.step(action.numpy())
        steps = [maze.step(np.int64(a)) for maze, a in zip(singles, action, strict=True)]
        alone = [step[0] for step in steps]
        for found in (reward.numpy(), rewards):
            np.testing.assert_array_equal(found, np.array([step[1] for step in steps], dtype=np.float32))
        for found in (over.numpy(), truncations):
            np.testing.assert_array_equal(found, [step[3] for step in steps])
        assert not terminations.any()
        hits += int((reward > 0).sum())
    assert hits > 5
    assert over.all()


def test_gymnasiums_own_checks_find_nothing():
    """Red when: an observation leaves its bounds or is used again, or a mode shows nothing. Warnings are errors."""
    for mode in (None, "ansi", "rgb_array"):
        check_env(gymnasium.make(ID, render_mode=mode, length=20).unwrapped)
    with pytest.raises(ValueError, match="render_mode: expected one of ansi, rgb_array, got 'human'"):
        GridMazeEnv(render_mode="human")


def test_the_reward_stays_for_a_life_and_no_landing_is_on_it():
    """Red when: a landing can be the reward's square, or the reward moves within a life."""
    world = BatchedMaze(Maze(size=3, length=40))
    world.reset(500, torch.Generator().manual_seed(0))
    goals = world.goals.clone()
    assert goals.unique().tolist() == list(range(9))
    hits = 0
    for _ in range(40):
        moment = world.step(torch.randint(4, (500,)))
        assert torch.equal(world.goals, goals)
        landed = world.positions[moment.reward > 0]
        assert (landed != goals[moment.reward > 0]).all()
        hits += len(landed)
    assert hits > 500


def test_landings_and_rewards_are_anywhere():
    """Red when: a square is never landed on, or chosen too often."""
    goals, landings = BatchedMaze(Maze(length=50)).draw(2000, torch.Generator().manual_seed(0))
    assert torch.allclose(goals.bincount(minlength=65) / 2000, torch.tensor(1 / 65), atol=0.012)
    assert torch.allclose(landings.flatten().bincount(minlength=64) / 100_000, torch.tensor(1 / 64), atol=0.002)
    single = GridMazeEnv(size=3)
    assert {single.reset(seed=seed) and single.goal for seed in range(60)} == set(single.free)


def test_many_mazes_begin_anew_together():
    """Red when: the step after the last one acts in the old life, or truncation comes a step early or late."""
    several = gymnasium.make_vec(ID, num_envs=3, length=5, size=3)
    several.reset(seed=0)
    ends = [several.step(several.action_space.sample())[3].tolist() for _ in range(5)]
    assert ends == [[False] * 3] * 4 + [[True] * 3]
    seen, reward, terminated, truncated, _ = several.step(np.array([0, 0, 0]))
    assert not np.concatenate([reward, terminated, truncated]).any()
    assert seen[:, 9:].tolist() == [[0.0] * 6] * 3
    assert several.metadata["autoreset_mode"].value == SyncVectorEnv([GridMazeEnv]).metadata["autoreset_mode"].value


def test_the_same_seed_is_the_same_maze():
    """Red when: a reset draws from anything but the seed."""
    for make in (GridMazeEnv, lambda: GridMazeVectorEnv(num_envs=4)):
        goals = []
        for seed in (3, 3, 4):
            made = make()
            made.reset(seed=seed)
            goals.append(np.array(made.goal if isinstance(made, GridMazeEnv) else made._lives.goals.numpy()).tolist())
        assert goals[0] == goals[1] != goals[2]


def test_a_picture_shows_walls_reward_and_agent():
    """Red when: rows and columns change places, or the path covers the reward's square with another colour."""
    maze = GridMazeEnv(size=5, render_mode="rgb_array")
    maze.reset(options={"goal": 19})
    maze.step(np.int64(3))
    picture = maze.render()
    assert picture.dtype == np.uint8
    assert picture.shape == (7 * SQUARE, 7 * SQUARE, 3)
    middle = SQUARE // 2
    for (row, column), colour in {(0, 3): WALL, (2, 2): WALL, (5, 4): REWARD, (3, 4): AGENT}.items():
        assert tuple(picture[row * SQUARE + middle, column * SQUARE + middle]) == colour


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"size": 8}, "size: expected an odd number of squares, at least 3, got 8"),
        ({"size": 1}, "size: expected an odd number"),
        ({"length": 0}, "length: expected at least 1 step, got 0"),
        ({"reward": 0.0}, "reward: expected more than 0, got 0"),
        ({"penalty": -1.0}, "penalty: expected 0 or more, got -1"),
    ],
)
@pytest.mark.parametrize("make", [GridMazeEnv, GridMazeVectorEnv])
def test_settings_that_make_no_sense_are_refused(make, settings, message):
    """Red when: a check is left out."""
    with pytest.raises(ValueError, match=message):
        make(**settings)
