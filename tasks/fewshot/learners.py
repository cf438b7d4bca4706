"""Learners of new classes: the plastic read-out, and what stands beside it.

A learner turns drawings into features (what of a drawing does not depend on its episode), and classifies queries by the
labelled support of their episode.
"""

from itertools import pairwise
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plastic import PlasticLinear
from plastic.experiment import processes
from tasks.fewshot.episodes import Episodes, in_random_order, support_labels, take_turns

if TYPE_CHECKING:
    from tasks.omniglot import Config


def convolutions(config: "Config") -> nn.Sequential:
    """Four stride-2 convolutions, 31 -> 15 -> 7 -> 3 -> 1: (M, 1, 31, 31) -> (M, F)."""
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(pairwise((1, *config.widths))):
        layers.append(nn.Conv2d(before, after, 3, stride=2, bias=config.norm == "none"))
        if config.norm != "none":
            layers.append(norm(config, after))
        layers.append(activation(config, i))
    return nn.Sequential(*layers, nn.Flatten())


def activation(config: "Config", layer: int) -> nn.Module:
    """After convolution 0 to 3."""
    return nn.ReLU() if config.activation == "relu" and layer < 3 else nn.Tanh()


def norm(config: "Config", features: int) -> nn.Module:
    """Over the batch, with plain averages for tests (see ``calibrate``); or over the features of one drawing."""
    return BatchNorm(features, momentum=None) if config.norm == "batch" else nn.GroupNorm(1, features)


class BatchNorm(nn.BatchNorm2d):
    """Over the joined batch, where several processes have a share of it each (torch's own way to do so needs GPUs)."""

    def forward(self, input: Tensor) -> Tensor:
        if not self.training or processes.count() == 1:
            normalised: Tensor = super().forward(input)
            return normalised
        maps = input.to(self.weight.dtype)
        variance, mean = torch.var_mean(maps, (0, 2, 3), correction=0)  # (C,)
        size = torch.full_like(mean, maps[:, 0].numel())
        sizes, means, variances = processes.gathered(
            torch.stack([size, mean, variance])[None], processes.count()
        ).unbind(1)
        total = sizes.sum(0)
        mean = (sizes / total * means).sum(0)
        variance = (sizes / total * (variances + (means - mean).square())).sum(0)
        self.remember(mean.detach(), variance.detach() * total / (total - 1))
        scale = self.weight * (variance + self.eps).rsqrt()
        return ((maps - mean[:, None, None]) * scale[:, None, None] + self.bias[:, None, None]).to(input.dtype)

    def remember(self, mean: Tensor, variance: Tensor) -> None:
        """Take these into the plain averages over what was seen."""
        assert self.running_mean is not None
        assert self.running_var is not None
        assert self.num_batches_tracked is not None
        self.num_batches_tracked += 1
        for average, value in ((self.running_mean, mean), (self.running_var, variance)):
            average += (value - average) / self.num_batches_tracked


class EpisodeNorm(nn.Module):
    """Normalisation where an episode changes the weights: batch, by the statistics of its support; layer; or none.

    Running statistics would not fit weights that change, and those of the queries would leak.
    """

    def __init__(self, config: "Config", features: int) -> None:
        super().__init__()
        self.kind = config.norm
        if self.kind != "none":
            self.weight, self.bias = nn.Parameter(torch.ones(features)), nn.Parameter(torch.zeros(features))

    def forward(self, maps: Tensor, shown: int) -> Tensor:
        """(B, T, C, S, S), of which the first ``shown`` of each episode are its support."""
        if self.kind == "none":
            return maps
        part, over = (maps[:, :shown], (1, 3, 4)) if self.kind == "batch" else (maps, (2, 3, 4))
        variance, mean = torch.var_mean(part, over, correction=0, keepdim=True)
        scale = self.weight[:, None, None] * (variance + 1e-5).rsqrt()
        return (maps - mean) * scale + self.bias[:, None, None]


class Learner(nn.Module):
    """What training and tests ask of a learner; it trains on the queries of episodes, unless ``lesson`` is another."""

    tested_at_once = 1000
    """episodes of a test that go through ``classify`` together"""

    def embed(self, images: Tensor) -> Tensor:
        """(M, 1, S, S), white paper = 1 -> (M, ...): what of a drawing does not depend on its episode."""
        return images

    def classify(self, support: Tensor, labels: Tensor, queries: Tensor, ways: int) -> Tensor:
        """Logits (B, Q, ways) of embedded queries (B, Q, ...), given the support (B, T, ...) and its labels (B, T)."""
        raise NotImplementedError

    def lesson(
        self, drawings: Tensor, episodes: Episodes, config: "Config", chance: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        """Logits (M, classes) and wanted classes (M,) of a training batch, embedded drawings (B, N * K + Q, ...)."""
        support, queries = take_turns(drawings, config.train_ways, config.shots, config.turns)
        labels = support_labels(len(support), config.train_ways, config.shots, support.device)
        logits = self.classify(*in_random_order(support, labels, chance), queries, config.train_ways)
        return logits.flatten(0, 1), episodes.labels.repeat(config.turns, 1).flatten()


class Embedding(Learner):
    """A learner whose drawings are embedded before any episode."""

    def __init__(self, config: "Config") -> None:
        super().__init__()
        self.convolutions = convolutions(config)

    def embed(self, images: Tensor) -> Tensor:
        features: Tensor = self.convolutions(images.contiguous(memory_format=torch.channels_last))
        return features  # (M, F)


class PlasticReadout(Embedding):
    """Convolutions, and a plastic layer from their features to one unit a class (Miconi et al. 2018, section 4.4)."""

    def __init__(self, config: "Config") -> None:
        super().__init__(config)
        alpha = config.alpha if config.model == "plastic" else "none"
        self.readout = PlasticLinear(config.widths[-1], config.train_ways, config.rule, alpha, bias=False)
        nn.init.normal_(self.readout.weight, std=0.01)

    def remember(self, support: Tensor, labels: Tensor) -> Tensor | None:
        """The trace (B, F, N) after the support (B, T, F) was shown with its labels (B, T) forced on the output."""
        shown: tuple[Tensor, Tensor | None] = self.readout(support, target=F.one_hot(labels, self.readout.out_features))
        return shown[1]

    def classify(self, support: Tensor, labels: Tensor, queries: Tensor, ways: int) -> Tensor:
        return self.readout.read(queries, self.remember(support, labels))[..., :ways]


class Prototypes(Embedding):
    """The nearest class mean: logits = -scale · |query - mean of the class's support|² (Snell, Swersky, Zemel 2017).

    The scale is learned: among 256 features a distance starts far too large for the softmax.
    """

    def __init__(self, config: "Config") -> None:
        super().__init__(config)
        self.log_scale = nn.Parameter(torch.tensor(1 / config.widths[-1] ** 0.5).log())

    def classify(self, support: Tensor, labels: Tensor, queries: Tensor, ways: int) -> Tensor:
        members = F.one_hot(labels, ways).to(support.dtype)  # (B, T, N)
        means = members.mT @ support / members.sum(1).unsqueeze(-1)  # (B, N, F)
        # |q|² is the same for every class and left out
        return self.log_scale.exp() * (2 * queries @ means.mT - means.square().sum(-1).unsqueeze(1))


class Transfer(Embedding):
    """Convolutions pretrained to tell all training classes apart; of a new class only the read-out is fitted.

    The fit is softmax regression on the normalised features of the support, by full-batch gradient descent from zero
    with weight decay: the transfer baseline of Chen et al. 2019 (arXiv 1904.04232).
    """

    STEPS, RATE, DECAY = 20, 10.0, 1e-5

    def __init__(self, config: "Config", classes: int, drawings: int) -> None:
        super().__init__(config)
        self.head = nn.Linear(config.widths[-1], classes)  # every rotation of a character is a class
        self.drawings = drawings

    def lesson(
        self, drawings: Tensor, episodes: Episodes, config: "Config", chance: torch.Generator
    ) -> tuple[Tensor, Tensor]:
        numbers = torch.cat([episodes.support, episodes.queries], 1)
        return self.head(drawings.flatten(0, 1)), (numbers // self.drawings).flatten()

    def classify(self, support: Tensor, labels: Tensor, queries: Tensor, ways: int) -> Tensor:
        shown, asked = F.normalize(support, dim=-1), F.normalize(queries, dim=-1)
        wanted = F.one_hot(labels, ways).to(shown.dtype)
        weight = shown.new_zeros(len(shown), shown.shape[-1], ways)  # (B, F, N)
        for _ in range(self.STEPS):
            excess = (shown @ weight).softmax(-1) - wanted  # (B, T, N)
            weight = weight - self.RATE * (shown.mT @ excess / shown.shape[1] + self.DECAY * weight)
        return asked @ weight
