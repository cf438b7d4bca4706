"""Generated characters that stand in for Omniglot: random stroke programs, each drawn by twenty writers."""

from typing import NamedTuple

import numpy as np

SIDE = 105  # pixels, as Omniglot's bitmaps
CLASSES, WRITERS = 1623, 20
_STROKES, _POINTS = 4, 96  # most strokes a character has; points along a stroke
_MARGIN = 4  # pixels at the edge that no point comes near, so that the pen stays on the paper

# A stroke is a line that turns up to twice on its way. A turn: smallest and largest angle in degrees, where its middle
# is and how far it extends, as fractions of the stroke. First column: how often a stroke is of that kind.
_KINDS = (
    (0.26, (0, 0, 0.5, 1.00), (0, 0, 0.5, 1.00)),  # line
    (0.20, (60, 210, 0.5, 1.00), (0, 0, 0.5, 1.00)),  # arc
    (0.07, (320, 370, 0.5, 1.00), (0, 0, 0.5, 1.00)),  # ring
    (0.10, (110, 230, 0.8, 0.30), (0, 0, 0.5, 1.00)),  # hook
    (0.11, (70, 140, 0.5, 0.03), (0, 0, 0.5, 1.00)),  # corner
    (0.06, (80, 110, 0.3, 0.03), (80, 110, 0.7, 0.03)),  # bracket
    (0.06, (90, 150, 0.3, 0.03), (-150, -90, 0.7, 0.03)),  # zigzag
    (0.08, (140, 240, 0.25, 0.45), (-240, -140, 0.75, 0.45)),  # S
    (0.06, (320, 380, 0.55, 0.60), (0, 0, 0.5, 1.00)),  # loop
)


class _Program(NamedTuple):
    """How to draw every character: shapes (C, 4), turns (C, 4, 2), shift (2, C, 4); lengths in arbitrary units."""

    heading: np.ndarray
    length: np.ndarray
    angle: np.ndarray
    middle: np.ndarray
    extent: np.ndarray
    parent: np.ndarray  # the earlier stroke that this one touches
    joint: np.ndarray  # ... at this fraction of it,
    anchor: np.ndarray  # with this fraction of itself,
    shift: np.ndarray  # and this far away (0 for most)
    used: np.ndarray  # bool: whether the character has this stroke


def draw_strokes(classes: int = CLASSES, seed: int = 0) -> np.ndarray:
    """Draw ``classes`` characters by 20 writers, the same ones for the same seed.

    Returns:
        uint8 (classes, 20, 105, 14): bitmaps with their rows packed into bits, 1 = paper.
    """
    rng = np.random.default_rng(seed)
    program = _invent(rng, classes)
    size, centre = _bounds(_trace(program))
    size = size.clip(0.15)
    flatness = (size / size.max(0)).clip(0.25) ** 0.3  # a flat character is stretched to be less so
    scale = rng.uniform(52, 72, classes) / size.max(0) / flatness  # pixels per unit, (2, C)
    drawings = np.empty((classes, WRITERS, SIDE, (SIDE + 7) // 8), np.uint8)
    for writer in range(WRITERS):
        careless = rng.uniform(0.6, 1.4)
        points = (_trace(_vary(rng, program, careless)) - _over(centre)) * _over(scale)
        points += _wobble(rng, points.shape, careless)
        points = _place(rng, _style(rng, points, careless), careless)
        drawings[:, writer] = np.packbits(1 - _ink(points, rng.choice([3, 4, 4, 4])), axis=-1)
    return drawings


def _invent(rng: np.random.Generator, classes: int) -> _Program:
    shape = (classes, _STROKES)
    table = np.array([turns for _, *turns in _KINDS], float)
    kind = rng.choice(len(_KINDS), shape, p=[share for share, *_ in _KINDS])
    low, high, middle, extent = np.moveaxis(table[kind], -1, 0)
    angle = np.radians(rng.uniform(low, high)) * rng.choice([-1, 1], shape)[..., None]
    free = (rng.random(shape) < 0.2) & (np.arange(_STROKES) > 0)
    # strokes that touch set off in different directions, mostly along the axes; others run along the first one
    wish = np.log([0.4, 0.35, 0.15, 0.1]) + rng.gumbel(size=(classes, 4))
    heading = np.radians([0, 90, 45, 135])[wish.argsort(1)[:, ::-1]]
    heading = np.where(free, heading[:, :1], heading) + rng.normal(0, 0.12, shape)
    bend = np.abs(angle).sum(-1)
    length = rng.uniform(0.5, 1.2, shape) * (1 + 0.25 * bend)
    count = rng.choice(np.arange(1, _STROKES + 1), classes, p=[0.2, 0.4, 0.28, 0.12])
    count = np.where(kind[:, 0] < 2, count.clip(2), count)  # one line or arc alone would come up again and again
    parent = (rng.random(shape) * np.arange(_STROKES)).astype(int)
    return _Program(
        heading,
        length,
        angle,
        middle + rng.uniform(-0.1, 0.1, middle.shape) * (extent < 0.5),
        extent,
        parent,
        rng.choice([0, 0.25, 0.5, 0.75, 1], shape),
        rng.choice([0, 0.5, 1], shape, p=[0.6, 0.25, 0.15]),
        rng.uniform(0.25, 0.5, (2, *shape)) * rng.choice([-1, 1], (2, *shape)) * free,
        np.arange(_STROKES) < count[:, None],
    )


def _vary(rng: np.random.Generator, program: _Program, careless: float) -> _Program:
    """The program as one hand carries it out once."""

    def near(values: np.ndarray, deviation: float) -> np.ndarray:
        return values + rng.normal(0, deviation * careless, values.shape)

    return program._replace(
        heading=near(program.heading, 0.09),
        length=program.length * np.exp(near(np.zeros(program.length.shape), 0.10)),
        angle=program.angle * near(np.ones(program.angle.shape), 0.07),
        middle=near(program.middle, 0.02),
        extent=program.extent + rng.uniform(0, 0.12) * (program.extent < 0.1),  # some writers round their corners
        joint=near(program.joint, 0.03).clip(0, 1),
        anchor=near(program.anchor, 0.03).clip(0, 1),
        shift=near(program.shift, 0.03),
    )


def _trace(program: _Program) -> np.ndarray:
    """Follow the programs: float32 points (2, C, 4, 96), x and y; a stroke not used repeats the first one."""
    time = np.linspace(0, 1, _POINTS, dtype=np.float32)
    heading = _along(program.heading)
    for turn in range(program.angle.shape[-1]):
        angle, middle, extent = (_along(v[..., turn]) for v in (program.angle, program.middle, program.extent))
        heading = heading + angle * ((time - middle) / extent + np.float32(0.5)).clip(0, 1)
    points = np.stack([np.cos(heading), np.sin(heading)])
    points *= _along(program.length / _POINTS)
    points = points.cumsum(-1)
    c = np.arange(points.shape[1])
    for k in range(_STROKES):
        anchor = points[:, c, k, _index(program.anchor[:, k])]
        joint = points[:, c, program.parent[:, k], _index(program.joint[:, k])] if k else 0
        points[:, :, k] += (joint - anchor + program.shift[:, :, k])[..., None]
    return np.where(program.used[..., None], points, points[:, :, :1])


def _index(fraction: np.ndarray) -> np.ndarray:
    index: np.ndarray = np.rint(fraction * (_POINTS - 1)).astype(int)
    return index


def _along(values: np.ndarray) -> np.ndarray:
    """One value per stroke, (..., C, 4), to go with points."""
    return np.asarray(values, np.float32)[..., None]


def _over(values: np.ndarray) -> np.ndarray:
    """One value per drawing, (..., C), to go with points."""
    return np.asarray(values, np.float32)[..., None, None]


def _wobble(rng: np.random.Generator, shape: tuple[int, ...], careless: float) -> np.ndarray:
    """Smooth noise along every stroke, in pixels: random values at 9 knots, joined by cosines."""
    knots = rng.standard_normal((*shape[:-1], 9), np.float32) * np.float32(0.65 * careless)
    position = np.linspace(0, 8, shape[-1], dtype=np.float32)
    left = position.astype(int).clip(max=7)
    joined = np.zeros((9, shape[-1]), np.float32)
    joined[left + 1, np.arange(shape[-1])] = (1 - np.cos(np.pi * (position - left))) / 2
    joined[left, np.arange(shape[-1])] = (1 + np.cos(np.pi * (position - left))) / 2
    noise: np.ndarray = knots @ joined
    return noise


def _style(rng: np.random.Generator, points: np.ndarray, careless: float) -> np.ndarray:
    """A writer's size, proportions, slant and tilt, which differ a little from drawing to drawing."""
    deviations = (0.11, 0.06, 0.07, 0.04)
    size, proportion, slant, tilt = (
        _over(rng.normal(rng.normal(0, d), d * careless, (points.shape[1],))) for d in deviations
    )
    x, y = points * np.exp(size)
    return np.stack([x * np.exp(proportion) - y * (tilt + slant), y * np.exp(-proportion) + x * tilt])


def _place(rng: np.random.Generator, points: np.ndarray, careless: float) -> np.ndarray:
    """Put every drawing somewhere near the middle of the paper, smaller if it would not fit."""
    size, centre = _bounds(points)
    room = SIDE - 1 - 2 * _MARGIN
    shrink = np.minimum(1, room / size.max(0))
    slack = (room - size * shrink) / 2
    off_middle = rng.normal(-1, 2, (2, 1)) + rng.normal(0, 4 * careless, centre.shape)
    middle = (SIDE - 1) / 2 + off_middle.clip(-slack, slack)
    placed: np.ndarray = (points - _over(centre)) * _over(shrink) + _over(middle)
    return placed


def _bounds(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Width and height, and centre, of every drawing: (2, C) each."""
    low, high = points.min((-2, -1)), points.max((-2, -1))
    return high - low, (low + high) / 2


def _ink(points: np.ndarray, pen: int) -> np.ndarray:
    """Draw points (2, C, 4, 96) with a round pen, ``pen`` pixels wide: uint8 (C, 105, 105), 1 = ink."""
    classes = points.shape[1]
    column, row = np.rint(points - np.float32((pen - 1) / 2)).astype(np.int32).reshape(2, classes, -1)
    marks = np.zeros(classes * SIDE * SIDE, np.uint8)
    marks[(np.arange(classes)[:, None] * SIDE + row) * SIDE + column] = 1
    ink = np.zeros_like(marks)
    for y, x in np.argwhere(_disc(pen)):  # the margin keeps the pen in its own row and bitmap
        shift = y * SIDE + x
        ink[shift:] |= marks[: len(marks) - shift]
    return ink.reshape(-1, SIDE, SIDE)


def _disc(width: int) -> np.ndarray:
    square = (np.arange(width) - (width - 1) / 2) ** 2
    return square[:, None] + square <= (width / 2) ** 2
