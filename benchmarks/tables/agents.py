"""Agents in mazes: what is published, and what was measured."""

import math

from benchmarks.tables.claims import Claim, Claims, read_by_eye
from benchmarks.tables.kinds import Table

MAZE = {
    "reward": "reward",
    "each seed": "reward#",
    "second half - first, each seed": "reward_second_minus_first#",
    "steps to the first reward": "steps_to_first_reward",
    "to later ones": "steps_to_later_rewards",
    "who knows the place": "reward_oracle",
    "a random walk": "reward_random",
}
CONDITIONS = {
    "plastic, one alpha a connection": "plastic",
    "plastic, one alpha for all": "shared",
    "plain, half as many episodes again": "rnn",
}


def _maze(run: str) -> tuple[str, ...]:
    return tuple(f"maze/{run}:{metric}" for metric in MAZE.values())


_FIRST, _ICML = "Miconi et al. 2018, arXiv v1, figure 6", "Miconi et al. 2018, ICML, section 4.5"
_FEW = "the interval of three seeds has 0 in it"

CLAIMS = Claims(
    "Agents: published and measured",
    "The reward of a life of 250 steps in the maze of 9 x 9 squares. The paper's figures are those after 1,000,000 "
    "lives, one an update, 15 runs, read by eye.",
    (
        Claim(
            "plastic, 100 units: reward",
            "median about 150, between 120 and 185",
            _FIRST,
            (120, 185),
            "maze/plastic:reward",
            "after {episodes:,} lives, eight an update; the paper's still rise after 1,000,000",
            good="high",
            median=True,
        ),
        Claim(
            "plain, 100 units: reward",
            "55 to 60",
            _FIRST,
            read_by_eye(55, 60),
            "maze/rnn:reward",
            "after {episodes:,} lives, eight an update; three seeds, far apart",
            median=True,
        ),
        Claim(
            "plastic above plain",
            "yes",
            _FIRST,
            (0, math.inf),
            "maze/plastic:reward",
            f"{_FEW}; by then the plain network had half as many lives again",
            minus="maze/rnn:reward",
        ),
        Claim(
            "one alpha a connection above one for all",
            "yes, no figure",
            _ICML,
            (0, math.inf),
            "maze/plastic:reward",
            f"{_FEW}; results/maze/comparison.json has rank-sum tests at equal episodes and at equal seconds",
            minus="maze/shared:reward",
        ),
    ),
)
TABLES = (
    Table(
        "Maze",
        "A reward hidden in another place each life, 250 steps, 100 units, A2C with eight lives an update; fresh "
        "lives. Half of a life against the other, and the waits, show what is learned within it. Settings from short "
        "runs of other lengths, most of them with seed 7 and a few with seed 0. Curves: [against "
        "episodes](results/maze/reward.png), [against seconds](results/maze/reward-seconds.png); rewards at equal "
        "episodes and at equal seconds with rank-sum tests are in results/maze/comparison.json. The plain network has "
        "a fifth more seconds than the plastic one. One alpha for all learns 100 times slower than the rest.",
        tuple(MAZE),
        {label: _maze(run) for label, run in CONDITIONS.items()},
    ),
)
