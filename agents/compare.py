"""Conditions side by side: reward curves of finished or running runs, and a rank-sum test.

    python -m agents.compare --runs runs/plastic runs/rnn --out comparison

Each run folder is a condition, with its seeds (``seed-N/``) or one. What is compared is the reward of fresh lives at
equal episodes, the last evaluation that all have in common, and at equal seconds of training.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tyro
from scipy.stats import ranksums

from agents.figures import reward_curves
from plastic.errors import UserError
from plastic.experiment import History, program
from plastic.experiment.run import read_histories, write_json, writing

REWARD = "eval/reward"


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Reward curves of several conditions, and a rank-sum test of the first against each other."""

    runs: tuple[Path, ...]
    """run folders, one a condition; the first is tested against the others"""
    out: Path
    """folder for reward.png, reward-seconds.png and comparison.json"""


def at(seeds: Sequence[History], key: str, value: float) -> list[float]:
    """The reward of each seed at its last evaluation up to a value of ``episodes`` or ``time/seconds``."""
    return [[row[REWARD] for row in rows if row[key] <= value][-1] for rows in seeds]


def compare(conditions: dict[str, list[History]]) -> dict[str, Any]:
    """Rewards at equal episodes and at equal seconds, and two-sided p of the first condition against each other."""
    result: dict[str, Any] = {}
    first, *others = conditions
    for name, key in (("episodes", "episodes"), ("seconds", "time/seconds")):
        common = min(rows[-1][key] for seeds in conditions.values() for rows in seeds)
        begun = max(rows[0][key] for seeds in conditions.values() for rows in seeds)
        if common < begun:
            continue  # the fastest was done before the slowest was looked at
        rewards = {condition: at(seeds, key, common) for condition, seeds in conditions.items()}
        result[f"at_equal_{name}"] = {
            name: common,
            "reward": {
                condition: {"per_seed": values, "median": float(np.median(values))}
                for condition, values in rewards.items()
            },
            "rank_sum_p": {other: float(ranksums(rewards[first], rewards[other]).pvalue) for other in others},
        }
    return result


def main(arguments: Arguments) -> dict[str, Any]:
    if len({run.name for run in arguments.runs}) < len(arguments.runs) or len(arguments.runs) < 2:
        raise UserError("--runs: expected at least two folders, each with a name of its own, which names its condition")
    conditions = {run.name: read_histories(run, REWARD) for run in arguments.runs}
    result = compare(conditions)
    with writing(arguments.out):
        arguments.out.mkdir(parents=True, exist_ok=True)
        for name, figure in reward_curves(conditions, {}, "fresh lives").items():
            figure.savefig(arguments.out / f"{name}.png", dpi=120)
    write_json(arguments.out / "comparison.json", result)
    print(json.dumps(result, indent=1))
    return result


if __name__ == "__main__":
    program(lambda: main(tyro.cli(Arguments)))
