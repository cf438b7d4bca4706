"""Training speed on SplitMNIST: ten seeds side by side, against the published layer's loop, seed by seed.

    python -m benchmarks.splitmnist --json results/benchmark-splitmnist-cpu.json

Both sides train 784-256-256-10 with DHP-Softmax by plain SGD on batches of 64: forward, backward and step. The plain
side is one network whose trace is rewritten class by class, as its authors show it; ours is ``continual.splitmnist``
with all seeds in one batched product. First both get the same batch, and all gradients must agree; no speed is printed
for a wrong result.
"""

import json
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import tyro
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.timing import alternate, relative_error, spread
from continual.learning import Learner
from continual.networks import MLP
from continual.scenarios import Stream, split
from continual.splitmnist import Config
from plastic.data import load_labelled
from plastic.errors import UserError
from plastic.experiment.machine import describe_device, describe_machine, pick_device
from plastic.experiment.run import write_json

TOLERANCE = 1e-4  # relative, on every gradient


@dataclass(frozen=True)
class Arguments:
    """Training speed on SplitMNIST, against the plain loop over classes."""

    json: Path | None = None
    """where to write the figures"""
    data_dir: Path | None = None
    """folder of mnist.npz; generated digits where it cannot be had, which the sums do not depend on"""
    seeds: int = 10
    """seeds side by side on our side"""
    updates: int = 50
    """updates of each side per round"""
    rounds: int = 9
    """rounds, in alternation; the median counts"""


class PlainDHP(nn.Module):
    """The layer as its authors show it: a loop over the classes of the batch, the trace handed in and out."""

    def __init__(self, in_features: int, out_features: int, eta: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(in_features, out_features))
        nn.init.kaiming_uniform_(self.weight, a=math.sqrt(5))
        self.alpha = nn.Parameter(0.01 * torch.rand(in_features, out_features))
        self.eta = nn.Parameter(eta * torch.ones(1))

    def forward(self, h: Tensor, y: Tensor, hebb: Tensor) -> tuple[Tensor, Tensor]:
        hebb = hebb.clone()
        for c in torch.unique(y):
            rows = (y == c).nonzero()
            s = torch.sum(y == c)
            if s > 0:
                mean = h[rows].sum(0)[0] / s.item()
                hebb[:, c] = (1 - self.eta) * hebb[:, c].clone() + self.eta * mean
        return h @ (self.weight + self.alpha * hebb), hebb


class Plain(nn.Module):
    """One seed's network."""

    def __init__(self, eta: float) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(784, 256), nn.Linear(256, 256)
        self.head = PlainDHP(256, 10, eta)
        self.hebb = torch.zeros(256, 10)

    def loss(self, x: Tensor, y: Tensor, task: slice) -> Tensor:
        logits, written = self.head(self.second(self.first(x).relu()).relu(), y, self.hebb)
        self.hebb = written.detach()
        return F.cross_entropy(logits[:, task], y - task.start)

    def load(self, ours: nn.Module) -> None:
        """The weights of our first replica."""
        state = {name: value[0] for name, value in ours.state_dict().items()}
        with torch.no_grad():
            for layer, name in ((self.first, "hidden.0"), (self.second, "hidden.1")):
                layer.weight.copy_(state[f"{name}.weight"].T)
                layer.bias.copy_(state[f"{name}.bias"])
            self.head.weight.copy_(state["head.weight"])
            self.head.alpha.copy_(state["head.alpha"])
            self.head.eta.fill_(state["head.eta"])
        self.hebb = state["head.trace"].clone()


class Bench:
    """Both sides on the same images."""

    def __init__(self, seeds: int, stream: Stream, device: torch.device) -> None:
        self.stream, self.device = stream, device
        config = Config(seeds=seeds, device="cpu" if device.type == "cpu" else "cuda", importance_examples=500)
        ways: dict[str, dict[str, Any]] = {
            "finetune": {},
            "dhp": {"head": "dhp"},
            "dhp_si": {"head": "dhp", "reg": "si"},
        }
        self.learners = {name: self._learner(replace(config, **given)) for name, given in ways.items()}
        self.plain = Plain(config.eta).to(device)
        self.optimizer = torch.optim.SGD(self.plain.parameters(), lr=config.lr)
        self.batch = config.batch
        self._at = 0

    def _learner(self, config: Config) -> Learner:
        learner = Learner(config, self.stream, lambda s, R: MLP((784, 256, 256), 10, R, config.head), self.device)
        learner.step()
        # from here on the penalty acts, as it does in all tasks but the first
        learner.regularizer.end_task(learner.examples(0), lambda inputs: learner.answer(inputs, 0))
        return learner

    def rows(self) -> Tensor:
        """The next batch of the first task."""
        task = self.stream.tasks[0].train
        self._at = self._at + self.batch if self._at + 2 * self.batch <= len(task) else 0
        return task[self._at : self._at + self.batch]

    def plain_step(self, rows: Tensor) -> None:
        x = self.stream.train[rows].float() / 255
        self.optimizer.zero_grad()
        self.plain.loss(x, self.stream.train_labels[rows], self.stream.tasks[0].taught).backward()
        self.optimizer.step()

    def largest_error(self) -> float:
        """Relative, over the gradients of a batch; both sides start from the same weights and a trace that matters."""
        learner, rows = self.learners["dhp"], self.rows()
        self.plain.load(learner.network)
        task = self.stream.tasks[0]
        x = self.stream.train[rows].float() / 255
        y = self.stream.train_labels[rows]
        self.plain.zero_grad()
        self.plain.loss(x, y, task.taught).backward()
        R = len(learner.seeds)
        learner.network.zero_grad()
        logits = learner.network(x.expand(R, -1, -1), y.expand(R, -1))[0, :, task.taught]
        F.cross_entropy(logits, y).backward()
        ours = {name: _grad(p)[0] for name, p in learner.network.named_parameters()}
        pairs = [
            (ours["hidden.0.weight"], _grad(self.plain.first.weight).T),
            (ours["hidden.1.weight"], _grad(self.plain.second.weight).T),
            (ours["hidden.0.bias"], _grad(self.plain.first.bias)),
            (ours["head.weight"], _grad(self.plain.head.weight)),
            (ours["head.alpha"], _grad(self.plain.head.alpha)),
            (ours["head.eta"].reshape(1), _grad(self.plain.head.eta)),
        ]
        learner.network.zero_grad()
        return max(relative_error(a, b) for a, b in pairs)

    def ours(self, name: str, updates: int) -> None:
        for _ in range(updates):
            self.learners[name].step()

    def published(self, updates: int) -> None:
        for _ in range(updates):
            self.plain_step(self.rows())


def _grad(parameter: Tensor) -> Tensor:
    assert parameter.grad is not None
    return parameter.grad


def main(arguments: Arguments) -> dict[str, object]:
    device = pick_device("auto")
    source = load_labelled("auto", arguments.data_dir)
    stream = split(source, 5, "task", "unit", False, device)
    bench = Bench(arguments.seeds, stream, device)
    worst = bench.largest_error()
    if not worst < TOLERANCE:
        raise UserError(f"the two sides disagree by {worst}, so no speed is reported")
    names = list(bench.learners)
    works = {name: (lambda name=name: bench.ours(name, arguments.updates)) for name in names}
    seconds = alternate({"plain": lambda: bench.published(arguments.updates), **works}, arguments.rounds)
    each = {
        name: [s / arguments.updates / (1 if name == "plain" else arguments.seeds) for s in values]
        for name, values in seconds.items()
    }
    run = 10 * sum(-(-len(task.train) // bench.batch) for task in stream.tasks)  # updates of ten epochs
    result: dict[str, object] = {
        "benchmark": "SplitMNIST, 784-256-256-10, batch 64, plain SGD: forward, backward and update",
        "command": f"python -m benchmarks.splitmnist --seeds {arguments.seeds} --updates {arguments.updates} "
        f"--rounds {arguments.rounds}",
        "dataset": stream.name,
        "machine": describe_machine(),
        "device": describe_device(device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "seeds_side_by_side": arguments.seeds,
        "rounds": arguments.rounds,
        "largest_gradient_error": worst,
        "ms_per_update_and_seed": {name: spread([1e3 * s for s in values]) for name, values in each.items()},
        "seconds_per_seed_of_5_tasks_and_10_epochs": {
            name: spread([run * s for s in values]) for name, values in each.items()
        },
        "dhp_si_to_finetune": spread([a / b for a, b in zip(each["dhp_si"], each["finetune"], strict=True)]),
        "plain_dhp_to_ours": spread([a / b for a, b in zip(each["plain"], each["dhp"], strict=True)]),
    }
    print(json.dumps(result, indent=1))
    if arguments.json:
        write_json(arguments.json, result)
    return result


if __name__ == "__main__":
    main(tyro.cli(Arguments))
