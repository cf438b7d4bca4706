"""Ctrl-C and SIGTERM as a flag that a training loop looks at between two updates."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Self


class Interrupted(Exception):
    """A signal ended the run, which can be resumed; ``signal`` is its number."""

    def __init__(self, signum: int, message: str) -> None:
        super().__init__(message)
        self.signal = signum


class Signals:
    """While the block runs, the first SIGINT or SIGTERM sets ``received``; a second one acts at once.

    Outside the main thread, where Python takes no handlers, nothing changes.
    """

    WATCHED = (signal.SIGINT, signal.SIGTERM)

    def __init__(self) -> None:
        self.received: int | None = None

    def __enter__(self) -> Self:
        self._main = threading.current_thread() is threading.main_thread()
        self._before = {s: signal.signal(s, self._note) for s in self.WATCHED} if self._main else {}
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._restore()

    def _note(self, signum: int, frame: FrameType | None) -> None:
        self.received = signum
        self._restore()

    def _restore(self) -> None:
        for signum, handler in self._before.items():
            signal.signal(signum, handler)
        self._before = {}


@contextmanager
def interruptible() -> Iterator[None]:
    """While the block runs, SIGTERM stops it where it stands, as Ctrl-C does; both leave it as Interrupted."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt(signum)  # passes every ``except Exception``

    main = threading.current_thread() is threading.main_thread()
    before = {s: signal.signal(s, stop) for s in Signals.WATCHED} if main else {}
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(error.args[0] if error.args else signal.SIGINT, "interrupted") from error
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
