"""The ground of the maze: its settings, which squares are free, and where a move leads."""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

MOVES = ((-1, 0), (1, 0), (0, -1), (0, 1))  # (rows, columns): up, down, left, right
VIEW = 9  # squares in view: the agent's own and the eight around it


@dataclass(frozen=True)
class Maze:
    """A maze and what counts in it (Miconi et al. 2018, section 4.5).

    The inside is ``size`` by ``size`` squares with a pillar on every second square of both axes (never on the centre,
    where lives begin) and walls around. ValueError for a size that is even or below 3, a length below 1, a negative
    penalty, a reward that is not positive.
    """

    size: int = 9
    """squares along a side, walls not counted; odd"""
    reward: float = 10.0
    """for a move onto the hidden square"""
    penalty: float = 0.1
    """taken for a move into a wall"""
    length: int = 250
    """steps in a life"""
    previous_action: bool = True
    """the agent is told what it last did"""
    time: bool = True
    """the agent is told how much of its life is over, from 0 to 1"""

    def __post_init__(self) -> None:
        if self.size < 3 or self.size % 2 == 0:
            raise ValueError(f"size: expected an odd number of squares, at least 3, got {self.size}")
        if self.length < 1:
            raise ValueError(f"length: expected at least 1 step, got {self.length}")
        if not self.reward > 0:
            raise ValueError(f"reward: expected more than 0, got {self.reward}")
        if not self.penalty >= 0:
            raise ValueError(f"penalty: expected 0 or more, got {self.penalty}")

    @property
    def observations(self) -> int:
        """Numbers in an observation: the view, the last reward, and what else the agent is told."""
        return VIEW + 1 + len(MOVES) * self.previous_action + self.time

    @property
    def centre(self) -> int:
        """Row and column of the square where lives begin, the outer wall counted."""
        return (self.size + 1) // 2


def walls(maze: Maze) -> npt.NDArray[np.bool_]:
    """(size + 2, size + 2), True where there is a wall or a pillar."""
    side = maze.size + 2
    solid = np.zeros((side, side), dtype=np.bool_)
    solid[[0, -1], :] = solid[:, [0, -1]] = True
    solid[2:-1:2, 2:-1:2] = True
    solid[maze.centre, maze.centre] = False
    return solid


class Ground(NamedTuple):
    """The F free squares by number, in reading order."""

    squares: Tensor
    """row and column (F, 2)"""
    leads: Tensor
    """where each move leads (F, 4); a move into a wall leads nowhere else"""
    views: Tensor
    """1.0 where there is a wall in view (F, 9)"""
    start: int
    """the centre"""


def ground(maze: Maze) -> Ground:
    """The tables of a maze, on the CPU."""
    solid = walls(maze)
    squares = np.argwhere(~solid)
    number = {(row, column): i for i, (row, column) in enumerate(squares.tolist())}
    leads = [[number.get((r + dr, c + dc), number[r, c]) for dr, dc in MOVES] for r, c in number]
    views = [solid[r - 1 : r + 2, c - 1 : c + 2].flatten() for r, c in number]
    return Ground(
        squares=torch.from_numpy(squares),
        leads=torch.tensor(leads),
        views=torch.from_numpy(np.array(views)).float(),
        start=number[maze.centre, maze.centre],
    )
