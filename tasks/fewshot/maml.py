"""Model-agnostic meta-learning, with learn2learn's MAML as the inner loop (Finn, Abbeel, Levine 2017).

The whole network adapts to the support by gradient descent; the initial weights are trained so that this works.
"""

import contextlib
import io
import warnings
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plastic.errors import UserError
from tasks.fewshot.learners import EpisodeNorm, Learner, activation

if TYPE_CHECKING:
    from tasks.omniglot import Config


class Adapted(nn.Module):
    """What adapts: convolutions and one unit a class. The read-out starts at 0, so that no unit is ahead."""

    def __init__(self, config: "Config") -> None:
        super().__init__()
        sizes = list(pairwise((1, *config.widths)))
        self.convolutions = nn.ModuleList(
            nn.Conv2d(before, after, 3, stride=2, bias=config.norm == "none") for before, after in sizes
        )
        self.norms = nn.ModuleList(EpisodeNorm(config, after) for _, after in sizes)
        self.activations = nn.ModuleList(activation(config, i) for i in range(len(sizes)))
        self.readout = nn.Linear(config.widths[-1], config.train_ways)
        nn.init.zeros_(self.readout.weight)
        nn.init.zeros_(self.readout.bias)

    def forward(self, images: Tensor, shown: int) -> Tensor:
        """The drawings of one episode (T, 1, S, S), the support first -> (T, train ways)."""
        for convolve, normalise, activate in zip(self.convolutions, self.norms, self.activations, strict=True):
            images = activate(normalise(convolve(images)[None], shown)[0])
        logits: Tensor = self.readout(images.flatten(1))
        return logits


class Maml(Learner):
    """weights' = weights - inner_lr · gradient of the support's loss, ``inner_steps`` times.

    The loss is the mean cross-entropy times the ways: a class then moves its unit equally far among 5 and among 60.
    The outer gradient goes through the inner one. Queries are answered by the adapted weights, each alone.
    """

    def __init__(self, config: "Config") -> None:
        super().__init__()
        self.body = Adapted(config)
        self.rate, self.steps = config.inner_lr, config.inner_steps
        learn2learn()  # refuse at once where it is missing

    def classify(self, support: Tensor, labels: Tensor, queries: Tensor, ways: int) -> Tensor:
        """One episode after the other: support (B, T, 1, S, S), queries (B, Q, 1, S, S)."""
        initial = learn2learn().algorithms.MAML(self.body, lr=self.rate, first_order=not torch.is_grad_enabled())
        training = torch.is_grad_enabled()
        answers = []
        for shown, wanted, asked in zip(support, labels, queries, strict=True):
            size = len(shown)
            with torch.enable_grad():
                adapted = initial.clone()
                for _ in range(self.steps):
                    adapted.adapt(ways * F.cross_entropy(adapted(shown, size)[:, :ways], wanted))
            with torch.set_grad_enabled(training):
                answers.append(adapted(torch.cat([shown, asked]), size)[size:, :ways])
        return torch.stack(answers)


@cache
def learn2learn() -> Any:
    """The package; what it and gym print when they are imported is held back. UserError where it is not installed."""
    held = io.StringIO()
    try:
        with contextlib.redirect_stderr(held), contextlib.redirect_stdout(held), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import learn2learn
    except ImportError as error:
        raise UserError(f"--model maml needs learn2learn ({error}): make .venv/ready installs it") from error
    return learn2learn
