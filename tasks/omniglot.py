"""Few-shot learning of handwritten characters with a plastic read-out (Miconi, Stanley, Clune 2018, section 4.4).

    python -m tasks.omniglot --ways 5 --shots 1 --rule oja --alpha full

Four convolutions turn a drawing into 64 features; a plastic layer from these to one unit a class is written by showing
the labelled support, and then answers the queries. Gradient descent never sees the test classes.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from plastic.data import Characters, load_characters, load_digits
from plastic.errors import UserError
from plastic.experiment import (
    Options,
    Outcome,
    Presets,
    Run,
    Stateful,
    checkpoint,
    command,
    conduct,
    estimate,
    generator,
    processes,
    require,
    train,
)
from plastic.experiment.run import read_json
from tasks.fewshot.episodes import ROTATIONS, Episodes, draw, rotated, split_classes
from tasks.fewshot.figures import accuracy_figure, draw_figures
from tasks.fewshot.learners import Learner, PlasticReadout, Prototypes, Transfer
from tasks.fewshot.maml import Maml
from tasks.fewshot.plastic_convolutions import PlasticThroughout
from tasks.fewshot.testing import calibrate, correct
from tasks.fewshot.training import loss_of, optimizer_of, rate

# what a test of a trained network is free to choose; the rest was settled when it was trained
TEST_OPTIONS = {"ways", "shots", "test_dataset", "test_episodes", "trained", "seed", "seeds", "device"}
TEST_OPTIONS |= {"out", "data_dir", "resume", "max_seconds"}
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
    SHARED: ClassVar[bool] = True
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
    split: Literal["characters", "alphabets"] = "characters"
    """characters: 100 of all are tested, from a fixed shuffle; alphabets: train on Omniglot's background set, test on
    its evaluation set, whose alphabets training never sees"""
    test_dataset: Literal["same", "mnist"] = "same"
    """mnist: the classes under test are the ten digits, upright, from MNIST's test set"""
    trained: Path | None = None
    """test the network of this run folder (with --seeds, of its seeds) instead of training one"""
    model: Literal["plastic", "nonplastic", "protonet", "maml", "finetune"] = "plastic"
    """nonplastic: the read-out without a trace, which cannot remember the support; protonet: the nearest class mean;
    maml: adapts all weights to the support (learn2learn); finetune: pretrained on all training classes, the read-out
    fitted on the support"""
    plastic: Literal["readout", "all"] = "readout"
    """where the plastic connections are: in the read-out, or in the convolutions too"""
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
    norm: Literal["batch", "layer", "none"] = "batch"
    """batch: normalise each convolution's output, in tests by the statistics of training images; layer: over the
    features of the drawing itself"""
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
    inner_lr: float = 0.05
    """step size of maml's adaptation to the support"""
    inner_steps: int = 1
    """steps of maml's adaptation"""
    precision: Literal["float32", "bfloat16"] = "float32"
    """of the convolutions' products in training; weights, trace and tests stay in float32. In bfloat16
    gradients are about 1% off in the paper's network (that of eta 4%), 2 to 11% under batch normalisation"""
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
        for name in ("shots", "queries", "turns", "episodes", "batch", "eval_every", "inner_steps"):
            value = getattr(self, name)
            require(value >= 1, f"--{name.replace('_', '-')}: expected at least 1, got {value}")
        require(self.test_episodes >= 2, f"--test-episodes: expected at least 2, got {self.test_episodes}")
        require(min(self.widths) >= 1, f"--widths: expected at least 1 feature each, got {self.widths}")
        drawings = self.batch * (self.train_ways * self.shots + self.queries)
        require(
            drawings >= processes.started(),
            f"--batch {self.batch}: {processes.started()} processes share the {drawings} drawings of an update; "
            "give at least one for each",
        )
        for name in ("lr", "plastic_lr", "inner_lr"):
            value = getattr(self, name)
            require(value > 0, f"--{name.replace('_', '-')}: expected more than 0, got {value}")
        require(self.weight_decay >= 0, f"--weight-decay: expected 0 or more, got {self.weight_decay}")
        require(self.distortion >= 0, f"--distortion: expected 0 or more, got {self.distortion}")
        embeds = self.plastic == "readout" and self.model != "maml"
        if not embeds:
            processes.require_one(f"--model {self.model} --plastic {self.plastic}, which embeds nothing beforehand,")
        if self.trained is not None:
            processes.require_one("a test (--trained)")
        require(
            self.precision == "float32" or embeds,
            "--precision bfloat16: only where drawings are embedded before an episode, not with --model maml nor "
            "--plastic all",
        )
        fixed_units = self.model in ("plastic", "nonplastic", "maml")
        require(
            self.ways <= self.train_ways or not fixed_units,
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

    def fit(self, training: int, testing: int, drawings: int, tested_drawings: int) -> None:
        """UserError if there are too few classes, or drawings of each, for the episodes."""
        for option, ways, classes, kind in (
            ("train-ways", self.train_ways, training, "training"),
            ("ways", self.ways, testing, self.evaluate_on),
        ):
            require(ways <= classes, f"--{option} {ways}: there are {classes} {kind} classes; choose at most as many")
        asked = max(1, math.ceil(self.queries / self.train_ways))
        for queries, there in ((asked, drawings), (1, tested_drawings)):
            require(
                self.shots + queries <= there,
                f"--shots {self.shots} and {queries} queries a class need {self.shots + queries} drawings of it, "
                f"there are {there}: choose fewer",
            )


def learner_of(config: Config, classes: int, drawings: int) -> Learner:
    """The untrained learner that the options ask for; ``classes`` counts every rotation of a character."""
    if config.model == "plastic" and config.plastic == "all":
        return PlasticThroughout(config)
    makers: dict[str, Callable[[], Learner]] = {
        "plastic": lambda: PlasticReadout(config),
        "nonplastic": lambda: PlasticReadout(config),
        "protonet": lambda: Prototypes(config),
        "finetune": lambda: Transfer(config, classes, drawings),
        "maml": lambda: Maml(config),
    }
    return makers[config.model]()


class Experiment:
    """One seed: its classes, its learner, and the chance that all is drawn by."""

    def __init__(self, config: Config, run: Run) -> None:
        self.config, self.run, device = config, run, run.device
        characters = load_characters(config.dataset, config.data_dir)
        split = split_classes(len(characters.images), _background(config, characters))
        on_test = config.evaluate_on == "test"
        trained_on = split.train + split.validation if on_test else split.train
        held_out = characters.images[split.test if on_test else split.validation]
        digits = load_digits(config.data_dir) if config.test_dataset == "mnist" else None
        tested = digits or Characters(characters.name, held_out, characters.generated)
        self.shape = (characters.images.shape[0], characters.images.shape[1])
        config.fit(len(trained_on), len(tested.images), self.shape[1], tested.images.shape[1])

        self.source = characters.name if digits is None else f"{characters.name}, tested on {digits.name}"
        self.facts = {"dataset": self.source, "split": split._asdict()}
        run.describe(**self.facts)
        self.drawings = rotated(characters.images.to(device))
        self.training_classes = torch.tensor(trained_on, device=device)
        self.tested = tested.images.to(device)
        self.rotations = 1 if digits else ROTATIONS  # a digit upside down is no digit, or another one
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(generator(config.seed, "weights").initial_seed())
            learner = learner_of(config, ROTATIONS * self.shape[0], self.shape[1])
        self.learner = learner.to(device).to(memory_format=torch.channels_last)

    def episodes(self, chance: torch.Generator) -> Episodes:
        """A batch for training."""
        c = self.config
        return draw(self.training_classes, self.shape, c.batch, c.train_ways, c.shots, c.queries, chance)

    def train(self) -> Outcome:
        """Train on the training classes, report on the others."""
        config, run, learner = self.config, self.run, self.learner
        optimizer = optimizer_of(learner, config)
        schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, rate(config))
        chance = generator(config.seed, "episodes", run.device)
        name = f"{config.evaluate_on}_accuracy"

        def step() -> dict[str, Tensor]:
            learner.train()
            scalars = loss_of(learner, config, self.drawings, self.episodes(chance), chance)
            optimizer.zero_grad()
            scalars["loss"].backward()
            scalars = processes.averaged(learner.parameters(), scalars, 1 / processes.count())
            optimizer.step()
            schedule.step()
            return scalars

        def evaluate(episodes: int) -> dict[str, float]:
            right = self.test(max(2, config.test_episodes // 5), "glance")
            draw_figures(run, learner, config, self.tested, self.source, self.rotations, episodes)
            return {f"eval/{name}": right.mean().item(), **plasticity(learner)}

        parts: dict[str, Stateful | torch.Generator] = {
            "network": learner,
            "optimizer": optimizer,
            "schedule": schedule,
            "episodes": chance,
        }
        progress = train(run, step, evaluate, parts, config.episodes, config.batch, config.eval_every, self.facts)
        run.figure("accuracy", accuracy_figure(run, config, name, self.source), progress.episodes)
        return self.outcome(progress.episodes, progress.seconds)

    def examine(self) -> Outcome:
        """Test what another run has trained."""
        assert self.config.trained is not None
        folder = _seed_folder(self.config.trained, self.config.seed)
        held = checkpoint.read(folder / "checkpoint.pt")
        if held.get("split") != self.facts["split"]:
            raise UserError(f"{folder} was trained on another split of the classes, or on other data")
        try:
            self.learner.load_state_dict(held["parts"]["network"])
        except (KeyError, RuntimeError) as error:
            raise UserError(f"{folder}: its checkpoint does not fit the network that its config.json names") from error
        draw_figures(
            self.run, self.learner, self.config, self.tested, self.source, self.rotations, int(held["episodes"])
        )
        return self.outcome(held["episodes"], held["seconds"])

    def test(self, count: int, stream: str) -> Tensor:
        """Whether each of ``count`` fresh episodes of the classes under test is answered rightly."""
        config, device = self.config, self.run.device
        again = generator(config.seed, "calibration", device)
        calibrate(self.learner, config, self.drawings, (self.episodes(again) for _ in range(CALIBRATION)), again)
        chance = generator(config.seed, stream, device)
        return correct(self.learner, self.tested, config.ways, config.shots, count, chance, self.rotations)

    def outcome(self, episodes: int, seconds: float) -> Outcome:
        """The final test, after so much training."""
        metrics = {f"{self.config.evaluate_on}_accuracy": estimate(self.test(self.config.test_episodes, "test"))}
        return Outcome(self.source, episodes, seconds, metrics)


def _background(config: Config, characters: Characters) -> int | None:
    """How many classes the split may train on, where it goes by alphabets."""
    if config.split == "characters":
        return None
    if characters.background is None:
        raise UserError(f"--split alphabets: {characters.name} has no alphabets; it needs Omniglot")
    return characters.background


def plasticity(learner: Learner) -> dict[str, float]:
    """How plastic the read-out has become."""
    readout = getattr(learner, "readout", None)
    if readout is None or readout.alpha is None:
        return {}
    alpha = readout.alpha.detach()
    return {
        "plasticity/eta": readout.eta.item(),
        "plasticity/alpha_mean": alpha.mean().item(),
        "plasticity/alpha_size": alpha.abs().mean().item(),
        "plasticity/weight_size": readout.weight.detach().abs().mean().item(),
    }


def _seed_folder(folder: Path, seed: int) -> Path:
    """Where a run keeps this seed."""
    several = folder / f"seed-{seed}"
    return several if several.exists() else folder


def as_trained(config: Config) -> Config:
    """What the run at ``config.trained`` was trained with, tested as ``config`` says.

    UserError if there is no such run, or an option that training has settled is given another value.
    """
    assert config.trained is not None
    described = _seed_folder(config.trained, config.seed) / "config.json"
    found, standard = read_json(described), Config.from_preset(config.preset)
    require(found.get("task") == "omniglot", f"{described} is not of a run of this task: choose another --trained")
    settled: dict[str, Any] = {
        k: tuple(v) if isinstance(v, list) else v for k, v in found["config"].items() if k not in TEST_OPTIONS
    }
    unknown = sorted(set(settled) - {field.name for field in fields(config)})
    require(not unknown, f"{described} has options that this program does not know: {', '.join(unknown)}")
    for name, value in settled.items():
        given = getattr(config, name)
        option = f"--{name.replace('_', '-')}"
        require(
            given in (value, getattr(standard, name)),
            f"{option} {given}: {config.trained} was trained with {value}; leave {option} out",
        )
    return replace(config, **settled)


def main(config: Config) -> dict[str, Any]:
    """Train and test, or test what is trained; returns what result.json holds."""
    if config.trained is None:
        return conduct(config, "omniglot", lambda config, run: Experiment(config, run).train())
    return conduct(as_trained(config), "omniglot", lambda config, run: Experiment(config, run).examine())


if __name__ == "__main__":
    command(Config, main)
