"""The course of a training of recall: the rate that comes down, the gaps that come later."""

import math

import pytest
import torch
from tiny_recall import PATTERNS
from torch.testing import assert_close

import tasks.patterns as patterns
from tasks.recall import learning

pytestmark = pytest.mark.usefixtures("no_figures")


def _steps_of_updates(monkeypatch):
    """The length of the episodes of every update, in a list that fills as the run goes on."""
    seen, error = [], learning.squared_error

    def watched(episodes, answer):
        if answer.requires_grad:
            seen.append(len(episodes.order))
        return error(episodes, answer)

    monkeypatch.setattr(learning, "squared_error", watched)
    return seen


@pytest.mark.parametrize("decay", [False, True])
def test_the_rate_comes_down_along_a_cosine(folder, decay, monkeypatch):
    """Red if the rate stays where it is, comes down without --decay, or counts episodes in place of updates."""
    seen, step = [], torch.optim.Adam.step

    def watched(self, *given):
        seen.append(self.param_groups[0]["lr"])
        return step(self, *given)

    monkeypatch.setattr(torch.optim.Adam, "step", watched)
    patterns.main(patterns.Config(**PATTERNS, out=folder, lr=0.01, decay=decay))
    down = [(1 + math.cos(math.pi * done / 6)) / 2 if decay else 1.0 for done in range(6)]
    assert_close(torch.tensor(seen), 0.01 * torch.tensor(down))


def test_the_first_episodes_have_the_last_gap_alone(folder, monkeypatch):
    """Red if --brief counts updates, or the gaps never come."""
    seen = _steps_of_updates(monkeypatch)
    patterns.main(patterns.Config(**PATTERNS, out=folder, brief=8))
    assert seen == [9, 9, 9, 9, 10, 10]


def test_a_test_has_its_gaps_whatever_the_training_had(folder, monkeypatch):
    """Red if --brief reaches the test."""
    seen, measure = set(), patterns.measure

    def watched(episodes, answer):
        seen.add(len(episodes.order))
        return measure(episodes, answer)

    monkeypatch.setattr(patterns, "measure", watched)
    patterns.main(patterns.Config(**PATTERNS, out=folder, brief=12))
    assert seen == {10}
