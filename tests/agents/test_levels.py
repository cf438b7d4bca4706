"""What the oracle and the random walk get, by formula and by living it."""

import pytest
import torch

from agents.envs.batched_maze import BatchedMaze
from agents.envs.ground import Maze, ground
from agents.envs.levels import distances, reward_oracle, reward_random


def test_distances_on_open_ground():
    """3 x 3 squares without a pillar: city blocks, and out and back. Red when: a bump counts as a way to arrive."""
    tables = ground(Maze(size=3))
    away = distances(tables.leads)
    for i, (row, column) in enumerate(tables.squares.tolist()):
        for j, (there, across) in enumerate(tables.squares.tolist()):
            assert away[i, j] == (abs(row - there) + abs(column - across) or 2)


def test_a_pillar_is_walked_around():
    """Red when: moves lead through pillars."""
    tables = ground(Maze(size=5))
    number = {tuple(square): i for i, square in enumerate(tables.squares.tolist())}
    assert distances(tables.leads)[number[1, 2], number[3, 2]] == 4


def test_a_life_of_two_steps_by_hand():
    """3 x 3, from the centre: 4 squares are a step away, 4 corners and the centre itself two. After a find at step 1, a
    random other square is next to an edge's middle: 3 of 8. Red when: a second reward is not counted."""
    assert reward_oracle(Maze(size=3, length=1, reward=1.0)) == pytest.approx(4 / 9)
    assert reward_oracle(Maze(size=3, length=2, reward=1.0)) == pytest.approx((4 * (1 + 3 / 8) + 5) / 9)


def test_known_levels():
    """A reference to compare results with. Red when: a life begins elsewhere, or the reward never is at the centre."""
    assert reward_oracle(Maze()) == pytest.approx(407.468, abs=1e-3)
    assert reward_oracle(Maze(length=200)) == pytest.approx(325.932, abs=1e-3)
    assert reward_random(Maze()) == pytest.approx(0.1359, abs=1e-4)


@pytest.mark.parametrize("size", [3, 5])
def test_levels_are_what_lives_come_to(size):
    """Red when: a bump is free, a landing can be the reward's square, or the oracle takes a detour."""
    maze, lives = Maze(size=size, length=40, penalty=0.3), 6000
    world, chance = BatchedMaze(maze), torch.Generator().manual_seed(0)
    away = distances(ground(maze).leads)
    for knows, level in ((False, reward_random(maze)), (True, reward_oracle(maze))):
        world.reset(lives, chance)
        total = torch.zeros(lives)
        for _ in range(maze.length):
            action = torch.randint(4, (lives,), generator=chance)
            if knows:  # to the neighbour from which the fewest moves are left; not into a wall
                ahead = world._leads[world.positions]
                left = away[ahead, world.goals.unsqueeze(1)].masked_fill(ahead == world.goals.unsqueeze(1), 0)
                action = (left + 1000 * (ahead == world.positions.unsqueeze(1))).argmin(1)
            total += world.step(action).reward
        assert abs(total.mean() - level) < 4 * total.std() / lives**0.5
