"""Few-shot episodes over a set of characters: which drawings, which rotations, which labels.

An episode of N ways and K shots shows K drawings of each of N classes with their labels (the support) and then asks for
the labels of others (the queries). Everything is drawn by index, whole batches of episodes at once.
"""

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

HELD_OUT = 100  # test classes, and as many of the training classes for choosing settings (Miconi et al. 2018)
ROTATIONS = 4


class Split(NamedTuple):
    """Class numbers, disjoint; a class's rotations go where the class goes."""

    train: list[int]
    validation: list[int]
    test: list[int]


def split_classes(classes: int, background: int | None = None) -> Split:
    """The one split of every run, from a fixed shuffle: 100 test classes, and 100 of the others for validation.

    With ``background``, the number of classes of the background set, which come first: every class after them is a
    test class, so that test characters come from alphabets that training never saw.
    """
    shuffled = np.random.default_rng(0).permutation(background or classes).tolist()
    test = list(range(background, classes)) if background else [shuffled.pop() for _ in range(HELD_OUT)][::-1]
    return Split(shuffled[:-HELD_OUT], shuffled[-HELD_OUT:], test)


class Episodes(NamedTuple):
    """B episodes as numbers of images: the support class by class, then the queries."""

    support: Tensor  # (B, N * K)
    queries: Tensor  # (B, Q)
    labels: Tensor  # (B, Q), which of the N classes each query is


def rotated(images: Tensor, rotations: int = ROTATIONS) -> Tensor:
    """Every drawing in its four rotations: uint8 (C, D, S, S) -> (4 * C * D, S, S); ``draw`` knows the order."""
    return torch.stack([torch.rot90(images, turns, (2, 3)) for turns in range(rotations)]).flatten(0, 2)


def draw(
    classes: Tensor,
    shape: tuple[int, int],
    batch: int,
    ways: int,
    shots: int,
    queries: int,
    generator: torch.Generator,
    rotations: int = ROTATIONS,
) -> Episodes:
    """B episodes of random classes, each in one random rotation, of random drawings without repetition.

    ``classes`` are the numbers to choose from, ``shape`` is (all classes, drawings of each). The queries are spread
    evenly: each class is asked for ``queries // ways`` times, and the rest go to classes picked at random. With
    ``rotations=1`` every class stands upright.
    """
    total, drawings = shape
    device = classes.device

    def pick(count: int, *sizes: int) -> Tensor:
        """``count`` different numbers below the last size, in random order."""
        return torch.rand(*sizes, generator=generator, device=device).topk(count).indices

    chosen = classes[pick(ways, batch, len(classes))]  # (B, N)
    turned = chosen + total * torch.randint(rotations, (batch, ways), generator=generator, device=device)
    each = math.ceil(queries / ways)
    drawn = pick(shots + each, batch, ways, drawings)
    numbers = turned.unsqueeze(-1) * drawings + drawn  # (B, N, K + each)
    even = queries // ways
    asked = numbers[:, :, shots : shots + even].flatten(1)
    labels = torch.arange(ways, device=device).repeat_interleave(even).expand(batch, -1)
    if even < each:
        some = pick(queries - even * ways, batch, ways)
        asked = torch.cat([asked, numbers[:, :, -1].gather(1, some)], 1)
        labels = torch.cat([labels, some], 1)
    return Episodes(numbers[:, :, :shots].flatten(1), asked, labels)


def support_labels(batch: int, ways: int, shots: int, device: torch.device) -> Tensor:
    """(B, N * K), class by class."""
    return torch.arange(ways, device=device).repeat_interleave(shots).expand(batch, -1)


def as_input(images: Tensor) -> Tensor:
    """uint8 (M, S, S) -> float (M, 1, S, S), ink = 0, paper = 1 as in the paper."""
    return images.unsqueeze(1).float() / 255


def distorted(
    images: Tensor,
    strength: float,
    generator: torch.Generator,
    of: int | None = None,
    mine: slice = slice(None),
) -> Tensor:
    """A random small affine map for each image (B, 1, S, S) of white paper = 1: what a hand does anyway.

    The images may be those that are ``mine`` of so many: chance then goes on as if all had been distorted.

    At strength 1: up to 10 degrees of rotation, 15% of scale on each axis, 0.15 of shear, a tenth of the half-width of
    shift.
    """
    unit = 2 * torch.rand(6, of or len(images), generator=generator, device=images.device) - 1
    unit = unit[:, mine] * strength
    angle = unit[0] * math.radians(10)
    wide, high = torch.exp(0.15 * unit[1]), torch.exp(0.15 * unit[2])
    shear, right, down = 0.15 * unit[3], 0.1 * unit[4], 0.1 * unit[5]
    cos, sin = angle.cos(), angle.sin()
    rows = [torch.stack([cos * wide, shear - sin * high, right], 1), torch.stack([sin * wide, cos * high, down], 1)]
    grid = F.affine_grid(torch.stack(rows, 1), list(images.shape), align_corners=False)
    return 1 - F.grid_sample(1 - images, grid, align_corners=False)  # paper comes in from beyond the edge


def take_turns(drawings: Tensor, ways: int, shots: int, turns: int) -> tuple[Tensor, Tensor]:
    """Support (B * turns, N * K, ...) and queries (B * turns, Q, ...) from the drawings (B, N * K + Q, ...) of a batch.

    In turn i the drawings of each class have moved on by i places: what was asked for is now shown.
    """
    split = ways * shots
    if turns == 1:
        return drawings[:, :split], drawings[:, split:]
    parts = (part.unflatten(1, (ways, -1)) for part in (drawings[:, :split], drawings[:, split:]))
    together = torch.cat(list(parts), 2)  # (B, N, K + Q / N, ...)
    turned = torch.cat([together.roll(-i, 2) for i in range(turns)])
    return turned[:, :, :shots].flatten(1, 2), turned[:, :, shots:].flatten(1, 2)


def in_random_order(support: Tensor, labels: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Each episode shows its support in an order of its own: under a rule that forgets, the order matters."""
    order = torch.rand(labels.shape, generator=generator, device=labels.device).argsort(1)
    index = order.view(*order.shape, *[1] * (support.dim() - 2)).expand_as(support)
    return support.gather(1, index), labels.gather(1, order)
