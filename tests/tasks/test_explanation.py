"""The picture of plasticity shows what the network holds and says."""

import pytest
import torch

from tasks.fewshot.explanation import plasticity_figure

N, F = 3, 12
SHOWN, ASKED = torch.randint(256, (2, N, 6, 6), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
AFTER = torch.arange(-18.0, 18.0).view(F, N)
CONNECTIONS = {
    "weight": 0.01 * AFTER,
    "alpha": torch.zeros(F, N),
    "trace before": torch.zeros(F, N),
    "trace after": AFTER,
}
SURE = 0.94 * torch.eye(N) + 0.02
LOST = torch.tensor([[0.2, 0.7, 0.1], [0.2, 0.6, 0.2], [0.3, 0.5, 0.2]])  # the second class, whatever is asked


@pytest.fixture(scope="module")
def figure():
    return plasticity_figure(SHOWN, ASKED, CONNECTIONS, {"with": SURE, "wiped": LOST}, 1, "oja", "blots")


def test_every_row_is_a_class(figure):
    """Red if the drawings are out of order, or a tile holds the connections of another unit (``values`` for its T)."""
    support, *tiles = figure.axes[:5]
    for row in range(N):
        assert (support.images[row].get_array() == SHOWN[row].numpy()).all()
        for axes, values in zip(tiles, CONNECTIONS.values(), strict=True):
            tile = axes.images[row]
            assert tile.get_array().shape == (3, 4)
            assert (tile.get_array().flatten() == values[:, row].numpy()).all()
            assert tile.get_extent()[2:] == [row + 0.95, row + 0.05]


def test_the_traces_share_a_scale(figure):
    """Red if what was written cannot be compared with the blank before it, or weight takes the trace's scale."""
    reaches = [axes.images[0].get_clim()[1] for axes in figure.axes[1:5]]
    assert reaches == pytest.approx([0.18, 1.0, 18.0, 18.0])


def test_the_answers_are_those_of_the_network(figure):
    """Red if queries and classes are exchanged, a probability is another's, or a wrong answer is green."""
    asked, sure, again, lost = figure.axes[5:]
    assert [axes.get_title() for axes in (asked, again)] == ["with: 3 of 3 right", "wiped: 1 of 3 right"]
    for column in range(N):
        for axes in (asked, again):
            assert (axes.images[column].get_array() == ASKED[column].numpy()).all()
    assert (lost.images[0].get_array() == LOST.T.numpy()).all()
    assert [text.get_text() for text in lost.texts[:3]] == ["20%", "20%", "30%"]
    frames = [(patch.get_x(), patch.get_y(), patch.get_edgecolor()[:3]) for patch in lost.patches]
    green, red = (0.0, pytest.approx(0.5, abs=0.01), 0.0), (1.0, 0.0, 0.0)
    assert frames == [(0.05, 1.05, red), (1.05, 1.05, green), (2.05, 1.05, red)]
    assert all(patch.get_edgecolor()[0] == 0 for patch in sure.patches)


def test_several_shots_are_not_once():
    """Red if five drawings of a class are said to be one."""
    figure = plasticity_figure(SHOWN, ASKED, CONNECTIONS, {"with": SURE}, 5, "oja", "blots")
    assert "1  5 shown" in [text.get_text() for text in figure.texts]
