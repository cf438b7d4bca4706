"""Labelled images: the packs as they are, and digits where there are none."""

from pathlib import Path

import numpy as np
import pytest
import torch

from plastic.data import GeneratedDataWarning, labelled, load_labelled
from plastic.data.packs import SPECS, Spec, write_pack
from plastic.errors import UserError


@pytest.fixture(autouse=True)
def few_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = labelled.draw_digits
    monkeypatch.setattr(labelled, "draw_digits", lambda **given: drawn(train=40, test=20, **given))


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder without data, and no server."""

    def refuse(*arguments):
        raise OSError("no network")

    monkeypatch.setattr("plastic.data.download._download", refuse)
    return tmp_path


@pytest.mark.parametrize(("name", "shape", "channels"), [("mnist", (28, 28), 1), ("cifar100", (32, 32, 3), 3)])
def test_a_pack_as_it_is(tmp_path, monkeypatch, name, shape, channels):
    """Red if train and test, or channels and rows, are mixed up."""
    rng = np.random.default_rng(0)
    classes = SPECS[name].classes
    images = {"x_train": (6, *shape), "x_test": (3, *shape)}
    monkeypatch.setitem(SPECS, name, Spec(name, {}, images, {"y_train": (6,), "y_test": (3,)}, classes))
    arrays = {key: rng.integers(0, 256, s).astype(np.uint8) for key, s in images.items()}
    arrays |= {key: rng.integers(0, classes, n).astype(np.uint8) for key, n in (("y_train", 6), ("y_test", 3))}
    write_pack(tmp_path / f"{name}.npz", arrays)
    found = load_labelled(name, tmp_path)
    assert (found.name, found.classes, found.generated) == (name, classes, False)
    for images_, labels, split in (
        (found.train, found.train_labels, "train"),
        (found.test, found.test_labels, "test"),
    ):
        expected = arrays[f"x_{split}"].reshape(-1, *shape[:2], channels)
        np.testing.assert_array_equal(images_.permute(0, 2, 3, 1).numpy(), expected)
        np.testing.assert_array_equal(labels.numpy(), arrays[f"y_{split}"])
        assert images_.dtype == torch.uint8


@pytest.mark.parametrize(("wanted", "shape"), [("mnist", (1, 28, 28)), ("cifar10", (3, 32, 32))])
def test_digits_stand_in_with_a_warning(nowhere, wanted, shape):
    """Red if the stand-in takes the name, or another shape, of what it stands for."""
    with pytest.warns(GeneratedDataWarning, match=f"are not {SPECS[wanted].title} results"):
        found = load_labelled("auto", nowhere, wanted)
    assert found.train.shape == (40, *shape)
    assert found.name.endswith("digits (generated)")
    assert found.generated


def test_what_is_named_is_not_replaced(nowhere):
    """Red if an explicit --dataset mnist goes on with generated digits."""
    with pytest.raises(UserError, match="--dataset digits"):
        load_labelled("mnist", nowhere)
    with pytest.raises(UserError, match="unknown dataset 'kmnist'"):
        load_labelled("kmnist", nowhere)
