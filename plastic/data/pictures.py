"""Grey square pictures within [-1, 1], training and test apart: CIFAR, other sets, and the user's own."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from plastic.data.characters import GeneratedDataWarning, load_characters
from plastic.data.download import load_arrays
from plastic.data.packs import SPECS, Unavailable
from plastic.data.scenes import draw_scenes
from plastic.errors import UserError

PACKED = ("cifar10", "cifar100", "mnist", "svhn")
NAMES = (*PACKED, "omniglot", "scenes")
_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp")
_CHUNK = 1000  # pictures resized at once
_TESTED = 5  # of the user's own pictures every fifth, after a shuffle, is for the test

Colours = Sequence[np.ndarray]  # pictures in pieces: uint8 (count, H, W, 3) or (count, H, W)


@dataclass(frozen=True)
class Pictures:
    """Pictures as sums R + G + B, and how to turn these into activities.

    Attributes:
        name: how results name the dataset.
        train, test: int16 (count, S, S), 0 to 765. No picture of one is in the other: a test picture that is also,
            pixel by pixel, a training picture has been left out.
        mean: of every pixel of the training pictures; of the test pictures nothing is known beforehand.
        reach: the largest distance of a training pixel from it.
    """

    name: str
    train: Tensor
    test: Tensor
    mean: float
    reach: float

    def activity(self, sums: Tensor) -> Tensor:
        """(R + G + B - mean) / reach, within [-1, 1]: training pictures reach 1 or -1, foreign ones are cut there."""
        return ((sums.float() - self.mean) / self.reach).clamp(-1, 1)

    def to(self, device: torch.device) -> "Pictures":
        return Pictures(self.name, self.train.to(device), self.test.to(device), self.mean, self.reach)


def load_pictures(dataset: str = "auto", data_dir: str | Path | None = None, size: int = 32) -> Pictures:
    """Load pictures as grey squares of ``size`` pixels.

    Args:
        dataset: ``cifar10``, ``cifar100``, ``svhn``, ``mnist``, ``omniglot``; ``scenes``, which the program generates;
            ``auto``: CIFAR-10, and scenes with a :class:`GeneratedDataWarning` where it cannot be had; or the path of
            a folder of pictures, or of an ``.npz`` file with ``x_train`` and ``x_test``, or with one array of uint8
            (count, H, W) or (count, H, W, 3). Of pictures that come without a split a fifth is held out.
        data_dir: folder of the packed files; see :func:`plastic.data.data_root`.
        size: side in pixels. Larger pictures are averaged over areas, smaller ones interpolated; the largest square in
            the middle is taken of those that are not square.

    Raises:
        UserError: an unknown dataset, or nothing there that can be used.
    """
    if size < 2:
        raise UserError(f"size is {size}; choose a side of at least 2 pixels")
    name, train, test = _read(dataset, data_dir, size)
    shown = _grey(train, size)
    if len(shown) == 0 or shown.min() == shown.max():
        raise UserError(f"{name}: no training pictures, or all of one grey; choose others")
    mean = shown.double().mean().item()
    reach = max(int(shown.max()) - mean, mean - int(shown.min()))
    return Pictures(name, shown, _without(_grey(test, size), shown), mean, reach)


def _read(dataset: str, data_dir: str | Path | None, size: int) -> tuple[str, Colours, Colours]:
    """Name, training and test pictures."""
    if dataset in PACKED or dataset == "auto":
        name = "cifar10" if dataset == "auto" else dataset
        try:
            pack = load_arrays(name, data_dir)
        except Unavailable as error:
            if dataset != "auto":
                raise UserError(f"{error}, or choose --dataset scenes (generated pictures)") from error
            warning = f"{error}; going on with generated scenes, and results on them are not CIFAR-10 results"
            warnings.warn(warning, GeneratedDataWarning, stacklevel=3)
            return _read("scenes", data_dir, size)
        return pack.source, [pack.arrays["x_train"]], [pack.arrays["x_test"]]
    if dataset == "scenes":
        train, test = draw_scenes()
        return "scenes (generated)", [train], [test]
    if dataset == "omniglot":
        characters = load_characters("omniglot", data_dir, size=105)
        background, evaluation = SPECS["omniglot"].bitmaps.values()
        train, test = characters.images.flatten(0, 1).split(
            (background[0] * background[1], evaluation[0] * evaluation[1])
        )
        return characters.name, [train.numpy()], [test.numpy()]
    path = Path(dataset).expanduser()
    if path.is_dir():
        return f"pictures in {path.name}", *_held_out(_folder(path))
    if path.suffix == ".npz" and path.is_file():
        return f"pictures in {path.name}", *_archive(path)
    raise UserError(f"unknown pictures {dataset!r}; choose auto, {', '.join(NAMES)}, a folder, or a .npz file")


def _folder(path: Path) -> Colours:
    """Every picture of a folder, in the order of the names."""
    from PIL import Image

    pictures = []
    for file in sorted(file for file in path.iterdir() if file.suffix.lower() in _SUFFIXES):
        try:
            with Image.open(file) as image:
                pictures.append(np.array(image.convert("RGB"))[None])
        except Exception as error:  # a decoder has many words for a damaged file
            raise UserError(f"{file} is no picture that can be read ({error}); remove it") from error
    if not pictures:
        raise UserError(f"{path} holds no pictures; expected files such as .png or .jpg in it")
    return pictures


def _archive(path: Path) -> tuple[Colours, Colours]:
    """Training and test pictures of an ``.npz`` file."""
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception as error:  # zipfile, zlib and numpy have many words for a damaged file
        raise UserError(f"{path} is damaged or not a .npz archive ({error}); put a whole one there") from error
    pictures = {n: a for n, a in arrays.items() if a.dtype == np.uint8 and a.shape[3:] in ((), (3,)) and a.ndim > 2}
    if {"x_train", "x_test"} <= pictures.keys():
        return [pictures["x_train"]], [pictures["x_test"]]
    if len(pictures) != 1:
        found = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in arrays.items()) or "nothing"
        raise UserError(
            f"{path} holds {found}; expected one array of pictures, uint8 (count, H, W) or (count, H, W, 3)"
        )
    (array,) = pictures.values()
    return _held_out([array])


def _held_out(pictures: Colours) -> tuple[Colours, Colours]:
    """Four fifths for training and one for the test, by a fixed shuffle."""
    every = [picture for piece in pictures for picture in piece]
    order = np.random.default_rng(0).permutation(len(every)).tolist()
    test = len(every) // _TESTED
    train, held = ([every[i][None] for i in part] for part in (order[test:], order[:test]))
    return train, held


def _grey(pictures: Colours, size: int) -> Tensor:
    """R + G + B of the square in the middle, at ``size`` x ``size`` pixels: int16 (count, S, S)."""
    shrunk = [torch.empty(0, size, size, dtype=torch.int16)]
    for piece in pictures:
        for chunk in torch.from_numpy(np.ascontiguousarray(piece)).split(_CHUNK):
            colours = chunk.unbind(-1) if chunk.dim() == 4 else (chunk,) * 3
            sums = colours[0].float() + colours[1] + colours[2]
            side = min(sums.shape[1:])
            top, left = ((length - side) // 2 for length in sums.shape[1:])
            square = sums[:, None, top : top + side, left : left + side]
            if side != size:
                area = {"mode": "area"} if side > size else {"mode": "bilinear", "align_corners": False}
                square = F.interpolate(square, (size, size), **area)
            shrunk.append(square[:, 0].round().to(torch.int16))
    return torch.cat(shrunk)


def _without(pictures: Tensor, others: Tensor) -> Tensor:
    """Those of ``pictures`` that are not, pixel by pixel, among ``others``."""
    known = {picture.tobytes() for picture in others.numpy()}
    return pictures[torch.tensor([picture.tobytes() not in known for picture in pictures.numpy()], dtype=torch.bool)]
