"""Any gymnasium environment with Box observations and Discrete actions as a world to live in."""

from typing import Any

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from agents.envs.world import Moment, one_hot
from plastic.errors import UserError


class Foreign:
    """B environments, stepped one by one. What is seen is the observation, the last reward and the last action.

    Args:
        name: the environment's id. length: a life is cut off after so many steps.
    UserError for an id that gymnasium does not know or cannot make, and for spaces of another kind.
    """

    ends_early = True

    def __init__(self, name: str, length: int, device: torch.device | str = "cpu") -> None:
        self.name, self._device = name, torch.device(device)
        self._lives = [self._made()]
        seen, does = self._lives[0].observation_space, self._lives[0].action_space
        if not isinstance(seen, spaces.Box) or not isinstance(does, spaces.Discrete):
            raise UserError(f"--env {name}: expected Box observations and Discrete actions, got {seen} and {does}")
        spec = self._lives[0].spec
        limit = spec.max_episode_steps if spec is not None else None
        self.length = length if limit is None else min(length, limit)
        self._first, self.actions = int(does.start), int(does.n)
        self.observations = int(np.prod(seen.shape)) + 1 + self.actions

    def _made(self) -> gymnasium.Env[Any, Any]:
        try:
            return gymnasium.make(self.name)
        except (gymnasium.error.Error, ModuleNotFoundError) as error:
            reason = " ".join(str(error).split())
            raise UserError(f"--env {self.name}: gymnasium cannot make it: {reason}") from error

    def reset(self, batch: int, chance: torch.Generator) -> Tensor:
        self._lives += [self._made() for _ in range(batch - len(self._lives))]
        seeds = torch.randint(2**31 - 1, (batch,), generator=chance, device=chance.device).tolist()
        self._seen = [life.reset(seed=seed)[0] for life, seed in zip(self._lives, seeds, strict=False)]
        self._over = [False] * batch
        return self._observe([0.0] * batch, torch.zeros(batch, self.actions, device=self._device))

    def step(self, action: Tensor) -> Moment:
        rewards = [0.0] * len(self._over)
        for i, choice in enumerate(action.tolist()):
            if not self._over[i]:
                self._seen[i], reward, terminated, truncated, _ = self._lives[i].step(self._first + choice)
                rewards[i], self._over[i] = float(reward), terminated or truncated
        seen = self._observe(rewards, one_hot(action, self.actions))
        return Moment(seen, torch.tensor(rewards, device=self._device), torch.tensor(self._over, device=self._device))

    def _observe(self, rewards: list[float], action: Tensor) -> Tensor:
        seen = np.stack([np.asarray(values, dtype=np.float32).ravel() for values in self._seen])
        told = torch.tensor(rewards, device=self._device).unsqueeze(1)
        return torch.cat([torch.from_numpy(seen).to(self._device), told, action], 1)

    def text(self) -> str:
        """What is seen."""
        return " ".join(f"{value:.3f}" for value in np.asarray(self._seen[0]).ravel()) + "\n"
