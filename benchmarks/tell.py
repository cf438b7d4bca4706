"""Results as lines of text."""

from collections.abc import Iterator, Mapping
from typing import Any

COLUMNS = "{:<20}{:>26}{:>24}{:>10}{:>6}{:>9}{:>10}"
HEAD = ("", "ms an episode", "times as fast", "required", "goal", "x floor", "error")


def told(name: str, result: Mapping[str, Any]) -> Iterator[str]:
    """A part of the results, for a terminal."""
    yield f"\n{name}: {result['machine']}, {result['device']}, torch {result['torch']}"
    if "times_as_fast" in result:
        yield from _row(result)
    if "growth" in result:
        yield from _growth(result["growth"])
    if "vectors_a_step" in result:
        yield from _lengths(result)


def _row(result: Mapping[str, Any]) -> Iterator[str]:
    yield result["work"]
    yield COLUMNS.format(*HEAD).rstrip()
    for way, times in result["ms_per_episode"].items():
        fast, floor = result["times_as_fast"].get(way), result["times_the_floor"].get(way)
        asked = result["asked"].get(way, {})
        wishes = [_blank(asked.get(wish)) for wish in ("required", "goal")]
        error = max(result["relative_errors"].get(way, {"": 0.0}).values())
        told = (number(floor["median"]) if floor else "", f"{error:.1e}" if error else "")
        cells = (way, _spread(times), _spread(fast), *wishes, *told)
        yield COLUMNS.format(*cells).rstrip()
    floor = result["floor"]
    yield (
        f"floor {floor['ms_per_episode']:.3g} ms: {floor['gflop']:.3g} GFLOP at {floor['product_gflop_per_s']:.0f} "
        f"GFLOP/s, {floor['gb']:.3g} GB at {floor['copy_gb_per_s']:.3g} GB/s"
    )
    yield f"median (range) of {result['rounds']} rounds; error: the largest, relative, of the loss and the gradients"
    for what, peak in result["peak_mb"].items():
        yield f"{what}: {'unknown' if peak is None else f'{peak:,.0f}'} MB at the peak"


def _growth(works: Mapping[str, Any]) -> Iterator[str]:
    for work, by_axis in works.items():
        for axis, points in by_axis.items():
            yield f"{work}: {axis} {', '.join(str(point[axis]) for point in points)}"
            for way in points[0]["ms_per_episode"]:
                times = ", ".join(number(point["ms_per_episode"][way]) for point in points)
                yield f"  {way}: {times} ms an episode"


def _lengths(result: Mapping[str, Any]) -> Iterator[str]:
    yield f"{result['work']}: MB at the peak for T = {', '.join(f'{T:,}' for T in result['steps'])}"
    for way, peaks in result["peak_mb"].items():
        slope = result["vectors_a_step"][way]
        added = "" if slope is None else f"; a step adds {slope:.3g} vectors of activity"
        yield f"  {way}: {', '.join('unknown' if peak is None else number(peak) for peak in peaks)}{added}"


def _spread(values: Mapping[str, float] | None) -> str:
    if values is None:
        return ""
    return f"{number(values['median'])} ({number(values['min'])} to {number(values['max'])})"


def number(value: float) -> str:
    """Three digits, or all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _blank(value: float | None) -> str:
    return "" if value is None else f"{value:g}x"
