"""Acting and looking back come to the same; memory stays small; lives differ by chance alone."""

import gymnasium
import pytest
import torch
from torch.testing import assert_close

from agents.a2c import Lives
from agents.acting import act, acted_at_random, gumbel
from agents.envs.batched_maze import BatchedMaze
from agents.envs.foreign import Foreign
from agents.envs.ground import Maze
from agents.learning import fare, look_back
from agents.maze_a2c import Config
from agents.networks import build
from plastic.errors import UserError
from plastic.experiment import generator

MODELS = ["plastic", "rnn", "lstm", "plastic_lstm"]
RULES = ["oja", "hebb", "clipped_hebb", "modulated", "retroactive"]
UNITS = 7


def chances(seed=0):
    return generator(seed, "places"), generator(seed, "choices")


def made(world, model="plastic", rule="oja", units=UNITS, start="uniform", alpha="full"):
    torch.manual_seed(0)
    agent = build(model, rule, alpha, 0.1, start, world.observations, units, world.actions)
    plastic = agent.core.rnn.cell if model == "plastic" else getattr(agent.core, "cell", None)
    if plastic is not None:
        with torch.no_grad():
            plastic.alpha.mul_(30)  # a plastic part that matters
    return agent


@pytest.mark.parametrize(
    ("model", "rule"), [*((model, "oja") for model in MODELS), *(("plastic", rule) for rule in RULES[1:])]
)
def test_looking_back_sees_what_acting_saw(model, rule):
    """Red when: a core's ``step`` and ``forward`` differ, an observation is stored a step late, or a life does not
    begin blank."""
    world = BatchedMaze(Maze(size=3, length=30))
    agent = made(world, model, rule)
    seen, step = [], agent.core.step

    def watched(input, state):
        activity, state = step(input, state)
        seen.append(activity)
        return activity, state

    agent.core.step = watched
    for seed in range(2):
        seen.clear()
        lives, _ = act(agent, world, 5, *chances(seed))
        logits, values = agent(lives.inputs)
        activity = torch.stack(seen)
        assert_close(logits, agent.policy(activity), rtol=1e-4, atol=1e-5)
        assert_close(values, agent.value(activity).squeeze(-1), rtol=1e-4, atol=1e-5)
        assert lives.alive.all()
    agent.zero_grad()
    look_back(agent, lives, Config(model=model, rule=rule, units=UNITS).settled())
    unused = {"core.rnn.cell.eta"} if rule == "modulated" else set()
    missing = {name for name, p in agent.named_parameters() if p.grad is None or not p.grad.abs().max() > 0}
    assert missing == unused


def test_actions_follow_the_policy():
    """Red when: the noise is another one than Gumbel's."""
    logits = torch.tensor([0.0, 1.0, -2.0])
    noise = gumbel((40_000, 3), generator(0, "choices"))
    found = (logits + noise).argmax(1).bincount(minlength=3) / 40_000
    assert_close(found, logits.softmax(0), rtol=0, atol=0.01)


def test_lives_are_drawn_from_their_generators_alone():
    """Red when: acting or the world draws from torch's own generator, or a stream is used for both."""
    world = BatchedMaze(Maze(size=3, length=10))
    agent = made(world)
    first, _ = act(agent, world, 4, *chances())
    torch.manual_seed(7)
    again, _ = act(agent, world, 4, *chances())
    assert_close(again, first, rtol=0, atol=0)
    other, _ = act(agent, world, 4, generator(0, "places"), generator(1, "choices"))
    assert not torch.equal(other.actions, first.actions)
    moved, _ = act(agent, world, 4, generator(1, "places"), generator(0, "choices"))
    assert not torch.equal(moved.rewards, first.rewards)


def test_portions_of_lives_add_up(monkeypatch):
    """Red when: portions count alike whatever steps they have, or the gradients of one are lost."""
    world = BatchedMaze(Maze(size=3, length=20))
    agent, config = made(world), Config(units=UNITS).settled()
    lives, _ = act(agent, world, 5, *chances())
    alive = lives.alive.clone()
    alive[8:, 4] = False
    lives = Lives(lives.inputs, lives.actions, lives.rewards * alive, alive)
    found = []
    for traces in (1 << 23, 2 * UNITS**2):
        monkeypatch.setattr("agents.learning.TRACES", traces)
        agent.zero_grad()
        scalars = look_back(agent, lives, config)
        found.append((scalars, [p.grad.clone() for p in agent.parameters()]))
    assert_close(found[1], found[0], rtol=1e-4, atol=1e-6)
    monkeypatch.setattr("agents.learning.TRACES", 2 * UNITS**2)
    fared = fare(agent, world, 5, 0, "test", torch.device("cpu"))
    assert fared.lives.rewards.shape == (20, 5)


def numbers_saved(agent, inputs):
    """How many numbers autograd keeps between forward and backward."""
    saved = 0

    def keep(value):
        nonlocal saved
        saved += value.numel()
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        agent(inputs)
    return saved


@pytest.mark.parametrize(("model", "rule"), [("plastic", "oja"), ("plastic", "modulated"), ("plastic_lstm", "oja")])
def test_looking_back_keeps_no_trace_a_step(model, rule):
    """Red when: a core goes through plain autograd, which keeps several traces for each step."""
    world, N = BatchedMaze(Maze(size=3)), 100
    agent = made(world, model, rule, units=N)
    few, many = (numbers_saved(agent, torch.zeros(T, 1, world.observations)) for T in (100, 400))
    assert (many - few) / 300 < 0.2 * N * N


def test_acting_keeps_nothing():
    """Red when: acting builds a graph."""
    world = BatchedMaze(Maze(size=3, length=5))
    lives, acting = act(made(world), world, 2, *chances())
    assert not any(value.requires_grad for value in (*lives, acting.state.hidden, acting.state.trace))


def test_published_weights():
    """Red when: a preset of the published programs begins elsewhere."""
    world = BatchedMaze(Maze())
    torch.manual_seed(0)
    agent = build("plastic", "oja", "full", 0.01, "published", world.observations, 50, 4)
    cell = agent.core.rnn.cell
    for values in (cell.weight, cell.alpha):
        assert 0 <= values.min() < 1e-4
        assert 0.0099 < values.max() <= 0.01
    assert 0.2 < cell.weight_ih.abs().max() <= 15**-0.5
    rnn = build("rnn", "oja", "full", 0.01, "orthogonal", world.observations, 50, 4).core.rnn.cell
    assert rnn.alpha is None
    assert_close(rnn.weight @ rnn.weight.T, torch.eye(50), rtol=0, atol=1e-5)
    alpha = build("plastic", "oja", "full", 0.01, "uniform", world.observations, 50, 4).core.rnn.cell.alpha
    assert alpha.min() < -0.02
    assert alpha.max() > 0.02


@pytest.mark.parametrize("start", ["uniform", "published"])
def test_alpha_starts_at_its_scale(start):
    """Red when: the option is lost, scales the weights too, or leaves one alpha for all where it was."""
    small, large, shared = (
        build("plastic", "oja", alpha, 0.01, start, 15, 50, 4, scale).core.rnn.cell
        for alpha, scale in (("full", 0.01), ("full", 0.3), ("shared", 0.3))
    )
    spread = 0.3 if start == "uniform" else 0.3 / 12**0.5
    assert small.weight.abs().max() <= 1.01 * large.weight.abs().max()
    assert large.weight.abs().max() < 0.15
    assert large.alpha.std().item() == pytest.approx(spread, rel=0.1)
    assert small.alpha.std().item() == pytest.approx(spread / 30, rel=0.1)
    assert shared.alpha.item() == pytest.approx(0.3)


class Counter(gymnasium.Env):
    """Ends after 3 steps (seed even) or 5; pays the number of the step; 2 is the first of its three actions."""

    observation_space = gymnasium.spaces.Box(0, 10, (2, 2))
    action_space = gymnasium.spaces.Discrete(3, start=2)

    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        self.clock, self.last = 0, 3 if seed % 2 == 0 else 5
        return self._seen(), {}

    def step(self, action):
        assert 2 <= action <= 4
        self.clock += 1
        return self._seen(), float(self.clock), self.clock == self.last, False, {}

    def _seen(self):
        return self.observation_space.low + self.clock


gymnasium.register("plastic-tests/Counter-v0", entry_point=Counter)
gymnasium.register("plastic-tests/Box-v0", entry_point=lambda: gymnasium.wrappers.TransformAction(Counter(), int, BOX))
BOX = gymnasium.spaces.Box(0, 1)


def test_lives_that_end_early():
    """Red when: a life is stepped after its end, a reward of another counts, or the last steps are not cut."""
    world = Foreign("plastic-tests/Counter-v0", length=9)
    assert (world.observations, world.actions, world.length) == (4 + 1 + 3, 3, 9)
    lives, _ = act(made(world), world, 8, *chances())
    lengths = lives.alive.sum(0)
    assert set(lengths.tolist()) == {3, 5}
    assert len(lives.rewards) == 5
    assert_close(lives.rewards.sum(0), (lengths * (lengths + 1) / 2).float())
    assert_close(lives.inputs[1, :, :5], torch.ones(8, 5))  # the clock, and the reward of the first step
    assert_close(lives.inputs[1, :, 5:].argmax(1), lives.actions[0])
    torch.testing.assert_close(acted_at_random(world, 8, *chances()), lives.rewards.sum(0))  # the same seeds
    assert len(act(made(world), Foreign("plastic-tests/Counter-v0", length=2), 2, *chances())[0].rewards) == 2


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("plastic-tests/Nowhere-v0", "--env plastic-tests/Nowhere-v0: gymnasium cannot make it: "),
        ("plastic-tests/Box-v0", r"expected Box observations and Discrete actions, got Box\(.*\) and Box\("),
    ],
)
def test_an_environment_that_does_not_fit_is_refused(name, message):
    """Red when: gymnasium's own traceback is what one gets."""
    with pytest.raises(UserError, match=message):
        Foreign(name, 10)
