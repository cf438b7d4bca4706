"""Recurrent networks whose connections keep learning: one step, and whole sequences."""

import math
from typing import Any

import torch
from torch import Tensor, nn

from plastic import functional as PF
from plastic.coefficients import Alpha, alpha_kind, alpha_parameter, eta_parameter, factory_options, reset_alpha
from plastic.functional import PlasticState
from plastic.kernels.common import NONLINEARITIES
from plastic.kernels.sequence import Backend
from plastic.rules import Rule, as_rule


class PlasticRNNCell(nn.Module):
    """One step: post = f(hidden @ (weight + alpha * trace) + input @ weight_ih + bias), then the rule writes.

    Args:
        input_size, hidden_size: I and N.
        rule: ``hebb``, ``oja``, ``clipped_hebb``, ``modulated``, ``retroactive``, or an instance of ``Rule``.
        alpha: ``full`` (N, N), ``neuron`` (N,), ``shared`` (), or ``none``: ``torch.nn.RNNCell``.
        eta: initial plasticity rate, learned; a number, or a tensor (N,) for one rate a unit.
        nonlinearity: ``tanh`` or ``relu``.
        backend: what runs ``plastic.Acting`` and, in ``PlasticRNN``, a sequence: ``auto``, ``torch``, ``compiled`` or
            ``triton`` (see ``plastic.functional.plastic_rnn``).

    Parameters are (pre, post): ``weight_ih`` (I, N), ``weight`` (N, N), ``bias`` (N,), ``alpha``, ``eta``, and
    ``m_weight`` (N,), ``m_bias`` () of a modulated rule, whose signal is m = tanh(post · m_weight + m_bias).
    Sources: Miconi et al. 2018, eqs. 1-3, arXiv 1804.02464; Miconi et al. 2019, arXiv 2002.10585.

    >>> cell = PlasticRNNCell(3, 10)
    >>> output, state = cell(torch.randn(2, 3))
    >>> output, state = cell(torch.randn(2, 3), state)
    >>> state.trace.shape
    torch.Size([2, 10, 10])
    """

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        rule: str | Rule = "hebb",
        alpha: Alpha = "full",
        eta: float | Tensor = 0.01,
        nonlinearity: str = "tanh",
        bias: bool = True,
        device: torch.device | str | None = None,
        dtype: torch.dtype | None = None,
        backend: Backend = "auto",
    ) -> None:
        super().__init__()
        factory = factory_options(device, dtype)
        if nonlinearity not in NONLINEARITIES:
            raise ValueError(f"nonlinearity: expected one of {', '.join(NONLINEARITIES)}, got {nonlinearity!r}")
        self.input_size, self.hidden_size, self.nonlinearity = input_size, hidden_size, nonlinearity
        self.rule, self.backend = as_rule(rule), backend
        self.weight_ih = nn.Parameter(torch.empty(input_size, hidden_size, **factory))
        self.weight = nn.Parameter(torch.empty(hidden_size, hidden_size, **factory))
        self.bias = nn.Parameter(torch.empty(hidden_size, **factory)) if bias else None
        self.alpha = alpha_parameter(alpha, hidden_size, hidden_size, **factory)
        self.eta = None if self.alpha is None else eta_parameter(eta, hidden_size, **factory)
        modulated = self.alpha is not None and self.rule.modulated
        self.m_weight = nn.Parameter(torch.empty(hidden_size, **factory)) if modulated else None
        self.m_bias = nn.Parameter(torch.empty((), **factory)) if modulated else None
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """All as ``torch.nn.RNN``, U(-1/sqrt(N), 1/sqrt(N)), but alpha in U(0, 0.01); eta is left alone."""
        bound = 1 / math.sqrt(max(self.hidden_size, 1))
        for parameter in (self.weight_ih, self.weight, self.bias, self.m_weight, self.m_bias):
            if parameter is not None:
                nn.init.uniform_(parameter, -bound, bound)
        reset_alpha(self.alpha)

    def initial_state(self, batch: int) -> PlasticState:
        """Silence and blank traces for B episodes."""
        square = (batch, self.hidden_size, self.hidden_size)
        return PlasticState(
            self.weight.new_zeros(batch, self.hidden_size),
            self.weight.new_zeros(square) if self.alpha is not None else None,
            self.weight.new_zeros(square) if self.alpha is not None and self.rule.retroactive else None,
        )

    @property
    def modulator(self) -> tuple[Tensor, Tensor] | None:
        return None if self.m_weight is None or self.m_bias is None else (self.m_weight, self.m_bias)

    def project(self, input: Tensor) -> Tensor:
        """What the input adds to the drive of each unit: (..., I) -> (..., N)."""
        projected = input @ self.weight_ih
        return projected if self.bias is None else projected + self.bias

    def forward(self, input: Tensor, state: PlasticState | None = None) -> tuple[Tensor, PlasticState]:
        """input (B, I) -> output (B, N) and the state after it. ``state`` defaults to ``initial_state(B)``."""
        if input.dim() != 2 or input.shape[1] != self.input_size:
            raise ValueError(f"input: expected (B, {self.input_size}), got {tuple(input.shape)}")
        state = self.initial_state(len(input)) if state is None else state
        recurrent = PF.plastic_linear(state.hidden, self.weight, self.alpha, state.trace)
        post = NONLINEARITIES[self.nonlinearity][0](recurrent + self.project(input))
        if self.eta is None:
            return post, PlasticState(post, None)
        if state.trace is None:
            raise ValueError(f"trace: expected the shape {(*post.shape, self.hidden_size)}, got None")
        m = torch.tanh(post @ self.modulator[0] + self.modulator[1]) if self.modulator is not None else None
        if self.rule.retroactive and state.eligibility is not None and m is not None:
            return post, PlasticState(
                post,
                *PF.retroactive_step(state.trace, state.eligibility, state.hidden, post, self.eta, self.rule, m),
            )
        return post, PlasticState(post, PF.trace_step(state.trace, state.hidden, post, self.eta, self.rule, m))

    def extra_repr(self) -> str:
        alpha = alpha_kind(self.alpha)
        return f"{self.input_size}, {self.hidden_size}, rule={self.rule}, alpha={alpha!r}, {self.nonlinearity}"


class PlasticRNN(nn.Module):
    """A plastic recurrent network over sequences: ``output, state = rnn(input, state=None)``.

    The arguments are those of ``PlasticRNNCell``, which holds the parameters as ``rnn.cell``, and ``batch_first`` as in
    ``torch.nn.RNN``. Activity is stored, traces are not (see ``plastic.functional.plastic_rnn``): memory does not grow
    by a trace a step.

    >>> rnn = PlasticRNN(3, 10, rule="oja")
    >>> output, state = rnn(torch.randn(25, 2, 3))  # (T, B, I) -> (T, B, N)
    >>> output, state = rnn(torch.randn(25, 2, 3), state)  # the same lives go on
    """

    def __init__(
        self, input_size: int, hidden_size: int, *args: Any, batch_first: bool = False, **options: Any
    ) -> None:
        super().__init__()
        self.cell = PlasticRNNCell(input_size, hidden_size, *args, **options)
        self.batch_first = batch_first

    def initial_state(self, batch: int) -> PlasticState:
        """Silence and blank traces for B episodes."""
        return self.cell.initial_state(batch)

    def forward(self, input: Tensor, state: PlasticState | None = None) -> tuple[Tensor, PlasticState]:
        """input (T, B, I), or (B, T, I) with ``batch_first`` -> output (T, B, N) or (B, T, N), and the last state."""
        cell = self.cell
        if input.dim() != 3 or input.shape[2] != cell.input_size:
            order = "B, T" if self.batch_first else "T, B"
            raise ValueError(f"input: expected ({order}, {cell.input_size}), got {tuple(input.shape)}")
        input = input.transpose(0, 1) if self.batch_first else input
        eta = cell.weight.new_zeros(()) if cell.eta is None else cell.eta
        output, state = PF.plastic_rnn(
            cell.project(input),
            state,
            cell.weight,
            cell.alpha,
            eta,
            cell.rule,
            modulator=cell.modulator,
            nonlinearity=cell.nonlinearity,
            backend=cell.backend,
        )
        return (output.transpose(0, 1) if self.batch_first else output), state
