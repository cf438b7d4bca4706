"""Labelled images, training and test apart, as uint8 tensors: MNIST, CIFAR-10, CIFAR-100, and generated digits."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from plastic.data.characters import GeneratedDataWarning
from plastic.data.digits import colour_digits, draw_digits
from plastic.data.download import load_arrays
from plastic.data.packs import SPECS, Unavailable
from plastic.errors import UserError

NAMES = ("mnist", "cifar10", "cifar100", "digits")
_COLOUR_SIDE = 32


@dataclass(frozen=True)
class Labelled:
    """Images and what they show.

    Attributes:
        name: how results name the dataset.
        train, test: uint8 (count, C, H, W), C = 1 or 3.
        train_labels, test_labels: int64 (count,), below ``classes``.
        generated: True for a stand-in made by the program.
    """

    name: str
    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor
    classes: int
    generated: bool = False


def load_labelled(dataset: str, data_dir: str | Path | None = None, wanted: str = "mnist") -> Labelled:
    """Load ``mnist``, ``cifar10``, ``cifar100`` or ``digits``, which the program generates.

    Args:
        dataset: a name, or ``auto``: ``wanted``, and digits with a :class:`GeneratedDataWarning` where it is neither
            there nor can be downloaded.
        data_dir: folder of the packed files; see :func:`plastic.data.data_root`.
        wanted: the dataset that ``auto`` means and whose shape ``digits`` takes: 28 x 28, or 32 x 32 in colour where
            it is a CIFAR.

    Raises:
        UserError: an unknown dataset, a damaged file, or no way to get one that was named.
    """
    if dataset not in ("auto", *NAMES):
        raise UserError(f"unknown dataset {dataset!r}; choose auto or one of {', '.join(NAMES)}")
    if dataset == "digits":
        return _digits(in_colour=wanted != "mnist")
    name = wanted if dataset == "auto" else dataset
    try:
        pack = load_arrays(name, data_dir)
    except Unavailable as error:
        if dataset != "auto":
            raise UserError(f"{error}, or choose --dataset digits (generated digits)") from error
        title = SPECS[name].title
        warning = f"{error}; going on with generated digits, and results on them are not {title} results"
        warnings.warn(warning, GeneratedDataWarning, stacklevel=2)
        return _digits(in_colour=wanted != "mnist")
    arrays = pack.arrays
    return Labelled(
        pack.source,
        _channels_first(arrays["x_train"]),
        torch.from_numpy(arrays["y_train"]),
        _channels_first(arrays["x_test"]),
        torch.from_numpy(arrays["y_test"]),
        SPECS[name].classes,
    )


def _digits(in_colour: bool) -> Labelled:
    train, train_labels, test, test_labels = draw_digits(side=_COLOUR_SIDE if in_colour else 28)
    name = "digits (generated)"
    if in_colour:
        train, test, name = colour_digits(train, 0), colour_digits(test, 1), "coloured digits (generated)"
    y_train, y_test = torch.from_numpy(train_labels), torch.from_numpy(test_labels)
    return Labelled(name, _channels_first(train), y_train, _channels_first(test), y_test, 10, generated=True)


def _channels_first(images: np.ndarray) -> Tensor:
    """(count, H, W) or (count, H, W, C) as (count, C, H, W)."""
    tensor = torch.from_numpy(images)
    return (tensor.unsqueeze(1) if images.ndim == 3 else tensor.permute(0, 3, 1, 2)).contiguous()
