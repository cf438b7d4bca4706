"""The memory read-out against linear discriminants written out."""

import pytest
import torch
from tiny_continual import TINY
from torch.testing import assert_close

import continual.splitmnist as splitmnist
from continual.memory import RIDGE, ClassMemory
from plastic.errors import UserError

M, D, R, N = 5, 4, 2, 60


def _data():
    chance = torch.Generator().manual_seed(0)
    y = torch.randint(D - 1, (R, N), generator=chance)  # the last class is never shown
    centres = 2 * torch.randn(R, D, M, generator=chance, dtype=torch.double)
    h = torch.stack([centres[r, y[r]] for r in range(R)])
    return h + torch.randn(R, N, M, generator=chance, dtype=torch.double), y


def _shown(parts):
    memory = ClassMemory(M, D, R).double()
    h, y = _data()
    for part, labels in zip(h.split(parts, 1), y.split(parts, 1), strict=True):
        memory(part, labels)
    return memory.eval(), h, y


def test_it_is_a_linear_discriminant():
    """Class by class, sample by sample. Red if the covariance is not that within classes, or a replica's is shared."""
    memory, h, y = _shown(7)
    found = memory(h)
    for r in range(R):
        means = torch.stack([h[r, y[r] == c].mean(0) for c in range(D - 1)])
        apart = h[r] - means[y[r]]
        covariance = sum(torch.outer(row, row) for row in apart) / N
        covariance += RIDGE * covariance.diagonal().mean() * torch.eye(M, dtype=torch.double)
        inverse = covariance.inverse()
        for c in range(D - 1):
            expected = h[r] @ inverse @ means[c] - 0.5 * means[c] @ inverse @ means[c]
            assert_close(found[r, :, c], expected)
    assert (found[..., D - 1] == float("-inf")).all()


def test_the_order_does_not_matter():
    """So nothing is forgotten. Red if later batches weigh more."""
    memory, h, y = _shown(7)
    other = ClassMemory(M, D, R).double()
    other(h.flip(1), y.flip(1))
    assert_close(other.eval()(h), memory(h))


def test_what_is_solved_is_solved_anew():
    """After more was shown, or a state was loaded. Red if an old solution answers."""
    memory, h, y = _shown(7)
    before = memory(h)
    memory.train()(h[:, :9] + 1, y[:, :9])
    after = memory.eval()(h)
    assert not torch.allclose(after[..., :-1], before[..., :-1])
    other = ClassMemory(M, D, R).double().eval()
    other(h)
    other.load_state_dict(memory.state_dict())
    assert_close(other(h), after)


@pytest.mark.usefixtures("blobs", "no_figures")
def test_the_class_scenario_without_replay(tmp_path):
    """Three seeds, one pass. Red if random features are trained, or tasks are told."""
    given = {**TINY, "hidden": (60,), "epochs": 1, "scenario": "class", "head": "memory", "seeds": 3}
    result = splitmnist.main(splitmnist.Config(out=tmp_path / "run", **given))
    assert min(result["metrics"]["average_accuracy"]["per_seed"]) > 0.85


@pytest.mark.usefixtures("blobs")
def test_a_memory_has_nothing_to_protect(tmp_path):
    """Red if a regularizer on it passes in silence."""
    with pytest.raises(UserError, match="nothing for --reg to protect"):
        splitmnist.main(splitmnist.Config(out=tmp_path / "run", **TINY, head="memory", reg="si"))
