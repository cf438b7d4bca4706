"""``plastic/GridMaze-v0``: a maze with one hidden reward, in one place for a life and elsewhere in the next.

The observation is the 3x3 view (1: wall), the last reward, and, where asked for, the last action (one-hot) and the part
of the life that is over. A move onto the reward pays and puts the agent down on a random other square; a move into a
wall costs. See ``Maze`` for the settings, and Miconi et al. 2018, section 4.5.
"""

from typing import Any

import gymnasium
import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from agents.envs.batched_maze import BatchedMaze
from agents.envs.drawing import drawn, written
from agents.envs.ground import MOVES, VIEW, Maze, walls

Observation = npt.NDArray[np.float32]
RENDER_MODES = ["ansi", "rgb_array"]


def observation_space(maze: Maze) -> spaces.Space[Observation]:
    """Bounds of every number in an observation, in its order."""
    told = len(MOVES) * maze.previous_action + maze.time
    low = np.array([0.0] * VIEW + [-maze.penalty] + [0.0] * told, dtype=np.float32)
    high = np.array([1.0] * VIEW + [maze.reward] + [1.0] * told, dtype=np.float32)
    return spaces.Box(low, high)


class GridMazeEnv(gymnasium.Env[Observation, np.int64]):
    """One maze, square by square. The arguments are the fields of ``Maze``; ValueError where they make no sense.

    ``reset(options={"goal": g, "landings": [...]})`` settles what else is drawn: the reward's square, as a number among
    the free ones in reading order, and, for each step, where an agent that finds it then is put down, as a number among
    the free ones without the reward's.
    """

    metadata: dict[str, Any] = {"render_modes": RENDER_MODES, "render_fps": 12}  # noqa: RUF012 (gymnasium's name)

    def __init__(self, render_mode: str | None = None, **settings: Any) -> None:
        self.maze = Maze(**settings)
        if render_mode not in (None, *RENDER_MODES):
            raise ValueError(f"render_mode: expected one of {', '.join(RENDER_MODES)}, got {render_mode!r}")
        self.render_mode = render_mode
        self.observation_space = observation_space(self.maze)
        self.action_space = spaces.Discrete(len(MOVES))
        self.solid = walls(self.maze)
        self.free = [(int(row), int(column)) for row, column in np.argwhere(~self.solid)]

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        goal = int(self.np_random.integers(len(self.free)))
        landings = self.np_random.integers(len(self.free) - 1, size=self.maze.length).tolist()
        given = options or {}
        self.goal = self.free[int(given.get("goal", goal))]
        self.landings = [int(landing) for landing in given.get("landings", landings)]
        self.others = [square for square in self.free if square != self.goal]
        self.position = (self.maze.centre, self.maze.centre)
        self.path = [self.position]
        self.clock = 0
        return self._observe(0.0, None), {}

    def step(self, action: np.int64) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        row, column = self.position
        ahead = (row + MOVES[action][0], column + MOVES[action][1])
        reward = 0.0
        if self.solid[ahead]:
            reward = -self.maze.penalty
        elif ahead == self.goal:
            reward = self.maze.reward
            self.position = self.others[self.landings[self.clock]]
        else:
            self.position = ahead
        self.path.append(self.position)
        self.clock += 1
        return self._observe(reward, action), reward, False, self.clock >= self.maze.length, {}

    def _observe(self, reward: float, action: np.int64 | None) -> Observation:
        row, column = self.position
        seen = [*self.solid[row - 1 : row + 2, column - 1 : column + 2].flatten(), reward]
        if self.maze.previous_action:
            seen += [float(action == move) for move in range(len(MOVES))]
        if self.maze.time:
            seen.append(self.clock / self.maze.length)
        return np.array(seen, dtype=np.float32)

    def render(self) -> Any:
        """Text, or a picture (H, W, 3) uint8, of where the agent and the reward are."""
        if self.render_mode == "ansi":
            return written(self.solid, self.position, self.goal)
        return drawn(self.solid, self.goal, self.path) if self.render_mode == "rgb_array" else None


class GridMazeVectorEnv(VectorEnv[Observation, npt.NDArray[np.int64], npt.NDArray[Any]]):
    """Many mazes as one environment: ``gymnasium.make_vec("plastic/GridMaze-v0", num_envs=n)``.

    All lives last as long, so all are truncated at the same step; the next step begins new ones (``NEXT_STEP``).
    ``reset(options={"goal": (n,), "landings": (n, length)})`` as for ``GridMazeEnv``.
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}  # noqa: RUF012

    def __init__(self, num_envs: int = 1, render_mode: str | None = None, **settings: Any) -> None:
        if render_mode is not None:
            raise ValueError(f"render_mode: many mazes are not rendered, got {render_mode!r}; make a single one")
        self.maze = Maze(**settings)
        self.num_envs, self.render_mode = num_envs, None
        self.single_observation_space = observation_space(self.maze)
        self.single_action_space = spaces.Discrete(len(MOVES))
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._lives = BatchedMaze(self.maze)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Observation, dict[str, Any]]:
        super().reset(seed=seed)
        free = len(self._lives.squares)
        goals = self.np_random.integers(free, size=self.num_envs)
        landings = self.np_random.integers(free - 1, size=(self.num_envs, self.maze.length))
        given = options or {}
        first = self._lives.begin(
            torch.as_tensor(given.get("goal", goals)), torch.as_tensor(given.get("landings", landings)).T
        )
        return first.numpy(), {}

    def step(
        self, actions: npt.NDArray[np.int64]
    ) -> tuple[Observation, npt.NDArray[Any], npt.NDArray[Any], npt.NDArray[Any], dict[str, Any]]:
        none = np.zeros(self.num_envs, dtype=np.bool_)
        if self._lives.clock == self.maze.length:
            observation, _ = self.reset()
            return observation, np.zeros(self.num_envs, dtype=np.float32), none, none.copy(), {}
        seen, reward, over = self._lives.step(torch.as_tensor(actions))
        return seen.numpy(), reward.numpy(), none, over.numpy().copy(), {}
