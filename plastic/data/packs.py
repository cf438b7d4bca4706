"""Packed datasets: one ``.npz`` file each, checked whole before anything is used."""

import os
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from plastic.errors import UserError

Arrays = Mapping[str, np.ndarray]


class Unavailable(UserError):
    """The dataset is not in the data folder and cannot be fetched (as opposed to: is there, but wrong)."""


@dataclass(frozen=True)
class Spec:
    """What the packed file of one dataset holds.

    ``bitmaps`` are bool arrays; the file may hold them as they are, or with the last axis packed into bits
    (``numpy.packbits``), which reads thirty times faster. ``images`` are uint8. ``labels`` are integers of any
    width in [0, classes), handed out as int64.
    """

    title: str
    bitmaps: Mapping[str, tuple[int, ...]]
    images: Mapping[str, tuple[int, ...]]
    labels: Mapping[str, tuple[int, ...]]
    classes: int


def _labelled(title: str, train: int, test: int, shape: tuple[int, ...], classes: int) -> Spec:
    images = {"x_train": (train, *shape), "x_test": (test, *shape)}
    return Spec(title, {}, images, {"y_train": (train,), "y_test": (test,)}, classes)


_OMNIGLOT = {"images_background": (964, 20, 105, 105), "images_evaluation": (659, 20, 105, 105)}

SPECS = {
    "omniglot": Spec("Omniglot", _OMNIGLOT, {}, {}, 964 + 659),
    "mnist": _labelled("MNIST", 60_000, 10_000, (28, 28), 10),
    "cifar10": _labelled("CIFAR-10", 50_000, 10_000, (32, 32, 3), 10),
    "cifar100": _labelled("CIFAR-100", 50_000, 10_000, (32, 32, 3), 100),
    "svhn": _labelled("SVHN", 73_257, 26_032, (32, 32, 3), 10),
}


@dataclass(frozen=True)
class Pack:
    """A packed file that has passed every check: the dataset's name for results, and its arrays by key."""

    source: str
    arrays: Arrays


def data_root(data_dir: str | Path | None = None) -> Path:
    """The folder that holds the packed files; it need not exist.

    ``data_dir``, else ``$PLASTIC_DATA``, else ``$XDG_CACHE_HOME/plastic``, else ``~/.cache/plastic``. An empty
    string counts as not given.
    """
    given = data_dir or os.environ.get("PLASTIC_DATA")
    if given:
        return Path(given).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "plastic"


def unpack(bitmaps: np.ndarray, width: int) -> np.ndarray:
    """A bitmap array of a pack, or a slice of one, as uint8 0/1 with ``width`` columns, whichever way it was stored."""
    if bitmaps.dtype == np.bool_:
        bytes_ = bitmaps.view(np.uint8)  # of a bool read from a file: True may be any byte but 0, e.g. 255
        return np.not_equal(bytes_, 0, out=np.empty_like(bytes_), casting="unsafe")
    return np.unpackbits(bitmaps, axis=-1, count=width)


def read_pack(path: Path, name: str) -> Pack:
    """Read and check the packed file of dataset ``name``.

    Bitmaps come as stored: (..., width) bool or (..., ceil(width / 8)) uint8; see :func:`unpack`.

    Raises:
        FileNotFoundError: there is no such file.
        UserError: the file cannot be read, is not a whole ``.npz``, or holds something else than expected.
    """
    spec = SPECS[name]
    expected = {**spec.bitmaps, **spec.images, **spec.labels}
    try:
        arrays = _read(path, [*expected, "source"])
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(path) from None
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error}); check it and its permissions") from error
    except Exception as error:  # zipfile, zlib and numpy have many words for a damaged file
        found = f"is damaged, cut short or not a .npz archive ({error})"
        raise _wrong(path, found, f"a whole .npz archive with {_listed(expected)}") from error
    source = arrays.pop("source", np.array(name))
    if missing := expected.keys() - arrays.keys():
        raise _wrong(path, f"lacks {_listed(missing)}", f"a .npz archive with {_listed(expected)}")
    if source.ndim or source.dtype.kind != "U":
        raise _wrong(path, f"has a 'source' of {_described(source)}", "one string")
    for key, shape in expected.items():
        _check(path, spec, key, arrays[key], shape)
    arrays |= {key: arrays[key].astype(np.int64) for key in spec.labels}
    return Pack(str(source), arrays)


def write_pack(path: Path, arrays: Arrays) -> None:
    """Write ``arrays`` to a new ``.npz`` file and wait for the disk; bool arrays are packed into bits.

    Not compressed: inflating costs more time than the disk space is worth.
    """
    stored = {key: np.packbits(a, axis=-1) if a.dtype == np.bool_ else a for key, a in arrays.items()}
    with path.open("xb") as file:
        np.savez(file, allow_pickle=False, **stored)
        file.flush()
        os.fsync(file.fileno())


def _read(path: Path, keys: list[str]) -> dict[str, np.ndarray]:
    """Those of the arrays that the file has; two at a time, since inflating lets go of the interpreter's lock."""
    with path.open("rb") as raw, ThreadPoolExecutor(2) as pool:
        file = np.load(raw, allow_pickle=False)
        if isinstance(file, np.ndarray):
            raise ValueError(f"it is a single array, {_described(file)}")
        there = [key for key in keys if key in file.files]
        return dict(zip(there, map(np.asarray, pool.map(file.__getitem__, there)), strict=True))


def _check(path: Path, spec: Spec, key: str, array: np.ndarray, shape: tuple[int, ...]) -> None:
    found = f"has {key} of {_described(array)}"
    if key in spec.bitmaps:
        bits = (*shape[:-1], -(-shape[-1] // 8))
        if (array.dtype.name, array.shape) not in (("bool", shape), ("uint8", bits)):
            raise _wrong(path, found, f"bool {shape} or, packed into bits, uint8 {bits}")
    elif key in spec.images:
        if (array.dtype.name, array.shape) != ("uint8", shape):
            raise _wrong(path, found, f"uint8 {shape}")
    elif array.dtype.kind not in "ui" or array.shape != shape:
        raise _wrong(path, found, f"integers {shape}")
    elif array.min() < 0 or array.max() >= spec.classes:
        raise _wrong(path, f"has {key} from {array.min()} to {array.max()}", f"0 to {spec.classes - 1}")


def _wrong(path: Path, found: str, expected: str) -> UserError:
    return UserError(f"{path} {found}; expected {expected}: replace the file, or remove it to have it fetched again")


def _described(array: np.ndarray) -> str:
    return f"{array.dtype} {array.shape}"


def _listed(keys: Iterable[str]) -> str:
    return ", ".join(sorted(keys))
