"""Our sampler of episodes beside learn2learn's Taskset, over the same drawings."""

import math

import pytest
import torch
from tiny_omniglot import blots
from torch import Tensor
from torch.utils.data import TensorDataset

from plastic.experiment import generator
from tasks.fewshot.episodes import as_input, draw, support_labels
from tasks.fewshot.learners import Prototypes
from tasks.fewshot.maml import learn2learn
from tasks.omniglot import Config

CLASSES, DRAWINGS, WAYS, SHOTS, TASKS = 12, 8, 4, 2, 1500
Tasks = tuple[Tensor, Tensor, Tensor, Tensor]


def _theirs() -> Tasks:
    """Numbers of the support (M, N * K) and of one query a class (M, N), class by class, and their labels."""
    learn2learn()
    import random

    from learn2learn.data import MetaDataset, Taskset
    from learn2learn.data.transforms import FusedNWaysKShots, LoadData, RemapLabels

    random.seed(0)  # learn2learn draws from the module's own generator
    numbers = torch.arange(CLASSES * DRAWINGS)
    dataset = MetaDataset(TensorDataset(numbers, numbers // DRAWINGS))
    transforms = [
        FusedNWaysKShots(dataset, n=WAYS, k=SHOTS + 1, replacement=False),
        LoadData(dataset),
        RemapLabels(dataset),
    ]
    tasks = Taskset(dataset, task_transforms=transforms, num_tasks=TASKS)
    shown, asked = [], []
    for m in range(TASKS):
        drawn, labels = tasks[m]
        rows = torch.stack([drawn[labels == n] for n in range(WAYS)])  # (N, K + 1)
        shown.append(rows[:, :SHOTS].flatten())
        asked.append(rows[:, SHOTS])
    return torch.stack(shown), _labels(SHOTS), torch.stack(asked), _labels(1)


def _ours() -> Tasks:
    chance = generator(0, "episodes")
    episodes = draw(torch.arange(CLASSES), (CLASSES, DRAWINGS), TASKS, WAYS, SHOTS, WAYS, chance, rotations=1)
    return episodes.support, _labels(SHOTS), episodes.queries, episodes.labels


def _labels(shots: int) -> Tensor:
    return support_labels(TASKS, WAYS, shots, torch.device("cpu"))


@pytest.fixture(scope="module")
def both() -> dict[str, Tasks]:
    return {"theirs": _theirs(), "ours": _ours()}


def test_both_draw_classes_and_drawings_without_repetition(both):
    """Red if ours draws a class twice in an episode, or shows the drawing that it asks for."""
    for support, _, queries, _ in both.values():
        drawings = torch.cat([support, queries], 1)
        assert all(len(set(row)) == WAYS * (SHOTS + 1) for row in drawings.tolist())
        assert all(len(set(row)) == WAYS for row in (queries // DRAWINGS).tolist())
        assert torch.equal((support // DRAWINGS).view(TASKS, WAYS, SHOTS)[..., 0], queries // DRAWINGS)


@pytest.mark.parametrize("place", range(WAYS))
def test_both_put_every_class_in_every_place_equally_often(both, place):
    """Red if some classes come more often, or always at the same label: chi² of 11 degrees, p = 0.0001."""
    for support, _, _, _ in both.values():
        counts = torch.bincount(support[:, place * SHOTS] // DRAWINGS, minlength=CLASSES)
        expected = TASKS / CLASSES
        assert ((counts - expected) ** 2 / expected).sum() < 37.4


def test_both_show_and_ask_for_every_drawing_equally_often(both):
    """Red if the first drawings are for the support and the last for queries: chi² of 95 degrees, p = 0.0001."""
    for parts in both.values():
        for numbers in (parts[0], parts[2]):
            counts = torch.bincount(numbers.flatten(), minlength=CLASSES * DRAWINGS)
            expected = numbers.numel() / (CLASSES * DRAWINGS)
            assert ((counts - expected) ** 2 / expected).sum() < 152


def test_a_learner_finds_both_equally_hard(both):
    """Red if ours is easier: prototypes on random features, 4 standard errors of the difference."""
    torch.manual_seed(0)
    learner = Prototypes(Config(model="protonet", widths=(4, 4, 4, 2))).train()
    with torch.no_grad():
        features = learner.embed(as_input(blots()[:CLASSES].flatten(0, 1)))
        accuracy = {}
        for name, (support, labels, queries, wanted) in both.items():
            answers = learner.classify(features[support], labels, features[queries], WAYS).argmax(-1)
            accuracy[name] = (answers == wanted).float().mean(1)
    means = {name: right.mean().item() for name, right in accuracy.items()}
    error = math.sqrt(sum(right.var().item() / TASKS for right in accuracy.values()))
    assert 0.4 < means["ours"] < 0.95, "neither chance nor certainty"
    assert abs(means["ours"] - means["theirs"]) < 4 * error
