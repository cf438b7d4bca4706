"""An agent: a recurrent core, plastic or not, with a policy and a value read from its activity.

Every core lives in two ways that come to the same: ``step`` by step, without gradients, as one acts, and over a whole
known life at once, as one learns from it.
"""

import math
from typing import Any, Literal, Protocol

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from plastic import Acting, PlasticLSTMCell, PlasticLSTMState, PlasticRNN
from plastic.coefficients import Alpha

Model = Literal["plastic", "rnn", "lstm", "plastic_lstm"]
Start = Literal["uniform", "orthogonal", "published"]

PUBLISHED = (
    0.01  # weight and alpha start in U(0, 0.01), one alpha for all at 0.01, in the programs of Miconi et al. 2018
)


class Core(Protocol):
    """A recurrent network from inputs (B, I) to activity (B, N)."""

    def begin(self, batch: int) -> Any:
        """The state in which a life begins."""

    def step(self, input: Tensor, state: Any) -> tuple[Tensor, Any]:
        """input (B, I) -> activity (B, N) and the next state."""

    def __call__(self, inputs: Tensor) -> Tensor:
        """inputs (T, B, I) of whole lives -> activity (T, B, N)."""

    def plasticity(self, state: Any) -> dict[str, float]:
        """What there is to say of the trace."""


class Recurrent(nn.Module):
    """A plastic recurrent network, or with ``alpha="none"`` the plain one."""

    def __init__(self, inputs: int, units: int, rule: str, alpha: Alpha, eta: float) -> None:
        super().__init__()
        self.rnn = PlasticRNN(inputs, units, rule, alpha, eta)

    def begin(self, batch: int) -> Acting:
        return Acting(self.rnn.cell, self.rnn.initial_state(batch))

    def step(self, input: Tensor, state: Acting) -> tuple[Tensor, Acting]:
        return state(input), state

    def forward(self, inputs: Tensor) -> Tensor:
        activity: Tensor = self.rnn(inputs)[0]
        return activity

    def plasticity(self, state: Acting) -> dict[str, float]:
        return _plasticity(self.rnn.cell, state.state)


class PlasticLSTM(nn.Module):
    """The plastic LSTM. Backward goes through √T steps at a time and rebuilds what it needs of them."""

    def __init__(self, inputs: int, units: int, rule: str, alpha: Alpha, eta: float) -> None:
        super().__init__()
        self.cell = PlasticLSTMCell(inputs, units, rule, alpha, eta)

    def begin(self, batch: int) -> PlasticLSTMState:
        return self.cell.initial_state(batch)

    def step(self, input: Tensor, state: PlasticLSTMState) -> tuple[Tensor, PlasticLSTMState]:
        output, state = self.cell(input, state)
        return output, state

    def forward(self, inputs: Tensor) -> Tensor:
        outputs, state = [], self.begin(inputs.shape[1])
        for stretch in inputs.split(math.isqrt(len(inputs))):
            output, *carried = checkpoint(self._stretch, stretch, *state, use_reentrant=False)
            outputs.append(output)
            state = PlasticLSTMState(*carried)
        return torch.cat(outputs)

    def _stretch(self, inputs: Tensor, *carried: Any) -> tuple[Any, ...]:
        outputs, state = [], PlasticLSTMState(*carried)
        for input in inputs:
            output, state = self.cell(input, state)
            outputs.append(output)
        return torch.stack(outputs), *state

    def plasticity(self, state: PlasticLSTMState) -> dict[str, float]:
        return _plasticity(self.cell, state)


class LSTM(nn.Module):
    """torch's LSTM."""

    def __init__(self, inputs: int, units: int) -> None:
        super().__init__()
        self.lstm = nn.LSTM(inputs, units)

    def begin(self, batch: int) -> Any:
        silence = self.lstm.get_parameter("weight_hh_l0").new_zeros(1, batch, self.lstm.hidden_size)
        return silence, silence

    def step(self, input: Tensor, state: Any) -> tuple[Tensor, Any]:
        output, state = self.lstm(input.unsqueeze(0), state)
        return output.squeeze(0), state

    def forward(self, inputs: Tensor) -> Tensor:
        activity: Tensor = self.lstm(inputs)[0]
        return activity

    def plasticity(self, state: Any) -> dict[str, float]:
        return {}


class Agent(nn.Module):
    """``logits, values = agent(inputs)``: inputs (T, B, I) -> (T, B, A), (T, B)."""

    def __init__(self, core: Core, units: int, actions: int) -> None:
        super().__init__()
        self.core = core
        self.policy = nn.Linear(units, actions)
        self.value = nn.Linear(units, 1)

    def forward(self, inputs: Tensor) -> tuple[Tensor, Tensor]:
        activity = self.core(inputs)
        return self.policy(activity), self.value(activity).squeeze(-1)


def build(
    model: Model,
    rule: str,
    alpha: Alpha,
    eta: float,
    start: Start,
    inputs: int,
    units: int,
    actions: int,
    alpha_scale: float = PUBLISHED,
) -> Agent:
    """An agent with weights of chance (torch's own generator)."""
    core: Core
    if model == "lstm":
        core = LSTM(inputs, units)
    elif model == "plastic_lstm":
        core = PlasticLSTM(inputs, units, rule, alpha, eta)
    else:
        core = Recurrent(inputs, units, rule, "none" if model == "rnn" else alpha, eta)
    agent = Agent(core, units, actions)
    _begin_from(start, agent, alpha_scale)
    return agent


@torch.no_grad()
def _begin_from(start: Start, agent: Agent, alpha_scale: float) -> None:
    """The initial weights of a core; those of an LSTM without plasticity are torch's whatever ``start`` says.

    uniform: U(-1/√N, 1/√N), as torch has it; orthogonal: the recurrent weight orthogonal; both with alpha of either
    sign, N(0, alpha_scale²). published: weight in U(0, 0.01), alpha in U(0, alpha_scale), the rest as torch.nn.Linear
    has it. One alpha for all is alpha_scale.
    """
    cell = agent.core.rnn.cell if isinstance(agent.core, Recurrent) else None
    alpha = None
    if cell is not None:
        alpha = cell.alpha
    elif isinstance(agent.core, PlasticLSTM):
        alpha = agent.core.cell.alpha
    if start == "published" and cell is not None:
        nn.init.uniform_(cell.weight, 0, PUBLISHED)
        bound = 1 / math.sqrt(cell.input_size)
        for parameter in (cell.weight_ih, cell.bias):
            if parameter is not None:
                nn.init.uniform_(parameter, -bound, bound)
    if start == "orthogonal" and cell is not None:
        nn.init.orthogonal_(cell.weight)
    if alpha is not None and alpha.dim() == 0:
        nn.init.constant_(alpha, alpha_scale)
    elif alpha is not None and start == "published":
        nn.init.uniform_(alpha, 0, alpha_scale)
    elif alpha is not None:
        nn.init.normal_(alpha, std=alpha_scale)


def _plasticity(cell: Any, state: Any) -> dict[str, float]:
    if cell.alpha is None:
        return {}
    sizes = {"eta": cell.eta.mean(), "alpha_rms": _rms(cell.alpha), "trace_rms": _rms(state.trace)}
    return {f"plasticity/{name}": value.item() for name, value in sizes.items()}


def _rms(values: Tensor) -> Tensor:
    return values.detach().square().mean().sqrt()
