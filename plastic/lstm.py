"""Long short-term memory whose cell input comes through plastic connections."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from plastic import functional as PF
from plastic.coefficients import Alpha, alpha_kind, alpha_parameter, eta_parameter, factory_options, reset_alpha
from plastic.rules import Rule, as_rule


class PlasticLSTMState(NamedTuple):
    """What a plastic LSTM carries from step to step."""

    hidden: Tensor
    """output h (B, N)"""
    cell: Tensor
    """memory c (B, N)"""
    trace: Tensor | None
    """Hebbian trace (B, N, N) from hidden to cell input; None where no connection is plastic"""
    eligibility: Tensor | None = None
    """eligibility trace (B, N, N) of the retroactive rule"""


class PlasticLSTMCell(nn.Module):
    """One step of an LSTM in which the connections from the hidden state to the cell input are plastic.

        i, f, o = sigmoid(input @ weight_ih + hidden @ weight + bias), a column block each, as in torch.nn.LSTMCell
        g       = tanh(input @ weight_ih_g + hidden @ (weight_g + alpha * trace) + bias_g)
        cell'   = f * cell + i * g
        hidden' = o * tanh(cell')

    and then the rule writes, with hidden as pre and the cell input g as post; a modulated rule's signal is
    m = tanh(hidden' · m_weight + m_bias). Source: Miconi et al. 2019, arXiv 2002.10585, section 4.3.

    Args:
        input_size, hidden_size: I and N.
        rule: ``hebb``, ``oja``, ``clipped_hebb``, ``modulated``, ``retroactive``, or an instance of ``Rule``.
        alpha: ``full`` (N, N), ``neuron`` (N,), ``shared`` (), or ``none``: ``torch.nn.LSTMCell``.
        eta: initial plasticity rate, learned; a number, or a tensor (N,) for one rate a unit.

    Parameters are (pre, post): ``weight_ih`` (I, 4N), ``weight`` (N, 4N), ``bias`` (4N,), in the order i, f, g, o, then
    ``alpha``, ``eta``, and ``m_weight`` (N,), ``m_bias`` () of a modulated rule. ValueError for what does not fit.

    >>> cell = PlasticLSTMCell(3, 10)
    >>> output, state = cell(torch.randn(2, 3))
    >>> output, state = cell(torch.randn(2, 3), state)
    >>> state.cell.shape, state.trace.shape
    (torch.Size([2, 10]), torch.Size([2, 10, 10]))
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        rule: str | Rule = "hebb",
        alpha: Alpha = "full",
        eta: float | Tensor = 0.01,
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        factory = factory_options(device, dtype)
        self.input_size, self.hidden_size = input_size, hidden_size
        self.rule = as_rule(rule)
        self.weight_ih = nn.Parameter(torch.empty(input_size, 4 * hidden_size, **factory))
        self.weight = nn.Parameter(torch.empty(hidden_size, 4 * hidden_size, **factory))
        self.bias = nn.Parameter(torch.empty(4 * hidden_size, **factory)) if bias else None
        self.alpha = alpha_parameter(alpha, hidden_size, hidden_size, **factory)
        self.eta = None if self.alpha is None else eta_parameter(eta, hidden_size, **factory)
        modulated = self.alpha is not None and self.rule.modulated
        self.m_weight = nn.Parameter(torch.empty(hidden_size, **factory)) if modulated else None
        self.m_bias = nn.Parameter(torch.empty((), **factory)) if modulated else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """All as ``torch.nn.LSTMCell``, U(-1/sqrt(N), 1/sqrt(N)), but alpha in U(0, 0.01); eta is left alone."""
        bound = 1 / math.sqrt(max(self.hidden_size, 1))
        for parameter in (self.weight_ih, self.weight, self.bias, self.m_weight, self.m_bias):
            if parameter is not None:
                nn.init.uniform_(parameter, -bound, bound)
        reset_alpha(self.alpha)

    def initial_state(self, batch: int) -> PlasticLSTMState:
        """Silence, empty memory and blank traces for B episodes."""
        silence, square = (batch, self.hidden_size), (batch, self.hidden_size, self.hidden_size)
        return PlasticLSTMState(
            self.weight.new_zeros(silence),
            self.weight.new_zeros(silence),
            self.weight.new_zeros(square) if self.alpha is not None else None,
            self.weight.new_zeros(square) if self.alpha is not None and self.rule.retroactive else None,
        )

    def forward(self, input: Tensor, state: PlasticLSTMState | None = None) -> tuple[Tensor, PlasticLSTMState]:
        """input (B, I) -> output (B, N) and the state after it. ``state`` defaults to ``initial_state(B)``."""
        if input.dim() != 2 or input.shape[1] != self.input_size:
            raise ValueError(f"input: expected (B, {self.input_size}), got {tuple(input.shape)}")
        state = self.initial_state(len(input)) if state is None else state
        N = self.hidden_size
        drive = input @ self.weight_ih if self.bias is None else input @ self.weight_ih + self.bias
        before = PF.plastic_linear(state.hidden, self.weight[:, 2 * N : 3 * N], self.alpha, state.trace)
        g = torch.tanh(drive[:, 2 * N : 3 * N] + before)
        i, f = torch.sigmoid(drive[:, : 2 * N] + state.hidden @ self.weight[:, : 2 * N]).chunk(2, 1)
        o = torch.sigmoid(drive[:, 3 * N :] + state.hidden @ self.weight[:, 3 * N :])
        cell = f * state.cell + i * g
        hidden = o * torch.tanh(cell)
        return hidden, PlasticLSTMState(hidden, cell, *self._write(state, g, hidden))

    def _write(self, state: PlasticLSTMState, g: Tensor, hidden: Tensor) -> tuple[Tensor | None, Tensor | None]:
        """The trace, and the eligibility of a retroactive rule, after hidden (pre) met the cell input g (post)."""
        if self.eta is None:
            return None, None
        if state.trace is None:
            raise ValueError(f"trace: expected the shape {(*g.shape, self.hidden_size)}, got None")
        m = None
        if self.m_weight is not None and self.m_bias is not None:
            m = torch.tanh(hidden @ self.m_weight + self.m_bias)
        if not self.rule.retroactive:
            return PF.trace_step(state.trace, state.hidden, g, self.eta, self.rule, m), None
        if state.eligibility is None or m is None:
            raise ValueError(f"eligibility: {type(self.rule).__name__} expects the shape {tuple(state.trace.shape)}")
        return PF.retroactive_step(state.trace, state.eligibility, state.hidden, g, self.eta, self.rule, m)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}, rule={self.rule}, alpha={alpha_kind(self.alpha)!r}"
