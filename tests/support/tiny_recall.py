"""The commands of recall on episodes that take a moment.

As a program: ``tiny_recall.py patterns|images OPTIONS``; PAUSE=s in the environment makes an update take s seconds
more, so that a signal can meet it.
"""

import functools
import os
import sys
import time
from typing import Any

import torch

import tasks.images as images
import tasks.patterns as patterns
from plastic.data import Pictures
from plastic.experiment import command
from tasks.recall import learning

SHORT: dict[str, Any] = {
    "device": "cpu",
    "cycles": 1,
    "presentation": 3,
    "gap": 1,
    "test_steps": 2,
    "episodes": 12,
    "batch": 2,
    "eval_every": 6,
    "test_episodes": 20,
}
PATTERNS: dict[str, Any] = {**SHORT, "bits": 10, "patterns": 2}
IMAGES: dict[str, Any] = {**SHORT, "size": 4, "pictures": 2}


@functools.cache
def blurs(size: int = 4) -> Pictures:
    """60 training and 20 test pictures: smooth noise."""
    chance = torch.Generator().manual_seed(0)
    coarse = 765 * torch.rand(80, 1, 2, 2, generator=chance)
    made = torch.nn.functional.interpolate(coarse, (size, size), mode="bilinear").squeeze(1).to(torch.int16)
    return Pictures("blurs", made[:60], made[60:], 380.0, 385.0)


def load_pictures(dataset: str, data_dir: Any, size: int) -> Pictures:
    """Instead of ``plastic.data.load_pictures``."""
    return blurs(size)


if __name__ == "__main__":
    task = {"patterns": patterns, "images": images}[sys.argv.pop(1)]
    images.load_pictures = load_pictures
    error, pause = learning.squared_error, float(os.environ.get("PAUSE", 0))
    learning.squared_error = lambda *arguments: (time.sleep(pause), error(*arguments))[1]
    command(task.Config, task.main)
