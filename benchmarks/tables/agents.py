"""Agents in mazes: what is published, and what was measured."""

from benchmarks.tables.kinds import Published, Table

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


PUBLISHED = (
    Published(
        "Maze: what is published",
        "Reward of a life of 250 steps in the maze of 9 x 9 squares after 1,000,000 lives, one an update, 15 runs; "
        "read by eye from figure 6 of the first version.",
        ("network", "reward", "source"),
        (
            ("plastic, 100 units", "median about 150", "Miconi et al. 2018 (arXiv 1804.02464v1)"),
            ("plain, 100 units", "55 to 60", "the same"),
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
