"""The recurrent networks that recall is asked of: plastic, plain, and LSTM, with units that can be held."""

from typing import Any, Literal

import torch
from torch import Tensor, nn

from plastic import functional as PF
from plastic.coefficients import Alpha, alpha_parameter, eta_parameter
from plastic.rules import as_rule
from tasks.recall.options import RecallOptions
from tasks.recall.schedule import Episode

COEFFICIENT = 0.01  # where a coefficient a unit, or for all, starts (Miconi et al. 2018)
ETA = 0.01  # where the rate starts there


class Recurrent(nn.Module):
    """N units, every one connected to every one: post = tanh(pre @ (weight + alpha * trace) + input), or held.

    ``alpha="none"`` is the plain recurrent network. weight and a full alpha start in N(0, scale²), a coefficient a
    unit or for all at 0.01; eta at ``eta``, and stays there unless ``learn_eta``. That is for an eta of 0.01, as in the
    paper: a slower trace is a fainter one, so alpha starts, and learns, as many times larger (``Network.groups``).
    """

    def __init__(self, units: int, rule: str, alpha: Alpha, eta: float, learn_eta: bool, scale: float) -> None:
        super().__init__()
        self.rule = as_rule(rule)
        self.weight = nn.Parameter(scale * torch.randn(units, units))
        self.alpha = alpha_parameter(alpha, units, units)
        self.slower = ETA / eta
        if self.alpha is not None and alpha == "full":
            nn.init.normal_(self.alpha, std=scale * self.slower)
        elif self.alpha is not None:
            nn.init.constant_(self.alpha, COEFFICIENT * self.slower)
        self.eta = None if self.alpha is None else eta_parameter(eta, units).requires_grad_(learn_eta)

    def forward(
        self, input: Tensor, clamp: Tensor | None, clamped_steps: list[bool], order: list[int]
    ) -> tuple[Tensor, Tensor | None]:
        """Rows (K, B, N) of input and clamp in this order -> activity (T, B, N), and the last trace (B, N, N)."""
        eta = self.weight.new_zeros(()) if self.eta is None else self.eta
        activity, state = PF.plastic_rnn(
            input, None, self.weight, self.alpha, eta, self.rule, clamp, clamped_steps, order=order
        )
        return activity, state.trace


class LSTM(nn.Module):
    """N long short-term memory cells that all see the input; a held unit gives out what it is held at."""

    def __init__(self, units: int) -> None:
        super().__init__()
        self.cell = nn.LSTMCell(units, units)

    def forward(
        self, input: Tensor, clamp: Tensor | None, clamped_steps: list[bool], order: list[int]
    ) -> tuple[Tensor, Tensor | None]:
        """As ``Recurrent.forward``; there is no trace."""
        output = memory = torch.zeros_like(input[0])
        activity = []
        for row in order:
            output, memory = self.cell(input[row], (output, memory))
            output = output if clamp is None else torch.where(clamp[row], input[row], output)
            activity.append(output)
        return torch.stack(activity), None


class Network(nn.Module):
    """A model and the way in which what is shown reaches it.

    ``clamp``: a unit takes the value that is shown (the paper). ``additive``: ``drive`` times the value is added to its
    input (the released program of the patterns: tanh(20 + little) is 1).
    """

    def __init__(self, model: Recurrent | LSTM, input: Literal["clamp", "additive"], drive: float) -> None:
        super().__init__()
        self.model, self.input, self.drive = model, input, drive

    def activity(self, episode: Episode) -> tuple[Tensor, Tensor | None]:
        """(T, B, N), and the trace (B, N, N) at the end where there is one."""
        order = episode.order
        activity: tuple[Tensor, Tensor | None]
        if self.input == "clamp":
            activity = self.model(episode.input, episode.clamp, episode.clamped_steps, order)
        else:
            activity = self.model(self.drive * episode.input, None, [False] * len(order), order)
        return activity

    def forward(self, episode: Episode) -> Tensor:
        """What the units of the item say at the last step, (B, n)."""
        return self.activity(episode)[0][-1, :, : episode.target.shape[1]]

    def groups(self, lr: float, weight_pace: float = 1.0) -> list[dict[str, Any]]:
        """What is learned, as torch's optimizers take it: alpha and eta in proportion to where they start."""
        slower = self.model.slower if isinstance(self.model, Recurrent) else 1.0
        paces = {"weight": weight_pace, "alpha": slower, "eta": 1 / slower}
        return [
            {"params": [parameter], "lr": lr * paces.get(name, 1.0)}
            for name, parameter in self.model.named_parameters()
            if parameter.requires_grad
        ]

    def plasticity(self) -> dict[str, float]:
        """How plastic the network has become."""
        alpha, eta = getattr(self.model, "alpha", None), getattr(self.model, "eta", None)
        if not isinstance(alpha, Tensor) or not isinstance(eta, Tensor):
            return {}
        alpha = alpha.detach()
        return {
            "plasticity/eta": eta.item(),
            "plasticity/alpha_mean": alpha.mean().item(),
            "plasticity/alpha_size": alpha.abs().mean().item(),
        }


def build(config: RecallOptions, elements: int) -> Network:
    """The network of a configuration: n units for the item, the extra ones, and the bias."""
    units = elements + config.extra_units + 1
    if config.model == "lstm":
        return Network(LSTM(units), config.input, config.drive)
    alpha: Alpha = config.alpha if config.model == "plastic" else "none"
    model = Recurrent(units, config.rule, alpha, config.eta, config.learn_eta, config.scale)
    return Network(model, config.input, config.drive)
