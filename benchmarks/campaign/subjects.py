"""The commands under test, so small that a run takes a moment, and what each of them reads."""

from collections.abc import Mapping
from typing import NamedTuple


class Subject(NamedTuple):
    """A command."""

    words: str
    """options that make it small"""
    data: Mapping[str, str] = {}
    """options with which it reads a packed data set; the first are those of its runs"""
    reads: str = ""
    """an option with which it reads the checkpoint of another run"""
    checkpoints: bool = True
    """whether it keeps any; without them a run starts again"""


RECALL = "--cycles 1 --presentation 3 --gap 1 --test-steps 2 --batch 2 --test-episodes 10 --episodes 12 --eval-every 6"
AGENT = "--units 6 --batch 2 --length 12 --episodes 12 --eval-every 6 --test-episodes 6"
CONTINUAL = "--batch 16 --importance-examples 50 --seeds 2"
SUBJECTS = {
    "tasks.patterns": Subject(f"{RECALL} --bits 10 --patterns 2 --milestones 6 --seeds 2"),
    "tasks.images": Subject(
        f"{RECALL} --size 6 --pictures 2 --brief 6 --milestones 6 --test-mask random",
        {name: f"--dataset {name}" for name in ("mnist", "cifar10", "cifar100", "svhn", "omniglot")},
    ),
    "tasks.omniglot": Subject(
        "--episodes 12 --eval-every 6 --test-episodes 10 --train-ways 6 --queries 12 --widths 4 4 4 8 --turns 2",
        {"omniglot": "--dataset omniglot", "mnist": "--dataset omniglot --test-dataset mnist"},
        "--trained",
    ),
    "agents.maze_a2c": Subject(f"{AGENT} --size 3", reads="--watch"),
    "agents.cue_a2c": Subject(AGENT, reads="--watch"),
    "continual.splitmnist": Subject(
        f"{CONTINUAL} --epochs 2 --hidden 8 --tasks 5 --reg si --head dhp --optimizer adam",
        {"mnist": "--dataset mnist"},
    ),
    "continual.permutedmnist": Subject(
        f"{CONTINUAL} --epochs 2 --hidden 8 --tasks 3 --reg online_ewc", {"mnist": "--dataset mnist"}
    ),
    "continual.splitcifar": Subject(
        f"{CONTINUAL} --epochs 2 --widths 2 3 8 --tasks 2 --reg mas",
        {"cifar10": "--dataset real", "cifar100": "--dataset real --benchmark cifar100"},
    ),
    "continual.analysis": Subject(
        "--claims paths importances trace --hidden 8 8 --examples 80 --steps 6 --walked 40 --tasks 2 --epochs 1",
        {"mnist": "--dataset mnist"},
        checkpoints=False,
    ),
    "plastic.experiment.sweep": Subject(
        f"python -m tasks.patterns {RECALL} --bits 10 --patterns 2 --device cpu --rule hebb,oja", checkpoints=False
    ),
}
