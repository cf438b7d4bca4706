"""Faults against every command: tried and survived."""

from collections.abc import Mapping
from typing import Any

from benchmarks.tables.kinds import Published

KINDS = (
    *("kill -9", "SIGTERM", "full disk", "read-only folder", "damaged checkpoint", "checkpoint of a stranger"),
    "damaged data",
)


def table(result: Mapping[str, Any]) -> Published:
    """The campaign of ``benchmarks.faults``, a row for each command."""
    text = (
        "Faults survived, of those tried. A command that was killed, or met a full or read-only disk, was resumed "
        "until it was done and left the checkpoint, log and result of an undisturbed run, bit for bit. A damaged "
        "checkpoint, or one that would run code, and damaged data were refused in one sentence with status 2, the run "
        "folder as it was (or, where the damage meant nothing, the result was that of an undisturbed run). "
        f"`{result['command']}`, {result['seconds'] / 60:.0f} minutes on {result['machine']}."
    )
    if result.get("lost"):
        text += f" Not survived: {'; '.join(result['lost'])}."
    rows = [(f"`{name}`", *(_cell(found["faults"].get(kind)) for kind in KINDS)) for name, found in _commands(result)]
    total = tuple(_cell(_sum(result, kind)) for kind in KINDS)
    return Published("Nothing lost", text, ("", *KINDS), (*rows, ("all", *total)))


def _commands(result: Mapping[str, Any]) -> list[tuple[str, Any]]:
    return list(result["commands"].items())


def _sum(result: Mapping[str, Any], kind: str) -> dict[str, int]:
    counted = [found["faults"].get(kind, {}) for _, found in _commands(result)]
    return {what: sum(one.get(what, 0) for one in counted) for what in ("survived", "tried")}


def _cell(count: Mapping[str, int] | None) -> str:
    return f"{count['survived']} of {count['tried']}" if count and count["tried"] else "none"
