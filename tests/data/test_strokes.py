"""The generated stand-in: deterministic, on the paper, and worth learning from."""

import numpy as np
import pytest

from plastic.data.strokes import SIDE, _ink, draw_strokes


@pytest.fixture(scope="module")
def drawings() -> np.ndarray:
    """(100, 20, 105, 105) bool, True = ink."""
    return np.unpackbits(draw_strokes(100), axis=-1, count=SIDE) == 0


def test_same_seed_same_drawings() -> None:
    """Red when the generator is made without the seed."""
    np.testing.assert_array_equal(draw_strokes(5), draw_strokes(5))
    assert not np.array_equal(draw_strokes(5), draw_strokes(5, seed=1))


def test_every_drawing_is_a_pen_on_paper(drawings: np.ndarray) -> None:
    """Red when the ink is inverted, when ``_place`` does not shrink what is too large, or with a pen of 1 or 9."""
    assert drawings.shape == (100, 20, 105, 105)
    ink = drawings.mean((2, 3))
    assert 0.004 < ink.min() < ink.max() < 0.25
    assert 0.04 < ink.mean() < 0.10  # Omniglot: 0.078
    border = drawings.copy()
    border[..., 1:-1, 1:-1] = False
    assert not border.any()


def test_every_writer_draws_in_their_own_way(drawings: np.ndarray) -> None:
    """Red when the jitter of the programs and the style are both left out."""
    flat = np.packbits(drawings.reshape(100, 20, -1), axis=-1)
    for character in flat:
        assert len(np.unique(character, axis=0)) == 20


def test_one_shot_is_as_hard_as_on_omniglot(drawings: np.ndarray) -> None:
    """The nearest of five by blurred pixels: 59 % on Omniglot, chance 20 %.

    Red when every writer invents programs of their own (near 20 %), or when nothing varies (near 100 %).
    """
    blurred = drawings.reshape(100, 20, 15, 7, 15, 7).mean((3, 5)).reshape(100, 20, -1)
    blurred /= np.linalg.norm(blurred, axis=-1, keepdims=True)
    rng = np.random.default_rng(0)
    right = 0
    for _ in range(1000):
        classes, (known, asked) = rng.choice(100, 5, replace=False), rng.choice(20, 2, replace=False)
        right += np.argmax(blurred[classes, known] @ blurred[classes[0], asked]) == 0
    assert 500 < right < 800


@pytest.mark.parametrize("pen", [3, 4])
def test_ink_equals_a_loop_over_points(pen: int) -> None:
    """Red when rows and columns are swapped, or when the pen is moved by a pixel."""
    rng = np.random.default_rng(pen)
    points = rng.uniform(4, 100, (2, 3, 4, 9)).astype(np.float32)
    expected = np.zeros((3, SIDE, SIDE), np.uint8)
    disc = {3: ["###", "###", "###"], 4: [".##.", "####", "####", ".##."]}[pen]
    for character in range(3):
        for x, y in points[:, character].reshape(2, -1).T:
            left, top = round(float(x) - (pen - 1) / 2), round(float(y) - (pen - 1) / 2)
            for i, line in enumerate(disc):
                for j, mark in enumerate(line):
                    expected[character, top + i, left + j] |= mark == "#"
    np.testing.assert_array_equal(_ink(points, pen), expected)
