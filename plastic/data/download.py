"""Packed datasets, downloaded with torchvision where the packed file is missing."""

import os
import socket
import tempfile
import threading
import urllib.error
import urllib.request
import warnings
from pathlib import Path
from typing import Any

import numpy as np

from plastic.data.packs import SPECS, Arrays, Pack, Unavailable, data_root, read_pack, write_pack

TIMEOUT = 10.0  # seconds for a server to answer, and for each further piece of its answer
_settings = threading.Lock()  # the time limit of sockets and the filters of warnings belong to the whole process


def load_arrays(name: str, data_dir: str | Path | None = None) -> Pack:
    """The packed dataset ``name``, a key of ``SPECS``; downloaded and packed first if its file is missing.

    Raises:
        Unavailable: the file is missing and cannot be downloaded.
        UserError: the file cannot be read, is damaged, or holds something else than expected.
    """
    path = data_root(data_dir) / f"{name}.npz"
    try:
        return read_pack(path, name)
    except FileNotFoundError:
        _fetch(name, path)
        return read_pack(path, name)


def _fetch(name: str, path: Path) -> None:
    """Download, pack, and only then give the file its name: other processes see a whole file or none."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{name}-", dir=path.parent, ignore_cleanup_errors=True) as folder:
            arrays = _download(name, folder)
            write_pack(Path(folder, path.name), arrays)
            os.replace(Path(folder, path.name), path)
    except Exception as error:  # from the network, a proxy, an archive, a library, the disk: all end the same way
        reason = f"{type(error).__name__}: {error}".strip(": ")
        raise Unavailable(
            f"{path} is missing and {SPECS[name].title} cannot be downloaded to it ({reason}): "
            "put the file there or name its folder with --data-dir"
        ) from error


def _download(name: str, folder: str) -> Arrays:
    """Fetch into ``folder`` with torchvision, which compares md5 sums, and return the arrays of the pack."""
    with _settings, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about how the archives were once written; nothing to mend here
        before = socket.getdefaulttimeout()
        socket.setdefaulttimeout(TIMEOUT)  # torchvision sets no time limit of its own
        try:
            special = {"omniglot": _omniglot, "svhn": _svhn}
            return special[name](folder) if name in special else _labelled(name, folder)
        finally:
            socket.setdefaulttimeout(before)


def _omniglot(folder: str) -> Arrays:
    from PIL import Image
    from torchvision.datasets import Omniglot

    _expect_answer(f"{Omniglot.download_url_prefix}/images_background.zip")
    arrays = {}
    for key, shape in SPECS["omniglot"].bitmaps.items():
        dataset = Omniglot(folder, background=key == "images_background", download=True)
        # torchvision lists files in the order of the file system; the classes here need the same one everywhere
        drawings = sorted(Path(dataset.target_folder).glob("*/*/*.png"))
        pixels = [np.asarray(Image.open(drawing).convert("L")) > 127 for drawing in drawings]
        arrays[key] = np.stack(pixels).reshape(shape)
    return arrays


def _labelled(name: str, folder: str) -> Arrays:
    from torchvision import datasets

    kind: Any = getattr(datasets, name.upper())
    _expect_answer(kind.mirrors[0] + kind.resources[0][0] if name == "mnist" else kind.url)
    arrays = {}
    for split in ("train", "test"):
        dataset = kind(folder, train=split == "train", download=True)
        arrays[f"x_{split}"] = np.asarray(dataset.data)
        arrays[f"y_{split}"] = np.asarray(dataset.targets, np.uint8)
    return arrays


def _svhn(folder: str) -> Arrays:
    from torchvision.datasets import SVHN

    _expect_answer(SVHN.split_list["train"][0])
    arrays = {}
    for split in ("train", "test"):
        dataset = SVHN(folder, split=split, download=True)
        arrays[f"x_{split}"] = dataset.data.transpose(0, 2, 3, 1)
        arrays[f"y_{split}"] = np.asarray(dataset.labels, np.uint8)
    return arrays


def _expect_answer(url: str) -> None:
    """Raise unless the server answers, with whatever status, in ``TIMEOUT`` seconds altogether.

    A socket's time limit does not cover looking up the name, and starts anew with every address of the name; hence
    a thread, and one that does not keep the program from ending.
    """
    outcome: list[Exception | None] = []

    def ask() -> None:
        try:
            urllib.request.urlopen(url, timeout=TIMEOUT).close()
            outcome.append(None)
        except urllib.error.HTTPError as error:
            error.close()
            outcome.append(None)  # torchvision finds out what that means, and may know another server
        except Exception as error:
            outcome.append(error)

    thread = threading.Thread(target=ask, daemon=True)
    thread.start()
    thread.join(TIMEOUT)
    if not outcome:
        raise TimeoutError(f"no answer from {url} in {TIMEOUT:g} s")
    if outcome[0]:
        raise outcome[0]
