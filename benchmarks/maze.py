"""An update of the maze's agent, against the published algorithm written plainly.

Both sides live the lives of one update (30 agents of 200 units, 250 steps) and take the gradients of the same loss. The
plain side does what the published program does: environments are stepped one by one in Python, the network step by step
in batched products, and autograd keeps all of it. Ours acts without gradients and then looks back on whole lives, with
torch operations and with the compiled step. All must live the same lives. The published value baseline, environment 0's
for all, is not reproduced: each life has its own.

The floor is that of the compiled step: every connection visited once by each step of acting, of going through the known
life, and of the way back, at the rate of a product; the traces stay in the cache and cost no traffic. The environments
alone, under actions at random, are timed beside.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor

from agents.acting import act, acted_at_random, gumbel
from agents.envs.batched_maze import BatchedMaze
from agents.envs.grid_maze import GridMazeEnv
from agents.learning import look_back
from agents.maze_a2c import Config
from agents.networks import Recurrent, build
from benchmarks.comparison import PLAIN, Errors, Peaks, Way, differences
from benchmarks.floor import Work
from benchmarks.plainly import backends, rewritten
from plastic import PlasticRNNCell
from plastic.errors import UserError
from plastic.kernels.sequence import Backend

MANY = 512  # lives in the largest update whose memory is told
FORWARD = 7  # operations at a connection: its write 3, weight + alpha * trace 2, the sum 2
BACKWARD = 21  # the write again 3, the sums of pre, alpha, weight and of the rule's two vectors 14, slope 4
VECTORS = 8  # of a step that are read or written: input and activity twice over, and four on the way back


class Update(NamedTuple):
    """One update."""

    lives: int = 30  # of the published program
    steps: int = 250
    units: int = 200
    rule: Literal["oja", "hebb", "clipped_hebb"] = "oja"


class Bench:
    """Both sides, with the same agent in the same mazes."""

    def __init__(self, update: Update, device: torch.device) -> None:
        torch.manual_seed(0)
        self.update, self.device = update, device
        self.title = (
            f"maze, N={update.units}, T={update.steps}, {update.lives} lives an update, {update.rule}: one life, "
            "acting, forward and backward"
        )
        self.config = Config(units=update.units, length=update.steps, rule=update.rule, entropy=0.03)
        self.world = BatchedMaze(self.config.maze, device)
        inputs, actions = self.world.observations, self.world.actions
        agent = build("plastic", update.rule, "full", 0.01, "uniform", inputs, update.units, actions)
        self.agent = agent.to(device)
        self.backends = backends(update.rule, self.cell.weight)
        self.lived = torch.empty(0)
        """what was done last, (T, B)"""

    @property
    def cell(self) -> PlasticRNNCell:
        assert isinstance(self.agent.core, Recurrent)
        return self.agent.core.rnn.cell

    def chance(self) -> tuple[torch.Generator, torch.Generator]:
        """Of placements and of choices, the same for every update."""
        places, choices = torch.Generator(self.device).manual_seed(1), torch.Generator(self.device).manual_seed(2)
        return places, choices

    def ours(self, backend: Backend, lives: int | None = None) -> float:
        self.cell.backend = backend
        lived, _ = act(self.agent, self.world, lives or self.update.lives, *self.chance())
        self.lived = lived.actions
        return look_back(self.agent, lived, self.config)["loss"].item()

    def plain(self) -> float:
        """The published algorithm: every environment and every step in Python, autograd through all of it."""
        update, weighing, agent, cell = self.update, self.config.weighing, self.agent, self.cell
        assert cell.alpha is not None
        assert cell.eta is not None
        assert cell.bias is not None
        places, choices = self.chance()
        goals, landings = self.world.draw(update.lives, places)
        noise = gumbel((update.steps, update.lives, self.world.actions), choices)
        mazes = [GridMazeEnv(length=update.steps) for _ in range(update.lives)]
        options: list[dict[str, Any]] = [
            {"goal": goal, "landings": landing}
            for goal, landing in zip(goals.tolist(), landings.T.tolist(), strict=True)
        ]
        seen = [maze.reset(options=given)[0] for maze, given in zip(mazes, options, strict=True)]
        hidden = torch.zeros(update.lives, update.units, device=self.device)
        trace = torch.zeros(update.lives, update.units, update.units, device=self.device)
        chosen, values, entropies, rewards, did = [], [], [], [], []
        for step in range(update.steps):
            input = torch.from_numpy(np.stack(seen)).to(self.device)
            recurrent = torch.bmm(hidden.unsqueeze(1), cell.weight + cell.alpha * trace).squeeze(1)
            post = torch.tanh(recurrent + input @ cell.weight_ih + cell.bias)
            outer = torch.bmm(hidden.unsqueeze(2), post.unsqueeze(1))
            trace = rewritten(trace, outer, post, cell.eta, update.rule)
            hidden = post
            logits = agent.policy(hidden)
            p = torch.softmax(logits, 1)
            action = (logits.detach() + noise[step]).argmax(1)
            chosen.append(torch.log(p[range(update.lives), action]))
            entropies.append(-(p * torch.log(p)).sum(1))
            values.append(agent.value(hidden)[:, 0])
            did.append(action)
            gained = []
            for i, maze in enumerate(mazes):
                seen[i], reward, *_ = maze.step(np.int64(action[i].item()))
                gained.append(reward)
            rewards.append(torch.tensor(gained, device=self.device))
        self.lived = torch.stack(did)
        total = torch.zeros(update.lives, device=self.device)
        loss = torch.zeros(update.lives, device=self.device)
        for step in reversed(range(update.steps)):
            total = rewards[step] + weighing.discount * total
            advantage = total - values[step]
            loss = loss - advantage.detach() * chosen[step] + weighing.value * advantage.square()
            loss = loss - weighing.entropy * entropies[step]
        mean = loss.mean() / update.steps
        mean.backward()
        return mean.item()

    def gradients(self, side: Callable[[], float]) -> dict[str, Tensor]:
        """The loss and its gradients, by name."""
        self.agent.zero_grad()
        found = {"loss": torch.tensor(side())}
        return found | {name: p.grad.clone() for name, p in self.agent.named_parameters() if p.grad is not None}

    def errors(self) -> Errors:
        expected = self.gradients(self.plain)
        lived = self.lived
        errors: dict[str, dict[str, float]] = {}
        for backend in self.backends:
            errors[backend] = differences(self.gradients(partial(self.ours, backend)), expected)
            if not torch.equal(lived, self.lived):
                raise UserError(f"{self.title}: {backend} and {PLAIN} live different lives, so no speed is reported")
        return errors

    def ways(self) -> dict[str, Way]:
        lives = self.update.lives
        ours: dict[str, Way] = {backend: Way(partial(self.ours, backend), lives) for backend in self.backends}
        world = Way(lambda: acted_at_random(self.world, lives, *self.chance()), lives)
        return {PLAIN: Way(self.plain, lives), **ours, "world alone": world}

    def peaks(self) -> Peaks:
        """One update, beyond the parameters: their gradients are counted."""
        lives = self.update.lives
        several = {f"{backend}, {lives} lives": partial(self.ours, backend) for backend in self.backends}
        many = {f"{backend}, {MANY} lives": partial(self.ours, backend, MANY) for backend in self.backends[-1:]}
        return {f"{PLAIN}, {lives} lives": self.plain, **several, **many}

    def floor(self) -> Work:
        N, T = self.update.units, self.update.steps
        return Work(T * N * N * (2.0 * FORWARD + BACKWARD), T * N * 4.0 * VECTORS)


def bench(device: torch.device, small: bool) -> Bench:
    """The published sizes; ``small``: a few units and short lives."""
    return Bench(Update(lives=2, units=8, steps=20) if small else Update(), device)
