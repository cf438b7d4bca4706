"""Generated pictures that stand in for CIFAR: things before a background, near ones hiding far ones.

Layers of leaves of every size (Lee, Mumford, Huang 2001), each with a colour and a shading of its own, have what counts
in natural pictures: sharp edges, even surfaces, and neighbours that are alike on every scale.
"""

import numpy as np

SIDE = 32
TRAIN, TEST = 5_000, 1_000
_LEAVES = 10  # things in a picture, from far to near
_SIZES = (0.10, 0.75)  # radius, as a fraction of the side; small ones are the more frequent
_CHUNK = 1000  # pictures drawn at once


def draw_scenes(seed: int = 0, train: int = TRAIN, test: int = TEST) -> tuple[np.ndarray, np.ndarray]:
    """Training and test pictures, uint8 (count, 32, 32, 3) each, the same ones for the same seed."""
    rng = np.random.default_rng(seed)
    total = train + test
    drawn = np.concatenate([_scenes(rng, min(_CHUNK, total - start)) for start in range(0, total, _CHUNK)])
    return drawn[:train], drawn[train:]


def _scenes(rng: np.random.Generator, count: int) -> np.ndarray:
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32) / (SIDE - 1) - 0.5
    top = np.zeros((count, SIDE, SIDE), np.int8)  # which thing one sees; 0 is the background
    for leaf in range(1, _LEAVES + 1):
        top[_leaf(rng, count, x, y, leaf / _LEAVES)] = leaf
    things = (count, _LEAVES + 1)
    colour = rng.uniform(0.15, 0.85, (*things, 1)) + rng.normal(0, 0.12, (*things, 3))
    light = rng.uniform(-0.4, 0.4, (*things, 2))
    seen = np.arange(count)[:, None, None], top
    shade = light.astype(np.float32)[seen] * np.stack([x, y], -1)
    painted = 255 * (colour.astype(np.float32)[seen] + shade.sum(-1, keepdims=True))
    pixels: np.ndarray = painted.clip(0, 255).round().astype(np.uint8)
    return pixels


def _leaf(rng: np.random.Generator, count: int, x: np.ndarray, y: np.ndarray, nearness: float) -> np.ndarray:
    """Where something is: a turned ellipse or rectangle, bool (count, S, S). What is far is large."""

    def each(low: float, high: float) -> np.ndarray:
        return rng.uniform(low, high, (count, 1, 1)).astype(np.float32)

    small, large = _SIZES
    share = each(0, 1)
    radius = (small**-2 * share + large**-2 * (1 - share)) ** -0.5 * (1.5 - nearness)  # density falls as its cube
    turn, flat = each(0, np.pi), each(0.4, 1)
    dx, dy = x - each(-0.6, 0.6), y - each(-0.6, 0.6)
    along = (dx * np.cos(turn) + dy * np.sin(turn)) / radius
    across = (dy * np.cos(turn) - dx * np.sin(turn)) / (radius * flat)
    angular = each(0, 1) < 0.3
    inside: np.ndarray = np.where(angular, np.maximum(abs(along), abs(across)) < 0.8, along**2 + across**2 < 1)
    return inside
