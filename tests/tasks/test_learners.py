"""The learners beside the plastic read-out, each against its equations written slowly."""

import math

import pytest
import torch
from tiny_omniglot import TINY, blots
from torch.nn import functional as F
from torch.testing import assert_close

from plastic import reference
from plastic.experiment import generator
from tasks.fewshot.episodes import as_input, draw, rotated
from tasks.fewshot.learners import EpisodeNorm, PlasticReadout, Prototypes, Transfer
from tasks.fewshot.maml import Maml
from tasks.fewshot.plastic_convolutions import PlasticThroughout
from tasks.fewshot.testing import correct
from tasks.fewshot.training import loss_of, optimizer_of
from tasks.omniglot import Config, learner_of

MODELS = {
    "plastic": {},
    "plastic throughout": {"plastic": "all"},
    "nonplastic": {"model": "nonplastic"},
    "protonet": {"model": "protonet"},
    "finetune": {"model": "finetune"},
    "maml": {"model": "maml"},
}
models = pytest.mark.parametrize("given", MODELS.values(), ids=MODELS)


def _config(**given) -> Config:
    config = Config(**{**TINY, "train_ways": 3, "ways": 2, "queries": 6, "turns": 1, "distortion": 0.0, **given})
    config.validate()
    return config


def _learner(config: Config):
    torch.manual_seed(0)
    return learner_of(config, 4 * 20, 8)


def _features(seed: int = 0, ways: int = 3, shots: int = 2, queries: int = 4):
    """Embedded support (B, T, F) in random order, its labels (B, T), and queries (B, Q, F), in float64."""
    chance = torch.Generator().manual_seed(seed)
    labels = torch.arange(ways).repeat_interleave(shots).expand(2, -1)
    labels = labels.gather(1, torch.rand(labels.shape, generator=chance).argsort(1))
    support, queries_ = (torch.randn(2, n, 8, generator=chance).double() for n in (ways * shots, queries))
    return support, labels, queries_


def _drawings(seed: int = 0, ways: int = 3, shots: int = 2, queries: int = 4):
    """The same as drawings (B, T, 1, S, S)."""
    _, labels, _ = _features(seed, ways, shots)
    images = as_input(blots()[: 2 * ways].flatten(0, 1)).double().unflatten(0, (2, ways, 8))
    support = images.gather(1, labels.view(2, -1, 1, 1, 1, 1).expand(-1, -1, *images.shape[2:]))[:, :, 0]
    return support, labels, images[:, :, 1:].flatten(1, 2)[:, :queries]


def test_prototypes_answer_by_the_distance_to_class_means():
    """Red if a mean takes in another class, counts instead of averages, or the distance is not squared."""
    support, labels, queries = _features()
    learner = Prototypes(_config(model="protonet")).double()
    learner.log_scale.data.fill_(math.log(0.3))
    logits = learner.classify(support, labels, queries, 3)
    for b in range(2):
        means = [support[b][labels[b] == n].mean(0) for n in range(3)]
        for q in range(4):
            distances = torch.stack([-0.3 * (queries[b, q] - mean).square().sum() for mean in means])
            assert_close(logits[b, q].log_softmax(-1), distances.log_softmax(-1))


def test_the_fit_of_the_read_out_is_softmax_regression_on_the_support():
    """Red if the step, the decay or the normalisation differs, or episodes share a fit."""
    learner = Transfer(_config(model="finetune"), 80, 8).double()
    support, labels, queries = _features()
    logits = learner.classify(support, labels, queries, 3)
    for b in range(2):
        weight = torch.zeros(8, 3, dtype=torch.float64, requires_grad=True)
        descent = torch.optim.SGD([weight], lr=learner.RATE, weight_decay=learner.DECAY)
        for _ in range(learner.STEPS):
            descent.zero_grad()
            F.cross_entropy(F.normalize(support[b], dim=-1) @ weight, labels[b]).backward()
            descent.step()
        assert_close(logits[b], F.normalize(queries[b], dim=-1) @ weight.detach())


def test_pretraining_tells_all_classes_in_all_rotations_apart():
    """Red if a rotation, or the place within the episode, is taken for the class."""
    config = _config(model="finetune")
    learner = _learner(config)
    chance = generator(0, "episodes")
    episodes = draw(torch.arange(20), (20, 8), 50, 3, 1, 6, chance)
    drawings = learner.embed(as_input(rotated(blots()[:20])[torch.cat(episodes[:2], 1).flatten()]))
    logits, wanted = learner.lesson(drawings.unflatten(0, (50, 9)), episodes, config, chance)
    numbers = torch.cat(episodes[:2], 1).flatten()
    turn, rest = numbers // (20 * 8), numbers % (20 * 8)
    assert logits.shape == (50 * 9, 80)
    assert_close(wanted, turn * 20 + rest // 8)
    assert len(set(wanted.tolist())) > 40


@pytest.mark.parametrize("norm", ["batch", "layer", "none"])
def test_maml_adapts_as_its_equation_says(norm):
    """Red if a step is left out, the outer gradient stops at the inner one, a class beyond the ways takes part, or a
    query is normalised by the others."""
    learner = _learner(_config(model="maml", norm=norm, inner_steps=2, inner_lr=0.3, train_ways=5, queries=5)).double()
    support, labels, queries = _drawings()
    with torch.no_grad():
        for parameter in learner.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    names, parameters = zip(*learner.body.named_parameters(), strict=True)

    def slow(b: int) -> torch.Tensor:
        weights = dict(zip(names, parameters, strict=True))

        def answer(images: torch.Tensor) -> torch.Tensor:
            return torch.func.functional_call(learner.body, weights, (images, 6))[:, :3]

        for _ in range(2):
            loss = F.cross_entropy(answer(support[b]), labels[b], reduction="sum") * 3 / 6
            grads = torch.autograd.grad(loss, list(weights.values()), create_graph=True)
            weights = {name: w - 0.3 * g for (name, w), g in zip(weights.items(), grads, strict=True)}
        return torch.cat([answer(torch.cat([support[b], query[None]]))[6:] for query in queries[b]])

    fast, slowly = learner.classify(support, labels, queries, 3), torch.stack([slow(b) for b in range(2)])
    assert_close(fast, slowly)
    grads = [torch.autograd.grad(answers.log_softmax(-1)[..., 0].sum(), parameters) for answers in (fast, slowly)]
    assert_close(*grads)
    with torch.no_grad():
        assert_close(learner.eval().classify(support, labels, queries, 3), slowly)


@pytest.mark.parametrize("kind", ["batch", "layer", "none"])
def test_an_episode_is_normalised_by_its_support(kind):
    """Red if queries or other episodes enter the statistics, or each drawing of the support has its own."""
    norm = EpisodeNorm(_config(norm=kind), 3).double()
    if kind != "none":
        torch.nn.init.normal_(norm.weight)
        torch.nn.init.normal_(norm.bias)
    maps = torch.randn(2, 5, 3, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    normal = norm(maps, 2)
    for b, t in ((0, 0), (0, 4), (1, 3)):
        expected = maps[b, t]
        if kind == "batch":
            mean, variance = maps[b, :2].mean((0, 2, 3)), maps[b, :2].var((0, 2, 3), correction=0)
            expected = F.batch_norm(maps[b, t][None], mean, variance, norm.weight, norm.bias)[0]
        elif kind == "layer":
            expected = F.group_norm(maps[b, t][None], 1, norm.weight, norm.bias)[0]
        assert_close(normal[b, t], expected)


def test_maml_leaves_the_initial_weights_alone():
    """Red if the inner loop writes to the weights that every episode starts from."""
    learner = _learner(_config(model="maml"))
    before = {name: value.clone() for name, value in learner.state_dict().items()}
    correct(learner, blots()[:10], 2, 1, 30, generator(0, "test"))
    assert_close(dict(learner.state_dict()), before, rtol=0, atol=0)


@pytest.mark.parametrize("rule", ["oja", "hebb"])
@pytest.mark.parametrize("alpha", ["full", "shared"])
def test_plastic_convolutions_equal_the_slow_loop(rule, alpha):
    """Red if a patch meets another position's response, a position counts as a whole step, or a trace is not read."""
    config = _config(plastic="all", rule=rule, alpha=alpha, norm="none", widths=(2, 2, 3, 4))
    learner = _learner(config).double()
    with torch.no_grad():
        for name, parameter in learner.named_parameters():
            if name.endswith(("alpha", "eta")):
                parameter.uniform_(0.2, 0.9)
    support, labels, queries = _drawings(shots=1)
    logits = learner.classify(support, labels, queries, 3)

    def convolve(image: torch.Tensor, layer, trace: torch.Tensor | None, write: bool):
        """One drawing through one layer, patch by patch; with ``write`` also what the trace has become."""
        c = layer.connections
        fixed, held, positions = c.weight, trace, ((image.shape[-1] - 3) // 2 + 1) ** 2
        matrix = fixed if trace is None or write else fixed + c.alpha * trace
        rows = []
        for y in range(0, image.shape[-1] - 2, 2):
            for x in range(0, image.shape[-1] - 2, 2):
                pre = image[:, y : y + 3, x : x + 3].flatten()
                post = layer.activation(pre @ matrix + c.bias)
                if write:
                    held = reference.UNMODULATED[rule](held, pre, post, c.eta / positions)
                rows.append(post)
        side = int(positions**0.5)
        return torch.stack(rows).T.unflatten(-1, (side, side)), held

    for b in range(2):
        shown, traces = list(support[b]), []
        for layer in learner.convolutions:
            trace, outputs = torch.zeros_like(layer.connections.weight), []
            for image in shown:
                output, trace = convolve(image, layer, trace, write=True)
                outputs.append(output)
            shown, traces = outputs, [*traces, trace]

        def embed(image: torch.Tensor, traces=traces) -> torch.Tensor:
            for layer, trace in zip(learner.convolutions, traces, strict=True):
                image, _ = convolve(image, layer, trace, write=False)
            return image.flatten()

        memory = torch.zeros_like(learner.readout.weight)
        for image, label in zip(support[b], labels[b], strict=True):
            post = F.one_hot(label, 3).double()
            memory = reference.UNMODULATED[rule](memory, embed(image), post, learner.readout.eta)
        for q, query in enumerate(queries[b]):
            expected = embed(query) @ (learner.readout.weight + learner.readout.alpha * memory)
            assert_close(logits[b, q], expected)


@models
def test_a_learner_learns_from_one_update(given):
    """Red if a parameter gets no gradient, so that a part of the learner never learns."""
    config = _config(batch=2, **given)
    learner = _learner(config)
    episodes = draw(torch.arange(20), (20, 8), 2, 3, 1, 6, generator(0, "episodes"))
    loss_of(learner, config, rotated(blots()[:20]), episodes, generator(0, "order"))["loss"].backward()
    silent = [name for name, p in learner.named_parameters() if p.grad is None or not p.grad.abs().max() > 0]
    assert silent == []
    optimizer_of(learner, config).step()


@models
def test_an_answer_depends_on_its_own_query_and_support_alone(given):
    """Red if a query's neighbours, or other episodes, reach its answer in a test."""
    learner = _learner(_config(**given)).eval()
    support, labels, queries = (v.float() if v.is_floating_point() else v for v in _drawings())
    embedded = [learner.embed(v.flatten(0, 1)).unflatten(0, v.shape[:2]) for v in (support, queries)]
    with torch.no_grad():
        together = learner.classify(embedded[0], labels, embedded[1], 3)
        alone = learner.classify(embedded[0][1:], labels[1:], embedded[1][1:, 2:3], 3)
    assert_close(alone[0, 0], together[1, 2])


@models
def test_a_test_of_drawings_that_say_nothing_is_at_chance(given):
    """Red if the place of a class in the episode tells the answer: blank paper, 5 standard deviations."""
    learner = _learner(_config(**given))
    blank = torch.full((30, 8, 31, 31), 255, dtype=torch.uint8)
    noise = (blank - (torch.rand(blank.shape, generator=torch.Generator().manual_seed(0)) * 99).byte()).contiguous()
    accuracy = correct(learner, noise, 2, 1, 300, generator(0, "test")).mean().item()
    assert abs(accuracy - 0.5) < 5 * (0.25 / 300) ** 0.5


def test_each_model_is_what_its_name_says():
    """Red if two names give the same learner."""
    kinds = [type(_learner(_config(**given))) for given in MODELS.values()]
    assert kinds == [PlasticReadout, PlasticThroughout, PlasticReadout, Prototypes, Transfer, Maml]
