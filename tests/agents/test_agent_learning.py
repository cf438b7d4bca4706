"""Agents learn to learn within a life, on the smallest task that asks for it."""

import pytest
import torch
from torch import Tensor

from agents.acting import act
from agents.envs.world import Moment, one_hot
from agents.learning import fare, groups, look_back
from agents.maze_a2c import Config
from agents.networks import build
from plastic.experiment import generator

STEPS, ARMS = 8, 2


class Bandit:
    """Two arms, of which one pays, another one in each life. What is seen is the last reward and the last arm."""

    name, observations, actions, length, ends_early = "bandit", 1 + ARMS, ARMS, STEPS, False

    def reset(self, batch: int, chance: torch.Generator) -> Tensor:
        self.good = torch.randint(ARMS, (batch,), generator=chance)
        return torch.zeros(batch, self.observations)

    def step(self, action: Tensor) -> Moment:
        reward = (action == self.good).float()
        return Moment(torch.cat([reward[:, None], one_hot(action, ARMS)], 1), reward, reward < 0)

    def text(self) -> str:
        return ""


@pytest.mark.parametrize(("model", "alpha"), [("plastic", "shared"), ("plastic_lstm", "shared"), ("plastic", "full")])
def test_one_alpha_for_all_learns_as_many_times_slower_as_there_are_units(model, alpha):
    """Red when: it has the rate of the rest, another parameter has its rate, or one is left out or there twice."""
    agent = build(model, "oja", alpha, 0.1, "uniform", 3, 20, 2)
    rates = [(p, group["lr"]) for group in groups(agent, 0.5) for p in group["params"]]
    names = {id(p): name for name, p in agent.named_parameters()}
    assert sorted(names[id(p)] for p, _ in rates) == sorted(names.values())
    slow = {names[id(p)].rpartition(".")[2] for p, lr in rates if lr == 0.025}
    assert slow == ({"alpha"} if alpha == "shared" else set())
    assert {lr for _, lr in rates} <= {0.5, 0.025}


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("model", "rule"), [("plastic", "oja"), ("plastic", "modulated"), ("rnn", "oja")])
def test_agents_learn_which_arm_pays(model, rule, seed):
    """At chance, 0.5, in the first step of a life, and above 0.9 in its second half. Red when: the sign of
    the policy's loss, or of the advantage, is turned, or actions are stored a step late."""
    config = Config(model=model, rule=rule, units=10, lr=3e-2, entropy=0.05).settled()
    torch.manual_seed(seed)
    agent, world = build(model, rule, "full", 0.1, "uniform", 1 + ARMS, config.units, ARMS), Bandit()
    optimizer = torch.optim.Adam(agent.parameters(), lr=config.lr)
    places, choices = generator(seed, "places"), generator(seed, "choices")
    for _ in range(70):
        lives, _ = act(agent, world, 64, places, choices)
        optimizer.zero_grad()
        look_back(agent, lives, config)
        optimizer.step()
    rewards = fare(agent, world, 400, seed, "test", torch.device("cpu")).lives.rewards.mean(1)
    assert abs(rewards[0] - 0.5) < 0.1
    assert rewards[STEPS // 2 :].mean() > 0.9
