"""Conditions side by side, from logs written by hand."""

import json

import pytest
from scipy.stats import ranksums

from agents.compare import Arguments, main
from plastic.errors import UserError


def _log(folder, rewards, every=10, pace=1.0):
    folder.mkdir(parents=True)
    rows = [
        {"episodes": every * (i + 1), "eval/reward": reward, "time/seconds": pace * (i + 1)}
        for i, reward in enumerate(rewards)
    ]
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_rewards_are_compared_at_equal_episodes_and_equal_seconds(tmp_path):
    """Red when: the last evaluation counts wherever it was, seeds are mixed, or the test is of another pair."""
    for seed in range(3):
        _log(tmp_path / "plastic" / f"seed-{seed}", [seed, 50 + seed, 90 + seed], pace=2.0)
        _log(tmp_path / "rnn" / f"seed-{seed}", [seed, 20 + seed, 30 + seed, 40 + seed])
    _log(tmp_path / "one", [5.0, 6.0, 7.0])
    runs = tuple(tmp_path / name for name in ("plastic", "rnn", "one"))
    result = main(Arguments(runs=runs, out=tmp_path / "out"))
    equal = result["at_equal_episodes"]
    assert equal["episodes"] == 30
    assert equal["reward"]["plastic"] == {"per_seed": [90, 91, 92], "median": 91}
    assert equal["reward"]["rnn"] == {"per_seed": [30, 31, 32], "median": 31}
    assert equal["reward"]["one"]["per_seed"] == [7]
    assert equal["rank_sum_p"]["rnn"] == ranksums([90, 91, 92], [30, 31, 32]).pvalue
    quick = result["at_equal_seconds"]
    assert quick["seconds"] == 3
    assert quick["reward"]["plastic"]["per_seed"] == [0, 1, 2]
    assert quick["reward"]["rnn"]["per_seed"] == [30, 31, 32]
    left = {path.name for path in (tmp_path / "out").iterdir()}
    assert left == {"reward.png", "reward-seconds.png", "comparison.json"}
    assert json.loads((tmp_path / "out" / "comparison.json").read_text()) == result


def test_what_cannot_be_compared_is_said(tmp_path):
    """Red when: a condition hides behind another of the same name, or an empty log is a traceback."""
    _log(tmp_path / "a", [1.0])
    _log(tmp_path / "b", [])
    _log(tmp_path / "c" / "a", [1.0])
    for names, message in ((["a", "c/a"], "each with a name of its own"), (["a", "b"], "b: no eval/reward was logged")):
        with pytest.raises(UserError, match=message):
            main(Arguments(runs=tuple(tmp_path / name for name in names), out=tmp_path / "out"))
    with pytest.raises(UserError, match="gone: no eval/reward was logged"):
        main(Arguments(runs=(tmp_path / "a", tmp_path / "gone"), out=tmp_path / "out"))
    with pytest.raises(UserError, match="expected at least two"):
        main(Arguments(runs=(tmp_path / "a",), out=tmp_path / "out"))
