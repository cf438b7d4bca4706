"""The benchmark's two sides do the same work, and say so before they say how fast."""

import pytest
import torch

from benchmarks import maze, recall, splitmnist
from benchmarks.omniglot import Bench
from benchmarks.timing import alternate, relative_error
from continual.scenarios import split
from plastic.data import Labelled
from tasks.omniglot import Config


def test_plain_loop_and_batch_have_the_same_gradients() -> None:
    """Red when the plain loop writes with eta squared, or when its loss is a sum where ours is a mean."""
    bench = Bench(Config.from_preset("paper", batch=4, widths=(8, 8, 8, 8)), torch.device("cpu"))
    episodes = bench.episodes(4)
    expected, found = bench.gradients("plain", episodes), bench.gradients("batched", episodes)
    assert set(found) == set(expected) == {name for name, _ in bench.networks["plain"].named_parameters()}
    for name, value in expected.items():
        assert value.abs().max() > 0, name
        assert relative_error(found[name], value) < 1e-4, name


@pytest.mark.parametrize("name", ["patterns", "images"])
def test_plain_recall_and_ours_have_the_same_gradients(name: str) -> None:
    """Red when the plain loop writes before it answers, or when a gap is clamped on one side only."""
    bench = recall.Bench(recall.TASKS[name]._replace(units=21), torch.device("cpu"))
    with torch.no_grad():  # a plastic part that matters
        bench.alpha.mul_(10)
    episodes = bench.episodes(3)
    assert len(episodes.order) == {"patterns": 106, "images": 201}[name]
    expected, found = bench.gradients(bench.plain, episodes), bench.gradients(bench.ours, episodes)
    assert set(found) == {"loss", "weight", "alpha", "eta"}
    for key, value in expected.items():
        assert value.abs().max() > 0, key
        assert relative_error(found[key], value) < 1e-4, key


def test_the_plain_recall_needs_more_memory_than_ours() -> None:
    """Red when the peak is that of another side, or of the process before the episode."""
    task = recall.TASKS["patterns"]._replace(units=301)
    plain, ours = (recall.peak_megabytes(task, side) for side in ("plain", "ours"))
    if plain is None or ours is None:
        pytest.skip("this system does not tell the peak")
    assert plain > 3 * ours
    assert ours > 4 * 301**2 * 4 / 1e6  # the last trace and the gradients at least


@pytest.mark.parametrize("rule", ["oja", "hebb", "clipped_hebb"])
def test_plain_maze_and_ours_live_the_same_lives_and_have_the_same_gradients(rule: str) -> None:
    """Red when the plain loop writes before it answers, discounts otherwise, or takes one life's value for all."""
    bench = maze.Bench(maze.Work(lives=3, steps=40, units=9, rule=rule), torch.device("cpu"))
    with torch.no_grad():  # a plastic part that matters
        bench.agent.core.rnn.cell.alpha.mul_(30)
        bench.agent.core.rnn.cell.eta.fill_(0.2)
    errors = bench.disagreement()
    assert set(errors) == {"loss", *(name for name, _ in bench.agent.named_parameters())}
    assert all(p.grad.abs().max() > 0 for p in bench.agent.parameters())
    assert max(errors.values()) < 1e-4


def test_an_update_of_the_maze_needs_less_memory_than_plainly() -> None:
    """Red when looking back keeps a trace for each step."""
    plain, ours = (maze.peak_megabytes(maze.Work(lives=4, steps=100, units=150), side) for side in ("plain", "ours"))
    if plain is None or ours is None:
        pytest.skip("this system does not tell the peak")
    assert plain > 3 * ours


def test_works_take_turns() -> None:
    """Red when one side runs all its rounds before the other."""
    calls: list[str] = []
    seconds = alternate({"a": lambda: calls.append("a"), "b": lambda: calls.append("b")}, rounds=2)
    assert "".join(calls) == "ababab"  # a warm-up each, then two rounds
    assert {name: len(values) for name, values in seconds.items()} == {"a": 2, "b": 2}


def test_relative_error_is_relative() -> None:
    """Red when the norm of what was expected is left out."""
    assert relative_error(torch.full((4,), 11.0), torch.full((4,), 10.0)) == pytest.approx(0.1)


def test_plain_splitmnist_and_ours_have_the_same_gradients() -> None:
    """Red when the plain loop lets a missing class decay, or when our loss is a mean over the seeds."""
    images = torch.randint(256, (640, 1, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    labels = torch.arange(640) % 10
    source = Labelled("noise", images, labels, images[:10], labels[:10], 10)
    stream = split(source, 5, "task", "unit", False, torch.device("cpu"))
    bench = splitmnist.Bench(2, stream, torch.device("cpu"))
    head = bench.learners["dhp"].network.head
    with torch.no_grad():  # a plastic part that matters
        head.alpha.mul_(30)
        head.eta.fill_(0.4)
    assert head.trace.abs().sum() > 0
    assert bench.largest_error() < 1e-4
