"""Training a learner on episodes of the training classes."""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plastic.experiment import processes
from tasks.fewshot.episodes import Episodes, as_input, distorted

if TYPE_CHECKING:
    from tasks.fewshot.learners import Learner
    from tasks.omniglot import Config

WARM_UP = 0.02  # share of the episodes in which the cosine schedule rises


def inputs_of(config: "Config", images: Tensor, numbers: Tensor, chance: torch.Generator) -> Tensor:
    """The images of these numbers as a training episode shows them, (M, 1, S, S); each of several processes a share."""
    count = numbers.numel()
    mine = processes.share(count).mine
    inputs = as_input(images[numbers.flatten()[mine]])
    return distorted(inputs, config.distortion, chance, count, mine) if config.distortion else inputs


def loss_of(
    learner: "Learner", config: "Config", images: Tensor, episodes: Episodes, chance: torch.Generator
) -> dict[str, Tensor]:
    """Loss and accuracy of a batch, all of whose drawings are embedded in one call.

    Several processes each embed a share of the drawings, which is nearly all of the work; what follows each does whole.
    ``images`` are all drawings in all rotations, uint8 (4 * C * D, S, S).
    """
    numbers = torch.cat([episodes.support, episodes.queries], 1)  # (B, N * K + Q)
    inputs = inputs_of(config, images, numbers, chance)
    with torch.autocast(inputs.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
        features = learner.embed(inputs)
    drawings = processes.gathered(features.to(inputs.dtype), numbers.numel()).unflatten(0, numbers.shape)
    logits, wanted = learner.lesson(drawings, episodes, config, chance)
    if config.loss == "binary":
        loss = F.binary_cross_entropy(logits.softmax(-1), F.one_hot(wanted, logits.shape[-1]).to(logits.dtype))
    else:
        loss = F.cross_entropy(logits, wanted)
    return {"loss": loss, "accuracy": (logits.detach().argmax(-1) == wanted).float().mean()}


def rate(config: "Config") -> Callable[[int], float]:
    """The learning rate's factor after so many updates."""

    def factor(update: int) -> float:
        done = update * config.batch / config.episodes
        if config.schedule == "steps":
            return float((2 / 3) ** (update * config.batch // 1_000_000))
        return float(min(1.0, (done + 1 / config.episodes) / WARM_UP) * (1 + math.cos(math.pi * min(1.0, done))) / 2)

    return factor


def optimizer_of(learner: nn.Module, config: "Config") -> torch.optim.Optimizer:
    """AdamW (Adam, where nothing decays), with a rate of their own for alpha and eta."""

    def plastic(name: str) -> bool:
        return name.rpartition(".")[2] in ("alpha", "eta")

    fixed = [p for name, p in learner.named_parameters() if not plastic(name)]
    groups: list[dict[str, Any]] = [{"params": fixed, "lr": config.lr, "weight_decay": config.weight_decay}]
    learned = [p for name, p in learner.named_parameters() if plastic(name)]
    if learned:
        groups.append({"params": learned, "lr": config.plastic_lr, "weight_decay": 0.0})
    return torch.optim.AdamW(groups, fused=True)
