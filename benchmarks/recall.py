"""The two recall experiments, against the published algorithm written plainly.

Both sides take whole episodes, forward and backward, of one network (Hebb's rule with decay, one alpha a connection,
true clamping, the squared error of the last step). The plain side takes one episode at a time and one autograd step at
a time; ours takes a batch.

The floor is what our own schedule cannot do without: its products at the rate of one large product on this machine,
and what it must read and write of dense traces at the rate of a copy.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.comparison import PLAIN, Errors, Peaks, Way, differences
from benchmarks.floor import Work
from plastic import functional as PF
from plastic.kernels.factored import FOLD
from plastic.kernels.schedule import schedule


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
        steps = len(task.steps()[0])
        self.title = f"recall of {task.patterns} items, N={N}, T={steps}: one episode, forward and backward"
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

    def errors(self) -> Errors:
        episodes = self.episodes(2)
        expected, found = self.gradients(self.plain, episodes), self.gradients(self.ours, episodes)
        return {"ours": differences(found, expected)}

    def ways(self) -> dict[str, Way]:
        one, many = self.episodes(1), self.episodes(self.task.batch)
        return {PLAIN: Way(lambda: self.plain(one), 1), "ours": Way(lambda: self.ours(many), self.task.batch)}

    def peaks(self) -> Peaks:
        """One episode, beyond the parameters: their gradients are counted."""
        one = self.episodes(1)
        return {"plain, one episode": lambda: self.plain(one), "ours, one episode": lambda: self.ours(one)}

    def floor(self) -> Work:
        N = self.task.units
        order, clamped = self.task.steps()
        segments = schedule(tuple(order), tuple(clamped), True, FOLD).segments
        free = [[phase for phase in segment.phases if phase.free] for segment in segments]
        products = sum(len(phase.fresh) + 1 for phases in free for phase in phases)  # with alpha, one with weight
        # outer products: there, and thrice on the way back, on which the trace in the end has no part
        folds = 4 * sum(len(segment.slots) for segment in segments) - 3 * len(segments[-1].slots)
        passes = 2 * sum(len(phases) for phases in free[1:]) + 10 * (len(segments) - 1) + 1  # over N x N numbers
        return Work(2.0 * N * N * (3 * products + folds), 4.0 * N * N * passes)


def bench(name: str, device: torch.device, small: bool) -> Bench:
    """Patterns or images; ``small``: with a few units."""
    return Bench(TASKS[name]._replace(units=8) if small else TASKS[name], device)
