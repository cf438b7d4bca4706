"""The download, by torchvision's own code, from a server on this machine that misbehaves in every way we know."""

import hashlib
import io
import socket
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plastic.data import download
from plastic.data.download import load_arrays
from plastic.data.packs import SPECS, Spec, Unavailable, unpack
from plastic.errors import UserError


def send_head(handler: Any, body: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()


def send_all(handler: Any, body: bytes) -> None:
    send_head(handler, body)
    handler.wfile.write(body)


def send_half(handler: Any, body: bytes) -> None:
    send_head(handler, body)
    handler.wfile.write(body[: len(body) // 2])


def send_half_and_wait(handler: Any, body: bytes) -> None:
    send_half(handler, body)
    handler.server.over.wait(20)


def send_other(handler: Any, body: bytes) -> None:
    send_all(handler, b"<html>please log in to the network</html>")


def send_error(handler: Any, body: bytes) -> None:
    handler.send_error(500)


def hang_up(handler: Any, body: bytes) -> None:
    handler.close_connection = True


def wait(handler: Any, body: bytes) -> None:
    handler.server.over.wait(20)


SHAPES = {"images_background": (3, 2, 105, 105), "images_evaluation": (2, 2, 105, 105)}


@pytest.fixture
def omniglot(server: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
    """A small Omniglot behind the server; its arrays in the order of alphabets, characters and drawings."""
    from torchvision.datasets import Omniglot

    rng = np.random.default_rng(0)
    arrays = {key: rng.random(shape) < 0.5 for key, shape in SHAPES.items()}
    for key, drawings in arrays.items():
        server.files[f"{key}.zip"] = archive = zipped(key, drawings)
        monkeypatch.setitem(Omniglot.zips_md5, key, hashlib.md5(archive).hexdigest())
    monkeypatch.setattr(Omniglot, "download_url_prefix", f"{server.url}/python")
    monkeypatch.setitem(SPECS, "omniglot", Spec("Omniglot", SHAPES, {}, {}, 5))
    return arrays


def zipped(key: str, drawings: np.ndarray) -> bytes:
    from PIL import Image

    names = ["Bengali/character02", "Bengali/character10", "Latin/character01"][: len(drawings)]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for c, d in [(2, 1), (0, 1), (1, 0), (0, 0), (2, 0), (1, 1)]:  # any order but the right one
            if c < len(drawings):
                image = io.BytesIO()
                Image.fromarray(drawings[c, d]).save(image, "png")
                archive.writestr(f"{key}/{names[c]}/0{c}_0{d}.png", image.getvalue())
    return buffer.getvalue()


def check(arrays: dict[str, np.ndarray], folder: Path) -> None:
    pack = load_arrays("omniglot", folder)
    for key, drawings in arrays.items():
        np.testing.assert_array_equal(unpack(pack.arrays[key], 105), drawings)
    assert [path.name for path in folder.iterdir()] == ["omniglot.npz"]


def test_omniglot_is_fetched_once(omniglot: dict, server: Any, tmp_path: Path) -> None:
    """Red when the drawings are taken in the order of the file system, when paper and ink are swapped, when the
    archives are left behind, or when the file is not looked for before the network."""
    check(omniglot, tmp_path / "made" / "on the way")
    requests = len(server.requests)
    check(omniglot, tmp_path / "made" / "on the way")
    assert len(server.requests) == requests


@pytest.mark.parametrize("answer", [send_half, send_half_and_wait, send_other, send_error, hang_up, wait])
def test_a_bad_server_ends_in_one_way(omniglot: dict, server: Any, tmp_path: Path, answer: Callable) -> None:
    """Red when the time limit is left out (20 s), when it stays set, when an exception comes out as it is, or when
    the temporary folder is left behind."""
    server.answer = answer
    start = time.monotonic()
    with pytest.raises(Unavailable, match=r"omniglot.npz is missing and Omniglot cannot be downloaded .*--data-dir"):
        load_arrays("omniglot", tmp_path)
    assert time.monotonic() - start < 10
    assert socket.getdefaulttimeout() is None
    assert list(tmp_path.iterdir()) == []
    server.answer = send_all
    check(omniglot, tmp_path)


def test_a_refused_connection(omniglot: dict, server: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when the outcome of the first request is not looked at: torchvision would be asked all the same."""
    from torchvision.datasets import Omniglot

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    monkeypatch.setattr(Omniglot, "download_url_prefix", f"http://127.0.0.1:{port}")
    monkeypatch.setattr(Omniglot, "download", lambda self: pytest.fail("asked a server that does not answer"))
    with pytest.raises(Unavailable, match=r"refused"):
        load_arrays("omniglot", tmp_path)


def test_a_name_that_is_looked_up_for_ever(omniglot: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when the first request is made in the calling thread: look-ups know no time limit."""
    over = threading.Event()
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: over.wait(20) and [])
    start = time.monotonic()
    with pytest.raises(Unavailable, match=r"no answer from .* in 0.5 s"):
        load_arrays("omniglot", tmp_path)
    over.set()
    assert time.monotonic() - start < 10


def test_a_wrong_checksum(omniglot: dict, server: Any, tmp_path: Path) -> None:
    """Red when the archive is fetched without comparing its md5 sum."""
    wrong = {key: ~drawings for key, drawings in omniglot.items()}
    server.files["images_evaluation.zip"] = zipped("images_evaluation", wrong["images_evaluation"])
    with pytest.raises(Unavailable, match="corrupted"):
        load_arrays("omniglot", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk(omniglot: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when the pack is written under its own name."""

    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(Unavailable, match="No space left"):
        load_arrays("omniglot", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_interrupted(omniglot: dict, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Red when cleaning up waits for an ``Exception``: Ctrl-C is none."""

    def interrupt(name: str, folder: str) -> None:
        Path(folder, "part").touch()
        raise KeyboardInterrupt

    monkeypatch.setattr(download, "_download", interrupt)
    with pytest.raises(KeyboardInterrupt):
        load_arrays("omniglot", tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    """Red when an OSError comes out as it is."""
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"omniglot.npz is missing and Omniglot cannot be downloaded"):
        load_arrays("omniglot", tmp_path / "file" / "data")


def test_two_at_once(omniglot: dict, tmp_path: Path) -> None:
    """Red when the temporary folder has a fixed name."""
    ready = threading.Barrier(2)
    problems: list[BaseException] = []

    def load() -> None:
        ready.wait()
        try:
            load_arrays("omniglot", tmp_path)
        except BaseException as error:
            problems.append(error)

    threads = [threading.Thread(target=load) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    check(omniglot, tmp_path)
