"""A disk that can be filled, emptied and made read-only: a small tmpfs, for those who may mount one."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

MEGABYTES = 24


class Disk:
    """A mounted tmpfs."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def fill(self, leave: int) -> None:
        """Take all the space but ``leave`` bytes."""
        with (self.path / "ballast").open("wb", buffering=0) as file:
            try:
                while True:
                    file.write(bytes(65536))
            except OSError:
                pass
            file.truncate(max(0, file.tell() - leave))

    def empty(self) -> None:
        """Give the space back."""
        (self.path / "ballast").unlink()

    @contextmanager
    def read_only(self) -> Iterator[None]:
        """Nothing can be written while the block runs."""
        _mount(["-o", "remount,ro", str(self.path)])
        try:
            yield
        finally:
            _mount(["-o", "remount,rw", str(self.path)])


@contextmanager
def small_disk(path: Path) -> Iterator[Disk | None]:
    """One at ``path``; None where it cannot be mounted."""
    path.mkdir()
    try:
        _mount(["-t", "tmpfs", "-o", f"size={MEGABYTES}m", "tmpfs", str(path)])
    except (OSError, subprocess.CalledProcessError):
        yield None
        return
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


@contextmanager
def forbidden(folder: Path) -> Iterator[None]:
    """The folder may not be written while the block runs: for those whom permissions bind."""
    folders = [folder, *(path for path in folder.rglob("*") if path.is_dir())]
    try:
        for path in folders:
            path.chmod(0o555)
        yield
    finally:
        for path in folders:
            path.chmod(0o755)


def bound() -> bool:
    """Whether permissions bind this user."""
    return os.geteuid() != 0


def _mount(words: list[str]) -> None:
    subprocess.run(["mount", *words], check=True, capture_output=True)
