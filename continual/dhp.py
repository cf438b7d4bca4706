"""A softmax layer with differentiable Hebbian plasticity (Thangarasa, Miconi, Taylor 2020, arXiv 2006.16558)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from plastic.coefficients import ALPHA_SCALE
from plastic.rules import Rule, Vector


@dataclass(frozen=True)
class ClassMeans(Rule):
    """A class that the batch has moves by eta towards the mean of its hidden rows; the others stay (Algorithm 1).

    With one-hot labels Y (..., B, O) and n = sum of Y over the batch: retain = 1 - eta [n > 0], one vector (..., 1, O)
    for the batch, and write = eta Y / max(n, 1), (..., B, O). A batch is one step: trace' = trace retain + hᵀ write.
    """

    def vectors(self, post: Tensor, eta: Tensor, m: Tensor | None = None) -> tuple[Vector, Vector]:
        count = post.sum(-2, keepdim=True)
        return 1 - eta * (count > 0), eta * post / count.clamp(min=1)


class DHPSoftmax(nn.Module):
    """Logits z = h @ (weight + alpha * trace), where the trace keeps a running mean of hidden activity for each class.

    In training, with labels y, the trace is rewritten before z is formed, so z sees the labels of its own batch:

        trace[:, c] <- (1 - eta) trace[:, c] + eta mean of h over the samples of class c,   for each c in the batch

    and eta has its gradient from this one step. An optimizer can leave eta outside of [0, 1], where the trace would be
    no mean and would run away (above 2); it is put back to the bound before each write, which the paper does not do.
    Without y, and in evaluation, the trace stays as it is. There is no bias. Nothing waits for the device.

    Args:
        in_features, out_features: m hidden units and d classes.
        eta: initial plasticity rate in (0, 1), one for the layer, learned. The paper: 0.001.
        alpha: plasticity coefficients start in U(0, alpha), one a connection, learned.
        replicas: R networks side by side: every parameter and the trace lead with R.

    Attributes:
        weight (m, d), alpha (m, d), eta (): parameters. trace (m, d): a buffer, part of ``state_dict``.

    Source: the paper's Algorithm 1; weight by He's initialisation, U(-1/sqrt(m), 1/sqrt(m)), as its authors have it.

    >>> layer = DHPSoftmax(256, 10)
    >>> h, y = torch.rand(64, 256), torch.randint(10, (64,))
    >>> layer(h, y).shape, layer.eval()(h).shape
    (torch.Size([64, 10]), torch.Size([64, 10]))
    """

    FAST = ("alpha", "eta")
    """parameters of the plastic part, which no regularizer protects"""

    trace: Tensor

    def __init__(
        self,
        in_features: int,
        out_features: int,
        eta: float = 1e-3,
        alpha: float = ALPHA_SCALE,
        replicas: int | None = None,
    ) -> None:
        super().__init__()
        if not 0 < eta < 1:
            raise ValueError(f"eta: expected a rate between 0 and 1, got {eta}")
        self.in_features, self.out_features, self.replicas = in_features, out_features, replicas
        lead = () if replicas is None else (replicas,)
        shape = (*lead, in_features, out_features)
        bound = 1 / math.sqrt(in_features)
        self.weight = nn.Parameter(torch.rand(shape) * (2 * bound) - bound)
        self.alpha = nn.Parameter(torch.rand(shape) * alpha)
        self.eta = nn.Parameter(torch.full(lead, eta))
        self.register_buffer("trace", torch.zeros(shape))

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, replicas={self.replicas}"

    def forward(self, h: Tensor, y: Tensor | None = None) -> Tensor:
        """h (B, m), y (B,) integers below d -> (B, d); with replicas each leads with R. ValueError for other shapes."""
        lead = self.weight.shape[:-2]
        if h.dim() != len(lead) + 2 or h.shape[:-2] != lead or h.shape[-1] != self.in_features:
            expected = (*lead, "B", self.in_features)
            raise ValueError(f"h: expected the shape {expected}, got {tuple(h.shape)}")
        if y is not None and y.shape != h.shape[:-1]:
            raise ValueError(f"y: expected the shape {tuple(h.shape[:-1])}, got {tuple(y.shape)}")
        trace = self.trace
        if self.training and y is not None:
            with torch.no_grad():
                self.eta.clamp_(0, 1)
            trace = self.written(h, y)
            self.trace = trace.detach()
        return h @ (self.weight + self.alpha * trace)

    def written(self, h: Tensor, y: Tensor) -> Tensor:
        """The trace after a batch, in the graph of h and eta."""
        classes = torch.arange(self.out_features, device=y.device)
        post = (y.unsqueeze(-1) == classes).to(self.trace.dtype)  # (B, d)
        retain, write = ClassMeans().vectors(post, self.eta[..., None, None])
        assert isinstance(write, Tensor)
        return self.trace * retain + h.to(self.trace.dtype).mT @ write
