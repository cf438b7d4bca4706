"""The agents' commands on lives that take a moment.

As a program: ``tiny_agents.py maze|cue OPTIONS``; PAUSE=s in the environment makes an update take s seconds more, so
that a signal can meet it, and nothing is drawn.
"""

import os
import sys
import time
from typing import Any

import agents.cue_a2c as cue
import agents.maze_a2c as maze
from agents import learning
from plastic.experiment import command

SHORT: dict[str, Any] = {
    "device": "cpu",
    "units": 6,
    "batch": 2,
    "episodes": 12,
    "eval_every": 4,
    "test_episodes": 6,
}
MAZE: dict[str, Any] = {**SHORT, "size": 3, "length": 12}
CUE: dict[str, Any] = {**SHORT, "length": 12}

if __name__ == "__main__":
    task = {"maze": maze, "cue": cue}[sys.argv.pop(1)]
    task.draw_figures = lambda *arguments: None
    look_back, pause = learning.look_back, float(os.environ.get("PAUSE", 0))
    learning.look_back = lambda *arguments: (time.sleep(pause), look_back(*arguments))[1]
    command(task.Config, task.main)
