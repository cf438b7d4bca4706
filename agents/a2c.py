"""Advantage actor-critic over whole lives (Mnih et al. 2016, as used by Miconi et al. 2018, section 4.5).

T steps of B lives. Nothing is expected after a life's last step: a life is all there is. Each life has its own values,
rewards and advantages, column by column; no life ever reads another's.
"""

from dataclasses import dataclass
from typing import Literal, NamedTuple

import torch
from torch import Tensor

Bonus = Literal["entropy", "simpson"]


class Lives(NamedTuple):
    """What happened, step by step."""

    inputs: Tensor
    """what the agent was told (T, B, I)"""
    actions: Tensor
    """what it then did (T, B)"""
    rewards: Tensor
    """what that brought (T, B)"""
    alive: Tensor
    """(T, B) bool: the step was part of the life"""


@dataclass(frozen=True)
class Weighing:
    """How the parts of the loss count."""

    discount: float = 0.9
    gae: float = 1.0
    """lambda of generalised advantage estimation; 1: the return of the whole life"""
    entropy: float = 0.03
    """weight of the bonus for undecided policies"""
    value: float = 0.1
    """weight of the squared error of the values"""
    bonus: Bonus = "entropy"
    """simpson: 1 - sum p² in place of -sum p log p"""


def returns(rewards: Tensor, discount: float) -> Tensor:
    """R_t = r_t + discount R_{t+1}, nothing after the end: (T, B)."""
    total, totals = torch.zeros_like(rewards[0]), []
    for reward in rewards.flip(0):
        total = reward + discount * total
        totals.append(total)
    return torch.stack(totals).flip(0)


def advantages(rewards: Tensor, values: Tensor, discount: float, gae: float) -> Tensor:
    """Generalised advantage estimation (Schulman et al. 2016, eq. 16), (T, B).

    A_t = Σ_k (discount · gae)^k δ_{t+k} with δ_t = r_t + discount V_{t+1} - V_t and a value of zero after the end. With
    gae = 1 that is R_t - V_t. Rewards and values must be zero after a life's end.
    """
    later = torch.cat([values[1:], torch.zeros_like(values[:1])])
    return returns(rewards + discount * later - values, discount * gae)


def losses(logits: Tensor, values: Tensor, lives: Lives, weighing: Weighing) -> dict[str, Tensor]:
    """The loss and its parts, from logits (T, B, A) and values (T, B): means over lives and steps lived.

    loss = -A_t log p(a_t) + value (A_t + V_t - V_t')² - entropy H(p), in which A and the target A + V are constants.
    """
    alive = lives.alive.to(values.dtype)
    steps = alive.sum()
    known = values.detach() * alive
    advantage = advantages(lives.rewards, known, weighing.discount, weighing.gae)
    log_p = logits.log_softmax(-1)
    p = log_p.exp()
    chosen = log_p.gather(-1, lives.actions.unsqueeze(-1)).squeeze(-1)
    policy_loss = -(advantage * chosen * alive).sum() / steps
    value_loss = ((known + advantage - values).square() * alive).sum() / steps
    entropy = (-(p * log_p).sum(-1) * alive).sum() / steps
    bonus = entropy if weighing.bonus == "entropy" else ((1 - p.square().sum(-1)) * alive).sum() / steps
    loss = policy_loss + weighing.value * value_loss - weighing.entropy * bonus
    return {"loss": loss, "policy_loss": policy_loss, "value_loss": value_loss, "entropy": entropy}
