"""Continual learning: what is published, and what was measured.

A row is shown once the result of its run is under results/continual/; what is not run yet is named under the table.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.tables.kinds import Published, Table

FOLDER = Path(__file__).parents[2] / "results" / "continual"
METHODS = {"none": "finetuning", "si": "SI", "online_ewc": "Online EWC", "mas": "MAS"}
HEADS = {"linear": "", "dhp": ", with DHP-Softmax"}
POSTER = "poster of Thangarasa, Miconi, Taylor (AMTL at ICML 2019)"
ACCURACY = {"average accuracy": "average_accuracy"}
BOTH = {**ACCURACY, "forgetting": "forgetting"}
UNSAID = ("--preset default", "--seeds", "--seed", "--dataset", "--device", "--data-dir", "--out", "--max-seconds")


def _read(name: str, folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / f"{name}.json").read_text())
    return found


def _row(name: str, columns: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(f"continual/{name}:{metric}" for metric in columns.values())


def _table(title: str, text: str, columns: Mapping[str, str], runs: Mapping[str, str], folder: Path) -> list[Table]:
    """One table of the ``runs`` (label to file) that are there, or none; the text ends with those that are not."""
    there = {label: name for label, name in runs.items() if (folder / f"{name}.json").exists()}
    missing = [label for label in runs if label not in there]
    more = f" Not run yet: {'; '.join(missing)}." if missing else ""
    rows = {label: _row(name, columns) for label, name in there.items()}
    return [Table(title, text + more, tuple(columns), rows, counted="updates")] if rows else []


def paired(benchmark: str, folder: Path) -> dict[str, str]:
    """A row for each method and read-out; those with DHP say how they differ from those without, seed by seed."""
    path = folder / f"{benchmark}-pairs.json"
    pairs = _read(path.stem, folder)["pairs"] if path.exists() else []
    found = {pair["name"].rpartition(": ")[2]: pair for pair in reversed(pairs)}
    rows = {}
    for reg, method in METHODS.items():
        for head, label in HEADS.items():
            difference = _difference(found[reg]) if head == "dhp" and reg in found else ""
            rows[method + label + difference] = f"{benchmark}-{reg}-{head}"
    return rows


def _difference(pair: Mapping[str, Any]) -> str:
    """A gain in points of per cent, the half of its interval, and the verdict of the test."""
    half = "" if pair["ci95"] is None else f" ± {100 * pair['ci95']:.2f}"
    p = "" if pair["p"] is None else f", p = {pair['p']:.1g}"
    return f" ({100 * pair['gain']:+.2f}{half} points{p}: {pair['verdict']})"


def told(stem: str, folder: Path) -> dict[str, str]:
    """A row for each file STEM-*.json, called what its command says beside the defaults."""
    rows = {}
    for path in sorted(folder.glob(f"{stem}-*.json")):
        result = _read(path.stem, folder)
        rows[f"`{_said(result['command'])}`"] = path.stem
    return rows


def _said(command: str) -> str:
    """The options of a command but those that every row shares: of "python -m x --seeds 3 --lr 1", "--lr 1"."""
    groups: list[list[str]] = []
    for word in shlex.split(command)[3:]:
        if word.startswith("--") or not groups:
            groups.append([])
        groups[-1].append(word)
    said = [" ".join(group) for group in groups if group[0] not in UNSAID and " ".join(group) not in UNSAID]
    return " ".join(said) or "the default"


def _figure(benchmark: str, folder: Path) -> str:
    drawn = (folder / f"{benchmark}.png").exists()
    return f" [Accuracy after each task](results/continual/{benchmark}.png)." if drawn else ""


def _analysis(folder: Path) -> str:
    there = (folder / "analysis" / "tables.md").exists()
    return (
        " What synaptic intelligence measures: [claim by claim](results/continual/analysis/tables.md)." if there else ""
    )


def tables(folder: Path) -> Sequence[Table]:
    """All tables of which a result is there."""
    against = (
        " In brackets: what DHP-Softmax adds to the row above it, in points, paired over seeds, with 95% interval, a "
        "two-sided t-test and its verdict at 0.05."
    )
    return (
        *_table(
            "SplitMNIST",
            "Five pairs of digits one after another, the task known, 2 x 256 units, batches of 64, SGD, 10 epochs a "
            "task; accuracy over all tasks after the last, a fraction. The rate and the strengths were chosen on "
            "training images held out; the published ones are those of `--preset paper`. Seeds side by side; seconds "
            "are a share of the whole." + against + _figure("split", folder),
            BOTH,
            paired("split", folder),
            folder,
        ),
        *_table(
            "SplitMNIST: the published finetuning baseline",
            "Plain finetuning reaches more than the published 92.75, which leaves less to gain. What was tried to come "
            "near it, and what DHP-Softmax adds where it does.",
            ACCURACY,
            told("baseline", folder),
            folder,
        ),
        *_table(
            "SplitMNIST: what the papers leave open",
            "Where eta and alpha start (the papers: no additional hyperparameters); plasticity in every layer; the "
            "network's own answers in place of labels; one epoch a task.",
            BOTH,
            told("open", folder),
            folder,
        ),
        *_table(
            "SplitMNIST, class by class",
            "The task is not known, all ten units compete, and nothing is replayed. Settings chosen on training images "
            "held out. `--head memory` counts class statistics over random features, without gradients: it is no "
            "DHP-Softmax, but shows what a read-out that only accumulates can do.",
            ACCURACY,
            told("class", folder),
            folder,
        ),
        *_table(
            "Permuted MNIST",
            "Ten tasks of all digits, in each with the pixels in another order; tasks share ten units; 2 x 400 units, "
            "batches of 64, SGD, 5 epochs a task (published: at least 10)."
            + against
            + _figure("permuted", folder)
            + _analysis(folder),
            BOTH,
            paired("permuted", folder),
            folder,
        ),
        *_table(
            "Imbalanced permuted MNIST",
            "The same, with a share between 0.1 and 1 of each digit in each task's training images; the published "
            "benchmark does not state its shares." + against + _figure("imbalanced", folder),
            BOTH,
            paired("imbalanced", folder),
            folder,
        ),
        *_table(
            "Permuted MNIST: synaptic intelligence at 2 x 2000",
            "The program of the SI paper: Adam, batches of 256, 20 epochs a task; published 0.9694.",
            BOTH,
            {"SI": "permuted-si-2000"},
            folder,
        ),
        *_table(
            "Split CIFAR-10",
            "Two halves of five classes, the network of four convolutions, Adam, 10 epochs a task (published: 60). "
            "From scratch: a fresh network for each task. CIFAR-100 is not at hand; its rows stay open.",
            {**ACCURACY, "on training images": "train_accuracy"},
            {"finetuning": "cifar-none", "SI": "cifar-si", "from scratch": "cifar-scratch"},
            folder,
        ),
    )


PUBLISHED = (
    Published(
        "SplitMNIST: what is published",
        "Mean accuracy over the five tasks after the last, task scenario, in per cent. The blog's figure has other "
        "means for the same runs: 90.43 for finetuning, 98.23 for DHP-Softmax.",
        ("method", "without", "with DHP-Softmax", "source"),
        (
            ("finetuning", "92.75 ± 0.55", "97.44 ± 0.42", POSTER),
            ("SI", "97.18 ± 0.64", "99.11 ± 0.09", "the same"),
            ("Online EWC", "97.35 ± 0.44", "98.49 ± 0.20", "the same"),
            ("MAS", "98.23 ± 0.13", "98.60 ± 0.33", "the same"),
            ("finetuning, plain SGD", "97.98 ± 0.09", "none", "Hsu et al. 2018 (arXiv 1810.12488)"),
        ),
    ),
    Published(
        "Permuted MNIST: what is published",
        "Mean accuracy over ten tasks after the last, in per cent; balanced, then imbalanced.",
        ("method", "without", "with DHP-Softmax", "imbalanced", "imbalanced, with DHP-Softmax", "source"),
        (
            ("finetuning", "76.73 ± 0.67", "78.49 ± 0.29", "76.44 ± 0.99", "80.85 ± 0.65", POSTER),
            ("SI", "84.72 ± 0.93", "85.20 ± 0.32", "85.92 ± 0.60", "85.39 ± 0.43", "the same"),
            ("Online EWC", "86.24 ± 0.70", "87.30 ± 0.50", "87.18 ± 0.36", "87.43 ± 0.34", "the same"),
            ("MAS", "88.52 ± 0.50", "89.53 ± 0.65", "87.32 ± 0.29", "88.80 ± 0.52", "the same"),
            ("SI, 2 x 2000", "96.94", "none", "none", "none", "published run of Zenke, Poole, Ganguli 2017"),
        ),
    ),
)
TABLES = tables(FOLDER)
