"""The run folder: what a run was told, what it saw, and what came out.

``config.json``, ``env.json``, ``metrics.jsonl``, TensorBoard events, ``checkpoint.pt``, ``figures/*.png`` and, written
last, ``result.json``.
"""

import io
import json
import logging
import os
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import torch
from matplotlib.figure import Figure
from torch import Tensor

from plastic.errors import UserError
from plastic.experiment import checkpoint, hyperparameters, processes
from plastic.experiment.machine import describe_backend, environment
from plastic.experiment.options import Options

History = list[dict[str, float]]  # the lines of metrics.jsonl


class Run:
    """One seed's folder. Use as a context manager; everything written in it survives what happens after.

    Where several processes share the run, all of them call its methods, and the first one does what they say.

    Args:
        folder: is made; one that holds a run already is refused unless ``config.resume``.
        task: name of the task in results.
        config: the options of this run.
        device: where it computes, for ``env.json``.
    """

    def __init__(self, folder: Path, task: str, config: Options, device: torch.device) -> None:
        self.folder, self.task, self.config, self.device = folder, task, config, device
        self._events: Any = None
        self.restored: dict[str, Any] | None = self._claim()

    @processes.by_first
    def _claim(self) -> dict[str, Any] | None:
        """Take the folder; the checkpoint that is to be resumed."""
        described = self.folder / "config.json"
        with writing(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            held = described.exists()
        if not self.config.resume:
            refuse_taken(self.folder)
        if held:
            found = read_json(described)
            checkpoint.check_same(described, self.task, self.config.identity(), found.get("task"), found.get("config"))
        else:
            self._describe({})
        saved = self.checkpoint_path.exists()
        restored = checkpoint.load(self.checkpoint_path, self.task, self.config.identity()) if saved else None
        remove_parts(self.folder)
        self._environment = environment(self.device)
        write_json(self.folder / "env.json", self._environment)
        self._logged = restored["logged"] if restored else 0
        self._rewind(self._logged)
        return restored

    @property
    def checkpoint_path(self) -> Path:
        return self.folder / "checkpoint.pt"

    def describe(self, **facts: Any) -> None:
        """Write config.json: the options, and what the task wants known beside them (its class split, say).

        UserError where the checkpoint that the run resumes was made with other facts, or a process finds others than
        the first one.
        """
        first = self._described(facts)
        if differing := [name for name, value in facts.items() if value != first.get(name)]:
            raise UserError(f"this process found another {differing[0]} than the first one: give all the same data")

    @processes.by_first
    def _described(self, facts: dict[str, Any]) -> dict[str, Any]:
        made_with = facts if self.restored is None else self.restored
        for name, value in facts.items():
            if (found := made_with.get(name)) != value:
                details = f" ({found!r}, not {value!r})" if isinstance(value, str) else ""
                raise UserError(
                    f"{self.checkpoint_path} was made with another {name}{details}: "
                    "go on with the same data, or choose another --out"
                )
        self._describe(facts)
        return facts

    def _describe(self, facts: Mapping[str, Any]) -> None:
        write_json(self.folder / "config.json", {"task": self.task, "config": self.config.identity(), **facts})

    def _rewind(self, episodes: int) -> None:
        """Forget what was logged after these: the run is about to log it again."""
        path = self.folder / "metrics.jsonl"
        with writing(path):
            lines = path.read_text(errors="replace").splitlines() if path.exists() else []
        kept = [line for line in lines if _episodes_of(line) <= episodes]
        checkpoint.write_whole(path, "".join(line + "\n" for line in kept).encode())

    def __enter__(self) -> Self:
        self._open()
        return self

    @processes.by_first
    def _open(self) -> None:
        with writing(self.folder):
            self._events = _event_writer(self.folder, purge_step=self._logged + 1 if self.restored else 0)
            if not self.restored:
                rows = [f"| {name} | {value} |" for name, value in self.config.identity().items()]
                self._events.add_text("config", "\n".join(["| option | value |", "|---|---|", *rows]))
                self._events.file_writer.add_summary(hyperparameters.begun(self.folder, self.task, self.config))

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._events is None:  # another process than the first
            return
        try:
            self._events.close()
        except OSError:
            if kind is None:  # do not hide why the block failed
                raise UserError(f"could not write the TensorBoard events in {self.folder}: the disk refuses") from None
        backend = describe_backend(self.device)  # since the run began, it was built or could not be
        if kind is None and backend != self._environment["backend"]:
            write_json(self.folder / "env.json", {**self._environment, "backend": backend})

    @processes.by_first
    def log(self, episodes: int, scalars: Mapping[str, float]) -> None:
        """One line of metrics.jsonl and TensorBoard scalars; names are grouped ``train/ eval/ plasticity/ time/``."""
        path = self.folder / "metrics.jsonl"
        with writing(path), path.open("a") as file:
            file.write(json.dumps({"episodes": episodes, **scalars}) + "\n")
            file.flush()
            os.fsync(file.fileno())  # a checkpoint that outlives the power counts on its log
        with writing(self.folder):
            for name, value in scalars.items():
                self._events.add_scalar(name, value, episodes)

    @processes.by_first
    def figure(self, name: str, figure: Figure, episodes: int) -> None:
        """A figure as ``figures/<name>.png`` and in TensorBoard."""
        _draw(self.folder, self._events, name, figure, episodes)

    @processes.by_first
    def conclude(self, metrics: Mapping[str, float], episodes: int) -> None:
        """What came out, for TensorBoard: scalars ``result/<name>``, and that the run has ended."""
        with writing(self.folder):
            for name, value in metrics.items():
                self._events.add_scalar(f"result/{name}", value, episodes)
            self._events.file_writer.add_summary(hyperparameters.ended(), episodes)

    @processes.by_first
    def images(self, name: str, images: Tensor, episodes: int) -> None:
        """Images (K, H, W) in [0, 1] side by side in TensorBoard."""
        with writing(self.folder):
            self._events.add_images(name, images.unsqueeze(1), episodes)

    @processes.by_first
    def film(self, name: str, gif: bytes, episodes: int) -> None:
        """A moving picture (GIF) as ``figures/<name>.gif`` and among TensorBoard's images."""
        _show(self.folder, self._events, f"{name}.gif", gif, struct.unpack("<HH", gif[6:10]), episodes)

    @processes.by_first
    def history(self) -> History:
        """All that was logged, in order."""
        return read_history(self.folder)

    @processes.by_first
    def save(self, content: Mapping[str, Any]) -> None:
        """The checkpoint, replaced whole."""
        with writing(self.folder):
            self._events.flush()
        checkpoint.save(self.checkpoint_path, {"task": self.task, "config": self.config.identity(), **content})


def read_history(folder: Path) -> History:
    """All that the run in a folder logged, in order."""
    path = folder / "metrics.jsonl"
    with writing(path):
        lines = path.read_text(errors="replace").splitlines()
    try:
        return [json.loads(line) for line in lines]
    except ValueError as error:
        raise UserError(f"{path} is damaged ({error}): put back an intact copy, or start again elsewhere") from error


def read_histories(folder: Path, name: str) -> list[History]:
    """What each seed of a run, or the one seed, logged of a scalar; UserError if that is nothing for one of them."""
    places = sorted(folder.glob("seed-*"), key=lambda place: int(place.name.removeprefix("seed-"))) or [folder]
    logged = [read_history(place) if (place / "metrics.jsonl").exists() else [] for place in places]
    found = [[row for row in rows if name in row] for rows in logged]
    if not all(found):
        raise UserError(f"{folder}: no {name} was logged there, or not for each seed; train longer, or leave it out")
    return found


def draw_apart(folder: Path, figures: Mapping[str, Figure], episodes: int) -> None:
    """Figures of several runs, in the folder that holds them: as ``figures/<name>.png`` and in TensorBoard."""
    with writing(folder), _event_writer(folder, purge_step=0) as events:
        for name, figure in figures.items():
            _draw(folder, events, name, figure, episodes)


def _draw(folder: Path, events: Any, name: str, figure: Figure, episodes: int) -> None:
    drawn = io.BytesIO()
    figure.savefig(drawn, format="png", dpi=120)
    png = drawn.getvalue()
    _show(folder, events, f"{name}.png", png, struct.unpack(">II", png[16:24]), episodes)


def _show(folder: Path, events: Any, file: str, encoded: bytes, size: tuple[int, ...], episodes: int) -> None:
    """A picture that is drawn once, for its file and for TensorBoard; ``size``, width and height, is in its header."""
    from tensorboard.compat.proto.summary_pb2 import Summary

    path = folder / "figures" / file
    with writing(path):
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(encoded)
    image = Summary.Image(width=size[0], height=size[1], colorspace=4, encoded_image_string=encoded)
    with writing(folder):
        events.file_writer.add_summary(Summary(value=[Summary.Value(tag=path.stem, image=image)]), episodes)


def _event_writer(folder: Path, purge_step: int) -> Any:
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    from torch.utils.tensorboard import SummaryWriter  # a second of imports, only for a run that starts

    _quiet_writer_thread()
    return SummaryWriter(str(folder), purge_step=purge_step)


def remove_parts(folder: Path) -> None:
    """Remove what a kill left half-written."""
    with writing(folder):
        for part in folder.glob(".*.part"):
            part.unlink()


def refuse_taken(folder: Path) -> None:
    """UserError if the folder holds a run: nothing is ever overwritten."""
    with writing(folder):
        taken = any((folder / name).exists() for name in ("config.json", "checkpoint.pt", "result.json"))
    if taken:
        raise UserError(f"{folder} holds a run: choose another --out, or add --resume to go on with it")


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What the file system refuses becomes one sentence."""
    try:
        yield
    except OSError as error:
        raise UserError(f"could not write {path}: {error.strerror or error}") from error


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    checkpoint.write_whole(path, (json.dumps(content, indent=1) + "\n").encode())


def read_json(path: Path) -> dict[str, Any]:
    """A JSON object from a file; UserError if it is none."""
    try:
        content = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged or unreadable ({error}): choose another --out") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} is not what a run writes: choose another --out")
    return content


@cache
def _quiet_writer_thread() -> None:
    """TensorBoard's thread tells of a full disk twice: to whoever writes next, which is enough, and as a traceback."""
    before = threading.excepthook

    def hook(failure: threading.ExceptHookArgs) -> None:
        ours = type(failure.thread).__module__.startswith("tensorboard.")
        if not (ours and isinstance(failure.exc_value, OSError)):
            before(failure)

    threading.excepthook = hook


def _episodes_of(line: str) -> float:
    """Where a line of metrics.jsonl belongs; one that a kill cut short belongs nowhere."""
    try:
        return float(json.loads(line)["episodes"])
    except (ValueError, KeyError, TypeError):
        return float("inf")
