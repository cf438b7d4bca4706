"""The documentation is code that runs, commands that parse, links that lead somewhere, and names that exist."""

import importlib
import json
import re
import shlex
import statistics
from functools import cache
from pathlib import Path

import pytest
import torch
import tyro

from continual.learning import summary
from plastic.experiment import sweep
from plastic.experiment.grid import conditions
from plastic.experiment.options import Options, parse

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
READ = [*PAGES, ROOT / "README.md", ROOT / "plastic" / "README.md"]
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)

named = pytest.mark.parametrize("page", PAGES, ids=lambda path: path.stem)
read = pytest.mark.parametrize("page", READ, ids=lambda path: "-".join(path.relative_to(ROOT).with_suffix("").parts))


def blocks(page: Path, language: str) -> list[str]:
    return [code for kind, code in FENCED.findall(page.read_text()) if kind == language]


def inline(page: Path) -> list[str]:
    """What stands between backticks in the text."""
    return re.findall(r"`([^`\n]+)`", FENCED.sub("", page.read_text()))


def commands(page: Path) -> list[list[str]]:
    """The words after ``python -m`` of every command of the page."""
    lines = [line for code in blocks(page, "") for line in code.splitlines()] + inline(page)
    words = [shlex.split(line, comments=True)[2:] for line in lines if line.startswith("python -m")]
    return [[word for word in command if word != "--help"] for command in words]


def understood(module: str, words: list[str]) -> None:
    """UserError, or tyro's SystemExit, where the program would end with status 2."""
    found = importlib.import_module(module)
    if found is sweep:
        cut = words.index("--")
        tyro.cli(sweep.Arguments, args=words[:cut])
        conditions([words[cut + 1 :]])
    elif hasattr(found, "Arguments"):
        tyro.cli(found.Arguments, args=words)
    else:
        parse(found.Config, words).validate()


@cache
def results(folder: str) -> set[str]:
    """The metrics of every committed result of a suite."""
    paths = (ROOT / "results" / folder).glob("*.json")
    return {name for path in paths for name in json.loads(path.read_text()).get("metrics", {})}


def anchors(page: Path) -> set[str]:
    """What a link to a heading may be called."""
    titles = re.findall(r"^#+ (.*)$", FENCED.sub("", page.read_text()), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@named
def test_python_blocks_run_in_order(page):
    """Red when a block calls what is not there (``memory.recall``), or needs a later one."""
    names = {"__name__": "docs"}
    for block in blocks(page, "python"):
        exec(compile(block, str(page), "exec"), names)
    if page.stem == "tutorial":  # red when the model cannot learn (lr=0), or the plain one can (alpha="neuron")
        assert names["learned"] > 0.9
        assert max(names["before"], names["plain"]) < 0.35
        assert names["state"].trace.shape == (4, 20, 20)


@read
def test_commands_are_understood(page):
    """Red when a command names a module, an option or a value that is not there (``--models rnn``)."""
    for module, *words in commands(page):
        understood(module, words)


@named
def test_options_in_the_text_are_those_of_its_commands(page):
    """Red when the text speaks of an option that none of the page's commands has (``--cycle``)."""
    modules = {importlib.import_module(module) for module, *_ in commands(page)}
    classes = [m.Config for m in modules if isinstance(getattr(m, "Config", None), type)]
    classes += [m.Arguments for m in modules if m is sweep]
    for code in inline(page):
        if code.startswith("--"):
            assert any(accepted(config, code) for config in classes), code


def accepted(config: type[Options] | type[sweep.Arguments], code: str) -> bool:
    option, *values = shlex.split(code)
    if not values or config is sweep.Arguments:
        return option.removeprefix("--").removeprefix("no-").replace("-", "_") in config.__dataclass_fields__
    try:
        parse(config, [option, *values])
    except SystemExit:
        return False
    return True


@named
def test_names_in_the_text_exist(page):
    """Red when a function or class is named that is not there (``plastic.rules.Ojas``)."""
    for code in inline(page):
        if re.fullmatch(r"(plastic|tasks|agents|continual)(\.\w+)+", code):
            module, _, name = code.rpartition(".")
            assert hasattr(importlib.import_module(module), name) or importlib.import_module(code), code


@read
def test_links_lead_somewhere(page):
    """Red when a file or a heading that is linked to is not there (``RESULTS.md#mazes``)."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if not target.startswith("http"):
            path, _, anchor = target.partition("#")
            there = page.parent / path if path else page
            assert there.exists(), target
            assert not anchor or anchor in anchors(there), target


@pytest.mark.parametrize(
    ("page", "measured"),
    [
        ("patterns-and-images", lambda: results("patterns") | results("images")),
        ("omniglot", lambda: results("omniglot")),
        ("agents", lambda: results("maze") | results("cue")),
        (
            "continual",
            lambda: {*summary(torch.rand(1, 4, 3), importlib.import_module("continual.splitmnist").Config())},
        ),
    ],
)
def test_every_metric_is_explained(page, measured):
    """Red when a result has a metric that its page leaves out, or the page one that no result has."""
    table = re.findall(r"^\| `(\w+)` \|", (ROOT / "docs" / f"{page}.md").read_text(), re.MULTILINE)
    plain = {name for name in measured() if "@" not in name and "_at_" not in name}
    plain -= {name for name in plain if re.match("baseline_(psnr|ssim)", name)}
    assert set(table) - {"train_accuracy"} == plain


@pytest.mark.parametrize(
    ("page", "command", "run"),
    [
        ("patterns-and-images", "tasks.patterns", "patterns/full"),
        ("patterns-and-images", "tasks.images", "images/full"),
        ("omniglot", "tasks.omniglot --seeds 3", "omniglot/default-5w1s"),
        ("omniglot", "tasks.omniglot --preset quick", "omniglot/quick-5w1s"),
        ("agents", "agents.maze_a2c", "maze/plastic"),
    ],
)
def test_minutes_are_those_of_the_result(page, command, run):
    """Red when a page promises another time than was measured (``about 2 minutes``), or other cores."""
    result = json.loads((ROOT / "results" / f"{run}.json").read_text())
    (line,) = re.findall(rf"^python -m {command} +# (.*)$", (ROOT / "docs" / f"{page}.md").read_text(), re.MULTILINE)
    minutes, cores = re.search(r"about (\d+) minutes? a seed on (\w+) core", line).groups()
    assert int(minutes) == round(statistics.fmean(result["seconds_per_seed"]) / 60)
    assert result["machine"].startswith({"one": "1 core", "two": "2 cores"}[cores])
