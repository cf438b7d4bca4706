"""A command with choices in it, and what it stands for: conditions, and the cells that a sweep runs for each.

A word with commas is a list of choices. A choice is a word, several, or none:

    python -m tasks.omniglot --rule hebb,oja --alpha full,shared       four conditions
    python -m tasks.omniglot "--rule hebb --eta 0.01,--rule oja"       two: options that change together
    python -m continual.splitmnist --hidden "256 256,400"              two: an option of several values
    python -m continual.splitmnist ,--joint                            two: without a switch, and with it
    python -m tasks.patterns,tasks.images                              two commands

Commas rather than braces, because a shell leaves them alone: bash makes ``--rule hebb oja`` of ``--rule {hebb,oja}``
before any program sees it. A comma that belongs to a value is written ``\\,`` (and quoted, for the shell's sake).
"""

import importlib
import itertools
import re
import shlex
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

from plastic.errors import UserError
from plastic.experiment.options import Options, parse, require
from plastic.experiment.run import read_json

Marked = tuple[str, bool]  # a word, and whether it is a choice


class Condition(NamedTuple):
    """One combination of the choices."""

    name: str
    """the command's last name and what was chosen, such as omniglot_rule=hebb_alpha=full"""
    config: Options
    """as the command reads its words"""

    @property
    def together(self) -> bool:
        """One process does all of it: there is one seed, or the command trains its seeds side by side."""
        return self.config.seeds == 1 or self.config.SEEDS_TOGETHER

    def cells(self, out: Path) -> list["Cell"]:
        """A cell for each seed, where ``conduct`` would put it, then the one that makes one result of theirs."""
        whole = replace(self.config, out=out / self.name, resume=True)
        if self.together:
            return [Cell(self.name, whole)]
        seeds = [
            Cell(f"{self.name}/seed-{seed}", replace(whole, seed=seed, seeds=1, out=out / self.name / f"seed-{seed}"))
            for seed in range(whole.seed, whole.seed + whole.seeds)
        ]
        return [*seeds, Cell(f"{self.name} ({whole.seeds} seeds)", whole, tuple(seeds))]


@dataclass(frozen=True)
class Cell:
    """One process of a sweep: a seed, several side by side, or the aggregation of those it comes ``after``."""

    name: str
    config: Options
    after: tuple["Cell", ...] = ()

    @property
    def folder(self) -> Path:
        assert self.config.out is not None
        return self.config.out

    @property
    def words(self) -> list[str]:
        """The command line; with --resume, which begins where nothing was begun."""
        places = ["--out", str(self.folder), "--resume"]
        if self.config.data_dir is not None:
            places += ["--data-dir", str(self.config.data_dir)]
        return [sys.executable, *shlex.split(self.config.command())[1:], *places]

    def result(self) -> dict[str, Any] | None:
        """What the finished cell found; None for one to be run, as a seed is missing or younger than the whole."""
        path = self.folder / "result.json"
        if not path.exists() or any(cell.result() is None for cell in self.after):
            return None
        written = path.stat().st_mtime_ns
        if any((cell.folder / "result.json").stat().st_mtime_ns > written for cell in self.after):
            return None
        found = read_json(path)
        wanted = list(range(self.config.seed, self.config.seed + self.config.seeds))
        return found if found.get("seeds") == wanted else None


def conditions(commands: Sequence[Sequence[str]]) -> list[Condition]:
    """Every combination of the choices in each command.

    UserError for a command that is none of ours, or two conditions of one name; a bad option ends the program as it
    ends the command, with tyro's message and status 2.
    """
    found = [_condition(words) for command in commands for words in _combinations(command)]
    names = [condition.name for condition in found]
    for name in names:
        require(
            names.count(name) == 1,
            f"two conditions are both called {name}: write what differs as choices, --option this,that",
        )
    return found


def _combinations(command: Sequence[str]) -> Iterator[list[Marked]]:
    split = [part for word in command for part in _apart(word)]
    for chosen in itertools.product(*map(_choices, split)):
        yield [word for words in chosen for word in words]


def _apart(word: str) -> list[str]:
    """``--rule=hebb,oja`` as two words, so that both choices are of the rule."""
    option, equals, values = word.partition("=")
    whole = re.fullmatch(r"--[\w-]+", option) and equals and ",--" not in values
    return [option, values] if whole else [word]


def _choices(word: str) -> list[list[Marked]]:
    choices = re.split(r"(?<!\\),", word)
    if len(choices) == 1:
        return [[(word.replace("\\,", ","), False)]]
    try:
        return [[(part, True) for part in shlex.split(choice)] for choice in choices]
    except ValueError as error:
        raise UserError(f"could not read the choices {word!r}: {str(error).lower()}") from error


def _condition(words: Sequence[Marked]) -> Condition:
    plain = [word for word, _ in words]
    python = len(plain) >= 3 and Path(plain[0]).name.startswith("python") and plain[1] == "-m"
    require(python, f"expected a command such as python -m tasks.omniglot --rule hebb,oja, got {shlex.join(plain)!r}")
    config = parse(_config_class(plain[2]), plain[3:])
    require(not config.resume and config.out is None, f"{plain[2]}: the sweep itself gives --out and --resume")
    config.validate()
    return Condition("_".join([plain[2].rpartition(".")[2], *_chosen(words[3:])]), config)


def _config_class(module: str) -> type[Options]:
    try:
        config_class: Any = getattr(importlib.import_module(module), "Config", None)
    except (ImportError, TypeError, ValueError) as error:
        raise UserError(f"could not import {module}: {error}") from error
    if isinstance(config_class, type) and issubclass(config_class, Options):
        return config_class
    raise UserError(f"python -m {module} is no command that can be swept: its Config is no plastic.experiment.Options")


def _chosen(words: Sequence[Marked]) -> Iterator[str]:
    """``rule=hebb`` for each option in which something was chosen, fit for the name of a folder."""
    options: list[list[Marked]] = []
    for word, varies in words:
        if word.startswith("--") or not options:
            options.append([])
        options[-1].append((word.removeprefix("--"), varies))
    for option in options:
        if any(varies for _, varies in option):
            name, *values = (re.sub(r"[^\w.+-]", "-", word) for word, _ in option)
            yield "=".join([name, "-".join(values)] if values else [name])
