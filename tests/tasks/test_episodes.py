"""Which drawings an episode shows and asks for."""

import hashlib
import json
from collections import Counter

import pytest
import torch
from torch.testing import assert_close

from tasks.fewshot.episodes import ROTATIONS, distorted, draw, rotated, split_classes

CLASSES, DRAWINGS = 13, 7
ALLOWED = torch.tensor([0, 2, 3, 5, 7, 8, 12])
CASES = {
    "paper": {"ways": 5, "shots": 1, "queries": 1},
    "one a class": {"ways": 5, "shots": 1, "queries": 5},
    "uneven": {"ways": 5, "shots": 2, "queries": 8},
    "every drawing": {"ways": 7, "shots": 3, "queries": 28},
    "fewer than classes": {"ways": 7, "shots": 5, "queries": 4},
    "two ways": {"ways": 2, "shots": 1, "queries": 3},
}
cases = pytest.mark.parametrize("case", CASES.values(), ids=CASES)


def _chance(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def _drawn(case: dict[str, int], batch: int = 200, seed: int = 0):
    return draw(ALLOWED, (CLASSES, DRAWINGS), batch, **case, generator=_chance(seed))


def _decoded(numbers: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """rotation, class and drawing of each number."""
    turned, drawing = numbers // DRAWINGS, numbers % DRAWINGS
    return turned // CLASSES, turned % CLASSES, drawing


def test_the_split_is_the_published_one_and_never_changes():
    """Red with another seed, another order or other sizes: results would not be comparable."""
    split = split_classes(1623)
    assert [len(part) for part in split] == [1423, 100, 100]
    assert sorted(split.train + split.validation + split.test) == list(range(1623))
    digest = hashlib.sha256(json.dumps(split).encode()).hexdigest()
    assert digest == "b2dd04c87f0e34630cd73e0de89cf6f6531f5313e1bfbecb6be11e85c3e16581"
    assert all(type(number) is int for part in split for number in part), "as JSON and weights_only want it"


@pytest.mark.parametrize("classes", [201, 230, 1623])
def test_the_parts_of_the_split_are_disjoint(classes):
    """Red if validation classes stay in train, or a class is lost."""
    split = split_classes(classes)
    assert sorted(split.train + split.validation + split.test) == list(range(classes))
    assert [len(split.validation), len(split.test)] == [100, 100]


@cases
def test_an_episode_has_different_classes_each_in_one_rotation(case):
    """Red if classes are drawn with replacement, or a rotation for each drawing."""
    episodes = _drawn(case)
    rotation, cls, _ = _decoded(episodes.support.unflatten(1, (case["ways"], case["shots"])))
    assert (rotation == rotation[..., :1]).all()
    assert (cls == cls[..., :1]).all(), "class by class"
    for chosen in cls[..., 0].tolist():
        assert len(set(chosen)) == case["ways"]
        assert set(chosen) <= set(ALLOWED.tolist())


@cases
def test_a_label_is_the_place_of_the_querys_class_in_the_support(case):
    """Red if labels and queries are ordered differently, or a query comes in another rotation."""
    episodes = _drawn(case)
    assert episodes.queries.shape == episodes.labels.shape == (200, case["queries"])
    shown = episodes.support[:, :: case["shots"]] // DRAWINGS  # rotation and class
    assert_close(shown.gather(1, episodes.labels), episodes.queries // DRAWINGS, rtol=0, atol=0)


@cases
def test_no_drawing_is_used_twice_in_an_episode(case):
    """Red if drawings are drawn with replacement, or a query may come from the support."""
    for support, queries in zip(*(part.tolist() for part in _drawn(case)[:2]), strict=True):
        assert len(set(support + queries)) == len(support) + len(queries)


@cases
def test_the_queries_are_spread_evenly(case):
    """Red if each query picks its class by itself."""
    for labels in _drawn(case).labels.tolist():
        counts = [labels.count(way) for way in range(case["ways"])]
        assert max(counts) - min(counts) <= 1


@cases
def test_everything_is_drawn_equally_often(case):
    """Red if a class, rotation, drawing or label is left out or preferred: 5 standard deviations."""
    episodes = _drawn(case, batch=2000)
    rotation, cls, drawing = _decoded(torch.cat([episodes.support, episodes.queries], 1))
    for values, kinds in (
        (rotation[:, 0], range(ROTATIONS)),
        (cls[:, 0], ALLOWED.tolist()),
        (drawing[:, 0], range(DRAWINGS)),
        (drawing[:, -1], range(DRAWINGS)),
        (episodes.labels[:, torch.randint(case["queries"], (), generator=_chance())], None),
    ):
        counts = Counter(values.tolist())
        if kinds is None:
            if case["queries"] > 1:
                continue  # the even part of the queries comes class by class
            kinds = range(case["ways"])
        expected = 2000 / len(kinds)
        assert set(counts) == set(kinds)
        assert all(abs(count - expected) < 5 * expected**0.5 for count in counts.values()), counts


def test_episodes_come_from_their_generator_alone():
    """Red if torch's global generator is used."""
    first = _drawn(CASES["uneven"])
    torch.rand(1)
    for one, other in zip(first, _drawn(CASES["uneven"]), strict=True):
        assert_close(one, other, rtol=0, atol=0)
    assert not torch.equal(first.support, _drawn(CASES["uneven"], seed=1).support)


def test_the_rotated_images_are_in_the_order_that_draw_counts_in():
    """Red if rotations come after drawings, or turn about the wrong axes."""
    images = torch.randint(256, (CLASSES, DRAWINGS, 5, 5), generator=_chance()).to(torch.uint8)
    pictures = rotated(images)
    assert pictures.shape == (4 * CLASSES * DRAWINGS, 5, 5)
    numbers = _drawn(CASES["uneven"], batch=20).support.flatten()
    for number, rotation, cls, drawing in zip(numbers.tolist(), *(d.tolist() for d in _decoded(numbers)), strict=True):
        assert_close(pictures[number], torch.rot90(images[cls, drawing], rotation), rtol=0, atol=0)


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(40, 1, 31, 31, generator=_chance(1))


def test_no_strength_is_no_distortion(images):
    """Red if a part of the map does not scale with the strength."""
    assert_close(distorted(images, 0.0, _chance()), images, rtol=0, atol=1e-5)


@pytest.mark.parametrize("strength", [0.5, 1.0, 3.0])
def test_a_distorted_image_is_an_image(images, strength):
    """Red if black comes in from beyond the edge, or a value leaves [0, 1]."""
    changed = distorted(images, strength, _chance())
    assert changed.min() >= -1e-6
    assert changed.max() <= 1 + 1e-6
    paper = torch.ones_like(images)
    assert_close(distorted(paper, strength, _chance()), paper)


def test_each_image_gets_a_map_of_its_own(images):
    """Red if one map serves the batch, or the global generator is used."""
    same = images[:1].expand_as(images)
    changed = distorted(same, 1.0, _chance())
    assert len({tuple(row) for row in changed.flatten(1).tolist()}) == len(images)
    assert_close(changed, distorted(same, 1.0, _chance()), rtol=0, atol=0)


def test_the_distortion_has_the_stated_size():
    """Red with another angle, scale, shear or shift: the map is read off from where three dots go."""
    count, size = 400, 101
    marks = torch.ones(3, 1, size, size)
    places = [(50, 50), (50, 75), (25, 50)]  # centre, right, top: (row, column)
    for mark, (row, column) in zip(marks, places, strict=True):
        mark[0, row - 1 : row + 2, column - 1 : column + 2] = 0
    at = torch.arange(size) / (size / 2) - (size - 1) / size
    found = []
    for mark in marks:
        ink = 1 - distorted(mark.expand(count, 1, size, size), 1.0, _chance())[:, 0]
        total = ink.sum((1, 2))
        found.append(torch.stack([(ink.sum(1) * at).sum(1) / total, (ink.sum(2) * at).sum(1) / total], 1))
    centre, right, top = found
    distance = 50 / size  # 25 pixels, in half-widths
    forward = torch.stack([(right - centre) / distance, (centre - top) / distance], 2)  # of the ink
    sampled = torch.linalg.inv(forward)  # of the grid: where a pixel looks
    angle = torch.atan2(sampled[:, 1, 0], sampled[:, 0, 0])
    values = {
        "degrees": torch.rad2deg(angle),
        "width": sampled[:, :, 0].norm(dim=1).log(),
        "height": (sampled[:, 1, 1] / angle.cos()).log(),
        "shear": sampled[:, 0, 1] + angle.tan() * sampled[:, 1, 1],
        "right": -(sampled @ centre.unsqueeze(-1))[:, 0, 0],
        "down": -(sampled @ centre.unsqueeze(-1))[:, 1, 0],
    }
    reach = {"degrees": 10, "width": 0.15, "height": 0.15, "shear": 0.15, "right": 0.1, "down": 0.1}
    for name, most in reach.items():
        assert 0.97 * most < values[name].abs().max() < 1.03 * most, name
        assert values[name].mean().abs() < 0.15 * most, name
