"""The benchmark's two sides do the same work, and say so before they say how fast."""

from collections.abc import Callable

import pytest
import torch

from benchmarks import maze, recall, splitmnist
from benchmarks.comparison import Row, check
from benchmarks.floor import flop_of
from benchmarks.memory import peak
from benchmarks.omniglot import ROUNDED, Bench
from benchmarks.plainly import Free
from benchmarks.timing import alternate, relative_error
from plastic.kernels import build, sequence
from tasks.omniglot import Config


def test_plain_loop_and_batch_have_the_same_gradients() -> None:
    """Red when the plain loop writes with eta squared, when its loss is a sum where ours is a mean, or when what is
    told of bfloat16 is of float32."""
    bench = Bench(Config.from_preset("paper", batch=4, widths=(8, 8, 8, 8)), torch.device("cpu"))
    episodes = bench.episodes(4)
    expected, found = bench.gradients("plain", episodes), bench.gradients("ours", episodes)
    assert set(found) == set(expected) == {name for name, _ in bench.networks["plain"].named_parameters()}
    for name, value in expected.items():
        assert value.abs().max() > 0, name
        assert relative_error(found[name], value) < 1e-4, name
    assert max(bench.errors()[ROUNDED].values()) > 1e-3


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


def test_the_floor_of_recall_is_what_our_schedule_multiplies() -> None:
    """Red when a product or an outer product is left out of the floor, or counted twice."""
    for name, task in recall.TASKS.items():
        bench = recall.Bench(task._replace(units=21), torch.device("cpu"))
        episodes = bench.episodes(2)
        done = flop_of(lambda bench=bench, episodes=episodes: bench.ours(episodes)) / 2
        assert bench.floor().flop <= done <= 1.1 * bench.floor().flop, name


@pytest.mark.parametrize("rule", ["oja", "hebb", "clipped_hebb"])
def test_plain_maze_and_ours_live_the_same_lives_and_have_the_same_gradients(rule: str) -> None:
    """Red when the plain loop writes before it answers, discounts otherwise, or takes one life's value for all."""
    bench = maze.Bench(maze.Update(lives=3, steps=40, units=9, rule=rule), torch.device("cpu"))
    with torch.no_grad():  # a plastic part that matters
        bench.cell.alpha.mul_(30)
        bench.cell.eta.fill_(0.2)
    errors = check(bench)
    assert {*errors} == {"torch", *["compiled"] * (build.library() is not None)}
    assert all({*each} == {"loss", *(name for name, _ in bench.agent.named_parameters())} for each in errors.values())
    assert all(p.grad.abs().max() > 0 for p in bench.agent.parameters())


@pytest.mark.parametrize("rule", ["oja", "hebb", "clipped_hebb"])
def test_a_free_network_has_the_same_gradients_in_every_way(rule: str) -> None:
    """Red when the plain loop answers with the trace it has just written, or rewrites it by another rule."""
    bench = Free(rule, 9, 12, 3, torch.device("cpu"))
    with torch.no_grad():  # a trace that reaches its clip
        bench.eta.fill_(0.7)
        bench.alpha.mul_(9)
    errors = check(bench)
    assert {*errors} == {*bench.ways()} - {"plain"}
    assert all({*each} == {"weight", "alpha", "eta"} for each in errors.values())


def test_every_way_runs_on_the_backend_that_it_is_named_after(monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when an agent, or a free network, is left to choose: torch operations would be timed twice, or never."""
    asked: list[str] = []
    monkeypatch.setattr(sequence, "choose", lambda backend, *_: asked.append(backend) or "factored")
    for bench in (maze.Bench(maze.Update(2, 3, 5), torch.device("cpu")), Free("hebb", 5, 3, 2, torch.device("cpu"))):
        for backend in bench.backends:
            asked.clear()
            bench.ways()[backend].run()
            assert {*asked} == {backend}


@pytest.mark.parametrize(
    "make",
    [
        lambda units: recall.Bench(recall.TASKS["patterns"]._replace(units=units), torch.device("cpu")),
        lambda units: maze.Bench(maze.Update(lives=2, steps=60, units=units), torch.device("cpu")),
    ],
    ids=["patterns", "maze"],
)
def test_the_plain_loops_need_more_memory_than_ours(make: Callable[[int], Row]) -> None:
    """Red when the peak is that of another side, or of the process before the work."""
    for work in make(8).peaks().values():
        work()
    names = [name for name in make(8).peaks() if "512" not in name]
    found = {name: peak(make(200).peaks()[name], torch.device("cpu")) for name in names}
    if None in found.values():
        pytest.skip("this system does not tell the peak")
    plain, *ours = found.values()
    assert plain > 3 * max(ours)
    assert min(ours) > 2 * 200**2 * 4 / 1e6, "the gradients at least"


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
    bench = splitmnist.Bench(2, splitmnist.noise(640, torch.device("cpu")), torch.device("cpu"))
    head = bench.learners["dhp"].network.head
    with torch.no_grad():  # a plastic part that matters
        head.alpha.mul_(30)
        head.eta.fill_(0.4)
    assert head.trace.abs().sum() > 0
    (errors,) = check(bench).values()
    assert {*errors} == {name for name, _ in bench.plain.named_parameters()}
    assert all(p.grad.abs().max() > 0 for p in bench.plain.parameters())
