"""A read-out that counts instead of descending: class means and a shared covariance, over frozen random features.

No replay and no gradient, so nothing is forgotten; it is no DHP-Softmax, which it is there to be compared with.
"""

import torch
from torch import Tensor, nn

RIDGE = 1e-3  # added to the covariance, as a share of its mean diagonal


class ClassMemory(nn.Module):
    """Linear discriminants of running class statistics (streaming LDA, Hayes and Kanan 2020, arXiv 1909.01520).

    Three traces, all of them sums over what was shown: n_c, the count of a class; s_c, the sum of its hidden rows; and
    Q = sum of hᵀh. With mu_c = s_c / n_c and C = (Q - sum_c n_c mu_cᵀ mu_c) / n + ridge, the answer is

        z_c = h C⁻¹ mu_cᵀ - mu_c C⁻¹ mu_cᵀ / 2,   and minus infinity for a class that was never shown.

    The order of examples does not matter but for rounding. In training the logits are those of the nearest mean, C = 1,
    which need no inverse; they carry no gradient, so the layers below stay as they were initialised.

    Args:
        in_features, out_features, replicas: as for ``DHPSoftmax``; memory is m² numbers a replica.
    """

    count: Tensor
    total: Tensor
    second: Tensor

    def __init__(self, in_features: int, out_features: int, replicas: int) -> None:
        super().__init__()
        self.replicas = replicas
        self.register_buffer("count", torch.zeros(replicas, out_features))
        self.register_buffer("total", torch.zeros(replicas, in_features, out_features))
        self.register_buffer("second", torch.zeros(replicas, in_features, in_features))
        self._solved: tuple[Tensor, Tensor] | None = None
        self.register_load_state_dict_post_hook(lambda *_: self._forget())

    def _forget(self) -> None:
        self._solved = None

    @torch.no_grad()
    def forward(self, h: Tensor, y: Tensor | None = None) -> Tensor:
        """h (R, B, m), y (R, B) -> logits (R, B, d)."""
        if self.training and y is not None:
            post = (y.unsqueeze(-1) == torch.arange(self.count.shape[-1], device=y.device)).to(h.dtype)  # (R, B, d)
            self.count += post.sum(1)
            self.total += h.mT @ post
            self.second.baddbmm_(h.mT, h)
            self._forget()
            means = self.total / self.count.clamp(min=1).unsqueeze(1)
            return self._logits(h, means, means)
        if self._solved is None:
            self._solved = self._discriminants()
        return self._logits(h, *self._solved)

    def _logits(self, h: Tensor, weight: Tensor, means: Tensor) -> Tensor:
        logits = h @ weight - (means * weight).sum(1, keepdim=True) / 2
        return logits.masked_fill(self.count.unsqueeze(1) == 0, float("-inf"))

    def _discriminants(self) -> tuple[Tensor, Tensor]:
        """C⁻¹ muᵀ and mu, (R, m, d) each."""
        means = self.total / self.count.clamp(min=1).unsqueeze(1)
        between = (means * self.count.unsqueeze(1)) @ means.mT
        covariance = (self.second - between) / self.count.sum(-1).clamp(min=1)[:, None, None]
        diagonal = covariance.diagonal(dim1=1, dim2=2)
        diagonal += RIDGE * diagonal.mean(-1, keepdim=True) + torch.finfo(covariance.dtype).tiny
        return torch.linalg.solve(covariance, means), means
