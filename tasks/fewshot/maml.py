"""Model-agnostic meta-learning, with learn2learn's MAML as the inner loop (Finn, Abbeel, Levine 2017).

The whole network adapts to the support by gradient descent; the initial weights are trained so that this works.
"""

import contextlib
import io
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plastic.errors import UserError
from tasks.fewshot.learners import Learner, convolutions

if TYPE_CHECKING:
    from tasks.omniglot import Config


class Maml(Learner):
    """weights' = weights - inner_lr · gradient of the support's cross-entropy, ``inner_steps`` times.

    The outer gradient goes through the inner one. Queries are answered by the adapted weights, each alone.
    """

    def __init__(self, config: "Config") -> None:
        super().__init__()
        self.body = nn.Sequential(convolutions(config), nn.Linear(config.widths[-1], config.train_ways))
        self.rate, self.steps = config.inner_lr, config.inner_steps
        learn2learn()  # refuse at once where it is missing

    def classify(self, support: Tensor, labels: Tensor, queries: Tensor, ways: int) -> Tensor:
        """One episode after the other: support (B, T, 1, S, S), queries (B, Q, 1, S, S)."""
        initial = learn2learn().algorithms.MAML(self.body, lr=self.rate, first_order=not torch.is_grad_enabled())
        training = torch.is_grad_enabled()
        answers = []
        for shown, wanted, asked in zip(support, labels, queries, strict=True):
            with torch.enable_grad():
                adapted = initial.clone()
                for _ in range(self.steps):
                    adapted.adapt(F.cross_entropy(adapted(shown)[:, :ways], wanted))
            with torch.set_grad_enabled(training):
                answers.append(adapted(asked)[:, :ways])
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
