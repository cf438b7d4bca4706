"""What a test hides of a square picture. In every kind close to one half of the pixels, so that kinds compare."""

from typing import Literal

import torch
from torch import Tensor

Mask = Literal["half", "random", "block", "noise"]


def some_half(shape: tuple[int, ...], chance: torch.Generator) -> Tensor:
    """True for exactly half of the last dimension (one less where it is odd), at random places."""
    ranks: Tensor = torch.rand(shape, generator=chance, device=chance.device).argsort(-1).argsort(-1)
    return ranks < shape[-1] // 2


def hide(kind: Mask, batch: int, side: int, chance: torch.Generator) -> Tensor:
    """B masks over S x S pixels, True = hidden, (B, S * S).

    ``half``: the top or the bottom half (the middle row of an odd side is shown). ``random`` and ``noise``: half of the
    pixels anywhere. ``block``: a square with half of the area, anywhere.
    """
    device = chance.device
    if kind in ("random", "noise"):
        return some_half((batch, side * side), chance)
    row = torch.arange(side, device=device)
    if kind == "half":
        top = torch.rand(batch, 1, generator=chance, device=device) < 0.5
        rows = torch.where(top, row < side // 2, row >= side - side // 2)  # (B, S)
        return rows.unsqueeze(2).expand(-1, -1, side).flatten(1)
    block = round(side * 0.5**0.5)
    first = torch.randint(side - block + 1, (2, batch, 1), generator=chance, device=device)
    inside: Tensor = (first <= row) & (row < first + block)  # (2, B, S)
    return (inside[0].unsqueeze(2) & inside[1].unsqueeze(1)).flatten(1)


def disturb(kind: Mask, hidden: Tensor, chance: torch.Generator) -> Tensor | None:
    """Noise in [-1, 1] for the pixels (B, n) of a test that is disturbed; None for one that only hides."""
    if kind != "noise":
        return None
    return 2 * torch.rand(hidden.shape, generator=chance, device=chance.device) - 1
