"""The download, by torchvision's own code, from a server on this machine that misbehaves in every way we know."""

import gzip
import hashlib
import io
import pickle
import socket
import tarfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

from plastic.data import download
from plastic.data.download import load_arrays
from plastic.data.packs import SPECS, Spec, Unavailable, unpack
from plastic.errors import UserError

Answer = Callable[[BaseHTTPRequestHandler, bytes], None]


class Server(ThreadingHTTPServer):
    """Serves ``files`` (by the last part of the path) in the way of ``answer``, and counts the requests."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.answer: Answer = send_all
        self.requests: list[str] = []
        self.over = threading.Event()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that hangs up is what these tests are about."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        self.server.requests.append(self.path)
        self.server.answer(self, self.server.files[self.path.rsplit("/", 1)[-1]])

    def log_message(self, *args: object) -> None:
        """Not into the test's output."""


def send_head(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(body)))
    handler.end_headers()


def send_all(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    send_head(handler, body)
    handler.wfile.write(body)


def send_half(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    send_head(handler, body)
    handler.wfile.write(body[: len(body) // 2])


def send_half_and_wait(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    send_half(handler, body)
    handler.server.over.wait(20)


def send_other(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    send_all(handler, b"<html>please log in to the network</html>")


def send_error(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    handler.send_error(500)


def hang_up(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    handler.close_connection = True


def wait(handler: BaseHTTPRequestHandler, body: bytes) -> None:
    handler.server.over.wait(20)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr(download, "TIMEOUT", 0.5)
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.over.set()
        server.shutdown()
        thread.join()


SHAPES = {"images_background": (3, 2, 105, 105), "images_evaluation": (2, 2, 105, 105)}


@pytest.fixture
def omniglot(server: Server, monkeypatch: pytest.MonkeyPatch) -> dict[str, np.ndarray]:
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


def test_omniglot_is_fetched_once(omniglot: dict, server: Server, tmp_path: Path) -> None:
    """Red when the drawings are taken in the order of the file system, when paper and ink are swapped, when the
    archives are left behind, or when the file is not looked for before the network."""
    check(omniglot, tmp_path / "made" / "on the way")
    requests = len(server.requests)
    check(omniglot, tmp_path / "made" / "on the way")
    assert len(server.requests) == requests


@pytest.mark.parametrize("answer", [send_half, send_half_and_wait, send_other, send_error, hang_up, wait])
def test_a_bad_server_ends_in_one_way(omniglot: dict, server: Server, tmp_path: Path, answer: Answer) -> None:
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


def test_a_refused_connection(omniglot: dict, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_a_wrong_checksum(omniglot: dict, server: Server, tmp_path: Path) -> None:
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


def labelled(name: str, shape: tuple[int, ...], classes: int) -> tuple[Spec, dict[str, np.ndarray]]:
    rng = np.random.default_rng(1)
    images = {"x_train": (6, *shape), "x_test": (2, *shape)}
    labels = {"y_train": (6,), "y_test": (2,)}
    arrays = {key: rng.integers(0, 256, s).astype(np.uint8) for key, s in images.items()}
    arrays |= {key: rng.integers(0, classes, s).astype(np.uint8) for key, s in labels.items()}
    return Spec(name, {}, images, labels, classes), arrays


def test_mnist(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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
def test_cifar(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, classes: int, key: str
) -> None:
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
