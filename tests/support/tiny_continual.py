"""SplitMNIST on ten noisy prototypes of 6 x 6 pixels; as a program, the command on them."""

import functools
from typing import Any

import torch

import continual.splitmnist as splitmnist
from plastic.data import Labelled
from plastic.experiment import command

TINY: dict[str, Any] = {
    "device": "cpu",
    "hidden": (12,),
    "epochs": 2,
    "batch": 8,
    "lr": 0.1,
    "xi": 0.1,
    "scale": "unit",
}


@functools.cache
def blobs(channels: int = 1, side: int = 6, train: int = 20, test: int = 10) -> Labelled:
    """Of each of ten prototypes so many noisy copies, in mixed order."""
    chance = torch.Generator().manual_seed(0)
    prototypes = 255 * torch.rand(10, channels, side, side, generator=chance)
    parts = []
    for count in (train, test):
        labels = torch.arange(10).repeat(count)[torch.randperm(10 * count, generator=chance)]
        noise = 60 * torch.randn(len(labels), channels, side, side, generator=chance)
        parts += [(prototypes[labels] + noise).clamp(0, 255).round().to(torch.uint8), labels]
    return Labelled("blobs", *parts, classes=10)


def load_labelled(dataset: str, data_dir: Any = None, wanted: str = "mnist") -> Labelled:
    """Instead of ``plastic.data.load_labelled``."""
    return blobs() if wanted == "mnist" else blobs(3, 8)


if __name__ == "__main__":
    splitmnist.load_labelled = load_labelled
    command(splitmnist.Config, splitmnist.main)
