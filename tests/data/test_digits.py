"""Generated digits: the same ones every time, as many of each, and they can be told apart."""

import numpy as np
import pytest

from plastic.data.digits import colour_digits, draw_digits


def test_the_same_seed_draws_the_same_digits():
    """Red if a drawing depends on anything but the seed, or not on it."""
    one, again, other = (draw_digits(seed, 30, 10) for seed in (0, 0, 1))
    for a, b in zip(one, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert (one[0] != other[0]).any()


@pytest.mark.parametrize("side", [28, 32])
def test_shapes_and_ranges(side):
    """Red if the ink leaves the paper, a digit is rarer than the others, or an image is empty."""
    train, train_labels, test, test_labels = draw_digits(0, 200, 50, side)
    assert train.shape == (200, side, side)
    assert test.shape == (50, side, side)
    assert train.dtype == np.uint8
    assert np.bincount(train_labels).tolist() == [20] * 10
    assert np.bincount(test_labels).tolist() == [5] * 10
    ink = (train > 127).mean((1, 2))
    assert ink.min() > 0.02
    assert ink.max() < 0.4
    edge = np.concatenate([train[:, 0], train[:, -1], train[:, :, 0], train[:, :, -1]], 1)
    assert (edge > 127).mean() < 0.01


def test_a_nearest_mean_tells_them_apart():
    """Red if labels and drawings do not belong together; and not all of them are alike."""
    train, train_labels, test, test_labels = draw_digits(0, 1000, 300)
    means = np.stack([train[train_labels == c].mean(0).ravel() for c in range(10)])
    distance = ((test.reshape(len(test), 1, -1) - means) ** 2).mean(-1)
    accuracy = (distance.argmin(1) == test_labels).mean()
    assert 0.6 < accuracy < 0.98


def test_colours_leave_the_digit_to_be_seen():
    """Red if ink and ground can be alike."""
    images = draw_digits(0, 100, 1)[0]
    colours = colour_digits(images, 0).astype(int)
    assert colours.shape == (*images.shape, 3)
    ink, ground = images == 255, images == 0
    for picture, i, g in zip(colours, ink, ground, strict=True):
        assert abs(picture[i].mean(0) - picture[g].mean(0)).max() > 80
