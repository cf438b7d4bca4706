"""What every plastic layer is made with: alpha, how much the trace counts, and eta, how fast it changes."""

from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn

Alpha = Literal["full", "neuron", "shared", "none"]

ALPHA_SCALE = 0.01  # alpha starts in U(0, 0.01), as in Miconi et al. 2018


def factory_options(device: torch.device | str | None, dtype: torch.dtype | None) -> dict[str, Any]:
    """What was given of device and dtype; the rest is torch's default."""
    return {name: value for name, value in (("device", device), ("dtype", dtype)) if value is not None}


def alpha_parameter(kind: Alpha, pre: int, post: int, **factory: Any) -> nn.Parameter | None:
    """(pre, post) for ``full``, (post,) for ``neuron``, () for ``shared``, None for ``none``; ValueError otherwise."""
    shapes = {"full": (pre, post), "neuron": (post,), "shared": ()}
    if kind == "none":
        return None
    if kind not in shapes:
        raise ValueError(f"unknown alpha {kind!r}: expected one of {', '.join(get_args(Alpha))}")
    return nn.Parameter(torch.empty(shapes[kind], **factory))


def alpha_kind(alpha: Tensor | None) -> Alpha:
    """The name that ``alpha_parameter`` made it from."""
    if alpha is None:
        return "none"
    kinds: tuple[Alpha, Alpha, Alpha] = ("shared", "neuron", "full")
    return kinds[alpha.dim()]


def eta_parameter(eta: float | Tensor, post: int, **factory: Any) -> nn.Parameter:
    """The learned rate: one scalar, or one a post-synaptic unit where ``eta`` is a tensor (post,)."""
    value = torch.as_tensor(eta).detach().clone().to(**{"dtype": torch.get_default_dtype(), **factory})
    if value.shape not in [(), (post,)]:
        raise ValueError(f"eta: expected a number or a tensor of shape ({post},), got the shape {tuple(value.shape)}")
    return nn.Parameter(value)


def reset_alpha(alpha: Tensor | None) -> None:
    """Small and positive: every connection starts slightly plastic, with a gradient of either sign."""
    if alpha is None:
        return
    if alpha.dim() == 0:
        nn.init.constant_(alpha, ALPHA_SCALE)
    else:
        nn.init.uniform_(alpha, 0, ALPHA_SCALE)
