"""What a run leaves, without what a clock decides."""

import json
from pathlib import Path
from typing import Any

import torch


def left_by(folder: Path) -> dict[str, Any]:
    """Weights, optimizer, chance and log: for ``assert_close(left_by(a), left_by(b), rtol=0, atol=0)``."""
    content = torch.load(folder / "checkpoint.pt", weights_only=True)
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    timeless = [{k: v for k, v in row.items() if not k.startswith("time/")} for row in rows]
    return {**{k: content[k] for k in ("episodes", "logged", "recorded", "parts")}, "rows": timeless}
