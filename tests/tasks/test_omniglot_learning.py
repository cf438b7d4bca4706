"""Few-shot learning is learned: a small network reaches a stated accuracy in seconds."""

import pytest

from tasks.omniglot import Config, main

SMALL = {"device": "cpu", "widths": (8, 16, 32, 64), "train_ways": 20, "queries": 60, "test_episodes": 1000}


@pytest.mark.usefixtures("blots", "no_figures")
@pytest.mark.parametrize("seed", range(3))
def test_blots_are_learned(folder, seed):
    """Red if the support is learned with the labels of other classes."""
    result = main(Config(out=folder, seed=seed, episodes=150, eval_every=150, distortion=0.5, **SMALL))
    assert result["metrics"]["test_accuracy"]["mean"] > 0.9


@pytest.mark.usefixtures("blots", "no_figures")
def test_without_plasticity_it_stays_at_chance(folder):
    """Red if a query can be answered without the support: five ways, 5 standard deviations."""
    result = main(Config(out=folder, model="nonplastic", episodes=60, eval_every=60, **SMALL))
    assert abs(result["metrics"]["test_accuracy"]["mean"] - 0.2) < 0.065


@pytest.mark.usefixtures("no_figures")
@pytest.mark.parametrize("seed", range(3))
def test_real_drawings_are_learned(folder, data, seed):
    """Red if gradients do not reach the convolutions: random ones come to about 0.4."""
    given = {**SMALL, "dataset": "omniglot", "data_dir": data}
    result = main(Config(out=folder, seed=seed, episodes=400, eval_every=400, **given))
    assert result["dataset"] == "omniglot"
    assert result["metrics"]["test_accuracy"]["mean"] > 0.8
