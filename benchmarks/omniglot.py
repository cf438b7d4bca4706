"""Training speed on Omniglot's 5-way 1-shot episodes, against the published algorithm written plainly.

    python -m benchmarks.omniglot --json results/benchmark-omniglot-cpu.json

Both sides train the paper's network (four 3x3 convolutions of stride 2, 64 features, tanh, a plastic read-out under
Oja's rule with one alpha a connection): forward, backward and Adam's step, in one process. The plain side takes one
episode at a time and one autograd step an image; ours takes a batch of episodes. First both get the same episodes, and
all gradients must agree; no speed is printed for a wrong result.
"""

import json
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

import torch
import tyro
from torch import Tensor
from torch.nn import functional as F

from benchmarks.timing import alternate, relative_error, spread
from plastic.errors import UserError
from plastic.experiment.machine import describe_device, describe_machine, pick_device
from plastic.experiment.run import write_json
from tasks.fewshot.episodes import Episodes, as_input, draw
from tasks.fewshot.learners import PlasticReadout
from tasks.fewshot.training import loss_of, optimizer_of
from tasks.omniglot import Config

TOLERANCE = 1e-4  # relative, on every gradient


@dataclass(frozen=True)
class Arguments:
    """Training speed on 5-way 1-shot Omniglot episodes, against the plain loop."""

    json: Path | None = None
    """where to write the figures"""
    batch: int = 64
    """episodes per update on our side"""
    plain_episodes: int = 32
    """episodes of the plain loop per round"""
    rounds: int = 15
    """rounds, in alternation; the median counts"""


def plain_loss(network: PlasticReadout, images: Tensor, labels: Tensor) -> Tensor:
    """One episode as the equations read: images (N + 1, 1, S, S), the query last; labels (N + 1,).

    Each step embeds one image, adds 1000 to the output of the label that is shown, takes the softmax, and rewrites the
    trace by Oja's rule; the last output answers the query.
    """
    readout = network.readout
    assert readout.alpha is not None
    assert readout.eta is not None
    units = readout.out_features
    trace = torch.zeros_like(readout.weight)
    for step, image in enumerate(images):
        pre = network.embed(image[None])[0]  # (F,)
        drive = pre @ (readout.weight + readout.alpha * trace)
        if step < len(images) - 1:
            drive = drive + 1000 * F.one_hot(labels[step], units)
        post = drive.softmax(0)
        trace = trace + readout.eta * post * (pre[:, None] - post * trace)
    return F.binary_cross_entropy(post, F.one_hot(labels[-1], units).float())


class Bench:
    """Both sides, on episodes of generated noise: the sums to be done do not depend on what the images show."""

    def __init__(self, config: Config, device: torch.device) -> None:
        torch.manual_seed(0)
        self.config = config
        simple = PlasticReadout(config).to(device)
        with torch.no_grad():  # a plastic part that matters, so that its gradients are compared in earnest
            for parameter in (simple.readout.alpha, simple.readout.eta):
                if parameter is not None:
                    parameter.fill_(0.5)
        # each side has the memory layout that suits it
        self.networks = {"plain": simple, "batched": deepcopy(simple).to(memory_format=torch.channels_last)}
        self.images = torch.randint(256, (4 * 40 * 20, 31, 31), dtype=torch.uint8, device=device)
        self.classes = torch.arange(40, device=device)
        self.chance = torch.Generator(device).manual_seed(0)
        self.optimizers = {  # Adam as it comes, and Adam as tasks.omniglot has it
            "plain": torch.optim.Adam(self.networks["plain"].parameters(), lr=3e-5),
            "batched": optimizer_of(self.networks["batched"], config),
        }

    def episodes(self, batch: int) -> Episodes:
        config = self.config
        return draw(self.classes, (40, 20), batch, config.train_ways, config.shots, config.queries, self.chance)

    def plain(self, episodes: Episodes, update: bool) -> None:
        """The published algorithm; with ``update`` a step of Adam after every episode, else gradients add up."""
        ways = self.config.train_ways
        for support, query, label in zip(*episodes, strict=True):
            images = as_input(self.images[torch.cat([support, query])])
            labels = torch.cat([torch.arange(ways, device=label.device), label])
            loss = plain_loss(self.networks["plain"], images, labels)
            (loss if update else loss / len(episodes.labels)).backward()
            if update:
                self._update("plain")

    def batched(self, episodes: Episodes, update: bool) -> None:
        """Ours: one convolution call, a closed-form write, one update for the batch."""
        loss_of(self.networks["batched"], self.config, self.images, episodes, self.chance)["loss"].backward()
        if update:
            self._update("batched")

    def _update(self, side: str) -> None:
        self.optimizers[side].step()
        self.optimizers[side].zero_grad()

    def gradients(self, side: str, episodes: Episodes) -> dict[str, Tensor]:
        """Of the mean loss, by parameter."""
        (self.plain if side == "plain" else self.batched)(episodes, False)
        parameters = self.networks[side].named_parameters()
        found = {name: p.grad.clone() for name, p in parameters if p.grad is not None}
        self.optimizers[side].zero_grad()
        return found

    def convolutions(self, batch: int) -> None:
        """The floor: the embedding alone, forward and backward."""
        each = self.config.train_ways * self.config.shots + self.config.queries
        images = as_input(self.images[: batch * each])
        self.networks["batched"].embed(images).sum().backward()


def main(arguments: Arguments) -> dict[str, object]:
    device = pick_device("auto")
    config = Config.from_preset("paper", batch=arguments.batch)
    bench = Bench(config, device)
    episodes = bench.episodes(16)
    expected = bench.gradients("plain", episodes)
    found = bench.gradients("batched", episodes)
    errors = {name: relative_error(found[name], value) for name, value in expected.items()}
    worst = max(errors.values())
    if set(found) != set(expected) or worst > TOLERANCE:
        raise UserError(f"the two sides disagree, so no speed is reported: {errors}")
    seconds = alternate(
        {
            "plain": lambda: bench.plain(bench.episodes(arguments.plain_episodes), True),
            "batched": lambda: bench.batched(bench.episodes(arguments.batch), True),
            "floor": lambda: bench.convolutions(arguments.batch),
        },
        arguments.rounds,
    )
    plain = [s / arguments.plain_episodes for s in seconds["plain"]]
    batched, floor = ([s / arguments.batch for s in seconds[side]] for side in ("batched", "floor"))
    ratios = [a / b for a, b in zip(plain, batched, strict=True)]
    result: dict[str, object] = {
        "benchmark": "omniglot, 5-way 1-shot, one query, forward, backward and update",
        "command": f"python -m benchmarks.omniglot --batch {arguments.batch} "
        f"--plain-episodes {arguments.plain_episodes} --rounds {arguments.rounds}",
        "machine": describe_machine(),
        "device": describe_device(device),
        "threads": torch.get_num_threads(),
        "torch": torch.__version__,
        "batch": arguments.batch,
        "rounds": arguments.rounds,
        "largest_gradient_error": worst,
        "plain_ms_per_episode": spread([1e3 * s for s in plain]),
        "batched_ms_per_episode": spread([1e3 * s for s in batched]),
        "floor_ms_per_episode": spread([1e3 * s for s in floor]),
        "episodes_per_second": spread([1 / s for s in batched]),
        "ratio_to_plain": spread(ratios),
        "times_the_floor": spread([a / b for a, b in zip(batched, floor, strict=True)]),
    }
    print(json.dumps(result, indent=1))
    if arguments.json:
        write_json(arguments.json, result)
    return result


if __name__ == "__main__":
    main(tyro.cli(Arguments))
