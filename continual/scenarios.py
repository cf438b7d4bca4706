"""Streams of tasks: split or permuted classes, and what the learner is told of the task.

task:   the learner knows which task an image is of; only that task's units compete, in training and in a test
domain: it does not, and all tasks share their units: the k-th class of every task is the k-th unit
class:  it does not, and every class has a unit of its own; all units compete
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from plastic.data import Labelled
from plastic.errors import UserError
from plastic.experiment import generator

Scenario = Literal["task", "domain", "class"]
Scale = Literal["unit", "standard", "raw"]
HELD_OUT = 10  # for validation, every tenth training image after a shuffle
SCARCE, PLENTY = 0.1, 1.0  # what imbalance leaves of a class, between these shares


@dataclass(frozen=True)
class Task:
    """One task of a stream; all seeds have the same images in it."""

    classes: tuple[int, ...]
    """labels of the dataset, consecutive"""
    train: Tensor
    """rows of the training images (n,)"""
    test: Tensor
    """rows of the test images (m,)"""
    offset: int
    """unit of a label: label + offset"""
    taught: slice
    """units that compete in training"""
    answered: slice
    """units that compete in a test"""


@dataclass(frozen=True)
class Stream:
    """Images on the device and the tasks they make up.

    Attributes:
        units: outputs that the network needs.
        permutations: (R, T, D) pixel orders, one for each seed and task; none for split classes.
        shift, spread: what an input is: (pixel - shift) / spread.
    """

    name: str
    train: Tensor
    train_labels: Tensor
    test: Tensor
    test_labels: Tensor
    tasks: tuple[Task, ...]
    units: int
    permutations: Tensor | None
    shift: float
    spread: float

    def inputs(self, images: Tensor, rows: Tensor, task: int | Tensor) -> Tensor:
        """Rows (R, B) of uint8 ``images`` as float (R, B, ...); ``task`` is one, or (R, B) of them."""
        pixels = images[rows]
        if self.permutations is not None:
            if isinstance(task, int):
                order = self.permutations[:, task, None].expand_as(pixels)
            else:
                replicas = torch.arange(len(rows), device=rows.device).unsqueeze(-1)
                order = self.permutations[replicas, task]
            pixels = pixels.gather(-1, order)
        return pixels.float().sub_(self.shift).div_(self.spread)


def split(
    source: Labelled,
    count: int,
    scenario: Scenario,
    scale: Scale,
    validation: bool,
    device: torch.device,
    flat: bool = True,
    masked: bool = True,
    groups: Sequence[int] = (),
) -> Stream:
    """The classes in their order, in ``count`` tasks of as many each, or in ``groups`` of these sizes.

    ``masked`` False: in the task scenario all units compete in training, and the task's own in a test.
    UserError where ``count`` does not divide the classes.
    """
    if not groups:
        if count < 1 or source.classes % count:
            raise UserError(f"--tasks {count} does not divide the {source.classes} classes of {source.name}")
        groups = [source.classes // count] * count
    if scenario == "domain" and len(set(groups)) > 1:
        raise UserError(f"--scenario domain: tasks of {groups} classes cannot share their units")
    parts = _parts(source, validation, device, flat)
    tasks, first = [], 0
    units = groups[0] if scenario == "domain" else sum(groups)
    for size in groups:
        own = slice(first, first + size)
        alone = scenario == "task"
        train, test = (((y >= own.start) & (y < own.stop)).nonzero().flatten() for y in (parts[1], parts[3]))
        every = slice(0, units)
        tasks.append(
            Task(
                tuple(range(own.start, own.stop)),
                train,
                test,
                offset=-first if scenario == "domain" else 0,
                taught=own if alone and masked else every,
                answered=own if alone else every,
            )
        )
        first += size
    _refuse_empty(tasks, source.name)
    return Stream(source.name, *parts, tuple(tasks), units, None, *_scaling(parts[0], scale))


def permuted(
    source: Labelled,
    count: int,
    scenario: Scenario,
    scale: Scale,
    validation: bool,
    device: torch.device,
    seeds: Sequence[int],
    imbalanced: bool = False,
) -> Stream:
    """Every task has all classes, with pixels in an order of its own, drawn by the seed; the first task's are in place.

    ``imbalanced``: of each class a task keeps a share drawn from U(0.1, 1) in training, the same for all seeds (the
    published benchmark does not state its shares).
    """
    parts = _parts(source, validation, device, flat=True)
    pixels = parts[0].shape[1]
    orders = []
    for seed in seeds:
        chance = generator(seed, "permutations")
        orders.append(
            torch.stack([torch.arange(pixels), *(torch.randperm(pixels, generator=chance) for _ in range(count - 1))])
        )
    shared = scenario == "domain"
    units = source.classes * (1 if shared else count)
    tasks = []
    for t in range(count):
        own = slice(0, units) if shared else slice(t * source.classes, (t + 1) * source.classes)
        competing = own if scenario == "task" else slice(0, units)
        train = _thinned(parts[1], source.classes, t) if imbalanced else torch.arange(len(parts[1]), device=device)
        test = torch.arange(len(parts[3]), device=device)
        tasks.append(Task(tuple(range(source.classes)), train, test, own.start, competing, competing))
    _refuse_empty(tasks, source.name)
    order = torch.stack(orders).to(device)
    return Stream(source.name, *parts, tuple(tasks), units, order, *_scaling(parts[0], scale))


def joined(first: Labelled, second: Labelled) -> Labelled:
    """Both datasets as one; the classes of the second come after those of the first."""
    return Labelled(
        f"{first.name} and {second.name}",
        torch.cat([first.train, second.train]),
        torch.cat([first.train_labels, second.train_labels + first.classes]),
        torch.cat([first.test, second.test]),
        torch.cat([first.test_labels, second.test_labels + first.classes]),
        first.classes + second.classes,
        first.generated or second.generated,
    )


def _parts(
    source: Labelled, validation: bool, device: torch.device, flat: bool
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Training images and labels, and those that are tested; ``validation``: a tenth of the former."""
    train, train_labels, test, test_labels = source.train, source.train_labels, source.test, source.test_labels
    if validation:
        order = torch.randperm(len(train), generator=generator(0, "validation"))
        held, kept = order[: len(order) // HELD_OUT], order[len(order) // HELD_OUT :]
        train, train_labels, test, test_labels = train[kept], train_labels[kept], train[held], train_labels[held]
    if flat:
        train, test = train.flatten(1), test.flatten(1)
    return train.to(device), train_labels.to(device), test.to(device), test_labels.to(device)


def _scaling(train: Tensor, scale: Scale) -> tuple[float, float]:
    """(shift, spread): ``unit`` is [0, 1], ``standard`` has mean 0 and deviation 1 over all training pixels."""
    if scale == "standard":
        counts = torch.bincount(train.flatten(), minlength=256).double()
        values = torch.arange(256, device=train.device, dtype=torch.double)
        mean = (counts * values).sum() / counts.sum()
        variance = (counts * (values - mean).square()).sum() / counts.sum()
        return mean.item(), max(variance.sqrt().item(), 1e-12)
    return (0.0, 255.0) if scale == "unit" else (0.0, 1.0)


def _thinned(labels: Tensor, classes: int, task: int) -> Tensor:
    """Rows that imbalance leaves, in order."""
    chance = generator(task, "imbalance")
    kept = []
    for c in range(classes):
        rows = (labels == c).nonzero().flatten()
        share = SCARCE + (PLENTY - SCARCE) * torch.rand((), generator=chance).item()
        chosen = torch.randperm(len(rows), generator=chance)[: max(1, round(share * len(rows)))]
        kept.append(rows[chosen.to(rows.device)])
    return torch.cat(kept).sort().values


def _refuse_empty(tasks: Sequence[Task], name: str) -> None:
    for number, task in enumerate(tasks, 1):
        if len(task.train) == 0 or len(task.test) == 0:
            raise UserError(f"{name}: task {number} has no images to train or to test on")
