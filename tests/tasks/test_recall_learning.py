"""Recall is learned: small networks reach a stated level in seconds."""

import pytest
import tiny_recall

import tasks.images as images
from tasks.patterns import Config, main

SMALL = {"device": "cpu", "bits": 60, "patterns": 3, "cycles": 2, "presentation": 4, "gap": 1, "test_steps": 4}


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("seed", range(3))
def test_patterns_are_learned(folder, seed):
    """Red if the test asks for another pattern than it shows, or the trace is not learned: chance is 0.25."""
    result = main(Config(out=folder, seed=seed, episodes=600, batch=4, lr=3e-3, eval_every=600, **SMALL))
    assert result["metrics"]["error_rate"]["mean"] < 0.05


@pytest.mark.usefixtures("no_figures")
def test_without_a_trace_it_stays_at_chance(folder):
    """Red if the hidden bits can be known without memory, e.g. by what the test shows."""
    given = {**SMALL, "model": "rnn", "test_episodes": 300}
    result = main(Config(out=folder, episodes=600, batch=4, lr=3e-3, eval_every=600, **given))
    assert 0.22 < result["metrics"]["error_rate"]["mean"] < 0.28


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("seed", range(3))
def test_pictures_are_completed_better_than_by_their_mean(folder, seed, monkeypatch):
    """Red if the pictures shown are of other episodes than the one that the test asks for."""
    monkeypatch.setattr(images, "load_pictures", tiny_recall.load_pictures)
    given = {"device": "cpu", "size": 6, "cycles": 2, "presentation": 6, "gap": 1, "lr": 1e-2, "mask": "random"}
    result = images.main(images.Config(out=folder, seed=seed, episodes=1600, batch=8, eval_every=1600, **given))
    found = {name: result["metrics"][name]["mean"] for name in ("test_sse", "baseline_sse_mean_fill")}
    assert found["test_sse"] < 0.5 * found["baseline_sse_mean_fill"]
