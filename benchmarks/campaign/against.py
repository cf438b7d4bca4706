"""Every kind of fault against one command. After each, --resume has to end in the bits of an undisturbed run."""

import os
import random
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.campaign import damage
from benchmarks.campaign.attempts import SWEEP, End, Ended, attempt
from benchmarks.campaign.data import damages
from benchmarks.campaign.disks import bound, forbidden, small_disk
from benchmarks.campaign.left import difference, digest, left_by
from benchmarks.campaign.subjects import Subject
from plastic.errors import UserError

ENDED_BY = {signal.SIGKILL: (-signal.SIGKILL,), signal.SIGTERM: (128 + signal.SIGTERM, -signal.SIGTERM)}
KILLS = {signal.SIGKILL: "kill -9", signal.SIGTERM: "SIGTERM"}
DAMAGES = (damage.flip, damage.overwrite, damage.truncate)


class Lost(Exception):
    """A fault that was not survived."""


class Campaign:
    """Faults against one command, and what became of them.

    Args:
        place: an empty folder for its runs.
        data: the small packed data sets.
        seed: of the moments and places of the faults.
    """

    def __init__(self, module: str, subject: Subject, place: Path, data: Path, seed: int) -> None:
        self.module, self.subject, self.place, self.data = module, subject, place, data
        self.chance = random.Random(f"{module} {seed}")
        self.tried: Counter[str] = Counter()
        self.survived: Counter[str] = Counter()
        self.lost: list[str] = []
        self._folders = 0
        started = time.monotonic()
        self.undisturbed = self.fresh()
        ended = self.run(self.undisturbed)
        if ended.status != 0:
            raise UserError(f"{module} does not run at all, even left alone: {ended.err.strip()[-500:]}")
        self.writes, self.seconds = ended.writes, time.monotonic() - started
        self.expected = left_by(self.undisturbed)

    def fresh(self) -> Path:
        """A folder that is not there yet."""
        self._folders += 1
        return self.place / f"run-{self._folders}"

    def run(
        self,
        folder: Path,
        resume: bool = False,
        end: End | None = None,
        room: int | None = None,
        options: str | None = None,
        data: Path | None = None,
    ) -> Ended:
        """The command, from the beginning or on."""
        words = self.subject.words.split()
        if self.module == SWEEP:
            return attempt(SWEEP, ["--out", str(folder), "--jobs", "1", "--gpus", "0", "--", *words], folder, end)
        words += (next(iter(self.subject.data.values()), "") if options is None else options).split()
        words += ["--device", "cpu", "--out", str(folder), "--data-dir", str(data or self.data)]
        return attempt(self.module, [*words, "--resume"] if resume else words, folder, end, room)

    @contextmanager
    def facing(self, *kinds: str) -> Iterator[None]:
        """Count these faults as survived unless the block raises Lost."""
        self.tried.update(kinds)
        try:
            yield
        except Lost as loss:
            self.lost.append(f"{self.module}: {', '.join(kinds)}: {loss}")
        else:
            self.survived.update(kinds)

    def finish(self, folder: Path) -> None:
        """Resume without a fault, and compare."""
        ended = self.run(folder, resume=True)
        if ended.status != 0:
            raise Lost(f"resumed, it ended with status {ended.status}: {ended.err.strip()[-500:]}")
        self.compare(folder)

    def compare(self, folder: Path) -> None:
        if (found := difference(left_by(folder), self.expected)) is not None:
            raise Lost(f"it ended in other bits: {found}")
        shutil.rmtree(folder)

    def kill(self, count: int) -> None:
        """End it that often, half of the time before it writes something, else by the clock; resume; again."""
        while (done := self.tried["kill -9"] + self.tried["SIGTERM"]) < count:
            folder, ends = self.fresh(), list[End]()
            ended = self._killed(folder, ends, count - done)
            with self.facing(*(KILLS[signal.Signals(end.signum)] for end in ends)):
                told = "; ".join(map(str, ends))
                if isinstance(ended, str):
                    raise Lost(f"{told}: {ended}")
                try:
                    self.finish(folder)
                except Lost as loss:
                    raise Lost(f"{told}: {loss}") from loss

    def _killed(self, folder: Path, ends: list[End], most: int) -> str | None:
        """Run and resume until it is done or has been ended so often; what was wrong with the way it ended."""
        while len(ends) < most:
            signum = self.chance.choice([signal.SIGKILL, signal.SIGTERM])
            at_write = self.chance.random() < 0.5 and self.module != SWEEP  # what a sweep starts has no hook
            write, seconds = self.chance.randint(1, self.writes), self.chance.uniform(0, self.seconds)
            end = End(signum, write=write) if at_write else End(signum, seconds=seconds)
            ended = self.run(folder, resume=bool(ends), end=end)
            if ended.status == 0:
                return None
            ends.append(end)
            if ended.status not in ENDED_BY[signum]:
                return f"it ended with status {ended.status}: {ended.err.strip()[-500:]}"
            if ended.status > 0 and not _one_line(ended.err, "interrupted"):
                return f"it said {ended.err!r}"
        return None

    def fill_disk(self, count: int) -> None:
        """A disk with too little room, or where none can be mounted, a limit on the size of files."""
        sizes = [path.stat().st_size for path in self.undisturbed.rglob("*") if path.is_file()]
        with small_disk(self.place / "disk") as disk:
            for _ in range(count):
                with self.facing("full disk"):
                    if disk is None:
                        folder, room = self.fresh(), self.chance.randrange(max(sizes))
                        self.refused(self.run(folder, room=room), or_done=True)
                    else:
                        folder = disk.path / "run"
                        disk.fill(leave=self.chance.randrange(sum(sizes)))
                        self.refused(self.run(folder), or_done=True)
                        disk.empty()
                    self.finish(folder)
            if disk is not None:
                shutil.rmtree(disk.path / "run", ignore_errors=True)
            for _ in range(count if disk is not None or bound() else 0):
                with self.facing("read-only folder"):
                    folder = (self.place if disk is None else disk.path) / "read-only"
                    folder.mkdir()
                    run = folder / "run"
                    self.run(run, end=End(signal.SIGKILL, write=self.chance.randint(1, self.writes)))
                    before = digest(run)
                    with forbidden(folder) if disk is None else disk.read_only():
                        self.refused(self.run(run, resume=True))
                        self.refused(self.run(folder / "other"))
                    if digest(run) != before:
                        raise Lost("a folder that cannot be written has changed")
                    self.finish(run)
                    folder.rmdir()

    def refused(self, ended: Ended, or_done: bool = False) -> None:
        """Status 2 and one sentence."""
        if or_done and ended.status == 0:
            return
        if ended.status != 2 or not _one_line(ended.err, "error: "):
            raise Lost(f"status {ended.status}, and it said {ended.err.strip()[-500:]!r}")

    def begun(self) -> Path:
        """A run that was killed with a checkpoint and no result."""
        while True:
            folder = self.fresh()
            self.run(folder, end=End(signal.SIGKILL, write=self.chance.randint(self.writes // 3, self.writes)))
            if list(_unfinished(folder)):
                return folder

    def damage_checkpoint(self, count: int) -> None:
        """Bytes that change or go: refused, or harmless."""
        begun = self.begun()
        for number in range(count):
            for change in DAMAGES:
                with self.facing("damaged checkpoint"):
                    folder = shutil.copytree(begun, self.fresh())
                    (path,) = _unfinished(folder)
                    intact = path.read_bytes()
                    what = change(path, self.chance)
                    self._read(folder, what, intact, resume_after=number == 0)

    def _read(self, folder: Path, what: str, intact: bytes, resume_after: bool) -> None:
        """Resume on a damaged checkpoint: nothing is touched, and with the intact one back all goes on."""
        before = digest(folder)
        ended = self.run(folder, resume=True)
        try:
            if ended.status == 0:
                return self.compare(folder)
            self.refused(ended)
            if digest(folder) != before:
                raise Lost("it refused, but changed the folder")
            if resume_after:
                next(_unfinished(folder)).write_bytes(intact)
                return self.finish(folder)
        except Lost as loss:
            raise Lost(f"{what}: {loss}") from loss
        return shutil.rmtree(folder)

    def trap_checkpoint(self) -> None:
        """A checkpoint that would run code: refused, and the code does not run."""
        begun, sprung = self.begun(), self.place / "sprung"
        (path,) = _unfinished(begun)
        options = next(iter(self.subject.data.values()), "")
        reading = f"{options} {self.subject.reads} {path.parent}"
        ways: list[Callable[[], Ended]] = [lambda: self.run(begun, resume=True)]
        ways += [lambda: self.run(self.fresh(), options=reading)] if self.subject.reads else []
        for what, content in damage.of_strangers(path, sprung).items():
            path.write_bytes(content)
            for way in ways:
                with self.facing("checkpoint of a stranger"):
                    try:
                        self.refused(way())
                    except Lost as loss:
                        raise Lost(f"{what}: {loss}") from loss
                    if sprung.exists():
                        sprung.rmdir()
                        raise Lost(f"{what}: its code was run")

    def damage_data(self) -> None:
        """Packed files that are wrong in every way."""
        for name, options in self.subject.data.items():
            for what, change in damages(name).items():
                with self.facing("damaged data"):
                    data = self.place / "data"
                    data.mkdir()
                    for whole in self.data.iterdir():
                        if whole.stem == name:
                            shutil.copy(whole, data)
                        else:
                            (data / whole.name).symlink_to(whole)
                    change(data / f"{name}.npz")
                    try:
                        self.refused(self.run(self.fresh(), options=options, data=data))
                        if (data / "sprung").exists():
                            raise Lost("its code was run")
                    except Lost as loss:
                        raise Lost(f"{name}.npz, {what}: {loss}") from loss
                    finally:
                        shutil.rmtree(data)

    def whole(self, kills: int, others: int) -> dict[str, Any]:
        """All of it: for each kind of fault how many were tried and survived."""
        started = time.monotonic()
        self.kill(kills)
        if self.module != SWEEP:
            self.fill_disk(others)
            self.damage_data()
        if self.subject.checkpoints:
            self.damage_checkpoint(others)
            self.trap_checkpoint()
        faults = {kind: {"tried": n, "survived": self.survived[kind]} for kind, n in sorted(self.tried.items())}
        return {"faults": faults, "seconds": round(time.monotonic() - started, 1)}


def _unfinished(folder: Path) -> Iterator[Path]:
    """Checkpoints without a result."""
    found = sorted(folder.rglob("checkpoint.pt"))
    return (path for path in found if not (path.parent / "result.json").exists() and os.path.getsize(path))


def _one_line(text: str, beginning: str) -> bool:
    """Whether that is all that was said, warnings left out."""
    lines = [line for line in text.splitlines() if not line.startswith("warning: ")]
    return len(lines) == 1 and lines[0].startswith(beginning)
