"""The maze as tables on the device: thousands of lives a step, no Python for any one of them."""

import torch
from torch import Tensor

from agents.envs.drawing import written
from agents.envs.ground import MOVES, Maze, ground, walls
from agents.envs.world import Moment, one_hot


class BatchedMaze:
    """B mazes of the same ground, each with its own reward; equal to ``GridMazeEnv`` step for step.

    All chance of a life is drawn when it begins: ``goals`` (B,), the number of the reward's square, and ``landings``
    (T, B), where an agent that finds it at step t is put down: a number below F - 1, that counts the free squares
    without the reward's.
    """

    ends_early = False

    def __init__(self, maze: Maze, device: torch.device | str = "cpu") -> None:
        self.maze = maze
        self.name = f"GridMaze {maze.size}x{maze.size}"
        self.observations, self.actions, self.length = maze.observations, len(MOVES), maze.length
        tables = ground(maze)
        self.solid, self.squares = walls(maze), tables.squares
        self._leads, self._views = tables.leads.to(device), tables.views.to(device)
        self._start, self._device = tables.start, torch.device(device)

    def reset(self, batch: int, chance: torch.Generator) -> Tensor:
        return self.begin(*self.draw(batch, chance))

    def draw(self, batch: int, chance: torch.Generator) -> tuple[Tensor, Tensor]:
        """The placements of B lives: goals (B,), landings (T, B)."""
        free = len(self._leads)
        goals = torch.randint(free, (batch,), generator=chance, device=self._device)
        return goals, torch.randint(free - 1, (self.length, batch), generator=chance, device=self._device)

    def begin(self, goals: Tensor, landings: Tensor) -> Tensor:
        """Lives with these placements: goals (B,), landings (T, B)."""
        self.goals = goals
        self.landings = landings + (landings >= goals)
        self.clock = 0
        self.positions = torch.full_like(goals, self._start)
        self._endings = torch.zeros_like(goals, dtype=torch.bool), torch.ones_like(goals, dtype=torch.bool)
        nothing = torch.zeros(len(goals), device=self._device)
        return self._observe(nothing, torch.zeros(len(goals), self.actions, device=self._device))

    def step(self, action: Tensor) -> Moment:
        origin = self.positions
        arrived = self._leads[origin, action]
        bumped = arrived == origin
        hit = (arrived == self.goals) & ~bumped
        self.positions = torch.where(hit, self.landings[self.clock], arrived)
        self.clock += 1
        reward = hit * self.maze.reward - bumped * self.maze.penalty
        return Moment(
            self._observe(reward, one_hot(action, self.actions)), reward, self._endings[self.clock == self.length]
        )

    def square(self, number: Tensor) -> tuple[int, int]:
        """Row and column of a free square, given by its number ()."""
        row, column = self.squares[number.cpu()].tolist()
        return row, column

    def text(self) -> str:
        return written(self.solid, self.square(self.positions[0]), self.square(self.goals[0]))

    def _observe(self, reward: Tensor, action: Tensor) -> Tensor:
        parts = [self._views[self.positions], reward.unsqueeze(1)]
        if self.maze.previous_action:
            parts.append(action)
        if self.maze.time:
            parts.append(torch.full_like(parts[1], self.clock / self.length))
        return torch.cat(parts, 1)
