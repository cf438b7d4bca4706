"""What every command shares: options and presets, run folder, training loop, checkpoint and resume, statistics."""

from plastic.experiment.conduct import Outcome, conduct
from plastic.experiment.machine import generator
from plastic.experiment.options import Diverged, Options, Presets, command, require
from plastic.experiment.run import History, Run
from plastic.experiment.signals import Interrupted
from plastic.experiment.statistics import Estimate, estimate
from plastic.experiment.training import Progress, Stateful, train

__all__ = [
    "Diverged",
    "Estimate",
    "History",
    "Interrupted",
    "Options",
    "Outcome",
    "Presets",
    "Progress",
    "Run",
    "Stateful",
    "command",
    "conduct",
    "estimate",
    "generator",
    "require",
    "train",
]
