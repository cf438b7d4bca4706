"""MNIST, CIFAR and SVHN by torchvision's own code: the same arrays, in the shape of the packed file."""

import gzip
import hashlib
import io
import pickle
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.io import savemat

from plastic.data.download import load_arrays
from plastic.data.packs import SPECS, Spec


def labelled(name: str, shape: tuple[int, ...], classes: int) -> tuple[Spec, dict[str, np.ndarray]]:
    rng = np.random.default_rng(1)
    images = {"x_train": (6, *shape), "x_test": (2, *shape)}
    labels = {"y_train": (6,), "y_test": (2,)}
    arrays = {key: rng.integers(0, 256, s).astype(np.uint8) for key, s in images.items()}
    arrays |= {key: rng.integers(0, classes, s).astype(np.uint8) for key, s in labels.items()}
    return Spec(name, {}, images, labels, classes), arrays


def test_mnist(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when train and test, or images and labels, are mixed up."""
    from torchvision.datasets import MNIST

    spec, arrays = labelled("MNIST", (28, 28), 10)
    resources = []
    for key, kind in [("x_train", "train-images"), ("y_train", "train-labels"), ("x_test", "t10k-images"),
                      ("y_test", "t10k-labels")]:  # fmt: skip
        data = arrays[key]
        head = bytes([0, 0, 8, data.ndim]) + b"".join(n.to_bytes(4, "big") for n in data.shape)
        file = f"{kind}-idx{data.ndim}-ubyte.gz"
        server.files[file] = gzip.compress(head + data.tobytes())
        resources.append((file, hashlib.md5(server.files[file]).hexdigest()))
    monkeypatch.setitem(SPECS, "mnist", spec)
    monkeypatch.setattr(MNIST, "mirrors", [f"{server.url}/mnist/"])
    monkeypatch.setattr(MNIST, "resources", resources)
    pack = load_arrays("mnist", tmp_path)
    for key, data in arrays.items():
        np.testing.assert_array_equal(pack.arrays[key], data)


@pytest.mark.parametrize(("name", "classes", "key"), [("cifar10", 10, "labels"), ("cifar100", 100, "fine_labels")])
def test_cifar(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, classes: int, key: str) -> None:
    """Red when channels stay first, or when train and test are mixed up."""
    from torchvision import datasets

    spec, arrays = labelled(name, (32, 32, 3), classes)
    kind = getattr(datasets, name.upper())

    def batch(part: slice, split: str) -> bytes:
        images = arrays[f"x_{split}"][part].transpose(0, 3, 1, 2)
        return pickle.dumps({"data": images.reshape(len(images), -1), key: arrays[f"y_{split}"][part].tolist()})

    files = {"one": batch(slice(4), "train"), "two": batch(slice(4, 6), "train"), "test": batch(slice(2), "test")}
    files["meta"] = pickle.dumps({kind.meta["key"]: list(map(str, range(classes)))})
    md5 = {file: hashlib.md5(content).hexdigest() for file, content in files.items()}
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as tar:
        for file, content in files.items():
            entry = tarfile.TarInfo(f"{kind.base_folder}/{file}")
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    server.files[kind.filename] = archive.getvalue()
    monkeypatch.setitem(SPECS, name, spec)
    monkeypatch.setattr(kind, "url", f"{server.url}/{kind.filename}")
    monkeypatch.setattr(kind, "tgz_md5", hashlib.md5(archive.getvalue()).hexdigest())
    monkeypatch.setattr(kind, "train_list", [["one", md5["one"]], ["two", md5["two"]]])
    monkeypatch.setattr(kind, "test_list", [["test", md5["test"]]])
    monkeypatch.setattr(kind, "meta", kind.meta | {"filename": "meta", "md5": md5["meta"]})
    pack = load_arrays(name, tmp_path)
    for array_key, data in arrays.items():
        np.testing.assert_array_equal(pack.arrays[array_key], data)


def test_svhn(server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when the pictures stay last, when train and test are mixed up, or when the digit 0 keeps its label 10."""
    from torchvision.datasets import SVHN

    spec, arrays = labelled("SVHN", (32, 32, 3), 10)
    lists = {}
    for split in ("train", "test"):
        labels = arrays[f"y_{split}"].astype(np.int64)
        file = io.BytesIO()
        savemat(
            file, {"X": arrays[f"x_{split}"].transpose(1, 2, 3, 0), "y": np.where(labels == 0, 10, labels)[:, None]}
        )
        name = f"{split}_32x32.mat"
        server.files[name] = file.getvalue()
        lists[split] = [f"{server.url}/{name}", name, hashlib.md5(file.getvalue()).hexdigest()]
    monkeypatch.setitem(SPECS, "svhn", spec)
    monkeypatch.setattr(SVHN, "split_list", lists)
    pack = load_arrays("svhn", tmp_path)
    for key, data in arrays.items():
        np.testing.assert_array_equal(pack.arrays[key], data)
