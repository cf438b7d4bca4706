"""Generated digits that stand in for MNIST: ten skeletons, distorted and drawn with a round pen.

Each digit is a few lines and arcs. A drawing moves its points, slants, turns, scales and shifts it, and varies the pen.
"""

import numpy as np

TRAIN, TEST = 12_000, 2_000
_POINTS = 240  # along all the strokes of a digit
_CHUNK = 2000  # drawings at once


def _line(*points: tuple[float, float]) -> np.ndarray:
    return np.array(points, float)


def _arc(x: float, y: float, rx: float, ry: float, start: float, end: float) -> np.ndarray:
    """Part of an ellipse from one angle to another, in degrees; 0 is right, 90 down."""
    angle = np.radians(np.linspace(start, end, 24))
    return np.stack([x + rx * np.cos(angle), y + ry * np.sin(angle)], -1)


# strokes in a box from (-0.5, -1) to (0.5, 1), x to the right, y down
_SKELETONS: tuple[tuple[np.ndarray, ...], ...] = (
    (_arc(0, 0, 0.55, 0.95, -90, 270),),
    (_line((-0.25, -0.65), (0.05, -0.95), (0.05, 0.95)),),
    (np.concatenate([_arc(0, -0.45, 0.5, 0.5, -170, 40), _line((-0.5, 0.95), (0.55, 0.95))]),),
    (_arc(-0.05, -0.48, 0.5, 0.47, -150, 85), _arc(-0.05, 0.46, 0.55, 0.49, -85, 150)),
    (_line((0.2, -0.95), (-0.55, 0.3), (0.6, 0.3)), _line((0.25, -0.3), (0.25, 0.95))),
    (_line((0.5, -0.9), (-0.35, -0.9), (-0.42, -0.1)), _arc(-0.05, 0.38, 0.55, 0.56, -130, 150)),
    (np.concatenate([_line((0.35, -0.95), (-0.3, -0.2)), _arc(0, 0.4, 0.48, 0.53, 190, -170)]),),
    (_line((-0.5, -0.9), (0.5, -0.9), (-0.1, 0.95)),),
    (_arc(0, -0.47, 0.42, 0.45, 90, 450), _arc(0, 0.45, 0.52, 0.48, -90, 270)),
    (np.concatenate([_arc(0, -0.42, 0.47, 0.5, 20, 380), _line((0.47, -0.3), (0.3, 0.95))]),),
)


def draw_digits(
    seed: int = 0, train: int = TRAIN, test: int = TEST, side: int = 28
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Training images and labels, test images and labels, the same ones for the same seed.

    Images are uint8 (count, side, side), 255 ink on 0; labels int64 (count,), as many of each digit as of the others
    but for one.
    """
    rng = np.random.default_rng(seed)
    labels = np.arange(train + test) % 10
    labels[:train] = rng.permutation(labels[:train])
    skeletons = np.stack([_resampled(strokes) for strokes in _SKELETONS])  # (10, P, 2)
    starts = range(0, train + test, _CHUNK)
    images = np.concatenate([_draw(rng, skeletons[labels[i : i + _CHUNK]], side) for i in starts])
    return images[:train], labels[:train], images[train:], labels[train:]


def colour_digits(images: np.ndarray, seed: int) -> np.ndarray:
    """The digits in one random colour before another: uint8 (count, side, side, 3), in place of colour photographs."""
    rng = np.random.default_rng(seed)
    ground, ink = rng.uniform(0, 1, (2, len(images), 1, 1, 3)).astype(np.float32)
    ink = np.where(abs(ink - ground).max(-1, keepdims=True) < 0.4, 1 - ground.round(), ink)
    share = images[..., None].astype(np.float32) / 255
    colours: np.ndarray = (255 * (ground + share * (ink - ground))).round().astype(np.uint8)
    return colours


def _resampled(strokes: tuple[np.ndarray, ...]) -> np.ndarray:
    """Points at even distances along all strokes, (P, 2)."""
    starts = np.concatenate([stroke[:-1] for stroke in strokes])
    ends = np.concatenate([stroke[1:] for stroke in strokes])
    length = np.hypot(*(ends - starts).T)
    at = (np.arange(_POINTS) + 0.5) / _POINTS * length.sum()
    piece = np.searchsorted(length.cumsum(), at).clip(max=len(length) - 1)
    share = (at - (length.cumsum() - length)[piece]) / length[piece]
    points: np.ndarray = starts[piece] + share[:, None] * (ends - starts)[piece]
    return points


def _draw(rng: np.random.Generator, points: np.ndarray, side: int) -> np.ndarray:
    """Skeletons (n, P, 2) as distorted drawings (n, side, side)."""
    n = len(points)
    x, y = points[..., 0], points[..., 1]
    for _ in range(2):  # bent by two slow waves
        angle, phase = rng.uniform(0, 2 * np.pi, (2, n, 1))
        wave = rng.normal(0, 0.09, (n, 1)) * np.sin(2.2 * (np.cos(angle) * x + np.sin(angle) * y) + phase)
        x, y = x - np.sin(angle) * wave, y + np.cos(angle) * wave
    turn, slant = rng.normal(0, 0.13, (n, 1)), rng.normal(0.12, 0.2, (n, 1))
    width, height = rng.uniform(0.2, 0.36, (n, 1)), rng.uniform(0.26, 0.36, (n, 1))  # of the side
    x, y = width * (x - slant * y), height * y
    x, y = np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y
    column, row = (side * (0.5 + v + rng.normal(0, 0.03, (n, 1))) - 0.5 for v in (x, y))
    edge = side - 1.01
    return _ink(column.clip(0, edge), row.clip(0, edge), rng.uniform(0.022, 0.04, n) * side, side)


def _ink(column: np.ndarray, row: np.ndarray, pen: np.ndarray, side: int) -> np.ndarray:
    """Points (n, P) in pixels, each spread over its four neighbours, then blurred by the pen (n,) and cut off."""
    n = len(column)
    grid = np.zeros(n * side * side, np.float32)
    left, top = column.astype(int), row.astype(int)
    right, down = column - left, row - top
    base = (np.arange(n)[:, None] * side + top) * side + left
    for shift, weight in (
        (0, (1 - right) * (1 - down)),
        (1, right * (1 - down)),
        (side, (1 - right) * down),
        (side + 1, right * down),
    ):
        grid += np.bincount((base + shift).ravel(), weight.ravel(), len(grid)).astype(np.float32)
    distance = np.arange(side)[:, None] - np.arange(side)
    blur = np.exp(-0.5 * (distance / pen[:, None, None]) ** 2).astype(np.float32)  # (n, side, side)
    density = blur @ grid.reshape(n, side, side) @ blur
    strength = 340 * density / np.quantile(density.reshape(n, -1), 0.97, axis=1)[:, None, None]
    images: np.ndarray = strength.clip(0, 255).round().astype(np.uint8)
    return images
