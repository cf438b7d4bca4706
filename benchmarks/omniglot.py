"""Omniglot's 5-way 1-shot episodes, against the published algorithm written plainly.

Both sides train the paper's network (four 3x3 convolutions of stride 2, 64 features, tanh, a plastic read-out under
Oja's rule with one alpha a connection): forward, backward and Adam's step. The plain side takes one episode at a time
and one autograd step an image; ours takes a batch of episodes, in float32 and with the products of the convolutions in
bfloat16, whose error is told. The convolutions alone, in float32, are timed beside them: no schedule could be faster.
"""

from copy import deepcopy
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from benchmarks.comparison import PLAIN, Errors, Peaks, Way, differences
from benchmarks.floor import Work, flop_of
from tasks.fewshot.episodes import Episodes, as_input, draw
from tasks.fewshot.learners import PlasticReadout
from tasks.fewshot.training import loss_of, optimizer_of
from tasks.omniglot import Config

ROUNDED = "ours, bfloat16"
LAX = 0.1  # what its gradients may be off
BATCH = 64  # episodes an update on our side
PLAINLY = 32  # episodes of the plain loop in a round
CHECKED = 16  # episodes whose gradients are compared
SIDES = (15, 7, 3, 1)  # of the maps after each convolution
PASSES = 5  # over an image's activity: written, read by the next layer, read again on the way back, its gradient twice
UPDATE = 7  # numbers of a parameter that Adam reads and writes


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
        self.configs = {"ours": config, ROUNDED: replace(config, precision="bfloat16")}
        self.title = f"Omniglot, {config.train_ways}-way {config.shots}-shot, one query: one episode and its update"
        simple = PlasticReadout(config).to(device)
        with torch.no_grad():  # a plastic part that matters, so that its gradients are compared in earnest
            for parameter in (simple.readout.alpha, simple.readout.eta):
                if parameter is not None:
                    parameter.fill_(0.5)
        # each side has the memory layout that suits it
        self.networks = {PLAIN: simple, "ours": deepcopy(simple).to(memory_format=torch.channels_last)}
        self.images = torch.randint(256, (4 * 40 * 20, 31, 31), dtype=torch.uint8, device=device)
        self.classes = torch.arange(40, device=device)
        self.chance = torch.Generator(device).manual_seed(0)
        self.optimizers = {  # Adam as it comes, and Adam as tasks.omniglot has it
            PLAIN: torch.optim.Adam(self.networks[PLAIN].parameters(), lr=3e-5),
            "ours": optimizer_of(self.networks["ours"], config),
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
            loss = plain_loss(self.networks[PLAIN], images, labels)
            (loss if update else loss / len(episodes.labels)).backward()
            if update:
                self._update(PLAIN)

    def ours(self, episodes: Episodes, update: bool, name: str = "ours") -> None:
        """Ours: one convolution call, a closed-form write, one update for the batch."""
        loss_of(self.networks["ours"], self.configs[name], self.images, episodes, self.chance)["loss"].backward()
        if update:
            self._update("ours")

    def _update(self, side: str) -> None:
        self.optimizers[side].step()
        self.optimizers[side].zero_grad()

    def gradients(self, way: str, episodes: Episodes) -> dict[str, Tensor]:
        """Of the mean loss, by parameter."""
        side = PLAIN if way == PLAIN else "ours"
        if way == PLAIN:
            self.plain(episodes, False)
        else:
            self.ours(episodes, False, way)
        parameters = self.networks[side].named_parameters()
        found = {name: p.grad.clone() for name, p in parameters if p.grad is not None}
        self.optimizers[side].zero_grad()
        return found

    def convolutions(self, batch: int) -> None:
        """The floor: the embedding alone, forward and backward."""
        each = self.config.train_ways * self.config.shots + self.config.queries
        images = as_input(self.images[: batch * each])
        self.networks["ours"].embed(images).sum().backward()

    def errors(self) -> Errors:
        episodes = self.episodes(min(CHECKED, self.config.batch))
        expected = self.gradients(PLAIN, episodes)
        return {name: differences(self.gradients(name, episodes), expected) for name in self.configs}

    def ways(self) -> dict[str, Way]:
        batch = self.config.batch
        return {
            PLAIN: Way(lambda: self.plain(self.episodes(PLAINLY), True), PLAINLY),
            "ours": Way(lambda: self.ours(self.episodes(batch), True), batch),
            ROUNDED: Way(lambda: self.ours(self.episodes(batch), True, ROUNDED), batch, LAX),
            "convolutions alone": Way(lambda: self.convolutions(batch), batch),
        }

    def peaks(self) -> Peaks:
        batch = self.config.batch
        return {
            "plain, one episode": lambda: self.plain(self.episodes(1), True),
            "ours, one episode": lambda: self.ours(self.episodes(1), True),
            f"ours, {batch} episodes": lambda: self.ours(self.episodes(batch), True),
        }

    def floor(self) -> Work:
        """Products and convolutions of an episode; a few passes over its activity and, once a batch, the parameters."""
        config, episodes = self.config, self.episodes(1)
        images = config.train_ways * config.shots + config.queries
        activity = images * sum(width * side**2 for width, side in zip(config.widths, SIDES, strict=True))
        parameters = sum(p.numel() for p in self.networks["ours"].parameters()) / config.batch
        return Work(flop_of(lambda: self.ours(episodes, True)), 4.0 * (PASSES * activity + UPDATE * parameters))


def bench(device: torch.device, small: bool) -> Bench:
    """The paper's network; ``small``: with a few features."""
    given = {"batch": 2, "widths": (8, 8, 8, 8)} if small else {"batch": BATCH}
    return Bench(Config.from_preset("paper", **given), device)
