"""Networks of R replicas side by side: every parameter leads with R, and so does every activity.

One batched product then serves all seeds, which on small networks costs little more than one seed alone.
"""

import math
from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from continual.dhp import DHPSoftmax
from continual.memory import ClassMemory
from plastic.coefficients import ALPHA_SCALE
from plastic.experiment import generator


class Linear(nn.Module):
    """R linear maps: (R, B, I) @ weight (R, I, O) + bias (R, O), initialised as ``torch.nn.Linear``."""

    def __init__(self, in_features: int, out_features: int, replicas: int) -> None:
        super().__init__()
        self.replicas = replicas
        bound = 1 / math.sqrt(in_features)
        self.weight = nn.Parameter(torch.rand(replicas, in_features, out_features) * (2 * bound) - bound)
        self.bias = nn.Parameter(torch.rand(replicas, out_features) * (2 * bound) - bound)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        return torch.baddbmm(self.bias.unsqueeze(1), x, self.weight)


class PlasticHidden(Linear):
    """A linear map whose connections are plastic without a teacher: Oja's rule, averaged over the batch.

    As in DHP-Softmax the trace is rewritten, in training only, before the output is formed, so eta has a gradient:
    y = relu(x @ (weight + alpha trace) + bias), trace' = trace (1 - eta mean y²) + eta mean of x y.
    """

    FAST = ("alpha", "eta")

    trace: Tensor

    def __init__(self, in_features: int, out_features: int, replicas: int, eta: float, alpha: float) -> None:
        super().__init__(in_features, out_features, replicas)
        self.alpha = nn.Parameter(torch.rand(replicas, in_features, out_features) * alpha)
        self.eta = nn.Parameter(torch.full((replicas,), eta))
        self.register_buffer("trace", torch.zeros(replicas, in_features, out_features))

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        trace = self.trace
        if self.training:
            eta = self.eta[:, None, None]
            post = torch.baddbmm(self.bias.unsqueeze(1), x, self.weight + self.alpha * trace).relu()
            retain = 1 - eta * post.square().mean(1, keepdim=True)
            trace = trace * retain + x.mT @ (eta * post / x.shape[1])
            self.trace = trace.detach()
        return torch.baddbmm(self.bias.unsqueeze(1), x, self.weight + self.alpha * trace)


class Conv2d(nn.Module):
    """R convolutions, 3 x 3 with zeros around: (R, B, C, H, W) -> (R, B, O, H, W), as one grouped convolution."""

    def __init__(self, in_channels: int, out_channels: int, replicas: int) -> None:
        super().__init__()
        self.replicas = replicas
        bound = 1 / math.sqrt(9 * in_channels)
        self.weight = nn.Parameter(torch.rand(replicas, out_channels, in_channels, 3, 3) * (2 * bound) - bound)
        self.bias = nn.Parameter(torch.rand(replicas, out_channels) * (2 * bound) - bound)

    def forward(self, x: Tensor) -> Tensor:
        R, B = x.shape[:2]
        together = x.transpose(0, 1).flatten(1, 2)  # (B, R C, H, W)
        out = F.conv2d(together, self.weight.flatten(0, 1), self.bias.flatten(), padding=1, groups=R)
        return out.view(B, R, -1, *out.shape[2:]).transpose(0, 1)


def head(kind: str, features: int, units: int, replicas: int, eta: float, alpha: float, zero: bool) -> nn.Module:
    """The read-out: ``linear``, ``dhp``, or ``memory``; ``zero``: slow weights start at nothing, as in SI's program."""
    makers: dict[str, Callable[[], nn.Module]] = {
        "linear": lambda: Linear(features, units, replicas),
        "dhp": lambda: DHPSoftmax(features, units, eta, alpha, replicas),
        "memory": lambda: ClassMemory(features, units, replicas),
    }
    layer = makers[kind]()
    if zero:
        with torch.no_grad():
            for name, parameter in layer.named_parameters():
                if name in ("weight", "bias"):
                    parameter.zero_()
    return layer


class MLP(nn.Module):
    """Rectified hidden layers and a read-out: (R, B, I) -> (R, B, units).

    Args:
        sizes: inputs, then the units of each hidden layer.
        units: outputs. kind, zero: see ``head``. eta, alpha: where plasticity starts.
        plastic_hidden: the hidden layers are plastic too.
    """

    def __init__(
        self,
        sizes: Sequence[int],
        units: int,
        replicas: int,
        kind: str = "linear",
        eta: float = 1e-3,
        alpha: float = ALPHA_SCALE,
        zero: bool = False,
        plastic_hidden: bool = False,
    ) -> None:
        super().__init__()
        self.hidden = nn.ModuleList(
            PlasticHidden(i, o, replicas, eta, alpha) if plastic_hidden else Linear(i, o, replicas)
            for i, o in pairwise(sizes)
        )
        self.head = head(kind, sizes[-1], units, replicas, eta, alpha, zero)

    def forward(self, x: Tensor, y: Tensor | None = None, chances: Sequence[torch.Generator] = ()) -> Tensor:
        """``y`` (R, B) are the labels that a plastic read-out learns from in training."""
        for layer in self.hidden:
            x = layer(x).relu()
        logits: Tensor = self.head(x, y)
        return logits


class ConvNet(nn.Module):
    """The SI paper's net for CIFAR (Zenke, Poole, Ganguli 2017): 32-32-pool-64-64-pool-512, dropout .25, .25, .5.

    (R, B, 3, S, S) -> (R, B, units). ``chances``, one generator a replica, drop units in training; none, none dropped.
    """

    drops = True

    def __init__(
        self,
        side: int,
        units: int,
        replicas: int,
        kind: str = "linear",
        eta: float = 1e-3,
        alpha: float = ALPHA_SCALE,
        zero: bool = False,
        widths: tuple[int, int, int] = (32, 64, 512),
    ) -> None:
        super().__init__()
        first, second, full = widths
        pairs = ((3, first), (first, first), (first, second), (second, second))
        self.convolutions = nn.ModuleList(Conv2d(i, o, replicas) for i, o in pairs)
        self.full = Linear(second * (side // 4) ** 2, full, replicas)
        self.head = head(kind, full, units, replicas, eta, alpha, zero)

    def forward(self, x: Tensor, y: Tensor | None = None, chances: Sequence[torch.Generator] = ()) -> Tensor:
        for i, layer in enumerate(self.convolutions):
            x = layer(x).relu()
            if i % 2:
                pooled = F.max_pool2d(x.flatten(0, 1), 2)
                x = self._drop(pooled.view(*x.shape[:2], *pooled.shape[1:]), 0.25, chances)
        x = self._drop(self.full(x.flatten(2)).relu(), 0.5, chances)
        logits: Tensor = self.head(x, y)
        return logits

    def _drop(self, x: Tensor, share: float, chances: Sequence[torch.Generator]) -> Tensor:
        if not (self.training and chances):
            return x
        kept = torch.stack([torch.rand(x.shape[1:], generator=c, device=x.device) >= share for c in chances])
        return x * kept / (1 - share)


def replicate(make: Callable[[int], nn.Module], seeds: Sequence[int], device: torch.device) -> nn.Module:
    """``make(R)``, each replica initialised by its own seed, as it would be alone."""
    with torch.random.fork_rng(devices=[]):
        network = make(len(seeds))
        state = network.state_dict()
        for r, seed in enumerate(seeds):
            torch.manual_seed(generator(seed, "weights").initial_seed())
            for name, value in make(1).state_dict().items():
                state[name][r] = value[0]
    return network.to(device)
