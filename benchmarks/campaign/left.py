"""What a run leaves, without what a clock decides, compared bit for bit."""

import hashlib
import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

CLOCK = ("seconds", "seconds_per_seed")  # of a checkpoint or a result
ELSEWHERE = ("machine", "device", "torch", "command")  # of a result


def left_by(folder: Path) -> dict[str, Any]:
    """By file: checkpoints, logs, results and tables of a run, its seeds, or the conditions of a sweep."""
    found: dict[str, Any] = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        name = str(path.relative_to(folder))
        if path.name == "checkpoint.pt":
            content = torch.load(path, weights_only=True)
            found[name] = {key: value for key, value in content.items() if key not in CLOCK}
        elif path.name == "metrics.jsonl":
            rows = [json.loads(line) for line in path.read_text().splitlines()]
            found[name] = [{key: row[key] for key in row if not key.startswith("time/")} for row in rows]
        elif path.name == "result.json":
            result = json.loads(path.read_text())
            found[name] = {key: value for key, value in result.items() if key not in (*CLOCK, *ELSEWHERE)}
        elif path.name == "sweep.json":
            conditions = json.loads(path.read_text())["conditions"].items()
            found[name] = {label: {k: v for k, v in done.items() if k not in CLOCK} for label, done in conditions}
        elif path.suffix in (".csv", ".md"):
            found[name] = path.read_text()
        elif path.suffix in (".png", ".gif"):
            found[name] = "a figure"
        elif path.suffix == ".part":
            found[name] = "half-written"
    return found


def difference(one: Any, other: Any, where: str = "") -> str | None:
    """Where the first difference is; None if there is none, to the bit."""
    if isinstance(one, Tensor) and isinstance(other, Tensor):
        same = (one.dtype, one.shape) == (other.dtype, other.shape) and torch.equal(_bits(one), _bits(other))
        return None if same else where
    if isinstance(one, dict) and isinstance(other, dict):
        if missing := sorted(map(str, one.keys() ^ other.keys())):
            return f"{where} {', '.join(missing)}: on one side only"
        pairs = [(key, one[key], other[key]) for key in one]
    elif isinstance(one, list | tuple) and isinstance(other, list | tuple):
        if len(one) != len(other):
            return f"{where}: {len(one)} and {len(other)} entries"
        pairs = [(i, *pair) for i, pair in enumerate(zip(one, other, strict=True))]
    else:
        same = type(one) is type(other) and (one == other or (one != one and other != other))
        return None if same else f"{where}: {one!r} and {other!r}"
    return next((found for key, a, b in pairs if (found := difference(a, b, f"{where} {key}".strip()))), None)


def _bits(tensor: Tensor) -> Tensor:
    return tensor.detach().contiguous().reshape(-1).view(torch.uint8)


def digest(folder: Path) -> dict[str, str]:
    """Every file's hash: whether anything was touched."""
    files = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}
