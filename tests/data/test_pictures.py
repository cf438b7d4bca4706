"""Grey pictures within [-1, 1]: the scale, the sizes, the split, and the user's own."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch.testing import assert_close

from plastic.data import GeneratedDataWarning, load_pictures, pictures
from plastic.data.packs import Pack, Unavailable
from plastic.errors import UserError

RNG = np.random.default_rng(0)


def _pack(monkeypatch: pytest.MonkeyPatch, train: np.ndarray, test: np.ndarray) -> None:
    pack = Pack("cifar10 (small)", {"x_train": train, "x_test": test})
    monkeypatch.setattr(pictures, "load_arrays", lambda name, data_dir: pack)


def _colours(count: int, *shape: int) -> np.ndarray:
    return RNG.integers(0, 256, (count, *shape), dtype=np.uint8)


def test_the_scale_is_that_of_the_training_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when the mean or the reach is also of the test pictures, or is one a pixel."""
    train, test = _colours(20, 8, 8, 3) // 2, _colours(9, 8, 8, 3)
    _pack(monkeypatch, train, test)
    loaded = load_pictures("cifar10", size=8)
    sums = train.astype(float).sum(-1)
    reach = abs(sums - sums.mean()).max()
    assert (loaded.name, loaded.mean, loaded.reach) == (
        "cifar10 (small)",
        pytest.approx(sums.mean()),
        pytest.approx(reach),
    )
    shown = loaded.activity(loaded.train)
    assert_close(shown, torch.from_numpy((sums - sums.mean()) / reach).float())
    assert shown.abs().max().item() == pytest.approx(1)
    foreign = loaded.activity(loaded.test)
    assert_close(foreign, torch.from_numpy((test.astype(float).sum(-1) - sums.mean()) / reach).clamp(-1, 1).float())
    assert foreign.max() == 1


def test_a_test_picture_that_is_also_a_training_picture_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when the sets are taken as they come."""
    train, test = _colours(20, 8, 8, 3), _colours(9, 8, 8, 3)
    test[[2, 5]] = train[[0, 7]]
    _pack(monkeypatch, train, test)
    loaded = load_pictures("cifar10", size=8)
    kept = np.delete(test, [2, 5], 0).astype(np.int16).sum(-1, dtype=np.int16)
    np.testing.assert_array_equal(loaded.test.numpy(), kept)
    assert len(loaded.train) == 20


def test_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when a smaller size skips pixels in place of averaging them, or the middle square is not the middle."""
    train = _colours(4, 8, 8, 3)
    _pack(monkeypatch, train, _colours(3, 8, 8, 3))
    means = train.astype(float).sum(-1).reshape(4, 4, 2, 4, 2).mean((2, 4))
    np.testing.assert_allclose(load_pictures("cifar10", size=4).train.numpy(), means, atol=0.51)
    assert load_pictures("cifar10", size=16).train.shape == (4, 16, 16)
    wide = _colours(3, 8, 12)
    _pack(monkeypatch, wide, wide[:1])
    np.testing.assert_array_equal(load_pictures("cifar10", size=8).train.numpy(), 3 * wide[:, :, 2:10].astype(np.int16))


def test_without_data_and_network_there_are_scenes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when ``auto`` stops, or goes on without a word; or an explicit set is quietly replaced."""

    def missing(name: str, data_dir: object) -> None:
        raise Unavailable("cifar10.npz is missing")

    monkeypatch.setattr(pictures, "load_arrays", missing)
    monkeypatch.setattr(pictures, "draw_scenes", lambda: (_colours(6, 32, 32, 3), _colours(4, 32, 32, 3)))
    with pytest.warns(GeneratedDataWarning, match="going on with generated scenes"):
        assert load_pictures().name == "scenes (generated)"
    with pytest.raises(UserError, match=r"cifar10\.npz is missing, or choose --dataset scenes"):
        load_pictures("cifar10")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_pictures("scenes").train.shape == (6, 32, 32)


def test_a_folder_of_pictures(tmp_path: Path) -> None:
    """Red when pictures of different sizes or modes cannot be mixed, or one is in both parts."""
    for i in range(10):
        shape = (20 + i, 30, 3) if i % 2 else (16, 16)
        Image.fromarray(_colours(1, *shape)[0]).save(tmp_path / f"{i}.png")
    (tmp_path / "notes.txt").write_text("no picture")
    loaded = load_pictures(str(tmp_path), size=8)
    assert (loaded.train.shape, loaded.test.shape) == ((8, 8, 8), (2, 8, 8))
    assert len(torch.cat([loaded.train, loaded.test]).flatten(1).unique(dim=0)) == 10
    again = load_pictures(str(tmp_path), size=8)
    assert_close(again.test, loaded.test, rtol=0, atol=0)


def test_an_archive_of_pictures(tmp_path: Path) -> None:
    """Red when a split that is there is not kept, or an array without one is not divided."""
    train, test = _colours(9, 8, 8, 3), _colours(4, 8, 8, 3)
    np.savez(tmp_path / "split.npz", x_train=train, x_test=test, y_train=np.zeros(9))
    np.savez(tmp_path / "one.npz", mine=train, notes=np.array("text"))
    split, one = (load_pictures(str(tmp_path / name), size=8) for name in ("split.npz", "one.npz"))
    np.testing.assert_array_equal(split.test.numpy(), test.astype(np.int16).sum(-1, dtype=np.int16))
    assert (len(split.train), len(one.train), len(one.test)) == (9, 8, 1)
    assert one.name == "pictures in one.npz"


def _empty(folder: Path) -> Path:
    return folder


def _no_picture(folder: Path) -> Path:
    (folder / "bad.png").write_bytes(b"\x89PNG cut short")
    return folder


def _cut_short(folder: Path) -> Path:
    (folder / "a.npz").write_bytes(b"PK\3\4 cut short")
    return folder / "a.npz"


def _other_arrays(folder: Path) -> Path:
    np.savez(folder / "a.npz", x=np.zeros((3, 4)))
    return folder / "a.npz"


def _one_grey(folder: Path) -> Path:
    np.savez(folder / "a.npz", x=np.full((20, 8, 8), 7, np.uint8))
    return folder / "a.npz"


BAD = {
    "an empty folder": (_empty, "holds no pictures"),
    "a damaged picture": (_no_picture, "bad.png is no picture that can be read"),
    "a damaged archive": (_cut_short, "a.npz is damaged or not a .npz archive"),
    "other arrays": (_other_arrays, r"a.npz holds x float64 \(3, 4\); expected one array of pictures"),
    "one grey": (_one_grey, "no training pictures, or all of one grey"),
    "nothing there": (lambda folder: folder / "none", "unknown pictures"),
}


@pytest.mark.parametrize(("make", "message"), BAD.values(), ids=BAD)
def test_what_cannot_be_used_is_one_sentence(tmp_path: Path, make, message: str) -> None:
    """Red without the line that says it."""
    with pytest.raises(UserError, match=message):
        load_pictures(str(make(tmp_path)))
    with pytest.raises(UserError, match="size is 1; choose a side of at least 2 pixels"):
        load_pictures("scenes", size=1)
