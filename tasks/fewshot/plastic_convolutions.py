"""Plasticity everywhere: convolutions whose connections learn too, before the plastic read-out."""

from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plastic import PlasticLinear
from plastic import functional as PF
from tasks.fewshot.learners import EpisodeNorm, Learner, activation

if TYPE_CHECKING:
    from tasks.omniglot import Config


class PlasticConvolution(nn.Module):
    """A 3x3 convolution of stride 2 with connections weight + alpha * trace; every episode has a trace of its own.

    A convolution is a linear layer over patches, so pre is a patch and post what the layer made of it.
    """

    def __init__(self, before: int, after: int, config: "Config", layer: int) -> None:
        super().__init__()
        self.connections = PlasticLinear(9 * before, after, config.rule, config.alpha, bias=config.norm == "none")
        self.norm, self.activation = EpisodeNorm(config, after), activation(config, layer)

    def patches(self, maps: Tensor) -> Tensor:
        """(B, T, C, S, S) -> (B, T * P, 9 * C), P positions a map."""
        columns: Tensor = F.unfold(maps.flatten(0, 1), 3, stride=2)  # (B * T, 9 * C, P)
        patches: Tensor = columns.mT.unflatten(0, maps.shape[:2]).flatten(1, 2)
        return patches

    def forward(self, maps: Tensor, trace: Tensor | None, shown: int) -> Tensor:
        """(B, T, C, S, S), the first ``shown`` the support, trace (B, 9 * C, O) -> (B, T, O, S', S')."""
        side = (maps.shape[-1] - 3) // 2 + 1
        drive = self.connections.read(self.patches(maps), trace)  # (B, T * P, O)
        shaped = drive.unflatten(1, (maps.shape[1], -1)).mT.unflatten(-1, (side, side))
        post: Tensor = self.activation(self.norm(shaped, shown))
        return post

    def write(self, pre: Tensor, post: Tensor) -> Tensor:
        """The trace after these maps (B, T, C, S, S) and their responses (B, T, O, S', S'), in closed form.

        A position is one of P that a drawing shows at once: it counts as 1/P of a step.
        """
        patches, responses = self.patches(pre), post.flatten(3).transpose(2, 3).flatten(1, 2)  # (B, T * P, ...)
        blank, eta = self.connections.initial_trace(len(pre)), self.connections.eta
        assert blank is not None
        assert eta is not None
        return PF.trace_write(blank, patches, responses, eta * pre.shape[1] / patches.shape[1], self.connections.rule)


class PlasticThroughout(Learner):
    """All layers plastic. The support passes twice: first the convolutions write, then the read-out does."""

    tested_at_once = 25

    def __init__(self, config: "Config") -> None:
        super().__init__()
        sizes = list(pairwise((1, *config.widths)))
        self.convolutions = nn.ModuleList(
            PlasticConvolution(before, after, config, i) for i, (before, after) in enumerate(sizes)
        )
        self.readout = PlasticLinear(config.widths[-1], config.train_ways, config.rule, config.alpha, bias=False)
        nn.init.normal_(self.readout.weight, std=0.01)

    def written(self, support: Tensor) -> list[Tensor]:
        """The traces of the convolutions after the support (B, T, 1, S, S)."""
        traces = []
        for layer in cast(Iterable[PlasticConvolution], self.convolutions):
            post = layer(support, None, support.shape[1])
            traces.append(layer.write(support, post))
            support = post
        return traces

    def features(self, images: Tensor, traces: list[Tensor], shown: int) -> Tensor:
        """(B, T, 1, S, S), the first ``shown`` the support -> (B, T, F)."""
        for layer, trace in zip(self.convolutions, traces, strict=True):
            images = layer(images, trace, shown)
        return images.flatten(2)

    def classify(self, support: Tensor, labels: Tensor, queries: Tensor, ways: int) -> Tensor:
        traces = self.written(support)
        both = self.features(torch.cat([support, queries], 1), traces, support.shape[1])
        shown, asked = both[:, : support.shape[1]], both[:, support.shape[1] :]
        _, trace = self.readout(shown, target=F.one_hot(labels, self.readout.out_features))
        return self.readout.read(asked, trace)[..., :ways]
