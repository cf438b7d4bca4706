"""Several processes that share a run, as torchrun starts them; they meet at a store of the test's own.

As a script, one of them, in float64 and without figures: ``shared.py patterns|images|omniglot|maze|cue OPTIONS``. With
GRADIENT=path in the environment, the gradients of the first update go there.
"""

import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from processes import Ended, Process
from torch import Tensor
from torch.distributed import TCPStore


class Shared:
    """``python <script> <arguments>`` as ``count`` processes; ``alone[n]`` is environment of process n only."""

    def __init__(
        self,
        script: str,
        arguments: Iterable[object],
        folder: Path,
        count: int = 2,
        alone: dict[int, dict[str, str]] | None = None,
        **environ: str,
    ) -> None:
        self._store = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)  # on a port that was free
        meet = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(self._store.port), "WORLD_SIZE": str(count)}
        meet |= {"TORCHELASTIC_USE_AGENT_STORE": "True", "TORCHELASTIC_RESTART_COUNT": "0"}
        self.processes = []
        for number in range(count):
            told = {**meet, "RANK": str(number), "LOCAL_RANK": str(number), **environ, **(alone or {}).get(number, {})}
            self.processes.append(Process(script, list(map(str, arguments)), folder, **told))

    def ended(self) -> list[Ended]:
        """Wait for all of them."""
        return [process.ended() for process in self.processes]


def _noting(averaged: Any, path: str) -> Any:
    """``processes.averaged`` that keeps what it makes of the first gradients."""

    def noting(parameters: Iterable[Tensor], *arguments: Any) -> dict[str, Tensor]:
        parameters = list(parameters)
        scalars = averaged(parameters, *arguments)
        if processes.first() and not os.path.exists(path):
            torch.save([parameter.grad for parameter in parameters], path)
        return scalars

    return noting


if __name__ == "__main__":
    import tiny_omniglot
    import tiny_recall

    from agents import cue_a2c as cue
    from agents import maze_a2c as maze
    from plastic.experiment import Run, command, processes
    from tasks import images, omniglot, patterns

    tiny_recall.blurs(), tiny_omniglot.blots()  # are kept
    torch.set_default_dtype(torch.float64)
    Tensor.float = Tensor.double
    images.load_pictures, omniglot.load_characters = tiny_recall.load_pictures, tiny_omniglot.load_characters
    tasks = {"cue": cue, "images": images, "maze": maze, "omniglot": omniglot, "patterns": patterns}
    for task in tasks.values():
        task.draw_figures = lambda *arguments: None
    Run.figure = lambda *arguments: None
    processes.averaged = _noting(processes.averaged, os.environ["GRADIENT"])
    task = tasks[sys.argv.pop(1)]
    command(task.Config, task.main)
