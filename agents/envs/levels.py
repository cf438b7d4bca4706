"""What a reward is worth: the exact expectation of one who knows where it is, and of one who walks at random."""

import torch
from torch import Tensor

from agents.envs.ground import MOVES, Maze, ground


def distances(leads: Tensor) -> Tensor:
    """The fewest moves that end with a move onto a square: (F, F) from each square (row) to each (column).

    From a square to itself it takes two, out and back. ``leads`` is (F, moves).
    """
    squares = len(leads)
    moves = torch.zeros(squares, squares, dtype=torch.bool)
    moves[torch.arange(squares).unsqueeze(1), leads] = True
    moves.fill_diagonal_(False)  # a bump enters nothing
    found, reached, step = torch.zeros(squares, squares, dtype=torch.long), moves, 1
    while (found == 0).any():
        found[reached & (found == 0)] = step
        reached, step = (reached.double() @ moves.double()) > 0, step + 1
    return found


def reward_oracle(maze: Maze) -> float:
    """The expected reward of a life that takes the shortest path each time, over all squares for the reward.

    With n steps left on a random square the expected number of rewards is v(n) = mean over squares c of
    [d(c) <= n] (1 + v(n - d(c))), where d(c) is the distance of the reward from c.
    """
    tables = ground(maze)
    away = distances(tables.leads)
    squares = len(away)
    worth = torch.zeros(squares, maze.length + 1, dtype=torch.double)  # v(n) for each square of the reward
    goals = torch.arange(squares)
    others = ~torch.eye(squares, dtype=torch.bool)
    total = 0.0
    for n in range(1, maze.length + 1):
        left = n - away  # (from, goal)
        gained = (1 + worth[goals.expand(squares, -1), left.clamp(min=0)]) * (left >= 0)
        worth[:, n] = (gained * others).sum(0) / (squares - 1)
        if n == maze.length:
            total = gained[tables.start].mean().item()
    return maze.reward * total


def reward_random(maze: Maze) -> float:
    """The expected reward of a life of moves at random: the chain of its positions, exactly, over all squares."""
    tables = ground(maze)
    squares = len(tables.leads)
    goals = torch.arange(squares)
    here = torch.zeros(squares, squares, dtype=torch.double)  # (goal, position): probability
    here[:, tables.start] = 1
    others = (1 - torch.eye(squares, dtype=torch.double)) / (squares - 1)
    bumps = (tables.leads == goals.unsqueeze(1)).double().mean(1)  # (position,)
    total = torch.zeros((), dtype=torch.double)
    share = 1 / len(MOVES)
    for _ in range(maze.length):
        total -= maze.penalty * (here @ bumps).mean()
        stay = here * bumps
        moved = torch.zeros_like(here)
        for lead in tables.leads.unbind(1):
            moved.index_add_(1, lead, share * here * (lead != goals))
        hit = moved.diagonal().clone()
        total += maze.reward * hit.mean()
        moved.diagonal().zero_()
        here = moved + stay + hit.unsqueeze(1) * others
    return total.item()
