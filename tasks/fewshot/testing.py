"""Testing a learner on classes that it never saw: fresh episodes, one query each."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from tasks.fewshot.episodes import ROTATIONS, Episodes, as_input, draw, in_random_order, rotated, support_labels
from tasks.fewshot.training import loss_of

if TYPE_CHECKING:
    from tasks.fewshot.learners import Learner
    from tasks.omniglot import Config


@torch.no_grad()
def calibrate(
    learner: "Learner", config: "Config", images: Tensor, batches: Iterable[Episodes], chance: torch.Generator
) -> None:
    """Take the statistics of batch normalisation anew, as the mean over training batches under the weights as they are.

    Weights that still move quickly leave a running average behind, and with it the answers. Training does not look at
    these statistics, so it goes on as if nothing had happened.
    """
    layers = [module for module in learner.modules() if isinstance(module, nn.BatchNorm2d)]
    if not layers:
        return
    for layer in layers:
        layer.reset_running_stats()
    learner.train()
    for episodes in batches:
        loss_of(learner, config, images, episodes, chance)


@torch.no_grad()
def correct(
    learner: "Learner",
    images: Tensor,
    ways: int,
    shots: int,
    count: int,
    chance: torch.Generator,
    rotations: int = ROTATIONS,
) -> Tensor:
    """Whether each of ``count`` fresh episodes, of one query each, is answered rightly: (count,) of 0 and 1.

    ``images`` are those of the classes to be tested, uint8 (C, D, S, S). The learner is in evaluation mode: an answer
    depends on its own query and support alone.
    """
    learner.eval()
    drawings = torch.cat([learner.embed(as_input(part)) for part in rotated(images, rotations).split(500)])
    classes, shape = torch.arange(len(images), device=images.device), (images.shape[0], images.shape[1])
    size = learner.tested_at_once
    right = []
    for batch in [size] * (count // size) + [count % size] * (count % size > 0):
        episodes = draw(classes, shape, batch, ways, shots, 1, chance, rotations)
        labels = support_labels(batch, ways, shots, images.device)
        support, labels = in_random_order(drawings[episodes.support], labels, chance)
        answers = learner.classify(support, labels, drawings[episodes.queries], ways).argmax(-1)
        right.append((answers == episodes.labels).squeeze(1))
    return torch.cat(right).float()
