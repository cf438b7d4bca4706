"""A linear layer whose connections keep learning."""

import math

import torch
from torch import Tensor, nn

from plastic import functional as PF
from plastic.coefficients import Alpha, alpha_kind, alpha_parameter, eta_parameter, factory_options, reset_alpha
from plastic.rules import Rule, as_rule


class PlasticLinear(nn.Module):
    """post = pre @ (weight + alpha * trace) + bias; then the rule rewrites the trace.

    ``output, trace = layer(input, trace)`` answers and learns; ``layer.read(input, trace)`` only answers. A ``target``
    forces the output while it is shown, as a teacher would: a memory is written as (input, target) pairs.

    Args:
        in_features, out_features: I and O.
        rule: ``hebb``, ``oja``, ``clipped_hebb``, ``modulated``, or an instance of ``Rule``. A retroactive rule needs
            an eligibility trace, which recurrent layers carry.
        alpha: ``full`` (I, O), ``neuron`` (O,), ``shared`` (), or ``none``: a plain linear layer, whose trace is None.
        eta: initial plasticity rate, learned; a number, or a tensor (O,) for one rate a unit.

    Parameters are (pre, post): ``weight`` is the transpose of ``torch.nn.Linear``'s.
    Source: Miconi, Stanley, Clune 2018, eqs. 1-3, arXiv 1804.02464.

    >>> layer = PlasticLinear(64, 5, rule="oja")
    >>> features, labels = torch.randn(8, 5, 64), torch.eye(5).expand(8, 5, 5)  # (B, T, I), (B, T, O)
    >>> _, trace = layer(features, target=labels)  # write five labelled examples
    >>> layer.read(torch.randn(8, 3, 64), trace).shape  # three questions to each episode's memory
    torch.Size([8, 3, 5])
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        rule: str | Rule = "hebb",
        alpha: Alpha = "full",
        eta: float | Tensor = 0.01,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        factory = factory_options(device, dtype)
        self.in_features, self.out_features = in_features, out_features
        self.rule = as_rule(rule)
        if self.rule.retroactive:
            raise ValueError(f"{type(self.rule).__name__} needs an eligibility trace: use PlasticRNN or PlasticRNNCell")
        self.weight = nn.Parameter(torch.empty(in_features, out_features, **factory))
        self.alpha = alpha_parameter(alpha, in_features, out_features, **factory)
        self.eta = None if self.alpha is None else eta_parameter(eta, out_features, **factory)
        self.bias = nn.Parameter(torch.empty(out_features, **factory)) if bias else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """weight and bias as ``torch.nn.Linear``: U(-1/sqrt(I), 1/sqrt(I)); alpha in U(0, 0.01); eta is left alone."""
        bound = 1 / math.sqrt(max(self.in_features, 1))
        nn.init.uniform_(self.weight, -bound, bound)
        if self.bias is not None:
            nn.init.uniform_(self.bias, -bound, bound)
        reset_alpha(self.alpha)

    def initial_trace(self, batch: int) -> Tensor | None:
        """The blank trace (B, I, O) that an episode starts with."""
        if self.alpha is None:
            return None
        return self.weight.new_zeros(batch, self.in_features, self.out_features)

    def read(self, input: Tensor, trace: Tensor | None = None) -> Tensor:
        """Answer without learning: (B, I) -> (B, O), or (B, Q, I) -> (B, Q, O) from the same trace."""
        return PF.plastic_linear(input, self.weight, self.alpha, trace, self.bias)

    def forward(
        self, input: Tensor, trace: Tensor | None = None, target: Tensor | None = None, m: Tensor | None = None
    ) -> tuple[Tensor, Tensor | None]:
        """Answer and learn, one step (B, I) or T steps (B, T, I).

        ``trace`` (B, I, O) defaults to a blank one. Where ``target`` (B, O) or (B, T, O) is given it is the output, and
        the T steps are written in closed form. ``m`` (B,) or (B, T) is the signal of a modulated rule.
        Returns output (B, O) or (B, T, O) and the new trace.
        """
        if input.dim() not in (2, 3) or input.shape[-1] != self.in_features:
            raise ValueError(
                f"input: expected (B, {self.in_features}) or (B, T, {self.in_features}), got {tuple(input.shape)}"
            )
        shape = (*input.shape[:-1], self.out_features)
        if target is not None and target.shape != shape:
            raise ValueError(f"target: expected one value a unit, {shape}, got {tuple(target.shape)}")
        target = None if target is None else target.to(self.weight.dtype)
        if self.alpha is None or self.eta is None:
            return (self.read(input) if target is None else target), None
        trace = self.initial_trace(len(input)) if trace is None else trace
        assert trace is not None
        if input.dim() == 2:
            post = self.read(input, trace) if target is None else target
            return post, PF.trace_step(trace, input, post, self.eta, self.rule, m)
        if target is not None:
            return target, PF.trace_write(trace, input, target, self.eta, self.rule, m)
        posts = []
        for t in range(input.shape[1]):
            posts.append(self.read(input[:, t], trace))
            trace = PF.trace_step(trace, input[:, t], posts[-1], self.eta, self.rule, None if m is None else m[:, t])
        return (torch.stack(posts, dim=1) if posts else input.new_zeros(shape)), trace

    def extra_repr(self) -> str:
        alpha, bias = alpha_kind(self.alpha), self.bias is not None
        return f"{self.in_features}, {self.out_features}, rule={self.rule}, alpha={alpha!r}, bias={bias}"
