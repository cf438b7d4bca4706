"""Packed data sets of a few random examples, and every way in which such a file can be wrong."""

import pickle
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from plastic.data.packs import SPECS, Arrays, Spec, write_pack

EXAMPLES = {"train": 400, "test": 100}
CHARACTERS = {"images_background": (150, 6), "images_evaluation": (80, 6)}


def _small(spec: Spec) -> Spec:
    """The same arrays, with fewer examples."""

    def shrunk(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, tuple[int, ...]]:
        return {key: (EXAMPLES[key[2:]], *shape[1:]) for key, shape in shapes.items()}

    bitmaps = {key: (*CHARACTERS[key], *shape[2:]) for key, shape in spec.bitmaps.items()}
    return replace(spec, bitmaps=bitmaps, images=shrunk(spec.images), labels=shrunk(spec.labels))


SMALL = {name: _small(spec) for name, spec in SPECS.items()}


def make_small() -> None:
    """From here on this process expects the small files."""
    SPECS.update(SMALL)


def write_packs(folder: Path) -> None:
    """A file of random examples for every data set."""
    for name in SMALL:
        write_pack(folder / f"{name}.npz", _examples(name))


def _examples(name: str) -> dict[str, np.ndarray]:
    spec, chance = SMALL[name], np.random.default_rng(0)
    found = {key: chance.random(shape) > 0.1 for key, shape in spec.bitmaps.items()}
    found |= {key: chance.integers(0, 256, shape, np.uint8) for key, shape in spec.images.items()}
    return found | {key: np.arange(shape[0], dtype=np.uint8) % spec.classes for key, shape in spec.labels.items()}


Damage = Callable[[Path], object]  # done to a whole file


def _rewritten(change: Callable[[dict[str, np.ndarray]], Arrays]) -> Damage:
    def rewrite(path: Path) -> None:
        with np.load(path) as file:
            arrays = dict(file)
        with path.open("wb") as out:
            np.savez(out, allow_pickle=False, **change(arrays))

    return rewrite


def _first(arrays: dict[str, np.ndarray], change: Callable[[np.ndarray], np.ndarray]) -> Arrays:
    """With the first array changed."""
    name = next(iter(arrays))
    return {**arrays, name: change(arrays[name])}


def _flip(path: Path) -> None:
    """One bit in the middle, among the pixels."""
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


class _Objects:
    """A pickle that makes a file when it is read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[Path]]:
        return Path.touch, (self.path,)


def _pickled(path: Path) -> None:
    """An array of objects, which numpy would unpickle if it were allowed to."""
    with np.load(path) as file:
        arrays = dict(file)
    name = next(iter(arrays))
    arrays[name] = np.array([_Objects(path.with_name("sprung"))], object)
    np.savez(path, allow_pickle=True, **arrays)


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _bare(path: Path) -> None:
    with path.open("wb") as file:
        np.save(file, np.zeros(3))


def _another_archive(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no arrays")


DAMAGES: dict[str, Damage] = {
    "empty": lambda path: path.write_bytes(b""),
    "cut to half": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "the end cut off": lambda path: path.write_bytes(path.read_bytes()[:-1]),
    "a bit flipped": _flip,
    "not a zip": lambda path: path.write_bytes(b"<html>404 not found</html>"),
    "another zip": _another_archive,
    "a single array": _bare,
    "a pickle": lambda path: path.write_bytes(pickle.dumps(_Objects(path.with_name("sprung")))),
    "an array of objects": _pickled,
    "another key": _rewritten(lambda arrays: {f"{name}_": array for name, array in arrays.items()}),
    "a key missing": _rewritten(lambda arrays: dict(list(arrays.items())[1:])),
    "another dtype": _rewritten(lambda arrays: _first(arrays, lambda array: array.astype(np.float32))),
    "another shape": _rewritten(lambda arrays: _first(arrays, lambda array: array[..., :-1])),
    "examples missing": _rewritten(lambda arrays: _first(arrays, lambda array: array[:-1])),
    "no examples": _rewritten(lambda arrays: {name: array[:0] for name, array in arrays.items()}),
    "a label out of range": _rewritten(
        lambda arrays: {n: a if n[0] != "y" else np.full(a.shape, 255, a.dtype) for n, a in arrays.items()}
    ),
    "another data set": lambda path: path.write_bytes(
        (path.parent / ("mnist.npz" if path.name != "mnist.npz" else "cifar10.npz")).read_bytes()
    ),
    "a folder": _folder,
}


def damages(name: str) -> dict[str, Damage]:
    """What can be wrong with the file of a data set: characters have no labels."""
    return {kind: damage for kind, damage in DAMAGES.items() if SMALL[name].labels or kind != "a label out of range"}
