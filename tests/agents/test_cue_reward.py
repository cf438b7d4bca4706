"""The cue-reward task: one by one and side by side."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

import agents  # noqa: F401  makes the environments known
from agents.envs.cue_reward import GO, NOTHING, BatchedCues, Chances, CueRewardEnv, Cues, digits, draw, reward_oracle

CHANCE = Chances(
    codes=torch.tensor([[0, 1, 2, 3]]),
    target=torch.tensor([2]),
    pairs=torch.tensor([[[0, 2], [1, 3], [3, 0]]]),
    waits=torch.tensor([[[0, 1, 1], [0, 0, 2], [1, 0, 1]]]),
)


def test_trials_run_as_described():
    """By hand. Red when: a wait is put elsewhere, Go comes with a cue, or the answer is judged at another step."""
    env = CueRewardEnv(bits=2, length=11)
    first, _ = env.reset(options={"chances": CHANCE})
    assert env.shown[:11] == [0, 2, NOTHING, GO, NOTHING, 1, 3, GO, NOTHING, NOTHING, 3]
    assert first.tolist() == [-1, -1, 0, 0, 0, 0, 0]
    rewards, seen = [], []
    for _ in range(11):
        observation, reward, _, over, _ = env.step(np.int64(1))
        rewards.append(reward)
        seen.append(observation.tolist())
    assert rewards == [0, 0, 0, 1, 0, 0, 0, -1, 0, 0, 0]  # the target was shown, then it was not
    assert over
    np.testing.assert_allclose(seen[0], [-1, 1, 0, 0, 0, 1, 1 / 11], rtol=1e-6)  # cue 2 is binary 10, low bit first
    np.testing.assert_allclose(seen[2], [0, 0, 1, 0, 0, 1, 3 / 11], rtol=1e-6)
    np.testing.assert_allclose(seen[3], [0, 0, 0, 1, 0, 1, 4 / 11], rtol=1e-6)


@pytest.mark.parametrize("settings", [{"bits": 4, "length": 30}, {"bits": 3, "length": 17, "fixed": True}], ids=str)
def test_one_by_one_and_side_by_side_are_the_same(settings):
    """Red when: the batch places a cue, a Go or an answer elsewhere, or shows something after the last step."""
    B = 16
    world, chance = BatchedCues(Cues(**settings)), torch.Generator().manual_seed(0)
    chances = draw(world.cues, B, chance)
    singles = [CueRewardEnv(**settings) for _ in range(B)]
    ours = world.begin(chances)
    alone = [
        env.reset(options={"chances": Chances(*(values[i : i + 1] for values in chances))})[0]
        for i, env in enumerate(singles)
    ]
    for _ in range(world.length):
        np.testing.assert_array_equal(ours.numpy(), np.stack(alone))
        action = torch.randint(2, (B,), generator=chance)
        ours, reward, over = world.step(action)
        steps = [env.step(np.int64(a)) for env, a in zip(singles, action, strict=True)]
        alone = [step[0] for step in steps]
        assert reward.tolist() == [step[1] for step in steps]
        assert over.tolist() == [step[3] for step in steps]
    np.testing.assert_array_equal(ours.numpy(), np.stack(alone))


def test_what_is_drawn_is_fair():
    """Red when: two cues are alike, a pair shows one twice, the target is in fewer than half of the pairs, or a wait
    after Go can be none."""
    chances = draw(Cues(bits=2, length=40), 4000, torch.Generator().manual_seed(0))
    assert chances.codes.sort(1).values.unique(dim=0).tolist() == [[0, 1, 2, 3]]  # there are no others of two bits
    assert len(chances.codes.unique(dim=0)) == 24
    assert (chances.pairs[..., 0] != chances.pairs[..., 1]).all()
    shown = (chances.pairs == chances.target[:, None, None]).any(2).double().mean()
    assert abs(shown - 0.5) < 0.01
    assert chances.waits.amin((0, 1)).tolist() == [0, 0, 1]
    assert chances.waits.amax((0, 1)).tolist() == [1, 1, 2]
    assert torch.allclose(chances.target.bincount(minlength=4) / 4000, torch.tensor(0.25), atol=0.03)


def test_fixed_cues_are_fixed_and_different():
    """Red when: fixed cues are drawn, or two of them are the same."""
    for bits in (2, 4, 20):
        codes = draw(Cues(bits=bits, fixed=True), 3, torch.Generator().manual_seed(0)).codes
        assert len(codes.unique(dim=0)) == 1
        assert len(digits(codes[0], bits).unique(dim=0)) == 4


def test_the_oracle_gets_every_go():
    """Red when: a Go after the last step counts, or waits have other odds."""
    cues = Cues(bits=4, length=60)
    world = BatchedCues(cues)
    world.reset(4000, torch.Generator().manual_seed(0))
    total = sum(world.step(world._answer[t]).reward for t in range(60))
    assert abs(total.mean() - reward_oracle(cues)) < 4 * total.std() / 4000**0.5


def test_gymnasiums_own_checks_find_nothing():
    """Red when: an observation leaves its bounds. Warnings are errors."""
    check_env(gymnasium.make("plastic/CueReward-v0", render_mode="ansi", bits=4, length=20).unwrapped)


def test_it_can_be_read():
    """Red when: what is shown is not what is told."""
    env = CueRewardEnv(bits=2, length=11, render_mode="ansi")
    env.reset(options={"chances": CHANCE})
    world = BatchedCues(Cues(bits=2, length=11))
    world.begin(CHANCE)
    for what in ("cue 0", "cue 2", ".", "Go"):
        assert env.render() == world.text() == f"{what:6} (target: cue 2)\n"
        env.step(np.int64(0))
        world.step(torch.tensor([0]))


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"bits": 1}, "bits: expected from 2"), ({"bits": 31}, "to 30, got 31"), ({"length": 3}, "length: .* 4 steps")],
)
def test_settings_that_make_no_sense_are_refused(settings, message):
    """Red when: a check is left out."""
    with pytest.raises(ValueError, match=message):
        CueRewardEnv(**settings)
