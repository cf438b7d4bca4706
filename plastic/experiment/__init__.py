"""What every command shares: options and presets, run folder, training loop, checkpoint and resume, statistics."""

from plastic.experiment import processes
from plastic.experiment.conduct import Outcome, Together, conduct, conduct_together
from plastic.experiment.machine import generator
from plastic.experiment.options import Diverged, Options, Presets, command, program, require
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
    "Together",
    "command",
    "conduct",
    "conduct_together",
    "estimate",
    "generator",
    "processes",
    "program",
    "require",
    "train",
]
