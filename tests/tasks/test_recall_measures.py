"""The measures of recall on cases made by hand."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from torch.testing import assert_close

from tasks.patterns import measure
from tasks.recall.learning import milestones, squared_error
from tasks.recall.measures import BEST_PSNR, quality, structure, without_learning
from tasks.recall.schedule import Episode


def _episode(target, hidden, items=None):
    target, hidden = torch.tensor(target), torch.tensor(hidden)
    items = target.unsqueeze(1) if items is None else torch.tensor(items)
    return Episode(target, hidden, [], [], target, hidden, items)


def test_wrong_signs_and_their_share_among_the_hidden():
    """Red if the loss is a mean, the sign of 0 counts as right, or the hidden share is taken of all bits."""
    made = _episode([[1.0, -1.0, 1.0, -1.0]], [[False, False, True, True]])
    answer = torch.tensor([[1.0, -1.0, 0.0, -0.5]])
    seen = measure(made, answer)
    assert {name: values.tolist() for name, values in seen.items()} == {
        "error_rate": [0.25],
        "error_rate_hidden": [0.5],
        "test_sse": [1.25],
    }
    assert squared_error(made, answer).tolist() == [1.25]


def test_milestones_are_what_the_evaluation_there_found():
    """Red if an evaluation at another time stands for one that is missing."""
    history = [{"episodes": 10, "eval/error_rate": 0.5}, {"episodes": 20, "eval/error_rate": 0.25, "x": 1}]
    found = milestones(history, (20, 30), "error_rate")
    assert {name: value.value for name, value in found.items()} == {"error_rate_at_20": 0.25}


def test_errors_of_a_picture():
    """Red if PSNR is of the whole picture, or its range is 1: 10 log10(4 / 0.125) dB here."""
    target = torch.zeros(1, 16)
    hidden = torch.arange(16).unsqueeze(0) >= 8
    answer = torch.where(hidden, 0.0, 0.0)
    answer[0, 0], answer[0, 8] = 2.0, 1.0
    seen = quality(answer, target, hidden)
    assert (seen["sse"].item(), seen["sse_hidden"].item()) == (5.0, 1.0)
    assert seen["psnr_hidden"].item() == pytest.approx(10 * np.log10(4 / 0.125))
    perfect = quality(target, target, hidden)
    assert (perfect["psnr_hidden"].item(), perfect["ssim_hidden"].item()) == (BEST_PSNR, pytest.approx(1.0))


def test_structural_similarity_equals_its_definition():
    """Against Gaussian filters of another library: Wang et al. 2004. Red with another window, edge or constant."""
    rng = np.random.default_rng(0)
    for side in (4, 16, 32):
        x, y = (rng.uniform(-1, 1, (side, side)) for _ in range(2))

        def local(picture):
            return gaussian_filter(picture, 1.5, truncate=3.5, mode="reflect")

        ux, uy = local(x), local(y)
        vx, vy, vxy = local(x * x) - ux * ux, local(y * y) - uy * uy, local(x * y) - ux * uy
        c1, c2 = (0.01 * 2) ** 2, (0.03 * 2) ** 2
        expected = ((2 * ux * uy + c1) * (2 * vxy + c2)) / ((ux**2 + uy**2 + c1) * (vx + vy + c2))
        found = structure(torch.tensor(x).reshape(1, -1), torch.tensor(y).reshape(1, -1))
        assert_close(found.reshape(side, side), torch.tensor(expected), rtol=1e-9, atol=1e-9)


def test_what_needs_no_learning():
    """Red if the mean is over hidden pixels too, the mirror stands left for right, or the nearest looks at them."""
    target = [[0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9]]
    hidden = [[True, True, True, False, False, False, False, False, False]]
    other = [0.1, 0.2, 0.3, -0.4, 0.5, 0.6, 0.7, 0.8, 0.9]  # nearer than the right one in what is hidden
    right = [0.0, 0.0, 0.0, *target[0][3:]]
    made = _episode(target, hidden, [[other, right]])
    guesses = without_learning(made)
    shown = target[0][3:]
    mean = sum(shown) / 6
    assert_close(guesses["mean_fill"], torch.tensor([[mean, mean, mean, *shown]]))
    assert_close(guesses["mirror"], torch.tensor([[0.7, 0.8, 0.9, *shown]]))
    assert_close(guesses["nearest"], torch.tensor([right]))
    both = _episode(target, [[True] * 3 + [False] * 3 + [True, False, False]])
    assert_close(without_learning(both)["mirror"][0, :3], torch.tensor([(0.4 + 0.5 + 0.6 + 0.8 + 0.9) / 5, 0.8, 0.9]))
