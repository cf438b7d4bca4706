"""Speed and memory of an update of the maze's agent, against the published algorithm written plainly.

    python -m benchmarks.maze --json results/benchmark-maze-cpu.json

Both sides live the lives of one update (30 agents of 200 units, 250 steps) and take the gradients of the same loss, in
one process. The plain side does what the published program does: environments are stepped one by one in Python, the
network step by step in batched products, and autograd keeps all of it. Ours acts without gradients and then looks back
on whole lives. First both live the same lives, and the loss and all gradients must agree; no speed is printed for a
wrong result. The published value baseline, environment 0's for all, is not reproduced: each life has its own.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
import tyro
from torch import Tensor

from agents.acting import act, gumbel
from agents.envs.batched_maze import BatchedMaze
from agents.envs.grid_maze import GridMazeEnv
from agents.learning import look_back
from agents.maze_a2c import Config
from agents.networks import Recurrent, build
from benchmarks.memory import apart, peak
from benchmarks.timing import alternate, relative_error, spread
from plastic.errors import UserError
from plastic.experiment.machine import describe_backend, describe_device, describe_machine, pick_device
from plastic.experiment.run import write_json

TOLERANCE = 1e-4  # relative, on the loss and every gradient
BATCH = 30  # of the published program
MANY = 512  # lives in the largest update that is measured


class Work(NamedTuple):
    """One update."""

    lives: int = BATCH
    steps: int = 250
    units: int = 200
    rule: str = "oja"


@dataclass(frozen=True)
class Arguments:
    """Speed and memory of an update of the maze's agent, against the plain loop."""

    rule: Literal["oja", "hebb", "clipped_hebb"] = "oja"
    """plasticity rule"""
    rounds: int = 5
    """rounds, in alternation; the median counts"""
    json: Path | None = None
    """where to write the figures"""


class Bench:
    """Both sides, with the same agent in the same mazes."""

    def __init__(self, work: Work, device: torch.device) -> None:
        torch.manual_seed(0)
        self.work, self.device = work, device
        self.config = Config(units=work.units, length=work.steps, rule=work.rule, entropy=0.03)  # type: ignore[arg-type]
        self.world = BatchedMaze(self.config.maze, device)
        inputs, actions = self.world.observations, self.world.actions
        agent = build("plastic", work.rule, "full", 0.01, "uniform", inputs, work.units, actions)
        self.agent = agent.to(device)
        self.lived: dict[str, Tensor] = {}
        """what each side last did, (T, B)"""

    def chance(self) -> tuple[torch.Generator, torch.Generator]:
        """Of placements and of choices, the same for every update."""
        places, choices = torch.Generator(self.device).manual_seed(1), torch.Generator(self.device).manual_seed(2)
        return places, choices

    def ours(self) -> float:
        lives, _ = act(self.agent, self.world, self.work.lives, *self.chance())
        self.lived["ours"] = lives.actions
        return look_back(self.agent, lives, self.config)["loss"].item()

    def plain(self) -> float:
        """The published algorithm: every environment and every step in Python, autograd through all of it."""
        work, weighing, agent = self.work, self.config.weighing, self.agent
        assert isinstance(agent.core, Recurrent)
        cell = agent.core.rnn.cell
        assert cell.alpha is not None
        assert cell.eta is not None
        assert cell.bias is not None
        places, choices = self.chance()
        goals, landings = self.world.draw(work.lives, places)
        noise = gumbel((work.steps, work.lives, self.world.actions), choices)
        mazes = [GridMazeEnv(length=work.steps) for _ in range(work.lives)]
        options: list[dict[str, Any]] = [
            {"goal": goal, "landings": landing}
            for goal, landing in zip(goals.tolist(), landings.T.tolist(), strict=True)
        ]
        seen = [maze.reset(options=given)[0] for maze, given in zip(mazes, options, strict=True)]
        hidden = torch.zeros(work.lives, work.units, device=self.device)
        trace = torch.zeros(work.lives, work.units, work.units, device=self.device)
        chosen, values, entropies, rewards, did = [], [], [], [], []
        for step in range(work.steps):
            input = torch.from_numpy(np.stack(seen)).to(self.device)
            recurrent = torch.bmm(hidden.unsqueeze(1), cell.weight + cell.alpha * trace).squeeze(1)
            post = torch.tanh(recurrent + input @ cell.weight_ih + cell.bias)
            outer = torch.bmm(hidden.unsqueeze(2), post.unsqueeze(1))
            if work.rule == "oja":
                trace = trace + cell.eta * (outer - post.square().unsqueeze(1) * trace)
            elif work.rule == "hebb":
                trace = (1 - cell.eta) * trace + cell.eta * outer
            else:
                trace = torch.clamp(trace + cell.eta * outer, -1, 1)
            hidden = post
            logits = agent.policy(hidden)
            p = torch.softmax(logits, 1)
            action = (logits.detach() + noise[step]).argmax(1)
            chosen.append(torch.log(p[range(work.lives), action]))
            entropies.append(-(p * torch.log(p)).sum(1))
            values.append(agent.value(hidden)[:, 0])
            did.append(action)
            gained = []
            for i, maze in enumerate(mazes):
                seen[i], reward, *_ = maze.step(np.int64(action[i].item()))
                gained.append(reward)
            rewards.append(torch.tensor(gained, device=self.device))
        self.lived["plain"] = torch.stack(did)
        total = torch.zeros(work.lives, device=self.device)
        loss = torch.zeros(work.lives, device=self.device)
        for step in reversed(range(work.steps)):
            total = rewards[step] + weighing.discount * total
            advantage = total - values[step]
            loss = loss - advantage.detach() * chosen[step] + weighing.value * advantage.square()
            loss = loss - weighing.entropy * entropies[step]
        mean = loss.mean() / work.steps
        mean.backward()
        return mean.item()

    def gradients(self, side: Callable[[], float]) -> dict[str, Tensor]:
        """The loss and its gradients, by name."""
        self.agent.zero_grad()
        found = {"loss": torch.tensor(side())}
        return found | {name: p.grad.clone() for name, p in self.agent.named_parameters() if p.grad is not None}

    def disagreement(self) -> dict[str, float]:
        """The relative error of ours for the loss and every gradient. UserError if it is above the tolerance."""
        expected, found = self.gradients(self.plain), self.gradients(self.ours)
        if not torch.equal(self.lived["plain"], self.lived["ours"]):
            raise UserError("the two sides live different lives, so no speed is reported")
        errors = {name: relative_error(found[name], value) for name, value in expected.items()}
        if set(found) != set(expected) or not max(errors.values()) < TOLERANCE:
            raise UserError(f"the two sides disagree, so no speed is reported: {errors}")
        return errors


def peak_megabytes(work: Work, side: str) -> float | None:
    """What an update needs at its peak beyond the parameters: their gradients are counted."""
    return apart(_peak, work, side)


def _peak(work: Work, side: str) -> float | None:
    getattr(Bench(work._replace(units=8, lives=2, steps=20), torch.device("cpu")), side)()  # loads what torch loads
    bench = Bench(work, torch.device("cpu"))
    return peak(getattr(bench, side))


def main(arguments: Arguments) -> dict[str, object]:
    work = Work(rule=arguments.rule)
    memory = {
        "plain_peak_mb": peak_megabytes(work, "plain"),
        "ours_peak_mb": peak_megabytes(work, "ours"),
        f"ours_peak_mb_{MANY}_lives": peak_megabytes(work._replace(lives=MANY), "ours"),
    }
    device = pick_device("auto")
    bench = Bench(work, device)
    errors = bench.disagreement()
    seconds = alternate({"plain": bench.plain, "ours": bench.ours}, arguments.rounds)
    result: dict[str, object] = {
        "benchmark": f"maze, N={work.units}, T={work.steps}, {work.lives} lives, {work.rule}: one update, "
        "acting, forward and backward",
        "command": f"python -m benchmarks.maze --rule {work.rule} --rounds {arguments.rounds}",
        "machine": describe_machine(),
        "device": describe_device(device),
        "backend": describe_backend(device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "lives": work.lives,
        "rounds": arguments.rounds,
        "relative_errors": errors,
        "plain_ms_per_episode": spread([1e3 * s / work.lives for s in seconds["plain"]]),
        "ours_ms_per_episode": spread([1e3 * s / work.lives for s in seconds["ours"]]),
        "ratio_to_plain": spread([a / b for a, b in zip(seconds["plain"], seconds["ours"], strict=True)]),
        **memory,
    }
    print(json.dumps(result, indent=1))
    if arguments.json:
        write_json(arguments.json, result)
    return result


if __name__ == "__main__":
    main(tyro.cli(Arguments))
