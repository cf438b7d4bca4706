"""What the read-out is shown, what it remembers and what it answers."""

import math
from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from tiny_omniglot import TINY, blots
from torch.nn import functional as F
from torch.testing import assert_close

from plastic import reference
from plastic.experiment import generator
from tasks.fewshot import training
from tasks.fewshot.episodes import as_input, draw, in_random_order, rotated, take_turns
from tasks.fewshot.learners import PlasticReadout
from tasks.fewshot.testing import calibrate, correct
from tasks.fewshot.training import inputs_of, loss_of, optimizer_of, rate
from tasks.omniglot import Config

CLASSES = torch.arange(20)


def _config(**given) -> Config:
    config = Config(**{**TINY, "train_ways": 3, "ways": 2, "queries": 6, "turns": 1, "distortion": 0.0, **given})
    config.validate()
    return config


def _episodes(config: Config, batch: int, seed: int = 0):
    chance = generator(seed, "episodes")
    return draw(CLASSES, (20, 8), batch, config.train_ways, config.shots, config.queries, chance)


@pytest.fixture
def doubled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images in float64, for networks in float64."""
    monkeypatch.setattr(training, "as_input", lambda images: images.unsqueeze(1).double() / 255)


def _slow_loss(network: PlasticReadout, config: Config, images, episodes, chance) -> torch.Tensor:
    """Episode by episode, turn by turn, shown drawing by shown drawing, through ``plastic.reference``."""
    numbers = torch.cat([episodes.support, episodes.queries], 1)
    features = network.embed(images[numbers.flatten()].unsqueeze(1).double() / 255).unflatten(0, numbers.shape)
    readout, ways, shots = network.readout, config.train_ways, config.shots
    each = config.queries // ways
    order = torch.rand(config.turns * len(numbers), ways * shots, generator=chance).argsort(1).tolist()
    losses = []
    for turn in range(config.turns):
        for b in range(len(numbers)):
            support, queries, wanted = [], [], []
            if config.turns == 1:
                support = [(n // shots, features[b, n]) for n in range(ways * shots)]
                queries, wanted = list(features[b, ways * shots :]), episodes.labels[b].tolist()
            else:
                for n in range(ways):
                    shown = [features[b, n * shots + k] for k in range(shots)]
                    asked = [features[b, ways * shots + n * each + q] for q in range(each)]
                    drawings = shown + asked
                    for _ in range(turn):
                        drawings.append(drawings.pop(0))
                    support += [(n, drawing) for drawing in drawings[:shots]]
                    queries += drawings[shots:]
                    wanted += [n] * each
            support = [support[place] for place in order[turn * len(numbers) + b]]
            trace = torch.zeros_like(readout.weight)
            for label, feature in support:
                post = F.one_hot(torch.tensor(label), ways).double()
                trace = reference.UNMODULATED[config.rule](trace, feature, post, readout.eta)
            for query, label in zip(queries, wanted, strict=True):
                answer = (query @ (readout.weight + readout.alpha * trace)).softmax(-1)
                right = F.one_hot(torch.tensor(label), ways).double()
                if config.loss == "binary":
                    losses.append(-(right * answer.log() + (1 - right) * (1 - answer).log()).mean())
                else:
                    losses.append(-answer[label].log())
    return torch.stack(losses).mean()


GIVEN = {
    "oja": {},
    "hebb": {"rule": "hebb"},
    "clipped": {"rule": "clipped_hebb"},
    "neuron": {"alpha": "neuron"},
    "shared": {"alpha": "shared", "rule": "hebb"},
    "three shots": {"shots": 3},
    "turns": {"turns": 3},
    "turns, two shots": {"turns": 2, "shots": 2, "rule": "hebb"},
    "paper": {"queries": 1, "loss": "binary", "norm": "none", "activation": "tanh"},
}


@pytest.mark.parametrize("given", GIVEN.values(), ids=GIVEN)
@pytest.mark.usefixtures("doubled")
def test_an_update_equals_the_slow_loop(given):
    """Red if the write, the turns, the labels or the reading differ from the equations, or a gradient is cut."""
    config = _config(**given)
    torch.manual_seed(0)
    network = PlasticReadout(config).double()
    with torch.no_grad():
        network.readout.eta.fill_(0.3)
        network.readout.alpha.uniform_(-2, 2)
        network.readout.weight.normal_()
    images, episodes = rotated(blots()[:20]), _episodes(config, batch=2)
    names, parameters = zip(*network.named_parameters(), strict=True)
    fast = loss_of(network, config, images, episodes, generator(0, "order"))["loss"]
    slow = _slow_loss(network, config, images, episodes, generator(0, "order"))
    assert_close(fast, slow, rtol=1e-10, atol=1e-12)
    grads = [torch.autograd.grad(loss, parameters) for loss in (fast, slow)]
    assert {"readout.eta", "readout.alpha", "readout.weight", "convolutions.0.weight"} <= set(names)
    assert all(grad.abs().max() > 0 for grad in grads[1])
    assert_close(grads[0], grads[1], rtol=1e-8, atol=1e-11)


@pytest.mark.parametrize(("shots", "each", "turns"), [(1, 1, 1), (1, 3, 4), (2, 4, 3), (1, 1, 2), (2, 2, 4)], ids=str)
def test_in_turn_every_drawing_is_shown(shots, each, turns):
    """Red if a drawing changes its class, is shown and asked for at once, or turns move by K drawings, not by one."""
    labels = torch.cat([torch.arange(3).repeat_interleave(shots), torch.arange(3).repeat_interleave(each)])
    ids = torch.arange(2 * 3 * (shots + each)).view(2, -1)
    support, queries = take_turns(torch.stack([ids, labels.expand(2, -1)], -1), 3, shots, turns)
    assert support.shape == (2 * turns, 3 * shots, 2)
    assert queries.shape == (2 * turns, 3 * each, 2)
    assert_close(support[..., 1], torch.arange(3).repeat_interleave(shots).expand(2 * turns, -1))
    assert_close(queries[..., 1], torch.arange(3).repeat_interleave(each).expand(2 * turns, -1))
    both = torch.cat([support, queries], 1)[..., 0]
    for number, used in enumerate(both.tolist()):
        assert sorted(used) == ids[number % 2].tolist(), "each drawing once, and of this episode"
    for b in range(2):
        shown = [set(turn) for turn in support[b::2, :, 0].tolist()]
        for before, after in pairwise(shown):
            assert len(after - before) == 3, "one other drawing of each class"
        assert len({frozenset(turn) for turn in shown}) == turns, "no turn shows what another has shown"


@pytest.mark.parametrize(("rule", "matters"), [("oja", False), ("hebb", True)])
def test_the_order_of_the_support_matters_to_a_rule_that_forgets(rule, matters):
    """Red if one-shot Oja forgets classes that are not shown, or Hebb does not."""
    torch.manual_seed(0)
    network = PlasticReadout(_config(rule=rule, train_ways=5, queries=5))
    features, labels = torch.randn(4, 5, 8), torch.arange(5).expand(4, 5)
    traces = []
    for seed in range(2):
        support, shuffled = in_random_order(features, labels, torch.Generator().manual_seed(seed))
        traces.append(network.remember(support, shuffled))
    apart = (traces[0] - traces[1]).abs().max().item()
    assert (apart > 1e-4) == matters
    assert matters or apart < 1e-7


def test_the_random_order_keeps_each_drawing_with_its_label():
    """Red if features and labels are shuffled differently, or all episodes alike."""
    features = torch.arange(60.0).view(5, 12, 1)
    labels = torch.arange(12).expand(5, 12)
    support, shuffled = in_random_order(features, labels, generator(0, "order"))
    assert_close(support[..., 0] % 12, shuffled.float())
    assert_close(shuffled.sort(1).values, labels)
    assert len({tuple(row) for row in shuffled.tolist()}) == 5


@pytest.mark.parametrize("norm", ["batch", "none"])
def test_an_answer_depends_on_its_own_query_and_support_alone(norm):
    """Red if evaluation uses the statistics of the batch, or writes while it answers."""
    torch.manual_seed(0)
    config = _config(norm=norm)
    network = PlasticReadout(config)
    images = blots()[:20].flatten(0, 1)
    network.train()
    network.embed(as_input(images))  # running statistics that are not the initial ones
    network.eval()
    labels = torch.arange(3).expand(1, 3)
    support = network.embed(as_input(images[[0, 8, 16]])).unsqueeze(0)

    def asked(numbers: list[int]) -> torch.Tensor:
        queries = network.embed(as_input(images[numbers])).unsqueeze(0)
        return network.classify(support, labels, queries, 3)[0, 0]

    alone = asked([1])
    assert_close(asked([1, 9, 17, 33, 100]), alone)
    assert_close(asked([1, *range(60, 160)]), alone)


def test_testing_changes_nothing(monkeypatch):
    """Red without eval() in ``correct``: running statistics would see the test classes."""
    config = _config()
    network = PlasticReadout(config).train()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    first = correct(network, blots()[:100], config.ways, config.shots, 50, generator(0, "test"))
    assert_close(dict(network.state_dict()), before, rtol=0, atol=0)
    network.train()
    assert_close(
        correct(network, blots()[:100], config.ways, config.shots, 50, generator(0, "test")), first, rtol=0, atol=0
    )


def test_calibration_takes_the_mean_over_its_inputs_and_nothing_else():
    """Red if the statistics of training linger, the last input counts more, or a weight moves."""
    torch.manual_seed(0)
    config, images = _config(), rotated(blots()[:20])
    network = PlasticReadout(config)
    batches = [_episodes(config, 2, seed) for seed in range(5)]
    weights = {name: p.detach().clone() for name, p in network.named_parameters()}
    for stale in (torch.zeros(9, 1, 31, 31), torch.ones(9, 1, 31, 31)):
        network.train().embed(stale)
        calibrate(network, config, images, iter(batches), generator(0, "calibration"))
    shown = [as_input(images[torch.cat(batch[:2], 1).flatten()]) for batch in batches]
    first = [network.convolutions[0](inputs) for inputs in shown]
    assert_close(network.convolutions[1].running_mean, torch.stack([f.mean((0, 2, 3)) for f in first]).mean(0))
    assert_close(network.convolutions[1].running_var, torch.stack([f.var((0, 2, 3)) for f in first]).mean(0))
    assert_close(dict(network.named_parameters()), weights, rtol=0, atol=0)


@pytest.mark.parametrize(
    ("given", "most"),
    [({"norm": "none", "activation": "tanh", "widths": (64,) * 4}, 0.09), ({"widths": (32, 64, 128, 256)}, 0.22)],
    ids=["paper", "default"],
)
def test_in_bfloat16_gradients_are_off_by_what_the_help_says(given, most):
    """Red if the products stay in float32, if what comes after them does not, or beyond twice the error of the help."""
    torch.manual_seed(0)
    config = _config(**given)
    network = PlasticReadout(config)
    with torch.no_grad():
        network.readout.eta.fill_(0.3)
        network.readout.alpha.uniform_(-2, 2)
    images, episodes = rotated(blots()[:20]), _episodes(config, batch=8)
    remembered = []
    network.readout.register_forward_hook(lambda layer, given, output: remembered.append(output[1]))
    names, parameters = zip(*network.named_parameters(), strict=True)
    exact, rounded = (
        torch.autograd.grad(
            loss_of(network, replace(config, precision=precision), images, episodes, generator(0, "order"))["loss"],
            parameters,
        )
        for precision in ("float32", "bfloat16")
    )
    assert {trace.dtype for trace in remembered} == {torch.float32}
    for name, a, b in zip(names, exact, rounded, strict=True):
        assert a.dtype == b.dtype == torch.float32
        error = ((a - b).norm() / a.norm()).item()
        assert 1e-4 < error < most, name


def test_training_shows_the_drawings_of_the_episode():
    """Red if the images are not those that the numbers name, or no distortion distorts."""
    images, numbers = rotated(blots()[:20]), torch.tensor([[5, 300], [639, 0]])
    plain = inputs_of(_config(), images, numbers, generator(0, "a"))
    assert_close(plain, images[[5, 300, 639, 0]].unsqueeze(1) / 255)
    bent = inputs_of(_config(distortion=1.0), images, numbers, generator(0, "a"))
    assert bent.shape == plain.shape
    assert (bent - plain).abs().flatten(1).mean(1).min() > 0.01


@pytest.mark.parametrize("model", ["plastic", "nonplastic"])
def test_only_the_fixed_weights_decay(model):
    """Red if alpha or eta decays, or has the rate of the weights; if a parameter is left out."""
    network = PlasticReadout(_config(model=model))
    optimizer = optimizer_of(network, _config(model=model, lr=0.1, plastic_lr=0.2, weight_decay=0.3))
    rates = {p: (group["lr"], group["weight_decay"]) for group in optimizer.param_groups for p in group["params"]}
    named = {name: rates.pop(p) for name, p in network.named_parameters()}
    assert not rates
    learned = {"readout.alpha", "readout.eta"} & set(named)
    assert len(learned) == (2 if model == "plastic" else 0)
    assert all(named[name] == ((0.2, 0.0) if name in learned else (0.1, 0.3)) for name in named)


@pytest.mark.parametrize("count", [2, 999, 1000, 1001, 2500])
def test_as_many_episodes_are_tested_as_asked_for(count):
    """Red if the last part of a batch is lost, or an empty one is drawn."""
    config = _config()
    right = correct(PlasticReadout(config), blots()[:10], config.ways, config.shots, count, generator(0, "test"))
    assert right.shape == (count,)
    assert set(right.tolist()) <= {0.0, 1.0}


@pytest.mark.parametrize("ways", [2, 5, 20])
def test_a_network_without_a_trace_is_at_chance(ways):
    """Red if a label leaks into the features, the order of the classes or the answer: 5 standard deviations."""
    config = _config(model="nonplastic", train_ways=20, queries=20, ways=ways)
    torch.manual_seed(1)
    network = PlasticReadout(config)
    assert network.remember(torch.zeros(1, 20, 8), torch.arange(20).unsqueeze(0)) is None
    network.readout.weight.data.normal_()
    accuracy = correct(network, blots()[:100], config.ways, config.shots, 4000, generator(0, "test")).mean().item()
    assert abs(accuracy - 1 / ways) < 5 * math.sqrt((1 - 1 / ways) / ways / 4000)


def test_a_perfect_memory_answers_rightly():
    """Red if labels, classes or rotations are mixed up in testing: all drawings of a class are the same here."""
    chance = torch.Generator().manual_seed(0)
    images = (torch.rand(100, 1, 31, 31, generator=chance) * 255).to(torch.uint8).expand(-1, 4, -1, -1)
    config = _config(train_ways=5, ways=5, queries=5, widths=(8, 8, 16, 64))
    torch.manual_seed(0)
    network = PlasticReadout(config)
    with torch.no_grad():
        network.readout.alpha.fill_(100.0)
        network.readout.weight.zero_()
        network.train()
        features = network.embed(as_input(rotated(images)))
        centre = features.mean(0)
    network.embed = lambda inputs: F.normalize(type(network).embed(network, inputs) - centre, dim=-1)
    accuracy = correct(network, images, config.ways, config.shots, 300, generator(0, "test")).mean().item()
    assert accuracy > 0.97


SCHEDULES = {
    "start": (Config(episodes=1000), 0, 0.001 / 0.02),
    "half of the warm-up": (Config(episodes=1000), 9, 0.5 * (1 + math.cos(math.pi * 0.009)) / 2),
    "end of the warm-up": (Config(episodes=1000), 20, (1 + math.cos(math.pi * 0.02)) / 2),
    "a quarter": (Config(episodes=1000), 250, (1 + math.sqrt(0.5)) / 2),
    "half": (Config(episodes=1000), 500, 0.5),
    "end": (Config(episodes=1000), 1000, 0.0),
    "beyond": (Config(episodes=1000), 1100, 0.0),
    "half, in batches": (Config(episodes=1000, batch=10), 50, 0.5),
    "before the first step": (Config.from_preset("paper"), 999_999, 1.0),
    "the first step": (Config.from_preset("paper"), 1_000_000, 2 / 3),
    "the fourth step": (Config.from_preset("paper"), 4_999_999, (2 / 3) ** 4),
    "in batches of 64": (Config.from_preset("paper-batched"), 15_625, 2 / 3),
}


@pytest.mark.parametrize(("config", "update", "factor"), SCHEDULES.values(), ids=SCHEDULES)
def test_the_learning_rate(config, update, factor):
    """Red with a step or a warm-up off by one, or counted in updates instead of episodes."""
    assert rate(config)(update) == pytest.approx(factor, abs=1e-12)


def test_the_paper_preset_is_the_published_setting():
    """Red if a value of the publication changes: 64 features, tanh, one query, Adam at 3e-5, x 2/3 a million."""
    paper = Config.from_preset("paper")
    assert (paper.ways, paper.shots, paper.train_ways, paper.queries, paper.turns, paper.batch) == (5, 1, 5, 1, 1, 1)
    assert (paper.widths, paper.norm, paper.activation, paper.loss) == ((64,) * 4, "none", "tanh", "binary")
    assert (paper.episodes, paper.lr, paper.plastic_lr, paper.schedule) == (5_000_000, 3e-5, 3e-5, "steps")
    assert (paper.rule, paper.alpha, paper.distortion, paper.weight_decay) == ("oja", "full", 0.0, 0.0)
    network = PlasticReadout(paper)
    assert sum(isinstance(layer, torch.nn.Tanh) for layer in network.convolutions) == 4
    assert network.embed(torch.ones(2, 1, 31, 31)).shape == (2, 64)
    assert network.readout.weight.shape == network.readout.alpha.shape == (64, 5)
