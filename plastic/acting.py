"""Acting: one step after another without gradients, where the next input depends on the last output."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from plastic import functional as PF
from plastic.functional import PlasticState
from plastic.kernels import common, compiled, sequence, stepwise
from plastic.kernels.common import NONLINEARITIES, Plan
from plastic.recurrent import PlasticRNNCell


@contextmanager
def one_thread() -> Iterator[None]:
    """Torch on one thread: products of a few thousand numbers are not worth a second, which would moreover keep
    waiting for more on the core that a compiled step needs."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class Acting:
    """B episodes that a cell lives through: ``output = acting(input)``, (B, I) -> (B, N), is ``cell(input, state)``
    without gradients, on traces that are rewritten in place. The next step reads ``output`` again: leave it as it is.

    To learn from what was lived, give the inputs that were met to ``PlasticRNN``.

    Args:
        cell: its parameters are taken as they are now.
        state: where the episodes begin; it is left alone. ``cell.initial_state(B)``, for new ones.
    Raises ValueError where ``cell.backend`` cannot run here, and for an input of another shape.

    >>> cell = PlasticRNNCell(3, 10)
    >>> acting = Acting(cell, cell.initial_state(batch=2))
    >>> acting(torch.randn(2, 3)).shape, acting.state.trace.shape
    (torch.Size([2, 10]), torch.Size([2, 10, 10]))
    """

    def __init__(self, cell: PlasticRNNCell, state: PlasticState) -> None:
        self.cell = cell
        self._state = _copied(state)
        self._steps: compiled.Steps | None = self._compiled()

    @torch.no_grad()
    def __call__(self, input: Tensor) -> Tensor:
        cell, steps, episodes = self.cell, self._steps, len(self._state.hidden)
        if input.shape != (episodes, cell.input_size):
            raise ValueError(f"input: expected ({episodes}, {cell.input_size}), got {tuple(input.shape)}")
        if steps is not None:
            with one_thread():
                drive = cell.project(input)
            return steps(drive.to(steps.hidden.dtype))
        if self._state.trace is None:
            self._state = cell(input, self._state)[1]
            return self._state.hidden
        output = self._step_(input, self._state.trace)
        self._state = self._state._replace(hidden=output)
        return output

    @property
    def state(self) -> PlasticState:
        """Where the episodes are now; a copy."""
        if self._steps is not None:
            self._steps.settle()
            self._state = self._state._replace(hidden=self._steps.hidden)
        return _copied(self._state)

    @torch.compiler.disable
    def _compiled(self) -> compiled.Steps | None:
        """The compiled step, where there is one for this cell."""
        cell, (hidden, trace, _) = self.cell, self._state
        if cell.alpha is None or cell.eta is None or trace is None or torch._C._are_functorch_transforms_active():
            return None
        given = (hidden, trace, cell.weight, cell.alpha, cell.eta, *(cell.modulator or ()))
        if sequence.choose(cell.backend, cell.rule, True, 0, given) != "compiled":
            return None
        m_weight, m_bias = cell.modulator or (None, None)
        parameters = {
            "weight": cell.weight.detach().contiguous(),
            "alpha": cell.alpha.detach().expand_as(cell.weight).contiguous(),
            "eta": cell.eta.detach().expand(cell.hidden_size).contiguous(),
            "m_weight": None if m_weight is None else m_weight.detach().contiguous(),
            "m_bias": None if m_bias is None else m_bias.detach(),
        }
        return compiled.Steps(hidden, trace, parameters, Plan(cell.rule, cell.nonlinearity, (0,), (False,), "compiled"))

    def _step_(self, input: Tensor, trace: Tensor) -> Tensor:
        """A step by torch operations, in place on the traces."""
        cell, hidden = self.cell, self._state.hidden
        assert cell.alpha is not None
        assert cell.eta is not None
        if cell.alpha.dim() == 2:  # weight + alpha * trace in one pass
            effective = torch.addcmul(cell.weight, cell.alpha, trace)
            recurrent = (hidden.unsqueeze(1) @ effective).squeeze(1)
        else:
            recurrent = PF.plastic_linear(hidden, cell.weight, cell.alpha, trace)
        post = NONLINEARITIES[cell.nonlinearity][0](recurrent + cell.project(input))
        m = None if cell.modulator is None else torch.tanh(post @ cell.modulator[0] + cell.modulator[1]).unsqueeze(-1)
        traces = [v for v in self._state[1:] if v is not None]
        stepwise.advance_(traces, hidden, *common.vectors(cell.rule, post, cell.eta, m), m, cell.rule)
        return post


def _copied(state: PlasticState) -> PlasticState:
    def copied(values: Tensor) -> Tensor:
        return values.detach().clone(memory_format=torch.contiguous_format)

    _, trace, eligibility = state
    return PlasticState(
        copied(state.hidden),
        None if trace is None else copied(trace),
        None if eligibility is None else copied(eligibility),
    )
