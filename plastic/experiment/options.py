"""Options that every command shares, presets, and the command line.

A command's ``Config`` is one flat frozen dataclass that extends ``Options`` and lists its presets:

    @dataclass(frozen=True, kw_only=True)
    class Config(Options):
        MODULE: ClassVar[str] = "tasks.example"
        PRESETS: ClassVar[Presets] = {"quick": {"episodes": 100}, "default": {}}
        episodes: int = 1000
        '''training episodes'''
"""

import math
import shlex
import sys
import types
import warnings
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, ClassVar, Literal, NoReturn, Self, TypeVar, get_args, get_origin, get_type_hints

import tyro

from plastic.errors import UserError
from plastic.experiment import processes
from plastic.experiment.signals import Interrupted, interruptible

Presets = dict[str, dict[str, Any]]
C = TypeVar("C", bound="Options")

PLACES = ("out", "data_dir", "resume")  # where a run lives and what it reads; not what it is


class Diverged(Exception):
    """The loss is no longer a finite number. Exit status 3."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What every command understands."""

    MODULE: ClassVar[str]
    """what ``python -m`` runs"""
    PRESETS: ClassVar[Presets] = {"default": {}}
    SEEDS_TOGETHER: ClassVar[bool] = False
    """seeds train side by side in one folder (``conduct_together``)"""
    SHARED: ClassVar[bool] = False
    """torchrun's processes share every update (``plastic.experiment.processes``)"""

    preset: str = "default"
    """named settings; an option given beside it wins"""
    seed: int = 0
    """the first seed; one seed fixes initial weights, episodes and evaluation"""
    seeds: int = 1
    """number of seeds, run one after another and aggregated"""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """auto: a GPU where there is one"""
    out: Path | None = None
    """run folder; none: runs/<task>/<time>-seed<seed>"""
    data_dir: Path | None = None
    """folder of the packed data sets; none: $PLASTIC_DATA, then ~/.cache/plastic"""
    resume: bool = False
    """go on from the last checkpoint in --out"""
    max_seconds: float | None = None
    """stop training a seed cleanly after this many seconds, then evaluate and write the result"""

    @classmethod
    def from_preset(cls, name: str = "default", **given: Any) -> Self:
        """The configuration of a preset; what is ``given`` wins. UserError for an unknown preset or option."""
        if name not in cls.PRESETS:
            raise UserError(f"unknown preset {name!r}: expected one of {', '.join(cls.PRESETS)}")
        known = {field.name for field in fields(cls)}
        for option in given:
            if option not in known:
                raise UserError(f"unknown option {option!r}: expected one of {', '.join(sorted(known))}")
        return cls(**{**cls.PRESETS[name], "preset": name, **given})

    def validate(self) -> None:
        """UserError for an option that makes no sense; a command extends it with its own."""
        if not self.SHARED:
            processes.require_one(f"python -m {self.MODULE}")
        require(self.preset in self.PRESETS, f"--preset: expected one of {', '.join(self.PRESETS)}, got {self.preset}")
        for name, words in _choices(type(self)).items():
            value = getattr(self, name)
            for word in value if isinstance(value, tuple) else (value,):
                listed = ", ".join(map(str, words))
                require(word in words, f"--{name.replace('_', '-')}: expected one of {listed}, got {word}")
        require(0 <= self.seed < 2**63, f"--seed: expected 0 to {2**63 - 1}, got {self.seed}")
        require(self.seeds >= 1, f"--seeds: expected at least 1, got {self.seeds}")
        for name, value in self.identity().items():
            finite = not isinstance(value, float) or math.isfinite(value)
            require(finite, f"--{name.replace('_', '-')}: expected a finite number, got {value}")
        positive = self.max_seconds is None or self.max_seconds > 0
        require(positive, f"--max-seconds: expected more than 0, got {self.max_seconds}")
        require(
            not self.resume or self.out is not None,
            "--resume needs --out DIR, the folder of the run that is to go on",
        )

    def identity(self) -> dict[str, Any]:
        """The options that make a run what it is, as plain JSON values."""
        return {name: _plain(value) for name, value in asdict(self).items() if name not in PLACES}

    def command(self) -> str:
        """The command line that gives this configuration: the preset, and every option that differs from it."""
        words = ["python", "-m", self.MODULE, "--preset", self.preset]
        standard = type(self).from_preset(self.preset).identity()
        for name, value in self.identity().items():
            if value == standard[name]:
                continue
            option = name.replace("_", "-")
            if isinstance(value, bool):
                words.append(f"--{option}" if value else f"--no-{option}")
            else:
                words += [f"--{option}", *map(str, value if isinstance(value, list) else [value])]
        return shlex.join(words)


def _choices(config_class: type[Options]) -> dict[str, tuple[Any, ...]]:
    """The words that each option may be, or consist of, where its annotation lists them."""

    def words(hint: Any) -> tuple[Any, ...]:
        parts = get_args(hint)
        if get_origin(hint) is Literal:
            return parts
        inner = [words(part) for part in parts if part is not types.NoneType]
        return (*(word for found in inner for word in found), *([None] if types.NoneType in parts else []))

    found = {name: words(hint) for name, hint in get_type_hints(config_class).items()}
    return {name: listed for name, listed in found.items() if set(listed) - {None}}


def _plain(value: Any) -> Any:
    """As JSON has it."""
    return list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value


def require(condition: bool, message: str) -> None:
    """UserError unless the condition holds."""
    if not condition:
        raise UserError(message)


def parse(config_class: type[C], arguments: Sequence[str]) -> C:
    """Read the command line; the values of ``--preset`` are the defaults that the help shows."""
    preset = "default"
    for i, argument in enumerate(arguments):
        if argument == "--preset" and i + 1 < len(arguments):
            preset = arguments[i + 1]
        elif argument.startswith("--preset="):
            preset = argument.removeprefix("--preset=")
    default = config_class.from_preset(preset if preset in config_class.PRESETS else "default")
    return tyro.cli(config_class, args=list(arguments), default=default, prog=f"python -m {config_class.MODULE}")


def command(config_class: type[C], main: Callable[[C], object]) -> NoReturn:
    """Run ``main`` as a program on the command line's configuration."""
    program(lambda: main(parse(config_class, sys.argv[1:])))


def program(main: Callable[[], object]) -> NoReturn:
    """Run ``main`` and exit: 0 done, 2 what the user can mend, 3 diverged, 130 or 143 interrupted."""
    speaks = processes.speaks()
    warnings.formatwarning = lambda message, *_, **__: (
        f"warning: {message}\n" * speaks
    )  # for people, not for programmers
    try:
        with interruptible():
            main()
    except UserError as error:  # whichever process finds it says it
        sys.exit(_failed(f"error: {error}" * (not isinstance(error, processes.Told)), 2))
    except Diverged as error:
        sys.exit(_failed(f"error: {error}" * speaks, 3))
    except Interrupted as stop:
        sys.exit(_failed(str(stop) * speaks, 128 + stop.signal))
    sys.exit(0)


def _failed(message: str, status: int) -> int:
    if message:
        print(message, file=sys.stderr)
    return status
