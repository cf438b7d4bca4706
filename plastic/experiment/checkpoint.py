"""Checkpoints: written whole or not at all, loaded without running code."""

import io
import os
import zipfile
from collections.abc import Collection, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch

from plastic.errors import UserError

FORMAT = 1
# between a run and its resumption: where and how long it runs, and what the trained network is tested on besides
FREE_TO_CHANGE = ("max_seconds", "seeds", "device", "test_dataset", "test_mask")


def write_whole(path: Path, content: bytes) -> None:
    """Replace a file by one that is complete: temporary name, fsync, rename. UserError where the disk refuses."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with open(part, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        with suppress(OSError):  # where nothing can be written nothing can be removed
            part.unlink()
        kept = "; the previous one is intact" if path.exists() else ""
        raise UserError(f"could not write {path}: {error.strerror or error}{kept}") from error


def save(path: Path, content: Mapping[str, Any]) -> None:
    """Dicts, lists, tensors, numbers and strings only, so that ``weights_only=True`` loads them."""
    buffer = io.BytesIO()
    torch.save({"format": FORMAT, **content}, buffer)
    write_whole(path, buffer.getvalue())


def load(path: Path, task: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """The checkpoint at ``path``. UserError if it is damaged, foreign, or of another configuration."""
    content = read(path)
    check_same(path, task, config, content.get("task"), content.get("config"))
    return content


def read(path: Path) -> dict[str, Any]:
    """The checkpoint at ``path``, of whatever configuration. UserError if it is damaged or foreign."""
    remedy = "start again in another --out, or put back an intact copy"
    try:
        with zipfile.ZipFile(path) as archive:
            broken = archive.testzip()  # torch.load does not look at the checksums
        content = torch.load(path, map_location="cpu", weights_only=True) if broken is None else None
    except OSError as error:
        raise UserError(f"could not read the checkpoint {path}: {error.strerror or error}") from error
    except Exception as error:  # whatever zipfile and the unpickler say of bytes that are no checkpoint
        raise UserError(f"{path} is damaged or no checkpoint ({type(error).__name__}): {remedy}") from error
    if broken is not None:
        raise UserError(f"{path} is damaged (wrong checksum of {broken}): {remedy}")
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise UserError(f"{path} is not a checkpoint of this program: {remedy}")
    return content


def check_same(
    path: Path,
    task: str,
    config: Mapping[str, Any],
    found_task: Any,
    found: Any,
    free: Collection[str] = FREE_TO_CHANGE,
) -> None:
    """UserError that names the options, but for the ``free`` ones, in which the run at ``path`` differs."""
    if found_task != task or not isinstance(found, dict):
        raise UserError(f"{path} belongs to the task {found_task!r}, not {task!r}: choose another --out")
    names = sorted((set(config) | set(found)) - set(free))
    differing = [name for name in names if config.get(name) != found.get(name)]
    if differing:
        details = ", ".join(f"{name} is {found.get(name)!r} there and {config.get(name)!r} here" for name in differing)
        raise UserError(
            f"{path} was made with another configuration: {details}; give the same options or another --out"
        )
