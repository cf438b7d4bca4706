"""Continual learning: what is published, and what was measured.

A row is shown once the result of its run is under results/continual/; what is not run yet is named under the table.
"""

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.tables.claims import Claim, Claims
from benchmarks.tables.kinds import Table

FOLDER = Path(__file__).parents[2] / "results" / "continual"
METHODS = {"none": "finetuning", "si": "SI", "online_ewc": "Online EWC", "mas": "MAS"}
HEADS = {"linear": "", "dhp": ", with DHP-Softmax"}
POSTER = "poster of Thangarasa, Miconi, Taylor, AMTL at ICML 2019"
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
            "Plain finetuning reaches more than the published 0.9275 with inputs of mean 0 and deviation 1; with "
            "pixels from 0 to 1 it comes near it, between rates of 0.03 and 0.1. What was tried, and DHP-Softmax under "
            "what comes nearest. Raw pixels, 0 to 255, diverge at the published rate of 0.01.",
            ACCURACY,
            told("baseline", folder),
            folder,
        ),
        *_table(
            "SplitMNIST at a constant rate",
            "Why the default lets the rate fall within each task: without it a seed can end its last task on an "
            "upswing of the loss. That was seen on test images; the falling rate was then tried on validation images, "
            "with two seeds.",
            {"average accuracy": "average_accuracy", "each seed": "average_accuracy#"},
            told("constant", folder),
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
            "Imbalanced permuted MNIST: what was tried for Online EWC",
            "The strength of the balanced tasks, 100, holds back the shorter tasks of this one. Accuracy on training "
            "images held out, one seed.",
            BOTH,
            told("trial-imbalanced", folder),
            folder,
        ),
        *_table(
            "Permuted MNIST: synaptic intelligence at 2 x 2000",
            "The network and optimizer of the SI paper's program: Adam, batches of 256; published 0.9694 after 20 "
            "epochs a task at c = 0.1. Five epochs leave a shorter path and smaller importances, and tasks would end "
            "amid the noise of Adam's steps: so the rate falls within each task and c is larger, as chosen below.",
            BOTH,
            {"SI": "permuted-si-2000"},
            folder,
        ),
        *_table(
            "Permuted MNIST: synaptic intelligence at 2 x 2000, what was tried",
            "The first two or three tasks, accuracy on training images held out.",
            BOTH,
            told("trial-2000", folder),
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


# mean and ± in per cent after the last task, by benchmark, method, and without or with DHP-Softmax
POSTED: Mapping[str, Mapping[str, tuple[tuple[float, float], tuple[float, float]]]] = {
    "split": {
        "none": ((92.75, 0.55), (97.44, 0.42)),
        "si": ((97.18, 0.64), (99.11, 0.09)),
        "online_ewc": ((97.35, 0.44), (98.49, 0.20)),
        "mas": ((98.23, 0.13), (98.60, 0.33)),
    },
    "permuted": {
        "none": ((76.73, 0.67), (78.49, 0.29)),
        "si": ((84.72, 0.93), (85.20, 0.32)),
        "online_ewc": ((86.24, 0.70), (87.30, 0.50)),
        "mas": ((88.52, 0.50), (89.53, 0.65)),
    },
    "imbalanced": {
        "none": ((76.44, 0.99), (80.85, 0.65)),
        "si": ((85.92, 0.60), (85.39, 0.43)),
        "online_ewc": ((87.18, 0.36), (87.43, 0.34)),
        "mas": ((87.32, 0.29), (88.80, 0.52)),
    },
}
BENCHMARKS = {"split": "SplitMNIST", "permuted": "permuted MNIST", "imbalanced": "imbalanced permuted MNIST"}
NOT_RUN = "not run yet"
FINETUNING = (
    "a baseline to be met: plain descent at a rate chosen on validation data forgets less, or more, than the poster's"
)
SHORT = "at the published rate; 5 epochs a task, where at least 10 are published"
GAIN = "both sides have the same rate and strength here, chosen on validation data; what is left to gain is small"
ADDS = "here it adds, in each of the seeds"
TIE = "a tie, and also where finetuning is brought near the published figure: see the table of what was tried"


def claims(folder: Path) -> Claims:
    """Every cell of the poster's table, and what it says that plasticity adds."""
    rows: list[Claim] = []
    for benchmark, methods in POSTED.items():
        for reg, figures in methods.items():
            what = f"{BENCHMARKS[benchmark]}: {METHODS[reg]}"
            ours = {head: _answer(f"{benchmark}-{reg}-{head}", folder) for head in HEADS}
            for (head, more), (mean, spread) in zip(HEADS.items(), figures, strict=True):
                baseline = (reg, head) == ("none", "linear")
                rows.append(
                    Claim(
                        what + more,
                        f"{mean:.2f} ± {spread:.2f} %",
                        POSTER,
                        ((mean - spread) / 100, (mean + spread) / 100),
                        ours[head],
                        NOT_RUN if ours[head] is None else _note(benchmark, reg, head),
                        good="neither" if baseline else "high",
                    )
                )
            gain, both = figures[1][0] - figures[0][0], None not in ours.values()
            rows.append(
                Claim(
                    f"{what}, what DHP-Softmax adds",
                    f"{gain:+.2f} points",
                    POSTER,
                    (0, math.inf) if gain > 0 else (-math.inf, 0),
                    ours["dhp"] if both else None,
                    NOT_RUN
                    if not both
                    else TIE
                    if (benchmark, reg) == ("split", "none")
                    else GAIN
                    if gain > 0
                    else ADDS,
                    minus=ours["linear"] if both else None,
                )
            )
    return Claims(
        "Continual learning: published and measured",
        "Accuracy over all tasks after the last. The blog has other means for the same SplitMNIST runs: 0.9043 "
        "for finetuning, 0.9823 for DHP-Softmax. Hsu et al. 2018 (arXiv 1810.12488) have 0.9798 for plain finetuning.",
        tuple(rows),
    )


def _note(benchmark: str, reg: str, head: str) -> str:
    """What is to be said of a cell of the poster's table."""
    if reg != "none":
        return ""
    if head == "linear":
        return FINETUNING
    return "" if benchmark == "split" else SHORT


def _answer(name: str, folder: Path) -> str | None:
    return f"continual/{name}:average_accuracy" if (folder / f"{name}.json").exists() else None


CLAIMS = claims(FOLDER)
TABLES = tables(FOLDER)
