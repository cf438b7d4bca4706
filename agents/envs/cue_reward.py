"""``plastic/CueReward-v0``: which of four cues is the target has to be found out from rewards, anew in every life.

A trial shows two different cues, one after the other, then a Go signal, at which the answer counts: 1 where the target
was one of the two, else 0; right pays +1, wrong -1. Between them nothing is shown for a while, whose length varies, at
least one step after each Go (Miconi et al. 2019, arXiv 2002.10585, section 4.1). How it varies is ours: no step or one
after each cue, one or two after Go. So are cues of -1 and 1, which none of the empty steps, all zero, can be taken for.

The observation is the cue, 1 at Go, the last reward, the last action (one-hot), and the part of the life that is over.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import gymnasium
import numpy as np
import numpy.typing as npt
import torch
from gymnasium import spaces
from torch import Tensor

from agents.envs.world import Moment, one_hot

CUES, ANSWERS = 4, 2
SHORTEST = 4  # steps of a trial: two cues, Go, nothing
NOTHING, GO = CUES, CUES + 1  # what a step shows, where it is not the number of a cue


@dataclass(frozen=True)
class Cues:
    """The settings of the task. ValueError for bits that make no four cues, or for a life shorter than a trial."""

    bits: int = 20
    """numbers in a cue"""
    length: int = 120
    """steps in a life"""
    fixed: bool = False
    """the four cues are the same in every life; only the target changes"""

    def __post_init__(self) -> None:
        if not 2 <= self.bits <= 30:
            raise ValueError(f"bits: expected from 2, which four cues need, to 30, got {self.bits}")
        if self.length < SHORTEST:
            raise ValueError(f"length: expected at least the {SHORTEST} steps of a trial, got {self.length}")

    @property
    def trials(self) -> int:
        """As many as a life can begin at most."""
        return -(-self.length // SHORTEST)

    @property
    def observations(self) -> int:
        """Numbers in an observation: the cue, Go, the last reward and action, the time."""
        return self.bits + 3 + ANSWERS


class Chances(NamedTuple):
    """All that is drawn for B lives of K trials."""

    codes: Tensor
    """a number below 2^bits for each cue (B, 4), no two alike"""
    target: Tensor
    """the number of a cue (B,)"""
    pairs: Tensor
    """the two cues of each trial (B, K, 2), different ones"""
    waits: Tensor
    """steps of nothing after the first cue, the second, and Go (B, K, 3)"""


def draw(cues: Cues, batch: int, chance: torch.Generator) -> Chances:
    """Every choice as likely as any other."""
    device, shape = chance.device, (batch, cues.trials)

    def below(number: int, *size: int) -> Tensor:
        return torch.randint(number, size, generator=chance, device=device)

    if cues.fixed:
        codes = (torch.arange(CUES, device=device) * (2**cues.bits - 1) // (CUES - 1)).expand(batch, -1)
    else:
        codes = below(2**cues.bits, batch, 1)
        for taken in range(1, CUES):
            another = below(2**cues.bits - taken, batch)
            for lower in codes.sort(1).values.unbind(1):
                another = another + (another >= lower)  # step over what is taken
            codes = torch.cat([codes, another.unsqueeze(1)], 1)
    first = below(CUES, *shape)
    second = (first + 1 + below(CUES - 1, *shape)) % CUES
    waits = below(2, *shape, 3) + torch.tensor([0, 0, 1], device=device)
    return Chances(codes, below(CUES, batch), torch.stack([first, second], 2), waits)


def digits(codes: Tensor, bits: int) -> Tensor:
    """Whole numbers (...) as patterns of -1 and 1 (..., bits)."""
    return (codes.unsqueeze(-1) >> torch.arange(bits, device=codes.device) & 1).float() * 2 - 1


def reward_oracle(cues: Cues) -> float:
    """The expected reward of one who knows the target: the expected number of Go signals in a life, exactly."""
    begins = [0.0] * (cues.length + 10)  # the probability that a trial begins at a step
    begins[0] = 1.0
    expected = 0.0
    for start in range(cues.length):
        for waits, share in ((0, 0.25), (1, 0.5), (2, 0.25)):  # after the two cues together
            go = start + 2 + waits
            expected += begins[start] * share * (go < cues.length)
            for after in (1, 2):
                begins[go + 1 + after] += begins[start] * share / 2
    return expected


def told(what: int, target: int) -> str:
    """What a step shows, and which cue is the target."""
    words = {NOTHING: ".", GO: "Go"} | {cue: f"cue {cue}" for cue in range(CUES)}
    return f"{words[what]:6} (target: cue {target})\n"


class BatchedCues:
    """B lives of the task on the device; equal to ``CueRewardEnv`` step for step."""

    ends_early = False

    def __init__(self, cues: Cues, device: torch.device | str = "cpu") -> None:
        self.cues = cues
        self.name = f"CueReward {cues.bits} bits" + (", fixed" if cues.fixed else "")
        self.observations, self.actions, self.length = cues.observations, ANSWERS, cues.length
        self._device = torch.device(device)

    def reset(self, batch: int, chance: torch.Generator) -> Tensor:
        return self.begin(draw(self.cues, batch, chance))

    def begin(self, chances: Chances) -> Tensor:
        """Lives as they were drawn. What each step shows is settled here, and so is what is right at Go."""
        batch, length = len(chances.target), self.length
        after = chances.waits + 1  # (B, K, 3): the next thing comes so much later
        ends = after.sum(2).cumsum(1)
        starts = ends - after.sum(2)
        at = starts.unsqueeze(2) + torch.cat([torch.zeros_like(after[..., :1]), after[..., :2].cumsum(2)], 2)
        shown = torch.full(
            (batch, length + 1), NOTHING, device=self._device
        )  # the last column takes what comes too late
        answer = torch.zeros_like(shown)
        at = at.clamp(max=length)
        what = torch.cat([chances.pairs, torch.full_like(at[..., :1], GO)], 2)
        shown.scatter_(1, at.flatten(1), what.flatten(1))
        right = (chances.pairs == chances.target[:, None, None]).any(2).long()
        answer.scatter_(1, at[..., 2], right)
        looks = torch.cat(
            [digits(chances.codes, self.cues.bits), torch.zeros(batch, 2, self.cues.bits).to(at.device)], 1
        )
        self._seen = looks.gather(1, shown.unsqueeze(2).expand(-1, -1, self.cues.bits)).transpose(
            0, 1
        )  # (T + 1, B, bits)
        self._go = (shown == GO).T  # (T + 1, B)
        self._answer = answer.T
        self._shown, self._target = shown, chances.target
        self.clock = 0
        nothing = torch.zeros(batch, device=self._device)
        self._endings = nothing.bool(), ~nothing.bool()
        return self._observe(nothing, torch.zeros(batch, ANSWERS, device=self._device))

    def step(self, action: Tensor) -> Moment:
        right = action == self._answer[self.clock]
        reward = self._go[self.clock] * (right * 2.0 - 1.0)
        self.clock += 1
        seen = self._observe(reward, one_hot(action, ANSWERS))
        return Moment(seen, reward, self._endings[self.clock == self.length])

    def text(self) -> str:
        return told(int(self._shown[0, self.clock]), int(self._target[0]))

    def _observe(self, reward: Tensor, action: Tensor) -> Tensor:
        if self.clock == self.length:  # after the last step nothing is shown
            cue, go = torch.zeros_like(self._seen[0]), torch.zeros_like(reward)
        else:
            cue, go = self._seen[self.clock], self._go[self.clock].float()
        time = torch.full_like(reward, self.clock / self.length)
        return torch.cat([cue, go[:, None], reward[:, None], action, time[:, None]], 1)


class CueRewardEnv(gymnasium.Env[npt.NDArray[np.float32], np.int64]):
    """One life at a time, trial by trial. The arguments are the fields of ``Cues``.

    ``reset(options={"chances": chances})`` takes the ``Chances`` of one life (B = 1) instead of drawing them.
    """

    metadata: dict[str, Any] = {"render_modes": ["ansi"], "render_fps": 4}  # noqa: RUF012 (gymnasium's name)

    def __init__(self, render_mode: str | None = None, **settings: Any) -> None:
        self.cues = Cues(**settings)
        if render_mode not in (None, "ansi"):
            raise ValueError(f"render_mode: expected ansi, got {render_mode!r}")
        self.render_mode = render_mode
        low = np.array([-1.0] * self.cues.bits + [0, -1] + [0] * (ANSWERS + 1), dtype=np.float32)
        self.observation_space = spaces.Box(low, np.ones(self.cues.observations, dtype=np.float32))
        self.action_space = spaces.Discrete(ANSWERS)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[npt.NDArray[np.float32], dict[str, Any]]:
        super().reset(seed=seed)
        chance = torch.Generator().manual_seed(int(self.np_random.integers(2**31)))
        drawn = (options or {}).get("chances") or draw(self.cues, 1, chance)
        codes, pairs, waits = (values[0].tolist() for values in (drawn.codes, drawn.pairs, drawn.waits))
        self.target = int(drawn.target[0])
        self._cues = [[2.0 * (code >> bit & 1) - 1 for bit in range(self.cues.bits)] for code in codes]
        self.shown: list[int] = []  # the number of a cue, NOTHING or GO, for each step
        self._right: list[int] = []  # the answer, for each Go
        for (first, second), (wait, again, rest) in zip(pairs, waits, strict=True):
            self.shown += [first, *[NOTHING] * wait, second, *[NOTHING] * again, GO, *[NOTHING] * rest]
            self._right.append(int(self.target in (first, second)))
        self.clock = 0
        return self._observe(0.0, None), {}

    def step(self, action: np.int64) -> tuple[npt.NDArray[np.float32], float, bool, bool, dict[str, Any]]:
        reward = 0.0
        if self.shown[self.clock] == GO:
            trial = self.shown[: self.clock].count(GO)
            reward = 1.0 if action == self._right[trial] else -1.0
        self.clock += 1
        return self._observe(reward, action), reward, False, self.clock >= self.cues.length, {}

    def _observe(self, reward: float, action: np.int64 | None) -> npt.NDArray[np.float32]:
        what = self.shown[self.clock] if self.clock < self.cues.length else NOTHING
        cue = self._cues[what] if what < CUES else [0.0] * self.cues.bits
        did = [float(action == answer) for answer in range(ANSWERS)]
        return np.array([*cue, what == GO, reward, *did, self.clock / self.cues.length], dtype=np.float32)

    def render(self) -> Any:
        """What is shown, and which cue is the target."""
        if self.render_mode != "ansi":
            return None
        what = self.shown[self.clock] if self.clock < self.cues.length else NOTHING
        return told(what, self.target)
