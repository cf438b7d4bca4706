"""How well a picture was completed, and how well one can do without learning.

Pictures are (B, S * S) within [-1, 1]; ``hidden`` marks the pixels that the test did not show.
"""

import torch
from torch import Tensor

from tasks.recall.schedule import Episode

RANGE = 2.0  # of a pixel
BEST_PSNR = 100.0  # dB, stated for a picture without an error, whose ratio is infinite
_SIGMA, _RADIUS = 1.5, 5  # of the Gaussian window of SSIM
_FLAT, _FAINT = (0.01 * RANGE) ** 2, (0.03 * RANGE) ** 2  # its constants


def quality(answer: Tensor, target: Tensor, hidden: Tensor) -> dict[str, Tensor]:
    """Summed squared error over all pixels, over the hidden ones, and PSNR and SSIM over these: (B,) each."""
    squared = (answer - target).square()
    count = hidden.sum(-1)
    lost = (squared * hidden).sum(-1)
    noise = lost / count
    psnr = 10 * torch.log10(RANGE**2 / noise)
    similar = (structure(answer, target) * hidden).sum(-1) / count
    return {
        "sse": squared.sum(-1),
        "sse_hidden": lost,
        "psnr_hidden": psnr.clamp(max=BEST_PSNR),
        "ssim_hidden": similar,
    }


def structure(answer: Tensor, target: Tensor) -> Tensor:
    """Structural similarity around each pixel, (B, S * S): Wang et al. 2004, windows mirrored at the edges."""
    side = round(answer.shape[-1] ** 0.5)
    window = _window(side, answer)

    def local(pictures: Tensor) -> Tensor:
        return window @ pictures @ window.T

    x, y = (pictures.unflatten(-1, (side, side)) for pictures in (answer, target))
    mean_x, mean_y = local(x), local(y)
    spread = local(x * x) - mean_x**2 + local(y * y) - mean_y**2
    common = local(x * y) - mean_x * mean_y
    likeness = (2 * mean_x * mean_y + _FLAT) / (mean_x**2 + mean_y**2 + _FLAT)
    return (likeness * (2 * common + _FAINT) / (spread + _FAINT)).flatten(-2)


def _window(side: int, like: Tensor) -> Tensor:
    """The Gaussian window as a matrix (S, S) that blurs one axis; beyond an edge the picture goes on mirrored."""
    reach = torch.arange(-_RADIUS, _RADIUS + 1, device=like.device)
    share = torch.exp(-(reach.double() ** 2) / (2 * _SIGMA**2)).to(like.dtype)
    seen = torch.arange(side, device=like.device).unsqueeze(1) + reach  # (S, 11)
    seen = seen.remainder(2 * side)
    seen = torch.where(seen < side, seen, 2 * side - 1 - seen)
    return torch.zeros(side, side, dtype=like.dtype, device=like.device).scatter_add(
        1, seen, (share / share.sum()).expand(side, -1).contiguous()
    )


def without_learning(episodes: Episode) -> dict[str, Tensor]:
    """What three simple ways make of the tests, (B, S * S) each; what is shown stays as it is.

    ``mean_fill``: the mean of the shown pixels. ``mirror``: the pixel in the same place of the picture turned upside
    down, where that is shown, else the mean. ``nearest``: the item, of those in the episode, that is nearest to the
    shown pixels. It was shown whole, so this one finds it: the bound for a network with a perfect memory.
    """
    target, hidden, items = episodes.target, episodes.hidden, episodes.items
    shown = (~hidden).to(target.dtype)
    mean = ((target * shown).sum(-1) / shown.sum(-1)).unsqueeze(-1).expand_as(target)
    side = round(target.shape[-1] ** 0.5)
    over, over_hidden = (v.unflatten(-1, (side, side)).flip(-2).flatten(-2) for v in (target, hidden))
    distance = ((items - target.unsqueeze(1)).square() * shown.unsqueeze(1)).sum(-1)  # (B, K)
    nearest = items[torch.arange(len(items), device=items.device), distance.argmin(-1)]
    guesses = {"mean_fill": mean, "mirror": torch.where(over_hidden, mean, over), "nearest": nearest}
    return {name: torch.where(hidden, guess, target) for name, guess in guesses.items()}
