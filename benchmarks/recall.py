"""Speed and memory of the two recall experiments, against the published algorithm written plainly.

    python -m benchmarks.recall --task patterns --json results/benchmark-patterns-cpu.json
    python -m benchmarks.recall --task images --json results/benchmark-images-cpu.json

Both sides take whole episodes, forward and backward, of one network (Hebb's rule with decay, one alpha a connection,
true clamping, the squared error of the last step), in one process. The plain side takes one episode at a time and one
autograd step at a time; ours takes a batch. First both get the same episodes, and the loss and all gradients must
agree; no speed is printed for a wrong result.

The floor is what our own schedule cannot do without: its products at the rate of one large product on this machine,
and what it must read and write of dense traces at the rate of a copy.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, NamedTuple

import torch
import tyro
from torch import Tensor, nn

from benchmarks.memory import apart, peak
from benchmarks.timing import alternate, relative_error, spread
from plastic import functional as PF
from plastic.errors import UserError
from plastic.experiment.machine import describe_device, describe_machine, pick_device
from plastic.experiment.run import write_json
from plastic.kernels.factored import FOLD
from plastic.kernels.schedule import schedule
from plastic.kernels.terms import room

TOLERANCE = 1e-4  # relative, on the loss and every gradient


class Task(NamedTuple):
    """How an episode runs: each of some patterns in turn, then a gap, so many cycles over; then a test."""

    units: int
    patterns: int
    cycles: int
    show: int
    gap: int
    test: int
    batch: int  # episodes at once on our side

    def steps(self) -> tuple[list[int], list[bool]]:
        """The row of each step (the patterns, the gap's silence, the test) and whether every unit is clamped there."""
        runs = []
        for _ in range(self.cycles):
            for pattern in torch.randperm(self.patterns).tolist():
                runs += [(pattern, self.show, True), (self.patterns, self.gap, False)]
        runs.append((self.patterns + 1, self.test, False))
        order = [row for row, times, _ in runs for _ in range(times)]
        return order, [held for _, times, held in runs for _ in range(times)]


TASKS = {
    "patterns": Task(units=1001, patterns=5, cycles=2, show=6, gap=4, test=6, batch=8),
    "images": Task(units=1025, patterns=3, cycles=3, show=20, gap=2, test=3, batch=16),
}


@dataclass(frozen=True)
class Arguments:
    """Speed and memory of the recall experiments, against the plain loop."""

    task: Literal["patterns", "images"] = "patterns"
    """which experiment"""
    json: Path | None = None
    """where to write the figures"""
    batch: int | None = None
    """episodes at once on our side; by default 8 patterns, 16 images"""
    rounds: int = 15
    """rounds, in alternation; the median counts"""


class Episodes(NamedTuple):
    """Rows of input, shared by the steps: the patterns, silence for the gaps, the test."""

    input: Tensor  # (K, B, N)
    clamp: Tensor  # (K, B, N) bool
    target: Tensor  # (B, N)
    order: list[int]  # T
    clamped_steps: list[bool]  # T


class Bench:
    """Both sides, on patterns of chance: the sums to be done do not depend on what is shown."""

    def __init__(self, task: Task, device: torch.device) -> None:
        torch.manual_seed(0)
        N = task.units
        self.task, self.device = task, device
        self.weight = nn.Parameter(0.01 * torch.randn(N, N, device=device))
        self.alpha = nn.Parameter(0.01 * torch.randn(N, N, device=device))
        self.eta = nn.Parameter(torch.tensor(0.01, device=device))

    def parameters(self) -> dict[str, nn.Parameter]:
        return {"weight": self.weight, "alpha": self.alpha, "eta": self.eta}

    def episodes(self, batch: int) -> Episodes:
        """Half of the first pattern is shown again at the test, and the whole of it is the target."""
        K, N = self.task.patterns, self.task.units
        rows = torch.zeros(K + 2, batch, N, device=self.device)
        clamp = torch.zeros(K + 2, batch, N, dtype=torch.bool, device=self.device)
        rows[:K] = torch.randint(2, (K, batch, N), device=self.device) * 2.0 - 1
        clamp[:K] = True
        rows[K + 1, :, : N // 2], clamp[K + 1, :, : N // 2] = rows[0, :, : N // 2], True
        return Episodes(rows, clamp, rows[0], *self.task.steps())

    def plain(self, episodes: Episodes) -> float:
        """The published algorithm: one episode and one step at a time; autograd keeps what it needs."""
        total = 0.0
        for b in range(len(episodes.target)):
            activity = self.weight.new_zeros(self.task.units)
            trace = torch.zeros_like(self.weight)
            for row in episodes.order:
                given, held = episodes.input[row, b], episodes.clamp[row, b]
                free = torch.tanh(activity @ (self.weight + self.alpha * trace) + given)
                post = torch.where(held, given, free)
                trace = (1 - self.eta) * trace + self.eta * torch.outer(activity, post)
                activity = post
            loss = (activity - episodes.target[b]).pow(2).sum()
            loss.backward()
            total += loss.item()
        return total

    def ours(self, episodes: Episodes) -> float:
        output, _ = PF.plastic_rnn(
            episodes.input,
            None,
            self.weight,
            self.alpha,
            self.eta,
            "hebb",
            clamp=episodes.clamp,
            clamped_steps=episodes.clamped_steps,
            order=episodes.order,
        )
        loss = (output[-1] - episodes.target).pow(2).sum()
        loss.backward()
        return loss.item()

    def gradients(self, side: Callable[[Episodes], float], episodes: Episodes) -> dict[str, Tensor]:
        """The loss and the gradients of its sum over the episodes, by name."""
        self.forget()
        found = {"loss": torch.tensor(side(episodes))}
        return found | {name: p.grad.clone() for name, p in self.parameters().items() if p.grad is not None}

    def forget(self) -> None:
        for parameter in self.parameters().values():
            parameter.grad = None


def floor_seconds(task: Task, batch: int, device: torch.device) -> dict[str, float]:
    """For one episode: seconds of products, seconds of traffic, GFLOP and GB, and the two rates."""
    N = task.units
    order, clamped = task.steps()
    segments = schedule(tuple(order), tuple(clamped), True, FOLD).segments
    free = [[phase for phase in segment.phases if phase.free] for segment in segments]
    products = sum(len(phase.fresh) + 1 for phases in free for phase in phases)  # with alpha, one with weight
    folds = sum(len(segment.slots) for segment in segments)  # outer products: there, and thrice on the way back
    passes = 2 * sum(len(phases) for phases in free[1:]) + 10 * (len(segments) - 1) + 1  # over N x N numbers
    flop, moved = 2.0 * N * N * (3 * products + 4 * folds), 4.0 * N * N * passes
    rate, bandwidth = rates(N, 64 * batch, device)
    return {
        "floor_gflop": flop / 1e9,
        "floor_gb": moved / 1e9,
        "product_gflop_per_s": rate / 1e9,
        "copy_gb_per_s": bandwidth / 1e9,
        "floor_ms_per_episode": 1e3 * (flop / rate + moved / bandwidth),
    }


def rates(units: int, rows: int, device: torch.device) -> tuple[float, float]:
    """Operations a second of a product (rows, N) @ (N, N) into aligned rows; bytes a second of a copy, both ways."""
    matrix, left = torch.randn(units, units, device=device), torch.randn(rows, units, device=device)
    traces = torch.randn(8, units, units, device=device)
    copy, result = torch.empty_like(traces), room(left, *left.shape)
    works = {"product": lambda: torch.mm(left, matrix, out=result), "copy": lambda: copy.copy_(traces)}
    seconds = {name: min(times) for name, times in alternate(works, 10).items()}
    return 2.0 * rows * units**2 / seconds["product"], 8.0 * traces.numel() / seconds["copy"]


def peak_megabytes(task: Task, side: str) -> float | None:
    """What one episode needs at its peak beyond the parameters and Adam's state: their gradients are counted."""
    return apart(_peak, task, side)


def _peak(task: Task, side: str) -> float | None:
    small = Bench(task._replace(units=8), torch.device("cpu"))  # loads what torch loads when first used
    getattr(small, side)(small.episodes(1))
    bench = Bench(task, torch.device("cpu"))
    episodes = bench.episodes(1)
    return peak(lambda: getattr(bench, side)(episodes))


def main(arguments: Arguments) -> dict[str, object]:
    task = TASKS[arguments.task]
    batch = arguments.batch or task.batch
    memory = {side: peak_megabytes(task, side) for side in ("plain", "ours")}
    device = pick_device("auto")
    bench = Bench(task, device)
    episodes = bench.episodes(2)
    expected, found = bench.gradients(bench.plain, episodes), bench.gradients(bench.ours, episodes)
    errors = {name: relative_error(found[name], value) for name, value in expected.items()}
    if set(found) != set(expected) or not max(errors.values()) < TOLERANCE:
        raise UserError(f"the two sides disagree, so no speed is reported: {errors}")
    one, many = bench.episodes(1), bench.episodes(batch)
    seconds = alternate({"plain": lambda: bench.plain(one), "ours": lambda: bench.ours(many)}, arguments.rounds)
    ours = [s / batch for s in seconds["ours"]]
    floor = floor_seconds(task, batch, device)
    result: dict[str, object] = {
        "benchmark": f"{arguments.task}, N={task.units}, T={len(one.order)}, one episode, forward and backward",
        "command": f"python -m benchmarks.recall --task {arguments.task} --batch {batch} --rounds {arguments.rounds}",
        "machine": describe_machine(),
        "device": describe_device(device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "batch": batch,
        "rounds": arguments.rounds,
        "relative_errors": errors,
        "plain_ms_per_episode": spread([1e3 * s for s in seconds["plain"]]),
        "ours_ms_per_episode": spread([1e3 * s for s in ours]),
        "ratio_to_plain": spread([a / b for a, b in zip(seconds["plain"], ours, strict=True)]),
        **floor,
        "times_the_floor": spread([1e3 * s / floor["floor_ms_per_episode"] for s in ours]),
        "plain_peak_mb_one_episode": memory["plain"],
        "ours_peak_mb_one_episode": memory["ours"],
    }
    print(json.dumps(result, indent=1))
    if arguments.json:
        write_json(arguments.json, result)
    return result


if __name__ == "__main__":
    main(tyro.cli(Arguments))
