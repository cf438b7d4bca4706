"""What the talk on synaptic intelligence claims (Zenke, Poole, Ganguli, ICML 2017), claim by claim.

    python -m continual.analysis

Each study leaves a figure and a table; ``tables.md`` in the run folder has them all.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from matplotlib.figure import Figure

from continual.compare import read
from continual.mlp import require_units
from continual.networks import MLP
from continual.permutedmnist import Config as PermutedConfig
from continual.scenarios import permuted
from continual.studies import Row, Study
from continual.studies.biases import bias
from continual.studies.costs import costs
from continual.studies.importances import across_tasks, fisher_and_importance, learned
from continual.studies.paths import RATES, correction, path_integral, walk
from continual.studies.pictures import hessian, trace_update, two_tasks
from plastic.data import load_labelled
from plastic.experiment import Estimate, Options, Outcome, Presets, Run, command, conduct, require
from plastic.experiment.checkpoint import write_whole

CLAIMS = ("paths", "importances", "hessian", "two_tasks", "trace", "costs", "generalisation")
Claim = Literal["paths", "importances", "hessian", "two_tasks", "trace", "costs", "generalisation"]
TITLES = {
    "path_integral": "The sum over the path against the true drop of the loss",
    "correction": "One factor for each optimizer",
    "bias": "What sharing the minibatch adds, and the estimate with an independent one",
    "fisher": "Importance and the Fisher diagonal, layer by layer",
    "tasks": "Importance in one task and in another, layer by layer",
    "hessian": "Importance on a quadratic",
    "two_tasks": "Two tasks in two dimensions",
    "trace_update": "One update of the trace",
    "costs": "What each regularizer adds",
    "generalisation": "Training and test accuracy on Split CIFAR",
}


@dataclass(frozen=True, kw_only=True)
class Config(Options):
    """Analyses of synaptic intelligence: a figure and a table for each claim."""

    MODULE: ClassVar[str] = "continual.analysis"
    PRESETS: ClassVar[Presets] = {
        "quick": {"hidden": (100, 100), "examples": 1000, "steps": 60, "tasks": 3, "updates": 5},
        "default": {},
    }

    preset: Literal["quick", "default"] = "default"
    """quick: a small network and few steps"""
    dataset: Literal["auto", "mnist", "digits"] = "auto"
    """auto: MNIST, and generated digits where it cannot be had"""
    claims: tuple[Claim, ...] = ("paths", "importances", "hessian", "two_tasks", "trace", "costs")
    """which to look at; generalisation reads the runs of --splitcifar"""
    hidden: tuple[int, ...] = (2000, 2000)
    """units of the hidden layers; the talk: 2 x 2000"""
    examples: int = 5_000
    """training images"""
    steps: int = 400
    """steps along a path"""
    walked: int = 1_000
    """training images of the paths; gradient flow takes all of them in each step"""
    batch: int = 64
    """examples of a step of SGD and Adam"""
    tasks: int = 5
    """permuted tasks for the correlations"""
    epochs: int = 2
    """passes over each of them"""
    strength: float = 0.1
    """c of the runs with a penalty"""
    updates: int = 20
    """timed updates of each regularizer"""
    splitcifar: tuple[Path, ...] = ()
    """finished runs of continual.splitcifar, to set side by side: their folders, or their result.json"""

    def validate(self) -> None:
        super().validate()
        for name in ("examples", "steps", "walked", "batch", "epochs", "updates"):
            value = getattr(self, name)
            require(value >= 1, f"--{name.replace('_', '-')}: expected at least 1, got {value}")
        require(self.tasks >= 2, f"--tasks: expected at least 2, got {self.tasks}")
        require(self.strength > 0, f"--strength: expected more than 0, got {self.strength}")
        require_units(self.hidden)
        wanted = "generalisation" in self.claims
        require(wanted == bool(self.splitcifar), "--claims generalisation and --splitcifar RUN ... go together")

    def identity(self) -> dict[str, Any]:
        return {**super().identity(), "splitcifar": [str(path) for path in self.splitcifar]}


class Laboratory:
    """The examples that all studies share, and one method for each claim."""

    def __init__(self, config: Config, device: torch.device) -> None:
        self.config, self.device = config, device
        source = load_labelled(config.dataset, config.data_dir)
        n = config.examples
        self.source = replace(source, train=source.train[:n], train_labels=source.train_labels[:n])
        self.images = self.source.train.flatten(1).float().div(255).to(device)
        self.labels = self.source.train_labels.to(device)
        self.stream = permuted(self.source, config.tasks, "domain", "unit", False, device, [config.seed])
        self.options = PermutedConfig(
            seed=config.seed,
            tasks=config.tasks,
            hidden=config.hidden,
            epochs=config.epochs,
            batch=config.batch,
            reg="si",
            strength=config.strength,
            optimizer="adam",
            lr=1e-3,
            reset_optimizer=False,
            importance_examples=min(1000, n),
        )

    def paths(self) -> list[Study]:
        c = self.config
        images, labels = self.images[: c.walked], self.labels[: c.walked]
        walks = [walk(name, images, labels, c.hidden, c.steps, lr, c.batch, c.seed) for name, lr in RATES.items()]
        return [path_integral(walks), correction(walks), bias(walks[1:], images, labels, self.options.xi)]

    def importances(self) -> list[Study]:
        ways = (self.options, replace(self.options, strength=0.0))
        (si, diagonal), (free, _) = (learned(way, self.stream, self.config.hidden, self.device) for way in ways)
        return [fisher_and_importance(si, diagonal), across_tasks(si, free)]

    def hessian(self) -> list[Study]:
        return [hessian()]

    def two_tasks(self) -> list[Study]:
        return [two_tasks()]

    def trace(self) -> list[Study]:
        """Activity of a random hidden layer on two batches; the second lacks all but three classes."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(self.config.seed)
            layer = MLP((self.images.shape[1], 64), 10, 1)
            first = self.images[:64].cpu()
            some = self.images[self.labels.cpu() < 3][:64].cpu()
            labels = torch.cat([self.labels[:64].cpu(), self.labels[self.labels < 3][:64].cpu()])
            activity = layer.hidden[0](torch.cat([first, some])[None]).relu()[0].detach()
            return [trace_update(activity, labels, 10)]

    def costs(self) -> list[Study]:
        return [costs(self.options, self.stream, self.config.hidden, self.device, self.config.updates)]

    def generalisation(self) -> list[Study]:
        return [generalisation(self.config.splitcifar)]


def generalisation(runs: Sequence[Path]) -> Study:
    """Runs of continual.splitcifar side by side: finetuning, SI, and a fresh network for each task."""
    rows: list[Row] = []
    for run in runs:
        result = read(run)
        require(result.get("task") == "splitcifar", f"{run} is no run of continual.splitcifar: choose another")
        given, metrics = result["config"], result["metrics"]
        way = "from scratch" if given["scratch"] else "finetuning" if given["reg"] == "none" else given["reg"]
        matrix = torch.tensor(result["accuracy_matrix"], dtype=torch.double).mean(0)
        # a fresh network knows its own task only
        end = matrix[1:].diagonal() if given["scratch"] else matrix[-1]
        rows.append(
            {
                "method": f"{way}, {given['head']} head",
                "dataset": str(result["dataset"]),
                "epochs": float(given["epochs"]),
                "training accuracy": float(metrics["train_accuracy"]["mean"]),
                "test accuracy": float(metrics["average_accuracy"]["mean"]),
                **{f"task {j + 1}": float(accuracy) for j, accuracy in enumerate(end)},
            }
        )
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    means, tasks = figure.subplots(1, 2, sharey=True)
    columns = {means: ["training accuracy", "test accuracy"], tasks: [name for name in rows[0] if name[:5] == "task "]}
    width = 0.8 / len(rows)
    for axes, shown in columns.items():
        for i, row in enumerate(rows):
            at = [j + (i - (len(rows) - 1) / 2) * width for j in range(len(shown))]
            bars = axes.bar(at, [float(row[name]) for name in shown], width=width, label=str(row["method"]))
            axes.bar_label(bars, fmt="%.3f", fontsize=7)
        axes.set_xticks(range(len(shown)), shown)
        axes.grid(alpha=0.3, axis="y")
    means.set(ylabel="accuracy", title=f"{rows[0]['dataset']}: means over the tasks", ylim=(0, 1.2))
    tasks.set(title="test accuracy of each task after all")
    means.legend(fontsize=8, ncols=2, loc="upper left")
    return Study({"generalisation": figure}, rows)


def experiment(config: Config, run: Run) -> Outcome:
    """Every claim that is asked for; numbers of the tables are the metrics."""
    started = time.monotonic()
    laboratory = Laboratory(config, run.device)
    name = laboratory.source.name
    run.describe(dataset=name)
    found: list[Study] = [study for claim in CLAIMS if claim in config.claims for study in getattr(laboratory, claim)()]
    lines, metrics = [f"# Synaptic intelligence on {name}", ""], {}
    for study in found:
        ((figure_name, figure),) = study.figures.items()
        run.figure(figure_name, figure, 0)
        title = TITLES[figure_name]
        lines += [f"## {title}", "", study.markdown(), "", f"![{title}](figures/{figure_name}.png)", ""]
        for row in study.table:
            subject = " ".join(value for value in row.values() if isinstance(value, str))
            for column, value in row.items():
                if not isinstance(value, str):
                    words = f"{figure_name} {subject} {column}".replace(",", "").replace("/", "over")
                    metrics["_".join(words.split())] = Estimate(value, float("nan"))
    write_whole(run.folder / "tables.md", "\n".join(lines).encode())
    print("\n".join(lines), flush=True)
    return Outcome(name, 0, time.monotonic() - started, metrics)


def main(config: Config) -> dict[str, Any]:
    """Run the studies; returns what result.json holds."""
    return conduct(config, "analysis", experiment)


if __name__ == "__main__":
    command(Config, main)
