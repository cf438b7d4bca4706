"""Handwritten characters for few-shot learning, as one uint8 tensor."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from plastic.data.download import load_arrays
from plastic.data.packs import Unavailable, unpack
from plastic.data.strokes import SIDE, draw_strokes
from plastic.errors import UserError

_CHUNK = 8  # classes shrunk at once: few enough to stay in the cache


class GeneratedDataWarning(UserWarning):
    """A stand-in made by the program takes the place of a dataset that is not there."""


@dataclass(frozen=True)
class Characters:
    """Drawings of characters, every class by the same number of hands.

    Attributes:
        name: how results name the dataset, e.g. ``"omniglot"``.
        images: uint8 (classes, drawings, size, size), 255 = paper, 0 = ink. Omniglot's background classes come
            before its evaluation classes.
        generated: True for a stand-in made by the program.
        background: how many of the classes, the first, are Omniglot's background set; the others come from other
            alphabets. None where there are no alphabets.
    """

    name: str
    images: Tensor
    generated: bool
    background: int | None = None


def load_characters(dataset: str = "auto", data_dir: str | Path | None = None, size: int = 31) -> Characters:
    """Load 1,623 characters, 20 drawings of each, shrunk from 105 x 105 to ``size`` x ``size``.

    Args:
        dataset: ``"omniglot"``; ``"strokes"``, generated characters that need no file; or ``"auto"``: Omniglot, and
            strokes with a :class:`GeneratedDataWarning` where Omniglot is neither there nor can be downloaded.
        data_dir: folder of ``omniglot.npz``; see :func:`plastic.data.data_root`.
        size: side in pixels, 1 to 105. A pixel is the mean of the area that it covers.

    Raises:
        UserError: an unknown dataset, a size out of range, a damaged file, or no way to get Omniglot.
    """
    if dataset not in ("auto", "omniglot", "strokes"):
        raise UserError(f"unknown dataset {dataset!r}; choose auto, omniglot or strokes")
    if not 1 <= size <= SIDE:
        raise UserError(f"size is {size}; choose a side from 1 to {SIDE} pixels")
    if dataset == "strokes":
        return _strokes(size)
    try:
        pack = load_arrays("omniglot", data_dir)
    except Unavailable as error:
        if dataset == "omniglot":
            raise UserError(f"{error}, or choose --dataset strokes (generated characters)") from error
        warning = f"{error}; going on with generated strokes, and results on them are not Omniglot results"
        warnings.warn(warning, GeneratedDataWarning, stacklevel=2)
        return _strokes(size)
    parts = [pack.arrays["images_background"], pack.arrays["images_evaluation"]]
    return Characters(pack.source, _shrink(parts, size), generated=False, background=len(parts[0]))


def load_digits(data_dir: str | Path | None = None, size: int = 31) -> Characters:
    """Load MNIST's test digits as characters: ten classes, ``size`` x ``size``, black on white, upright.

    Every class has as many drawings as the rarest digit (892). Resized from 28 x 28 by bilinear interpolation.

    Raises:
        UserError: a damaged file, or no way to get MNIST.
    """
    pack = load_arrays("mnist", data_dir)
    labels = pack.arrays["y_test"]
    count = np.bincount(labels).min()
    chosen = np.stack([np.flatnonzero(labels == digit)[:count] for digit in range(10)])
    ink = torch.from_numpy(pack.arrays["x_test"][chosen]).float()
    paper = 255 - F.interpolate(ink, (size, size), mode="bilinear", align_corners=False)
    return Characters(pack.source, paper.round().to(torch.uint8), generated=False)


def _strokes(size: int) -> Characters:
    return Characters("strokes (generated)", _shrink([draw_strokes()], size), generated=True)


def _shrink(parts: list[np.ndarray], size: int) -> Tensor:
    """Area-average bitmaps, (classes, drawings, 105, 105) each, to one uint8 (all classes, drawings, size, size)."""
    blocks = (part[i : i + _CHUNK] for part in parts for i in range(0, len(part), _CHUNK))
    shrunk = np.empty((sum(map(len, parts)), parts[0].shape[1], size, size), np.uint8)
    start = 0
    for block in blocks:
        rows = _box_sums(unpack(block, SIDE).reshape(-1, SIDE, SIDE), size)
        columns = _box_sums(np.ascontiguousarray(rows.swapaxes(1, 2)), size).swapaxes(1, 2)
        mean = (columns.astype(np.uint32) * 510 + SIDE**2) // (2 * SIDE**2)  # 255 * sum / 105**2, rounded
        shrunk[start : start + len(block)] = mean.reshape(len(block), -1, size, size)
        start += len(block)
    return torch.from_numpy(shrunk)


def _box_sums(pixels: np.ndarray, size: int) -> np.ndarray:
    """Split the rows of (n, 105, w) into ``size`` equal boxes and add each one up: uint16 (n, size, w).

    The overlap of a box with a row is counted in 1/size of a row, a whole number; a box adds up to 105, and a box of
    boxes to 105**2, so uint16 holds every sum exactly. Two float matrix products take as long on idle cores, and
    many times as long beside another process, which their threads wait for.
    """
    box = np.arange(size)[:, None] * SIDE
    row = np.arange(SIDE) * size
    overlap = (np.minimum(box + SIDE, row + size) - np.maximum(box, row)).clip(0).astype(np.uint16)
    sums = np.zeros((len(pixels), size, pixels.shape[2]), np.uint16)
    for i, j in np.argwhere(overlap):
        sums[:, i] += overlap[i, j] * pixels[:, j]
    return sums
