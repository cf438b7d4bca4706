"""Characters: the exact area average, the order of classes, and what happens where Omniglot is not to be had."""

import os
from pathlib import Path

import numpy as np
import pytest
import torch

from plastic.data import Characters, GeneratedDataWarning, characters, download, load_characters
from plastic.data.packs import SPECS, Spec, Unavailable
from plastic.errors import UserError

SHAPES = {"images_background": (19, 3, 105, 105), "images_evaluation": (2, 3, 105, 105)}  # 19: not whole chunks


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """Omniglot with 19 + 2 classes of 3 drawings: everything here but the real data."""
    monkeypatch.setitem(SPECS, "omniglot", Spec("Omniglot", SHAPES, {}, {}, 21))
    monkeypatch.setattr(characters, "draw_strokes", lambda: np.full((4, 2, 105, 14), 255, np.uint8))
    rng = np.random.default_rng(0)
    return {key: rng.random(shape) < 0.9 for key, shape in SHAPES.items()}


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(name: str, folder: str) -> None:
        raise ConnectionRefusedError("no network in tests")

    monkeypatch.setattr(download, "_download", refuse)


def slow_average(bitmap: np.ndarray, size: int) -> np.ndarray:
    """The mean over each box, pixel by pixel, by the length that pixel and box share."""
    box = 105 / size
    share = [[max(0.0, min((i + 1) * box, j + 1) - max(i * box, j)) for j in range(105)] for i in range(size)]
    image = np.zeros((size, size))
    for row in range(size):
        for column in range(size):
            for y in np.flatnonzero(share[row]):
                for x in np.flatnonzero(share[column]):
                    image[row, column] += bitmap[y, x] * share[row][y] * share[column][x]
    return np.floor(255 * image / box**2 + 0.5)


@pytest.mark.parametrize("size", [1, 7, 28, 31, 64, 105])
def test_images_are_area_averages(small: dict, tmp_path: Path, size: int) -> None:
    """Red when the overlap is rounded to whole pixels, when the mean is cut off instead of rounded, or when rows
    and columns are swapped."""
    np.savez_compressed(tmp_path / "omniglot.npz", **small)
    images = load_characters("omniglot", tmp_path, size).images
    assert images.shape == (21, 3, size, size)
    assert images.dtype == torch.uint8
    np.testing.assert_array_equal(images[18, 1].numpy(), slow_average(small["images_background"][18, 1], size))


def test_background_comes_before_evaluation(small: dict, tmp_path: Path) -> None:
    """Red when the parts are swapped, or when a chunk is written to the wrong place."""
    np.savez_compressed(tmp_path / "omniglot.npz", **small)
    loaded = load_characters("auto", tmp_path, 105)
    expected = 255 * np.concatenate([small["images_background"], small["images_evaluation"]]).astype(np.uint8)
    np.testing.assert_array_equal(loaded.images.numpy(), expected)
    assert (loaded.name, loaded.generated) == ("omniglot", False)


def test_source_is_the_name(small: dict, tmp_path: Path) -> None:
    """Red when the name is a constant."""
    np.savez_compressed(tmp_path / "omniglot.npz", **small, source="omniglot (scanned)")
    assert load_characters("auto", tmp_path).name == "omniglot (scanned)"


def test_auto_goes_on_with_strokes(small: dict, offline: None, tmp_path: Path) -> None:
    """Red when the warning is left out, or when strokes carry Omniglot's name."""
    with pytest.warns(GeneratedDataWarning, match="no network in tests.*results on them are not Omniglot results") as w:
        loaded = load_characters("auto", tmp_path)
    assert len(w) == 1
    assert w[0].filename == __file__
    assert (loaded.name, loaded.generated, loaded.images.shape) == ("strokes (generated)", True, (4, 2, 31, 31))
    assert loaded.images.min() == 255


def test_auto_goes_on_where_nothing_can_be_written(small: dict, tmp_path: Path) -> None:
    """Red when only the download's errors are caught: here the folder cannot even be made."""
    (tmp_path / "file").touch()
    with pytest.warns(GeneratedDataWarning, match="file"):
        assert load_characters("auto", tmp_path / "file" / "data").generated


def test_explicit_omniglot_names_the_two_ways_out(small: dict, offline: None, tmp_path: Path) -> None:
    """Red when an explicit choice falls back as auto does."""
    with pytest.raises(UserError, match=r"omniglot.npz is missing.*put the file there.*--data-dir.*--dataset strokes"):
        load_characters("omniglot", tmp_path)


def test_auto_does_not_pass_over_a_damaged_file(small: dict, offline: None, tmp_path: Path) -> None:
    """Red when every UserError counts as unavailable."""
    (tmp_path / "omniglot.npz").write_bytes(b"half a file")
    with pytest.raises(UserError, match="damaged") as caught:
        load_characters("auto", tmp_path)
    assert not isinstance(caught.value, Unavailable)


def test_strokes_need_no_folder(small: dict, offline: None) -> None:
    """Red when the file is looked for first."""
    loaded = load_characters("strokes", "/nowhere")
    assert isinstance(loaded, Characters)
    assert loaded.generated


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dataset": "mnist"}, "unknown dataset 'mnist'; choose auto, omniglot or strokes"),
        ({"size": 0}, "size is 0; choose a side from 1 to 105"),
        ({"size": 106}, "size is 106; choose a side from 1 to 105"),
    ],
)
def test_wrong_options(options: dict, message: str) -> None:
    """Red when the check is left out."""
    with pytest.raises(UserError, match=message):
        load_characters(**({"dataset": "strokes"} | options))


def test_all_of_strokes() -> None:
    """Red when the stand-in has other classes or drawings than Omniglot."""
    images = load_characters("strokes").images
    assert images.shape == (1623, 20, 31, 31)
    assert 0.90 < images.float().mean() / 255 < 0.96


def test_real_omniglot() -> None:
    """Red when paper and ink are swapped, or when True's bytes (255 in this file) are added up as they are."""
    beside = Path(__file__).parents[2].parent / "shared" / "data"
    folder = Path(os.environ.get("PLASTIC_DATA") or beside)
    if not (folder / "omniglot.npz").is_file():
        pytest.skip("no omniglot.npz in $PLASTIC_DATA or ../shared/data")
    loaded = load_characters("omniglot", folder)
    assert (loaded.name, loaded.generated, loaded.images.shape) == ("omniglot", False, (1623, 20, 31, 31))
    torch.testing.assert_close(loaded.images.double().mean() / 255, torch.tensor(0.9195).double(), atol=1e-3, rtol=0)
    assert (loaded.images == 255).any()
    assert (loaded.images == 0).any()
