"""What is done to a checkpoint: bytes that change or go, and files of strangers that would run code."""

import io
import os
import pickle
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch


def flip(path: Path, chance: random.Random) -> str:
    """One bit somewhere."""
    content = bytearray(path.read_bytes())
    at, bit = chance.randrange(len(content)), chance.randrange(8)
    content[at] ^= 1 << bit
    path.write_bytes(content)
    return f"bit {bit} of byte {at} of {len(content)} flipped"


def overwrite(path: Path, chance: random.Random) -> str:
    """Up to 64 bytes somewhere, as a bad sector would."""
    content = bytearray(path.read_bytes())
    at, count = chance.randrange(len(content)), chance.randint(1, 64)
    content[at : at + count] = chance.randbytes(len(content[at : at + count]))
    path.write_bytes(content)
    return f"{count} bytes at {at} of {len(content)} overwritten"


def truncate(path: Path, chance: random.Random) -> str:
    """The end is missing, or all of it."""
    length = path.stat().st_size
    kept = chance.randrange(length)
    path.write_bytes(path.read_bytes()[:kept])
    return f"cut to {kept} of {length} bytes"


class _Payload:
    """What a pickle makes of it is a call that makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str]]:
        return os.mkdir, (str(self.path),)


def _torch_file(content: Any, old: bool = False) -> bytes:
    buffer = io.BytesIO()
    torch.save(content, buffer, _use_new_zipfile_serialization=not old)
    return buffer.getvalue()


def of_strangers(path: Path, sprung: Path) -> dict[str, bytes]:
    """Checkpoints that would make the folder ``sprung``: bare, in torch's old and new format, and inside a true one."""
    payload = _Payload(sprung)
    true = torch.load(path, weights_only=True)
    return {
        "a pickle": pickle.dumps(payload),
        "torch's format": _torch_file(payload),
        "torch's old format": _torch_file({**true, "payload": payload}, old=True),
        "beside true parts": _torch_file({**true, "payload": payload}),
        "in place of a part": _torch_file({**true, "parts": payload}),
        "as the format": _torch_file({**true, "format": payload}),
    }
