"""An episode of recall laid out in time: what is shown, when, in which order, and what is held."""

from dataclasses import replace

import pytest
import torch
from torch.testing import assert_close

from tasks.recall import Chance, Schedule, episode, orders
from tasks.recall.masks import disturb, hide, some_half

SMALL = Schedule(items=3, cycles=2, presentation=4, gap=2, test=5)


def _chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


PUBLISHED = {
    "patterns, paper": (Schedule(5, 3, 10, 3, 10), 205),
    "patterns, released": (Schedule(5, 2, 6, 4, 6), 106),
    "50 bits": (Schedule(2, 1, 3, 1, 3), 11),
    "images, released": (Schedule(3, 3, 20, 2, 3), 201),
    "images, brief": (Schedule(3, 3, 20, 2, 3, brief=True), 185),
}


@pytest.mark.parametrize(("schedule", "steps"), PUBLISHED.values(), ids=PUBLISHED)
def test_published_lengths(schedule, steps):
    """Red if the gap after the last presentation is left out."""
    assert schedule.steps == len(schedule.presenting()) == steps


def _by_hand(schedule, items, target, hidden, order, extra, noise):
    """One episode step by step, as lists."""
    inputs, clamps = [], []
    nothing = [0.0] * len(target)
    free = [False] * len(target)
    for shown, number in enumerate(order, 1):
        for _ in range(schedule.presentation):
            inputs.append([*items[number], *[0.0] * extra, 1.0])
            clamps.append([*[True] * len(target), *[False] * extra, True])
        for _ in range(0 if schedule.brief and shown < len(order) else schedule.gap):
            inputs.append([*nothing, *[0.0] * extra, 1.0])
            clamps.append([*free, *[False] * extra, True])
    for _ in range(schedule.test):
        cue = [n if h else v for v, h, n in zip(target, hidden, noise, strict=True)]
        inputs.append([*cue, *[0.0] * extra, 1.0])
        clamps.append([*[not h for h in hidden], *[False] * extra, True])
    return torch.tensor(inputs), torch.tensor(clamps)


@pytest.mark.parametrize("brief", [False, True])
@pytest.mark.parametrize("noisy", [False, True])
@pytest.mark.parametrize("extra", [0, 2])
def test_an_episode_equals_the_schedule_step_by_step(extra, noisy, brief):
    """Red if a gap, the test or the bias moves by a step or a unit, or the noise reaches a shown element."""
    schedule = replace(SMALL, brief=brief)
    items = torch.randn(4, 3, 6)
    hidden = some_half((4, 6), _chance(1))
    noise = torch.randn(4, 6) if noisy else None
    made = episode(schedule, items, hidden, extra, Chance.of(2, "episodes"), noise)
    again = Chance.of(2, "episodes")
    asked = torch.randint(3, (4,), generator=again.values)
    order = orders(schedule, again.order)
    for b in range(4):
        assert_close(made.target[b], items[b, asked[b]], rtol=0, atol=0)
        drive = (noise[b] if noise is not None else torch.zeros(6)).tolist()
        input, clamp = _by_hand(
            schedule, items[b].tolist(), made.target[b].tolist(), hidden[b].tolist(), order, extra, drive
        )
        assert_close(made.input[made.order, b], input, rtol=0, atol=0)
        assert_close(made.clamp[made.order, b], clamp, rtol=0, atol=0)
    everywhere = made.clamp[made.order].flatten(1).all(1).tolist()
    assert made.clamped_steps == everywhere
    assert any(everywhere) == (extra == 0)


def test_the_order_is_new_in_every_cycle_and_update():
    """Red if one order serves all cycles or updates, or an item is left out of a cycle."""
    schedule, chance = Schedule(5, 3, 1, 0, 1), _chance()
    order = torch.tensor([orders(schedule, chance) for _ in range(200)]).unflatten(1, (3, 5))
    assert_close(order.sort(-1).values, torch.arange(5).expand(200, 3, 5), rtol=0, atol=0)
    same = (order[:, 0] == order[:, 1]).all(-1).float().mean()
    assert same < 0.05  # 1 / 120 by chance
    first = order[:, 0, 0].bincount(minlength=5)
    assert first.min() > 15


def test_an_element_that_is_exactly_0_is_shown_and_held():
    """The released programs took a pixel of exactly 0 for one that is not shown. Red with ``clamp = input != 0``."""
    items = torch.zeros(1, 3, 6)
    hidden = torch.tensor([[True, True, True, False, False, False]])
    made = episode(SMALL, items, hidden, 0, Chance.of(0, "episodes"))
    presented = torch.tensor(SMALL.presenting())
    assert made.clamp[made.order][presented].all()
    assert_close(made.clamp[-1, 0, :6], ~hidden[0], rtol=0, atol=0)


def test_every_item_is_asked_for():
    """Red if the test always asks for the same of the items."""
    items = torch.arange(3.0).expand(300, 3).unsqueeze(-1)
    made = episode(SMALL, items, torch.ones(300, 1, dtype=torch.bool), 0, Chance.of(0, "episodes"))
    assert made.target.flatten().long().bincount(minlength=3).min() > 70


@pytest.mark.parametrize("elements", [50, 51])
def test_exactly_half_is_hidden_at_random(elements):
    """Red if each bit is hidden by the throw of a coin, or the places are always the same."""
    hidden = some_half((400, elements), _chance())
    assert set(hidden.sum(-1).tolist()) == {elements // 2}
    assert (hidden.float().mean(0) - 0.5).abs().max() < 0.12


def test_the_half_that_is_hidden_is_the_top_or_the_bottom():
    """Red if it is the left or the right, or always the top; the middle row of an odd side is shown."""
    for side in (4, 5):
        hidden = hide("half", 200, side, _chance()).unflatten(1, (side, side))
        assert set(hidden.sum((1, 2)).tolist()) == {side * (side // 2)}
        top = hidden[:, 0, 0]
        assert 60 < top.sum() < 140
        assert hidden[top][:, : side // 2].all()
        assert hidden[~top][:, side - side // 2 :].all()


def test_other_masks_hide_about_half():
    """Red if the block is no square, or always in the same place, or nothing disturbs under noise."""
    blocks = hide("block", 300, 32, _chance()).unflatten(1, (32, 32))
    assert set(blocks.sum((1, 2)).tolist()) == {23 * 23}
    for axis in (1, 2):
        assert set(blocks.any(axis).sum(-1).tolist()) == {23}
        assert blocks.any(axis).float().argmax(-1).unique().tolist() == list(range(10))
    for kind in ("random", "noise"):
        assert set(hide(kind, 9, 5, _chance()).sum(-1).tolist()) == {12}
    hidden = hide("noise", 100, 8, _chance())
    noise = disturb("noise", hidden, _chance(1))
    assert -1 <= noise.min() < -0.9
    assert 0.9 < noise.max() <= 1
    assert disturb("random", hidden, _chance()) is None
