"""The Omniglot command on characters that are made in a moment: 230 random blots, 8 drawings of each, 31 x 31.

PAUSE=s in the environment makes an update take s seconds more, so that a signal can meet it.
"""

import functools
import os
import time
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

import tasks.omniglot as omniglot
from plastic.data import Characters
from plastic.experiment import command

TINY: dict[str, Any] = {
    "device": "cpu",
    "episodes": 12,
    "eval_every": 4,
    "test_episodes": 20,
    "train_ways": 6,
    "queries": 18,
    "widths": (4, 4, 4, 8),
}


@functools.cache
def blots(classes: int = 230, drawings: int = 8, size: int = 31) -> Tensor:
    """uint8 (classes, drawings, size, size): a class is a pattern of 5 x 5 fields, a drawing shifts and blurs it."""
    chance = torch.Generator().manual_seed(0)
    fields = (torch.rand(classes, 1, 5, 5, generator=chance) > 0.6).float()
    corners = torch.rand(classes, drawings, 2, generator=chance) * 0.15 - 0.075
    theta = torch.eye(2, 3).repeat(classes * drawings, 1, 1)
    theta[:, :, 2] = corners.flatten(0, 1)
    grid = F.affine_grid(theta, [classes * drawings, 1, size, size], align_corners=False)
    ink = F.grid_sample(fields.repeat_interleave(drawings, 0), grid, align_corners=False)
    return (255 * (1 - ink)).round().to(torch.uint8).view(classes, drawings, size, size)


def load_characters(*arguments: Any) -> Characters:
    """Instead of ``plastic.data.load_characters``."""
    return Characters("blots", blots(), generated=True)


def slowed(loss_of: Any, seconds: float) -> Any:
    def slow(*arguments: Any) -> dict[str, Tensor]:
        time.sleep(seconds)
        return loss_of(*arguments)

    return slow


if __name__ == "__main__":
    omniglot.load_characters = load_characters
    omniglot.loss_of = slowed(omniglot.loss_of, float(os.environ.get("PAUSE", 0)))
    command(omniglot.Config, omniglot.main)
