"""Packed files: where they are, what is accepted, and that nothing else is."""

import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plastic.data import data_root
from plastic.data.packs import SPECS, Spec, read_pack, unpack, write_pack
from plastic.errors import UserError

TINY = Spec("Tiny", {"b": (3, 2, 5, 13)}, {"x": (4, 2, 2)}, {"y": (4,)}, classes=10)


@pytest.fixture(autouse=True)
def tiny_spec(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(SPECS, "tiny", TINY)


def arrays() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    return {
        "b": rng.random((3, 2, 5, 13)) < 0.5,
        "x": rng.integers(0, 256, (4, 2, 2)).astype(np.uint8),
        "y": np.array([0, 9, 3, 3], np.uint8),
    }


def written(folder: Path, **changed: object) -> Path:
    path = folder / "tiny.npz"
    np.savez_compressed(path, **{key: value for key, value in (arrays() | changed).items() if value is not None})
    return path


def test_root_precedence(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Red when the order of the four is changed, or when an empty variable counts."""
    monkeypatch.setenv("HOME", "/home/someone")
    monkeypatch.setenv("PLASTIC_DATA", "/variable")
    monkeypatch.setenv("XDG_CACHE_HOME", "/cache")
    assert data_root(tmp_path) == tmp_path
    assert data_root("~/given") == Path("/home/someone/given")
    assert data_root(None) == Path("/variable")
    monkeypatch.setenv("PLASTIC_DATA", "")
    assert data_root(None) == Path("/cache/plastic")
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert data_root(None) == Path("/home/someone/.cache/plastic")


def test_compressed_bool_file_is_read(tmp_path: Path) -> None:
    """Red when ``unpack`` hands out the bytes of a bool as they are: True is 255 in some files."""
    bytes_255 = (arrays()["b"].astype(np.uint8) * 255).view(np.bool_)
    pack = read_pack(written(tmp_path, b=bytes_255), "tiny")
    np.testing.assert_array_equal(unpack(pack.arrays["b"], 13), arrays()["b"].astype(np.uint8))
    np.testing.assert_array_equal(pack.arrays["x"], arrays()["x"])
    np.testing.assert_array_equal(pack.arrays["y"], [0, 9, 3, 3])
    assert pack.arrays["y"].dtype == np.int64
    assert pack.source == "tiny"


def test_own_file_holds_bits_and_reads_the_same(tmp_path: Path) -> None:
    """Red when ``unpack`` forgets the width (16 columns for 13), or when the file is written without packing."""
    write_pack(tmp_path / "tiny.npz", arrays())
    pack = read_pack(tmp_path / "tiny.npz", "tiny")
    assert pack.arrays["b"].shape == (3, 2, 5, 2)
    np.testing.assert_array_equal(unpack(pack.arrays["b"], 13), arrays()["b"])
    np.testing.assert_array_equal(pack.arrays["x"], arrays()["x"])


def test_source_names_the_dataset(tmp_path: Path) -> None:
    """Red when ``source`` is left unread."""
    assert read_pack(written(tmp_path, source="tiny (re-encoded)"), "tiny").source == "tiny (re-encoded)"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"x": None}, "lacks x; expected a .npz archive with b, x, y"),
        ({"x": np.zeros((4, 2, 3), np.uint8)}, r"has x of uint8 \(4, 2, 3\); expected uint8 \(4, 2, 2\)"),
        ({"x": np.zeros((4, 2, 2), np.float32)}, r"has x of float32 \(4, 2, 2\); expected uint8"),
        ({"b": np.zeros((3, 2, 5, 13), np.uint8)}, r"uint8 \(3, 2, 5, 13\); expected bool .* uint8 \(3, 2, 5, 2\)"),
        ({"b": np.zeros((2, 2, 5, 13), bool)}, r"has b of bool \(2, 2, 5, 13\); expected bool \(3, 2, 5, 13\)"),
        ({"y": np.zeros(5, np.uint8)}, r"has y of uint8 \(5,\); expected integers \(4,\)"),
        ({"y": np.zeros(4)}, r"has y of float64 \(4,\); expected integers \(4,\)"),
        ({"y": np.array([0, 1, 10, 2])}, "has y from 0 to 10; expected 0 to 9"),
        ({"y": np.array([0, 1, -1, 2])}, "has y from -1 to 2; expected 0 to 9"),
        ({"source": np.array([1, 2])}, r"has a 'source' of int64 \(2,\); expected one string"),
    ],
)
def test_wrong_contents(tmp_path: Path, changed: dict, message: str) -> None:
    """Red when the check of that key, dtype, shape or range is left out."""
    path = written(tmp_path, **changed)
    with pytest.raises(UserError, match=message) as caught:
        read_pack(path, "tiny")
    assert str(path) in str(caught.value)


def test_pickled_objects_are_refused(tmp_path: Path) -> None:
    """Red with ``allow_pickle=True``: the object would have run by then."""
    path = written(tmp_path, y=np.array([_Touch(tmp_path / "ran")], object))
    with pytest.raises(UserError, match=r"damaged, cut short or not a .npz archive"):
        read_pack(path, "tiny")
    assert not (tmp_path / "ran").exists()


class _Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple:
        return Path.touch, (self.path,)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04", b"<html>404</html>", b"\x80\x04N."])
def test_not_an_archive(tmp_path: Path, content: bytes) -> None:
    """Red when only ``ValueError`` is caught: an empty file is an EOFError, half an archive a BadZipFile."""
    (tmp_path / "tiny.npz").write_bytes(content)
    with pytest.raises(UserError, match=r"tiny.npz is damaged, .* expected a whole .npz archive with b, x, y"):
        read_pack(tmp_path / "tiny.npz", "tiny")


def test_a_single_array_is_not_an_archive(tmp_path: Path) -> None:
    """Red when the result of ``numpy.load`` is taken for an archive unseen."""
    with (tmp_path / "tiny.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(UserError, match=r"single array, float64 \(3,\)"):
        read_pack(tmp_path / "tiny.npz", "tiny")


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    """Red when an OSError is let through."""
    (tmp_path / "tiny.npz").mkdir()
    with pytest.raises(UserError, match=r"tiny.npz cannot be read .*permissions"):
        read_pack(tmp_path / "tiny.npz", "tiny")


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_cut_anywhere_it_is_refused(tmp_path: Path, save: object) -> None:
    """Red when the error of ``zipfile`` is not caught."""
    buffer = io.BytesIO()
    save(buffer, **arrays())  # type: ignore[operator]
    whole = buffer.getvalue()
    path = tmp_path / "tiny.npz"
    for length in range(0, len(whole), 37):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=r"tiny.npz"):
            read_pack(path, "tiny")


@settings(max_examples=150, deadline=None)
@given(place=st.floats(0, 0.9999), flip=st.integers(1, 255), packed=st.booleans())
def test_one_wrong_byte_never_changes_the_data(
    tmp_path_factory: pytest.TempPathFactory, place: float, flip: int, packed: bool
) -> None:
    """Red when ``_read`` skips the checksum, or when an exception of the libraries other than UserError comes out."""
    path = tmp_path_factory.mktemp("wrong") / "tiny.npz"
    if packed:
        write_pack(path, arrays())
    else:
        np.savez_compressed(path, **arrays())
    content = bytearray(path.read_bytes())
    content[int(place * len(content))] ^= flip
    path.write_bytes(content)
    try:
        pack = read_pack(path, "tiny")
    except UserError:
        return
    np.testing.assert_array_equal(unpack(pack.arrays["b"], 13), arrays()["b"])
    np.testing.assert_array_equal(pack.arrays["x"], arrays()["x"])
    np.testing.assert_array_equal(pack.arrays["y"], arrays()["y"])
