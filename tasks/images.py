"""Completing pictures from memory (Miconi, Stanley, Clune 2018, section 4.3).

    python -m tasks.images --alpha full

Three pictures are shown in turn; then half of one of them, and the network has to give back the whole. It learns on
training pictures and is tested on others, which no training episode contains.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from matplotlib.figure import Figure
from torch import Tensor

from plastic.data import Pictures, load_pictures
from plastic.experiment import Estimate, History, Outcome, Presets, Run, command, conduct, require
from tasks.recall import Chance, Episode, RecallOptions, Schedule, Trial, episode, learn
from tasks.recall.figures import completions, episode_over_time, error_curves, learned_matrices
from tasks.recall.learning import Draw, estimates, milestones, test
from tasks.recall.masks import Mask, disturb, hide
from tasks.recall.measures import quality, without_learning
from tasks.recall.networks import Network

SHOWN = 6  # completions in the figure
PAPER: dict[str, Any] = {
    "episodes": 100_000,
    "brief": 0,
    "batch": 1,
    "lr": 1e-4,
    "weight_pace": 1.0,
    "decay": False,
    "eta": 0.01,
    "scale": 0.01,
    "eval_every": 1000,
}


@dataclass(frozen=True, kw_only=True)
class Config(RecallOptions):
    """Completing pictures from memory with a plastic recurrent network."""

    MODULE: ClassVar[str] = "tasks.images"
    PRESETS: ClassVar[Presets] = {
        "quick": {"size": 16, "episodes": 16_000, "brief": 14_400, "eval_every": 1_600},
        "default": {},
        "paper": PAPER,
        "released": {**PAPER, "gap": 2},
    }

    preset: Literal["quick", "default", "paper", "released"] = "default"
    """named settings; an option given beside it wins"""
    dataset: Literal["auto", "cifar10", "cifar100", "svhn", "mnist", "omniglot", "scenes"] = "auto"
    """what is trained and tested on; auto: CIFAR-10, and generated scenes where it cannot be had"""
    images: Path | None = None
    """your own pictures in its place: a folder, or an .npz file of uint8 arrays; a fifth is held out for the test"""
    evaluate_on: Literal["test", "validation"] = "test"
    """validation: hold every tenth training picture out and report on it, to choose settings"""
    test_dataset: tuple[str, ...] = ()
    """further sets to test on: names as for --dataset, folders or .npz files; metrics are named <metric>@<set>"""
    size: int = 32
    """side of a picture in pixels; larger ones are averaged over areas, smaller ones interpolated"""
    pictures: int = 3
    """pictures in an episode"""
    mask: Mask = "half"
    """what is hidden: the top or bottom half; random: half of the pixels; block: a square; noise: random, disturbed"""
    test_mask: tuple[Mask, ...] = ()
    """further masks to test with; metrics are named <metric>@<mask>"""
    presentation: int = 20
    """steps of a presentation"""
    test_steps: int = 3
    """steps of the test; the last one counts"""
    eta: float = 0.001
    """plasticity rate, where it starts (the paper: 0.01); alpha starts, and learns, in proportion to 0.01 / eta"""
    scale: float = 0.001
    """spread of the weights, and of one alpha a connection, at the start (the paper: 0.01); such noise is kept"""
    episodes: int = 124_800
    """training episodes"""
    brief: int = 115_200
    """training episodes, the first ones, with the last gap alone: the others cost the most time and teach the least"""
    batch: int = 16
    """episodes per update (the paper: 1)"""
    lr: float = 2e-3
    """Adam's rate, where it starts (the released program: 1e-4)"""
    weight_pace: float = 0.05
    """the fixed weights learn at this many times that rate: at alpha's rate they keep too much noise (the paper: 1)"""
    decay: bool = True
    """bring that rate down to 0 over the run, along half a cosine (the paper: no)"""
    eval_every: int = 4_800
    """training episodes between two evaluations and checkpoints"""
    test_episodes: int = 1_000
    """fresh episodes of the final evaluation; those on the way have at most 100"""

    def validate(self) -> None:
        super().validate()
        require(self.size >= 2, f"--size: expected at least 2 pixels, got {self.size}")
        require(self.pictures >= 1, f"--pictures: expected at least 1, got {self.pictures}")
        alone = self.images is None or self.dataset == "auto"
        require(alone, f"--images takes the place of --dataset {self.dataset}: give one of them")

    @property
    def schedule(self) -> Schedule:
        return Schedule(self.pictures, self.cycles, self.presentation, self.gap, self.test_steps)

    def load(self, dataset: str) -> Pictures:
        """Pictures of the configured size, of which every episode can have its own. UserError if there are too few."""
        pictures = load_pictures(dataset, self.data_dir, self.size)
        for name, part in (("training", pictures.train), ("test", pictures.test)):
            enough = len(part) >= self.pictures
            require(
                enough, f"{pictures.name}: {len(part)} {name} pictures, and --pictures {self.pictures} in an episode"
            )
        return pictures


def choose(total: int, count: int, batch: int, chance: torch.Generator) -> Tensor:
    """B times ``count`` different numbers below ``total``, every choice and order as likely: (B, count)."""
    chosen = torch.empty(batch, 0, dtype=torch.long, device=chance.device)
    for already in range(count):
        next_ = torch.randint(total - already, (batch,), generator=chance, device=chance.device)
        for lower in chosen.sort(-1).values.unbind(-1):
            next_ = next_ + (next_ >= lower)  # step over what is taken
        chosen = torch.cat([chosen, next_.unsqueeze(-1)], -1)
    return chosen


def drawing(config: Config, source: Pictures, sums: Tensor, mask: Mask, brief: bool = False) -> Draw:
    """Episodes of pictures ``sums`` (count, S, S), different ones in each, on the scale of ``source``."""

    schedule = replace(config.schedule, brief=brief)

    def draw(batch: int, chance: Chance) -> Episode:
        numbers = choose(len(sums), config.pictures, batch, chance.values)
        items = source.activity(sums[numbers]).flatten(2)  # (B, K, S * S)
        hidden = hide(mask, batch, config.size, chance.values)
        noise = disturb(mask, hidden, chance.values)
        return episode(schedule, items, hidden, config.extra_units, chance, noise)

    return draw


def measure(episodes: Episode, answer: Tensor) -> dict[str, Tensor]:
    """The network's completions and those that need no learning: (B,) each."""
    found = {f"test_{name}": v for name, v in quality(answer, episodes.target, episodes.hidden).items()}
    for way, guess in without_learning(episodes).items():
        measured = quality(guess, episodes.target, episodes.hidden)
        found |= {f"baseline_{name}_{way}": measured[name] for name in ("sse", "psnr_hidden", "ssim_hidden")}
    return found


def in_short(episodes: Episode, answer: Tensor) -> dict[str, Tensor]:
    """What an evaluation on the way measures."""
    return {f"test_{name}": v for name, v in quality(answer, episodes.target, episodes.hidden).items()}


def experiment(config: Config, run: Run) -> Outcome:
    """Train on the training pictures, report on the test pictures."""
    source = config.load(str(config.images or config.dataset)).to(run.device)
    practised, tested = source.train, source.test
    if config.evaluate_on == "validation":
        held = torch.arange(len(source.train), device=run.device) % 10 == 0  # a set may be sorted by class
        practised, tested = source.train[~held], source.train[held]
    practice, exam = (drawing(config, source, sums, config.mask) for sums in (practised, tested))
    brief = drawing(config, source, practised, config.mask, brief=True)
    facts = {"dataset": source.name}
    run.describe(**facts)

    trial = Trial(config.size**2, practice, brief, exam, in_short, lambda episodes, answer: {})
    network, progress = learn(config, run, trial, facts)
    draw_figures(run, network, config, exam, source.name, progress.episodes)

    def final(exam: Draw) -> dict[str, Estimate]:
        chance = Chance.of(config.seed, "test", run.device)
        return estimates(test(network, exam, measure, config.test_episodes, chance))

    metrics = {**final(exam), **milestones(run.history(), config.milestones, "test_sse")}
    for name in config.test_dataset:
        foreign = config.load(name).test.to(run.device)
        metrics |= {f"{metric}@{name}": v for metric, v in final(drawing(config, source, foreign, config.mask)).items()}
    for mask in config.test_mask:
        metrics |= {f"{metric}@{mask}": v for metric, v in final(drawing(config, source, tested, mask)).items()}
    return Outcome(source.name, progress.episodes, progress.seconds, metrics)


@torch.no_grad()
def draw_figures(run: Run, network: Network, config: Config, exam: Draw, dataset: str, at: int) -> None:
    """Completed pictures, an episode over time, what was learned, and how."""
    episodes = exam(SHOWN, Chance.of(config.seed, "figure", run.device))
    activity = network.activity(episodes)[0][..., : config.size**2]  # (T, B, n)
    title = f"Pictures never seen in training ({dataset}), {config.model}"
    run.figure("completions", completions(episodes, activity[-1], title), at)
    shown = config.schedule.presenting()
    over_time = episode_over_time(activity[:, 0], episodes.target[0], shown, config.test_steps, title)
    run.figure("episode", over_time, at)
    if (learned := learned_matrices(network)) is not None:
        run.figure("matrices", learned, at)
    for name, figure in overview(config, [run.history()]).items():
        run.figure(name, figure, at)


def overview(config: Config, histories: Sequence[History]) -> dict[str, Figure]:
    """The loss of every seed on test pictures, against episodes and against seconds."""
    title = f"Completing pictures ({config.model}, alpha {config.alpha})"
    return error_curves(histories, "eval/test_sse", "summed squared error", title)


def main(config: Config) -> dict[str, Any]:
    """Train and test; returns what result.json holds."""
    return conduct(config, "images", experiment, overview)


if __name__ == "__main__":
    command(Config, main)
