r"""The equations as slow, obvious loops: the truth that every fast path is tested against.

Each rule is written out from its own published equation, not through the two vectors of ``plastic.rules``. One episode
at a time, one step at a time; autograd stores whatever it likes.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def hebb(trace: Tensor, pre: Tensor, post: Tensor, eta: Tensor) -> Tensor:
    """(1 - eta) H_ij + eta x_i y_j (Miconi et al. 2018, eq. 2)."""
    return (1 - eta) * trace + eta * torch.outer(pre, post)


def oja(trace: Tensor, pre: Tensor, post: Tensor, eta: Tensor) -> Tensor:
    """H_ij + eta y_j (x_i - y_j H_ij) (Miconi et al. 2018, eq. 3)."""
    return trace + eta * post * (pre[:, None] - post * trace)


def clipped_hebb(trace: Tensor, pre: Tensor, post: Tensor, eta: Tensor) -> Tensor:
    """Clip(H_ij + eta x_i y_j) to [-1, 1] (Miconi et al. 2019)."""
    return torch.clamp(trace + eta * torch.outer(pre, post), -1, 1)


def modulated(trace: Tensor, pre: Tensor, post: Tensor, m: Tensor) -> Tensor:
    """Clip(H_ij + M x_i y_j) (Miconi et al. 2019, simple neuromodulation)."""
    return torch.clamp(trace + m * torch.outer(pre, post), -1, 1)


def retroactive(
    trace: Tensor, eligibility: Tensor, pre: Tensor, post: Tensor, eta: Tensor, m: Tensor
) -> tuple[Tensor, Tensor]:
    """Clip(H_ij + M E_ij), then E_ij' = (1 - eta) E_ij + eta x_i y_j (Miconi et al. 2019, retroactive)."""
    return torch.clamp(trace + m * eligibility, -1, 1), (1 - eta) * eligibility + eta * torch.outer(pre, post)


UNMODULATED: dict[str, Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]] = {
    "hebb": hebb,
    "oja": oja,
    "clipped_hebb": clipped_hebb,
}


def plastic_rnn(
    input: Tensor,
    hidden: Tensor,
    trace: Tensor,
    weight: Tensor,
    alpha: Tensor,
    eta: Tensor,
    rule: str,
    clamp: Tensor | None = None,
    eligibility: Tensor | None = None,
    modulator: tuple[Tensor, Tensor] | None = None,
    nonlinearity: Callable[[Tensor], Tensor] = torch.tanh,
) -> tuple[Tensor, Tensor, Tensor | None]:
    """y_j(t) = f(Σ_i (w_ij + alpha_ij H_ij(t)) y_i(t-1) + in_j(t)), episode by episode.

    input (T, B, N), hidden (B, N), trace and eligibility (B, N, N) -> activity (T, B, N), trace, eligibility.
    """
    activities, traces, eligibilities = [], [], []
    for b in range(input.shape[1]):
        x, H = hidden[b], trace[b]
        E = eligibility[b] if eligibility is not None else None
        activity = []
        for t in range(input.shape[0]):
            y = nonlinearity(x @ (weight + alpha * H) + input[t, b])
            if clamp is not None:
                y = torch.where(clamp[t, b], input[t, b], y)
            m = torch.tanh(y @ modulator[0] + modulator[1]) if modulator is not None else None
            if rule == "retroactive":
                assert E is not None
                assert m is not None
                H, E = retroactive(H, E, x, y, eta, m)
            elif rule == "modulated":
                assert m is not None
                H = modulated(H, x, y, m)
            else:
                H = UNMODULATED[rule](H, x, y, eta)
            x = y
            activity.append(y)
        activities.append(torch.stack(activity))
        traces.append(H)
        eligibilities.append(E)
    final = torch.stack([e for e in eligibilities if e is not None]) if eligibility is not None else None
    return torch.stack(activities, dim=1), torch.stack(traces), final


def plastic_lstm(
    input: Tensor,
    weight_ih: Tensor,
    weight: Tensor,
    bias: Tensor,
    alpha: Tensor,
    eta: Tensor,
    rule: str,
    modulator: tuple[Tensor, Tensor] | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """An LSTM, gate by gate, whose cell input hears the hidden state through w_ij + alpha_ij H_ij(t).

    input (T, B, I), weight_ih (I, 4N), weight (N, 4N), bias (4N,) in the order i, f, g, o; everything starts at zero
    -> activity (T, B, N), the last memory (B, N) and trace (B, N, N).
    """
    N = len(weight)
    (ih_i, ih_f, ih_g, ih_o), (hh_i, hh_f, hh_g, hh_o) = weight_ih.split(N, 1), weight.split(N, 1)
    b_i, b_f, b_g, b_o = bias.split(N)
    activities, memories, traces = [], [], []
    for b in range(input.shape[1]):
        h = c = input.new_zeros(N)
        H = E = input.new_zeros(N, N)
        activity = []
        for x in input[:, b]:
            i = torch.sigmoid(x @ ih_i + h @ hh_i + b_i)
            f = torch.sigmoid(x @ ih_f + h @ hh_f + b_f)
            g = torch.tanh(x @ ih_g + h @ (hh_g + alpha * H) + b_g)
            o = torch.sigmoid(x @ ih_o + h @ hh_o + b_o)
            c = f * c + i * g
            before, h = h, o * torch.tanh(c)
            m = torch.tanh(h @ modulator[0] + modulator[1]) if modulator is not None else None
            if rule == "retroactive":
                assert m is not None
                H, E = retroactive(H, E, before, g, eta, m)
            elif rule == "modulated":
                assert m is not None
                H = modulated(H, before, g, m)
            else:
                H = UNMODULATED[rule](H, before, g, eta)
            activity.append(h)
        activities.append(torch.stack(activity))
        memories.append(c)
        traces.append(H)
    return torch.stack(activities, dim=1), torch.stack(memories), torch.stack(traces)


def trace_write(trace: Tensor, pre: Tensor, post: Tensor, eta: Tensor, rule: str, m: Tensor | None = None) -> Tensor:
    """T known steps, one at a time: trace (B, I, O), pre (B, T, I), post (B, T, O), m (B, T)."""
    written = []
    for b in range(len(trace)):
        H = trace[b]
        for t in range(pre.shape[1]):
            if rule == "modulated":
                assert m is not None
                H = modulated(H, pre[b, t], post[b, t], m[b, t])
            else:
                H = UNMODULATED[rule](H, pre[b, t], post[b, t], eta)
        written.append(H)
    return torch.stack(written)
