"""Recall: items are shown, then one of them again in part, and a recurrent network completes it.

What the patterns and the images of Miconi, Stanley, Clune 2018 (sections 4.1 to 4.3) have in common.
"""

from tasks.recall.learning import Trial, learn
from tasks.recall.networks import build
from tasks.recall.options import RecallOptions
from tasks.recall.schedule import Chance, Episode, Schedule, episode, orders

__all__ = ["Chance", "Episode", "RecallOptions", "Schedule", "Trial", "build", "episode", "learn", "orders"]
