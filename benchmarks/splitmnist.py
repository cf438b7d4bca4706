"""Training on SplitMNIST: ten seeds side by side, against the published layer's loop, seed by seed.

Both sides train 784-256-256-10 with DHP-Softmax by plain SGD on batches of 64: forward, backward and step. The plain
side is one network whose trace is rewritten class by class, as its authors show it; ours is ``continual.splitmnist``
with all seeds in one batched product. Finetuning, and DHP-Softmax with synaptic intelligence, are timed beside them.
Images are noise: the sums to be done do not depend on what they show.
"""

import math
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.comparison import PLAIN, Errors, Peaks, Way, differences
from benchmarks.floor import Work, flop_of
from continual.learning import Learner
from continual.networks import MLP
from continual.scenarios import Stream, split
from continual.splitmnist import Config
from plastic.data import Labelled

SEEDS = 10  # side by side on our side
UPDATES = 50  # of each side in a round
IMAGES = 30_000  # a task is longer than a measurement
PASSES = 4  # over the parameters: read, their gradient written and read, written


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
    """One seed's network; its parameters are named as ours."""

    def __init__(self, eta: float) -> None:
        super().__init__()
        self.hidden = nn.ModuleList([nn.Linear(784, 256), nn.Linear(256, 256)])
        self.head = PlainDHP(256, 10, eta)
        self.hebb = torch.zeros(256, 10)

    def loss(self, x: Tensor, y: Tensor, task: slice) -> Tensor:
        for layer in self.hidden:
            x = layer(x).relu()
        logits, written = self.head(x, y, self.hebb)
        self.hebb = written.detach()
        return F.cross_entropy(logits[:, task], y - task.start)

    def load(self, ours: nn.Module) -> None:
        """The weights of our first replica."""
        state = {name: value[0] for name, value in ours.state_dict().items()}
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                parameter.copy_(as_torch(name, state[name]))
        self.hebb = state["head.trace"].clone()


class Bench:
    """Both sides on the same images."""

    def __init__(self, seeds: int, stream: Stream, device: torch.device) -> None:
        self.stream, self.device = stream, device
        self.title = f"SplitMNIST, 784-256-256-10, batch 64, {seeds} seeds: one update of one seed, with its step"
        config = Config(seeds=seeds, device="cpu" if device.type == "cpu" else "cuda", importance_examples=500)
        ways: dict[str, dict[str, Any]] = {
            "finetune": {},
            "dhp": {"head": "dhp"},
            "dhp_si": {"head": "dhp", "reg": "si"},
        }
        self.learners = {name: self._learner(replace(config, **given)) for name, given in ways.items()}
        self.plain = Plain(config.eta).to(device)
        self.plain.load(self.learners["dhp"].network)
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

    def errors(self) -> Errors:
        """Of the gradients of a batch; both sides start from the same weights and a trace that matters."""
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
        found = {name: p.grad[0] for name, p in learner.network.named_parameters() if p.grad is not None}
        expected = {name: p.grad for name, p in self.plain.named_parameters() if p.grad is not None}
        learner.network.zero_grad()
        return {"dhp": differences({name: as_torch(name, g) for name, g in found.items()}, expected)}

    def ways(self) -> dict[str, Way]:
        each = len(self.learners["dhp"].seeds) * UPDATES
        ours = {name: Way(partial(self.ours, name, UPDATES), each) for name in self.learners}
        return {PLAIN: Way(partial(self.published, UPDATES), UPDATES), **ours}

    def peaks(self) -> Peaks:
        seeds = len(self.learners["dhp"].seeds)
        return {
            f"{PLAIN}, one seed": partial(self.published, 1),
            **{f"{name}, {seeds} seeds": partial(self.ours, name, 1) for name in self.learners},
        }

    def floor(self) -> Work:
        learner = self.learners["dhp"]
        parameters = sum(p.numel() for p in self.plain.parameters())
        return Work(flop_of(learner.step) / len(learner.seeds), 4.0 * PASSES * parameters)

    def ours(self, name: str, updates: int) -> None:
        for _ in range(updates):
            self.learners[name].step()

    def published(self, updates: int) -> None:
        for _ in range(updates):
            self.plain_step(self.rows())


def as_torch(name: str, values: Tensor) -> Tensor:
    """A parameter of ours, or its gradient, in the shape of the plain side: torch's own layers are (post, pre)."""
    turned = values.T if name.startswith("hidden") and values.dim() == 2 else values
    return turned if turned.dim() else turned.unsqueeze(0)


def noise(images: int, device: torch.device) -> Stream:
    """SplitMNIST's tasks on images of chance."""
    pixels = torch.randint(256, (images, 1, 28, 28), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    labels = torch.arange(images) % 10
    return split(Labelled("noise", pixels, labels, pixels[:10], labels[:10], 10), 5, "task", "unit", False, device)


def bench(device: torch.device, small: bool) -> Bench:
    """The published network, ten seeds; ``small``: two."""
    return Bench(2 if small else SEEDS, noise(IMAGES // 10 if small else IMAGES, device), device)
