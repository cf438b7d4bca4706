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

from continual.networks import MLP
from continual.permutedmnist import Config as PermutedConfig
from continual.scenarios import permuted
from continual.studies import Study
from continual.studies.costs import costs
from continual.studies.importances import across_tasks, fisher_and_importance, learned
from continual.studies.paths import path_integral
from continual.studies.pictures import hessian, trace_update, two_tasks
from plastic.data import load_labelled
from plastic.experiment import Estimate, Options, Outcome, Presets, Run, command, conduct, require
from plastic.experiment.checkpoint import write_whole
from plastic.experiment.run import read_json

CLAIMS = ("paths", "importances", "hessian", "two_tasks", "trace", "costs", "generalisation")
Claim = Literal["paths", "importances", "hessian", "two_tasks", "trace", "costs", "generalisation"]
TITLES = {
    "path_integral": "The sum over the path against the true drop of the loss",
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
        "quick": {"hidden": (100, 100), "examples": 1000, "steps": 60, "flow_steps": 60, "tasks": 3, "updates": 5},
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
    steps: int = 300
    """steps of SGD and Adam along the path"""
    flow_steps: int = 100
    """steps on all examples at once, for gradient flow"""
    batch: int = 64
    """examples of a step"""
    tasks: int = 5
    """permuted tasks for the correlations"""
    epochs: int = 2
    """passes over each of them"""
    strength: float = 0.1
    """c of the runs with a penalty"""
    updates: int = 20
    """timed updates of each regularizer"""
    splitcifar: tuple[Path, ...] = ()
    """folders of finished runs of continual.splitcifar, to set side by side"""

    def validate(self) -> None:
        super().validate()
        for name in ("examples", "steps", "flow_steps", "batch", "epochs", "updates"):
            value = getattr(self, name)
            require(value >= 1, f"--{name.replace('_', '-')}: expected at least 1, got {value}")
        require(self.tasks >= 2, f"--tasks: expected at least 2, got {self.tasks}")
        require(self.strength > 0, f"--strength: expected more than 0, got {self.strength}")
        require(
            len(self.hidden) > 0 and min(self.hidden) >= 1, f"--hidden: expected at least 1 unit, got {self.hidden}"
        )
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
        return [path_integral(self.images, self.labels, c.hidden, c.steps, c.batch, c.seed, c.flow_steps)]

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


def generalisation(folders: Sequence[Path]) -> Study:
    """Runs of continual.splitcifar side by side: finetuning, SI, and a fresh network for each task."""
    rows: list[dict[str, str | float]] = []
    for folder in folders:
        result = read_json(folder / "result.json")
        require(result.get("task") == "splitcifar", f"{folder} is no run of continual.splitcifar: choose another")
        given, metrics = result["config"], result["metrics"]
        way = "from scratch" if given["scratch"] else "finetuning" if given["reg"] == "none" else given["reg"]
        matrix = torch.tensor(result["accuracy_matrix"], dtype=torch.double).mean(0)
        rows.append(
            {
                "method": f"{way}, {given['head']} head",
                "dataset": str(result["dataset"]),
                "epochs": float(given["epochs"]),
                "training accuracy": float(metrics["train_accuracy"]["mean"]),
                "test accuracy": float(metrics["average_accuracy"]["mean"]),
                **{f"task {j + 1}": float(matrix[-1, j]) for j in range(matrix.shape[1])},
            }
        )
    figure = Figure(figsize=(1.5 + 1.6 * len(rows), 3.6), layout="constrained")
    axes = figure.subplots()
    at = range(len(rows))
    for shift, column in ((-0.2, "training accuracy"), (0.2, "test accuracy")):
        axes.bar([i + shift for i in at], [float(row[column]) for row in rows], width=0.4, label=column)
    axes.set_xticks(at, [str(row["method"]) for row in rows], fontsize=8)
    axes.set(ylabel="mean over tasks", title="Split CIFAR")
    axes.legend(fontsize=8)
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
        lines += [f"## {TITLES[figure_name]}", "", study.markdown(), ""]
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
