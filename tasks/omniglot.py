"""Few-shot learning of handwritten characters with a plastic read-out (Miconi, Stanley, Clune 2018, section 4.4).

    python -m tasks.omniglot --ways 5 --shots 1 --rule oja --alpha full

Four convolutions turn a drawing into 64 features; a plastic layer from these to one unit a class is written by showing
the labelled support, and then answers the queries. Gradient descent never sees the test classes.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from plastic import PlasticLinear
from plastic.data import load_characters
from plastic.experiment import (
    Estimate,
    Options,
    Outcome,
    Presets,
    Run,
    Stateful,
    command,
    conduct,
    estimate,
    generator,
    require,
    train,
)
from tasks.episodes import HELD_OUT, Episodes, as_input, distorted, draw, rotated, split_classes, support_labels
from tasks.omniglot_figures import accuracy_figure, draw_figures

WARM_UP = 0.02  # share of the episodes in which the cosine schedule rises
CALIBRATION = 20  # training batches over which the statistics of batch normalisation are taken for a test
PAPER: dict[str, Any] = {
    "episodes": 5_000_000,
    "batch": 1,
    "train_ways": 5,
    "queries": 1,
    "turns": 1,
    "widths": (64, 64, 64, 64),
    "norm": "none",
    "activation": "tanh",
    "distortion": 0.0,
    "loss": "binary",
    "lr": 3e-5,
    "plastic_lr": 3e-5,
    "weight_decay": 0.0,
    "schedule": "steps",
    "eval_every": 10_000,
}


@dataclass(frozen=True, kw_only=True)
class Config(Options):
    """Few-shot learning of handwritten characters with a plastic read-out."""

    MODULE: ClassVar[str] = "tasks.omniglot"
    PRESETS: ClassVar[Presets] = {
        "quick": {"episodes": 1_500, "eval_every": 500},
        "default": {},
        "paper": PAPER,
        # Adam's steps do not grow with the batch; the square root keeps their noise (64 episodes: 8 times the rate)
        "paper-batched": {**PAPER, "batch": 64, "lr": 2.4e-4, "plastic_lr": 2.4e-4, "eval_every": 64_000},
    }

    preset: Literal["quick", "default", "paper", "paper-batched"] = "default"
    """named settings; an option given beside it wins"""
    dataset: Literal["auto", "omniglot", "strokes"] = "auto"
    """auto: Omniglot, and generated strokes where it cannot be had"""
    evaluate_on: Literal["test", "validation"] = "test"
    """test: train on 1,523 classes, report on 100 others; validation: hold 100 of the 1,523 out, to choose settings"""
    model: Literal["plastic", "nonplastic"] = "plastic"
    """nonplastic: the read-out without a trace, which cannot remember the support"""
    ways: int = 5
    """classes in a test episode"""
    shots: int = 1
    """labelled drawings of each class"""
    rule: Literal["hebb", "oja", "clipped_hebb"] = "oja"
    """plasticity rule of the read-out"""
    alpha: Literal["full", "neuron", "shared"] = "full"
    """plasticity coefficients: one a connection, one a class unit, or one for all"""
    train_ways: int = 60
    """classes in a training episode"""
    queries: int = 180
    """queries in a training episode, spread evenly over its classes (the paper: 1)"""
    turns: int = 4
    """times the drawings of a training episode change parts, support becoming query (the paper: 1)"""
    episodes: int = 24_000
    """training episodes"""
    batch: int = 1
    """episodes per update"""
    widths: tuple[int, int, int, int] = (32, 64, 128, 256)
    """features of each convolution (the paper: 64 everywhere); the last are what the plastic read-out sees"""
    norm: Literal["batch", "none"] = "batch"
    """batch: normalise each convolution's output; tests use the statistics of training images"""
    activation: Literal["relu", "tanh"] = "relu"
    """after each convolution but the last, which always has tanh"""
    distortion: float = 1.0
    """strength of a random affine map of each training image; 1: up to 10 degrees, 15% of scale; 0: none"""
    loss: Literal["cross_entropy", "binary"] = "cross_entropy"
    """binary: the paper's, binary cross-entropy of each softmax output"""
    lr: float = 1e-2
    """Adam's rate for the fixed weights"""
    plastic_lr: float = 1e-2
    """Adam's rate for alpha and eta"""
    weight_decay: float = 0.05
    """AdamW's decay of the fixed weights; alpha and eta have none"""
    schedule: Literal["cosine", "steps"] = "cosine"
    """cosine: 2% warm-up, then down to 0; steps: x 2/3 every 1,000,000 episodes"""
    eval_every: int = 2_000
    """training episodes between two evaluations and checkpoints"""
    test_episodes: int = 10_000
    """episodes of the final evaluation, one query each; those on the way have a fifth"""

    def validate(self) -> None:
        super().validate()
        for name in ("ways", "train_ways"):
            require(getattr(self, name) >= 2, f"--{name.replace('_', '-')}: expected at least 2 classes")
        for name in ("shots", "queries", "turns", "episodes", "batch", "eval_every"):
            value = getattr(self, name)
            require(value >= 1, f"--{name.replace('_', '-')}: expected at least 1, got {value}")
        require(self.test_episodes >= 2, f"--test-episodes: expected at least 2, got {self.test_episodes}")
        require(min(self.widths) >= 1, f"--widths: expected at least 1 feature each, got {self.widths}")
        require(self.lr > 0, f"--lr: expected more than 0, got {self.lr}")
        require(self.plastic_lr > 0, f"--plastic-lr: expected more than 0, got {self.plastic_lr}")
        require(self.weight_decay >= 0, f"--weight-decay: expected 0 or more, got {self.weight_decay}")
        require(self.distortion >= 0, f"--distortion: expected 0 or more, got {self.distortion}")
        require(
            self.ways <= HELD_OUT,
            f"--ways {self.ways}: there are {HELD_OUT} {self.evaluate_on} classes; choose at most as many",
        )
        require(
            self.ways <= self.train_ways,
            f"--ways {self.ways} is above --train-ways {self.train_ways}: a unit that was never trained cannot answer",
        )
        if self.turns > 1:
            require(
                self.queries % self.train_ways == 0,
                f"--turns {self.turns} needs the same number of queries for every class: "
                f"choose --queries as a multiple of --train-ways {self.train_ways}, got {self.queries}",
            )
            each = self.shots + self.queries // self.train_ways
            require(
                self.turns <= each,
                f"--turns {self.turns}: a class has {each} drawings in an episode, choose at most {each}",
            )

    def fit(self, classes: int, drawings: int) -> None:
        """UserError if the data are too few for the episodes."""
        training = classes - (2 if self.evaluate_on == "validation" else 1) * HELD_OUT
        require(
            self.train_ways <= training,
            f"--train-ways {self.train_ways}: there are {training} training classes; choose at most as many",
        )
        needed = self.shots + max(1, math.ceil(self.queries / self.train_ways))
        require(
            needed <= drawings,
            f"--shots {self.shots} and {needed - self.shots} queries a class need {needed} drawings of it, "
            f"there are {drawings}: choose fewer",
        )


class Network(nn.Module):
    """Four stride-2 convolutions and a plastic read-out: 31 -> 15 -> 7 -> 3 -> 1."""

    def __init__(self, config: Config) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for i, (before, after) in enumerate(pairwise((1, *config.widths))):
            layers.append(nn.Conv2d(before, after, 3, stride=2, bias=config.norm == "none"))
            if config.norm == "batch":
                layers.append(nn.BatchNorm2d(after, momentum=None))  # plain averages; see calibrate
            layers.append(nn.ReLU() if config.activation == "relu" and i < 3 else nn.Tanh())
        self.convolutions = nn.Sequential(*layers, nn.Flatten())
        alpha = config.alpha if config.model == "plastic" else "none"
        self.readout = PlasticLinear(config.widths[-1], config.train_ways, config.rule, alpha, bias=False)
        nn.init.normal_(self.readout.weight, std=0.01)

    def embed(self, images: Tensor) -> Tensor:
        """(M, 1, S, S), white paper = 1 -> (M, F)."""
        features: Tensor = self.convolutions(images.contiguous(memory_format=torch.channels_last))
        return features

    def remember(self, support: Tensor, labels: Tensor) -> Tensor | None:
        """The trace (B, F, N) after the support (B, T, F) was shown with its labels (B, T) forced on the output."""
        shown: tuple[Tensor, Tensor | None] = self.readout(support, target=F.one_hot(labels, self.readout.out_features))
        return shown[1]

    def answer(self, queries: Tensor, trace: Tensor | None, ways: int) -> Tensor:
        """Logits (B, Q, ways) of the first ``ways`` class units."""
        return self.readout.read(queries, trace)[..., :ways]


def take_turns(features: Tensor, config: Config) -> tuple[Tensor, Tensor]:
    """Support (B * turns, N * K, F) and queries (B * turns, Q, F) from the features (B, N * K + Q, F) of a batch.

    In turn i the drawings of each class have moved on by i places: what was asked for is now shown.
    """
    split = config.train_ways * config.shots
    if config.turns == 1:
        return features[:, :split], features[:, split:]
    shown, asked = (part.unflatten(1, (config.train_ways, -1)) for part in (features[:, :split], features[:, split:]))
    drawings = torch.cat([shown, asked], 2)  # (B, N, K + Q / N, F)
    turned = torch.cat([drawings.roll(-i, 2) for i in range(config.turns)])
    return turned[:, :, : config.shots].flatten(1, 2), turned[:, :, config.shots :].flatten(1, 2)


def in_random_order(support: Tensor, labels: Tensor, chance: torch.Generator) -> tuple[Tensor, Tensor]:
    """Each episode shows its support in an order of its own: under a rule that forgets, the order matters."""
    order = torch.rand(labels.shape, generator=chance, device=labels.device).argsort(1)
    return support.gather(1, order.unsqueeze(-1).expand_as(support)), labels.gather(1, order)


def inputs_of(config: Config, images: Tensor, numbers: Tensor, chance: torch.Generator) -> Tensor:
    """The images of these numbers as a training episode shows them, (M, 1, S, S)."""
    inputs = as_input(images[numbers.flatten()])
    return distorted(inputs, config.distortion, chance) if config.distortion else inputs


def loss_of(
    network: Network, config: Config, images: Tensor, episodes: Episodes, chance: torch.Generator
) -> dict[str, Tensor]:
    """Loss and accuracy of a batch: one convolution call for all its images, one closed-form write, one reading.

    ``images`` are all drawings in all rotations, uint8 (4 * C * D, S, S).
    """
    numbers = torch.cat([episodes.support, episodes.queries], 1)  # (B, N * K + Q)
    features = network.embed(inputs_of(config, images, numbers, chance))
    support, queries = take_turns(features.unflatten(0, numbers.shape), config)
    labels = support_labels(len(support), config.train_ways, config.shots, support.device)
    trace = network.remember(*in_random_order(support, labels, chance))
    logits = network.answer(queries, trace, config.train_ways).flatten(0, 1)
    wanted = episodes.labels.repeat(config.turns, 1).flatten()
    if config.loss == "binary":
        loss = F.binary_cross_entropy(logits.softmax(-1), F.one_hot(wanted, config.train_ways).to(logits.dtype))
    else:
        loss = F.cross_entropy(logits, wanted)
    return {"loss": loss, "accuracy": (logits.detach().argmax(-1) == wanted).float().mean()}


@torch.no_grad()
def calibrate(network: Network, batches: Iterable[Tensor]) -> None:
    """Take the statistics of batch normalisation anew, as the mean over these inputs under the weights as they are.

    Weights that still move quickly leave a running average behind, and with it the answers. Training does not look at
    these statistics, so it goes on as if nothing had happened.
    """
    layers = [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    if not layers:
        return
    for layer in layers:
        layer.reset_running_stats()
    network.train()
    for inputs in batches:
        network.embed(inputs)


@torch.no_grad()
def correct(network: Network, config: Config, images: Tensor, count: int, chance: torch.Generator) -> Tensor:
    """Whether each of ``count`` fresh episodes, of one query each, is answered rightly: (count,) of 0 and 1.

    ``images`` are those of the classes to be tested, uint8 (C, D, S, S). The network is in evaluation mode: an answer
    depends on its own query and support alone.
    """
    network.eval()
    features = torch.cat([network.embed(as_input(part)) for part in rotated(images).split(500)])
    classes, shape = torch.arange(len(images), device=images.device), (images.shape[0], images.shape[1])
    right = []
    for batch in [1000] * (count // 1000) + [count % 1000] * (count % 1000 > 0):
        episodes = draw(classes, shape, batch, config.ways, config.shots, 1, chance)
        labels = support_labels(batch, config.ways, config.shots, images.device)
        trace = network.remember(*in_random_order(features[episodes.support], labels, chance))
        answers = network.answer(features[episodes.queries], trace, config.ways).argmax(-1)
        right.append((answers == episodes.labels).squeeze(1))
    return torch.cat(right).float()


def rate(config: Config) -> Callable[[int], float]:
    """The learning rate's factor after so many updates."""

    def factor(update: int) -> float:
        done = update * config.batch / config.episodes
        if config.schedule == "steps":
            return float((2 / 3) ** (update * config.batch // 1_000_000))
        return float(min(1.0, (done + 1 / config.episodes) / WARM_UP) * (1 + math.cos(math.pi * min(1.0, done))) / 2)

    return factor


def optimizer_of(network: Network, config: Config) -> torch.optim.Optimizer:
    """AdamW (Adam, where nothing decays), with a rate of their own for alpha and eta."""
    plastic = {"readout.alpha", "readout.eta"}
    fixed = [p for name, p in network.named_parameters() if name not in plastic]
    groups: list[dict[str, Any]] = [{"params": fixed, "lr": config.lr, "weight_decay": config.weight_decay}]
    learned = [p for name, p in network.named_parameters() if name in plastic]
    if learned:
        groups.append({"params": learned, "lr": config.plastic_lr, "weight_decay": 0.0})
    return torch.optim.AdamW(groups, fused=True)


def experiment(config: Config, run: Run) -> Outcome:
    """Train on the training classes, report on the others."""
    characters = load_characters(config.dataset, config.data_dir)
    config.fit(*characters.images.shape[:2])
    split = split_classes(len(characters.images))
    facts = {"dataset": characters.name, "split": split._asdict()}
    run.describe(**facts)

    device = run.device
    images = characters.images.to(device)
    shape = (images.shape[0], images.shape[1])
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(generator(config.seed, "weights").initial_seed())
        network = Network(config).to(device).to(memory_format=torch.channels_last)
    optimizer = optimizer_of(network, config)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate(config))
    chance = generator(config.seed, "episodes", device)

    on_test = config.evaluate_on == "test"
    trained_on = split.train + split.validation if on_test else split.train
    tested = images[torch.tensor(split.test if on_test else split.validation, device=device)]
    name = f"{config.evaluate_on}_accuracy"

    training_classes, drawings = torch.tensor(trained_on, device=device), rotated(images)

    def training_episodes(chance: torch.Generator) -> Episodes:
        return draw(training_classes, shape, config.batch, config.train_ways, config.shots, config.queries, chance)

    def step() -> dict[str, Tensor]:
        network.train()
        scalars = loss_of(network, config, drawings, training_episodes(chance), chance)
        optimizer.zero_grad()
        scalars["loss"].backward()
        optimizer.step()
        schedule.step()
        return scalars

    def test(count: int, stream: str) -> Tensor:
        again = generator(config.seed, "calibration", device)
        shown = (training_episodes(again) for _ in range(CALIBRATION))
        calibrate(network, (inputs_of(config, drawings, torch.cat(e[:2], 1), again) for e in shown))
        return correct(network, config, tested, count, generator(config.seed, stream, device))

    def evaluate(episodes: int) -> dict[str, float]:
        right = test(max(2, config.test_episodes // 5), "glance")
        draw_figures(run, network, config, tested, characters.name, episodes)
        return {f"eval/{name}": right.mean().item(), **plasticity(network)}

    parts: dict[str, Stateful | torch.Generator] = {
        "network": network,
        "optimizer": optimizer,
        "schedule": schedule,
        "episodes": chance,
    }
    progress = train(run, step, evaluate, parts, config.episodes, config.batch, config.eval_every, facts)
    run.figure("accuracy", accuracy_figure(run, config, name, characters.name), progress.episodes)
    right = test(config.test_episodes, "test")
    metrics: dict[str, Estimate] = {name: estimate(right)}
    return Outcome(characters.name, progress.episodes, progress.seconds, metrics)


def plasticity(network: Network) -> dict[str, float]:
    """How plastic the read-out has become."""
    readout = network.readout
    if readout.alpha is None or readout.eta is None:
        return {}
    alpha = readout.alpha.detach()
    return {
        "plasticity/eta": readout.eta.item(),
        "plasticity/alpha_mean": alpha.mean().item(),
        "plasticity/alpha_size": alpha.abs().mean().item(),
        "plasticity/weight_size": readout.weight.detach().abs().mean().item(),
    }


def main(config: Config) -> dict[str, Any]:
    """Train and test; returns what result.json holds."""
    return conduct(config, "omniglot", experiment)


if __name__ == "__main__":
    command(Config, main)
