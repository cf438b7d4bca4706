"""One command for all benchmarks: nothing is told of a wrong result, and what is told is what was measured."""

import json
import math
import os
from types import SimpleNamespace

import matplotlib.image
import pytest
import torch

from benchmarks import comparison, figures, floor, growth, lengths, rows, run
from benchmarks.comparison import Way, compare, differences
from benchmarks.floor import Rates, Work
from benchmarks.memory import apart
from benchmarks.tell import number, told
from plastic.errors import UserError

CPU = torch.device("cpu")
FACTS = {"machine": "1 core", "device": "cpu", "torch": "2"}


def fake(**errors: dict[str, float]) -> SimpleNamespace:
    """A bench of which one episode needs 2 GFLOP and 1 GB; whose ways must not run here. Theirs may be 1% off."""
    ways = {"plain": Way(pytest.fail, 1), "ours": Way(pytest.fail, 4), "beside": Way(pytest.fail, 2)}
    ways["theirs"] = Way(pytest.fail, 1, 0.01)
    return SimpleNamespace(
        title="a task", errors=lambda: errors, ways=lambda: ways, floor=lambda: Work(2e9, 1e9), peaks=dict
    )


@pytest.mark.parametrize(
    "errors",
    [{"loss": 0.0, "eta": 0.02}, {"eta": math.nan}, {"eta": math.inf}, {}],
    ids=["large", "nan", "inf", "none"],
)
def test_no_speed_is_told_of_a_wrong_result(errors: dict[str, float], monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when NaN passes for agreement, when nothing compared does, or when one way of several is not looked at."""
    monkeypatch.setattr(comparison, "rates", pytest.fail)
    with pytest.raises(UserError, match="a task: theirs and plain disagree, so no speed is reported"):
        compare(fake(ours={"loss": 0.0}, theirs=errors), 3, CPU)


def test_a_way_is_held_to_its_own_tolerance() -> None:
    """Red when one tolerance is for all."""
    assert comparison.check(fake(theirs={"eta": 0.005})) == {"theirs": {"eta": 0.005}}
    with pytest.raises(UserError, match="ours and plain disagree"):
        comparison.check(fake(ours={"eta": 0.005}))


def test_what_one_side_lacks_is_a_difference() -> None:
    """Red when only shared names are compared."""
    one = torch.ones(2)
    found = differences({"a": one, "b": one}, {"a": 2 * one, "c": one})
    assert found == {"a": 0.5, "b": math.inf, "c": math.inf}


def test_ratios_are_of_the_same_round_and_of_one_episode(monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when a batch's time is told as an episode's, a ratio is of medians, the floor is the faster of its two parts,
    or what was not compared gets a ratio."""
    seconds = {"plain": [8.0, 6.0, 1.0], "ours": [4.0, 8.0, 1.0], "beside": [1.0] * 3, "theirs": [1.0] * 3}
    monkeypatch.setattr(comparison, "alternate", lambda works, rounds: {name: seconds[name][:rounds] for name in works})
    monkeypatch.setattr(comparison, "rates", lambda device: Rates(product=20e9, copy=10e9))
    result = compare(fake(ours={"loss": 0.0}), 3, CPU)
    assert result["ms_per_episode"]["ours"] == {"min": 250.0, "median": 1000.0, "max": 2000.0}
    assert result["ms_per_episode"]["beside"]["median"] == 500.0
    assert result["times_as_fast"] == {"ours": {"min": 3.0, "median": 4.0, "max": 8.0}}
    assert result["floor"]["ms_per_episode"] == pytest.approx(200.0)
    assert result["times_the_floor"] == {"ours": pytest.approx({"min": 1.25, "median": 5.0, "max": 10.0})}


def test_the_rates_and_the_operations_of_products() -> None:
    """Red when a product counts one operation for two, one in place is not seen, or a copy is counted one way."""
    a, b, c = torch.ones(3, 4, 5), torch.ones(3, 5, 6), torch.ones(3, 4, 6)
    assert floor.flop_of(lambda: (a @ b, c.baddbmm_(a, b))) == 2 * 2 * 3 * 4 * 5 * 6


def test_rates_count_what_was_done(monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when a copy is counted one way, or the slowest round counts."""
    monkeypatch.setattr(floor, "SIDE", {"cpu": 10})
    monkeypatch.setattr(floor, "alternate", lambda works, rounds: {"product": [2.0, 4.0], "copy": [1.0, 0.5]})
    assert floor.rates(CPU) == (2 * 10**3 / 2.0, 2 * 4 * 8 * 10**2 / 0.5)


def test_work_apart_is_in_another_process() -> None:
    """Red when it is done in this one."""
    assert apart(os.getppid) == os.getpid()


BESIDE = {"omniglot": ["convolutions alone"], "maze": ["world alone"], "splitmnist": ["finetune", "dhp_si"]}


@pytest.mark.parametrize("name", [*rows.ROWS])
def test_a_row_says_everything(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when a row's times, floor, memory or what is asked of it goes missing, or is that of another way."""
    row = rows.ROWS[name]
    monkeypatch.setitem(rows.ROWS, name, row._replace(make=lambda device, small: row.make(device, True)))
    monkeypatch.setattr(rows, "apart", lambda function, *arguments: function(*arguments))
    monkeypatch.setattr(floor, "SIDE", {"cpu": 16})
    monkeypatch.setattr("benchmarks.omniglot.PLAINLY", 2)
    monkeypatch.setattr("benchmarks.splitmnist.UPDATES", 2)
    result = json.loads(json.dumps(run.PARTS[name](CPU, 1)))
    ways, compared = {*result["ms_per_episode"]}, {*result["times_as_fast"]}
    assert compared == {*result["relative_errors"]} == {*result["times_the_floor"]} < ways
    assert ways - compared == {"plain", *BESIDE.get(name, [])}
    assert {*result["asked"]} <= compared | {"compiled"}
    for key in ("gflop", "gb", "ms_per_episode"):
        assert result["floor"][key] > 0
    assert len(result["peak_mb"]) >= 2
    lines = "\n".join(told(name, FACTS | result))
    assert result["work"] in lines
    assert all(way in lines for way in [*ways, *result["peak_mb"]])
    median = result["times_as_fast"][next(iter(compared))]["median"]
    assert f"{number(median)} (" in lines


@pytest.mark.parametrize(("value", "shown"), [(0.8714, "0.871"), (53.17, "53.2"), (1288.4, "1,288"), (100.0, "100")])
def test_a_number_has_three_digits_or_all_before_the_point(value: float, shown: str) -> None:
    """Red when a second is shown as 1.29e+03 ms."""
    assert number(value) == shown


def test_a_small_row_is_small() -> None:
    """Red when the memory of a row is measured at the size of its warm-up, or the other way round."""
    for name in ("patterns", "images", "maze"):
        made = rows.ROWS[name].make
        assert 100 * made(CPU, True).floor().flop < made(CPU, False).floor().flop


TINY = {
    name: axes._replace(
        base=growth.Sizes(units=9, steps=56, batch=2),
        values={"units": (5, 7), "steps": (56, 106), "batch": (1, 3)},
    )
    for name, axes in growth.WORKS.items()
}


def test_one_size_grows_at_a_time() -> None:
    """Red when a size stays where it was, when the steps of patterns are others, or a curve is over another."""
    found = growth.measure(CPU, 1, TINY)["growth"]
    assert {*found} == {"free", "patterns"}
    for by_axis in found.values():
        for axis, points in by_axis.items():
            expected = [TINY["free"].base._replace(**{axis: value}) for value in TINY["free"].values[axis]]
            assert [growth.Sizes(*(point[name] for name in growth.Sizes._fields)) for point in points] == expected
            assert all(0 <= point["largest_error"] < 1e-4 for point in points)
    made = growth.patterns(growth.Sizes(7, 206, 3), CPU)
    assert (len(made.episodes(1).order), made.task.batch, made.task.units) == (206, 3, 7)
    figure = figures.growth(found)
    drawn = [{line.get_label(): line.get_xydata().tolist() for line in axes.lines} for axes in figure.axes]
    assert drawn == [
        {way: [[point[axis], point["ms_per_episode"][way]] for point in points] for way in points[0]["ms_per_episode"]}
        for by_axis in found.values()
        for axis, points in by_axis.items()
    ]


def test_memory_grows_by_vectors(monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when a step keeps a trace, or when one way is measured for another."""
    monkeypatch.setattr(lengths, "apart", lambda function, *arguments: function(*arguments))
    sizes = lengths.Lengths(steps=(20, 300, 600), plainly=300, units=64, batch=4)
    result = lengths.measure(CPU, sizes)
    if None in result["peak_mb"]["plain, hebb"]:
        pytest.skip("this system does not tell the peak")
    assert result["trace_mb"] == 64 * result["vector_mb"] == 4 * 64**2 * 4 / 1e6
    assert len(result["peak_mb"]["plain, hebb"]) == 2
    added = {**result["vectors_a_step"]}
    assert added.pop("plain, hebb") > 3 * 64, "naive autograd keeps 5.6 traces a step"
    assert {"torch, hebb", "torch, clipped_hebb"} <= {*added}
    assert all(slope < 32 for slope in added.values())
    lines = figures.memory(result).axes[0].lines
    drawn = {line.get_label(): [*line.get_ydata()] for line in lines}
    assert drawn.pop("the activity itself") == [T * result["vector_mb"] for T in sizes.steps]
    assert drawn == result["peak_mb"]
    assert "MB at the peak for T = 20, 300, 600" in "\n".join(told("memory", FACTS | result))


def test_a_slope_is_in_vectors() -> None:
    """Red when it is in MB, or from the first peak on."""
    sizes = lengths.Lengths(steps=(1, 10, 110), units=25, batch=10)  # a vector is 1 KB
    assert lengths._slope(sizes, [7.0, 1.0, 1.3]) == pytest.approx(3.0)
    assert lengths._slope(sizes, [7.0, 7.009]) == pytest.approx(1.0)
    assert lengths._slope(sizes, [1.0, None]) is None


def _point(size: int) -> dict[str, object]:
    return {"units": size, "steps": size, "batch": size, "ms_per_episode": {"plain": 2.0 * size, "torch": 1.0 * size}}


def test_the_file_is_written_after_each_part_and_keeps_the_others(tmp_path, monkeypatch, capsys) -> None:
    """Red when a part that fails takes the others with it, when parts that were not asked for are lost or run, or when
    a figure is missing."""
    memory = {
        "work": "free",
        "steps": [1, 2],
        "vector_mb": 1.0,
        "peak_mb": {"torch": [1, 2]},
        "vectors_a_step": {"torch": 1},
    }

    def wrong(device: torch.device, rounds: int | None) -> None:
        raise UserError("they disagree")

    grown = {"rounds": 2, "growth": {"free": {axis: [_point(1), _point(2)] for axis in growth.Sizes._fields}}}
    parts = {
        "growth": lambda device, rounds: grown | {"rounds": rounds},
        "memory": lambda device, rounds: memory,
        "maze": wrong,
    }
    monkeypatch.setattr(run, "PARTS", parts)
    path = tmp_path / "results" / "benchmarks-cpu.json"
    run.main(run.Arguments(only=("growth",), json=path, rounds=2))
    before = json.loads(path.read_text())["growth"]
    assert before["command"] == "python -m benchmarks.run --only growth --rounds 2"
    assert {"machine", "device", "backend", "threads", "torch", "rounds", "growth"} < {*before}
    with pytest.raises(UserError, match="they disagree"):
        run.main(run.Arguments(only=("memory", "maze"), json=path))
    after = json.loads(path.read_text())
    assert {*after} == {"growth", "memory"}
    assert after["growth"] == before
    assert after["memory"]["command"] == "python -m benchmarks.run --only memory"
    run.main(run.Arguments(only=("memory",), json=path))
    for name in ("growth", "memory"):
        assert matplotlib.image.imread(path.with_name(f"benchmarks-cpu-{name}.png")).std() > 0.05
    assert "memory: " in capsys.readouterr().out
    with pytest.raises(UserError, match="--rounds: expected 1 or more, got 0"):
        run.main(run.Arguments(json=path, rounds=0))


def test_the_lengths_do_not_depend_on_the_rounds(tmp_path, monkeypatch) -> None:
    """Red when the rounds are taken for what is to be measured."""
    monkeypatch.setattr(lengths, "apart", lambda function, rule, way, steps, *rest: [T / 1e3 for T in steps])
    found = run.main(run.Arguments(only=("memory",), json=tmp_path / "b.json", rounds=3))["memory"]
    assert found["steps"] == [100, 316, 1000, 3162, 10_000]
    assert found["peak_mb"]["torch, hebb"] == [0.1, 0.316, 1.0, 3.162, 10.0]
    assert found["peak_mb"]["plain, hebb"] == [0.1, 0.316, 1.0]


def test_the_parts_are_those_of_the_help() -> None:
    """Red when a row is added that --only does not know."""
    assert {*run.PARTS} == {*run.Arguments().only}
