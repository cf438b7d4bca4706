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


CUES = {
    "reward": "reward",
    "right answers": "right_answers",
    "second half - first": "reward_second_minus_first",
    "who knows the target": "reward_oracle",
    "a guess": "reward_random",
}
CUE_CONDITIONS = {"plastic, modulated": "modulated", "plastic, not modulated (Oja)": "oja", "plain": "rnn"}


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
            "cues: modulated above not modulated",
            "yes, no figure",
            "Miconi et al. 2019, arXiv 2002.10585, section 4.1",
            (0, math.inf),
            "cue/modulated:reward",
            "4 bits, 60 steps and {episodes:,} lives; the paper has 20 bits and 6,000,000: neither has begun to learn",
            minus="cue/oja:reward",
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
    Table(
        "Cues",
        "Which of four new cues of 4 bits is the target, 60 steps a life, 100 units, 32 lives an update. The paper has "
        "20 bits, at least 120 steps and 6,000,000 lives, and finds that modulated networks learn it and others do "
        "not; after a sixtieth of its lives, 3,125 updates, none of ours has begun to: this says nothing either way.",
        tuple(CUES),
        {label: tuple(f"cue/{run}:{metric}" for metric in CUES.values()) for label, run in CUE_CONDITIONS.items()},
    ),
)
