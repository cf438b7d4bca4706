"""Streams of tasks: which images, which units, which pixels."""

import pytest
import torch
from tiny_continual import blobs
from torch.testing import assert_close

from continual.scenarios import joined, permuted, split
from plastic.errors import UserError

CPU = torch.device("cpu")


def _split(count=5, scenario="task", scale="unit", validation=False, **given):
    return split(blobs(), count, scenario, scale, validation, CPU, **given)


def _permuted(scenario="domain", seeds=(0, 1), count=3, **given):
    return permuted(blobs(), count, scenario, "unit", False, CPU, seeds, **given)


def test_every_image_is_in_one_task():
    """Red if a class is lost, or in two tasks."""
    stream = _split()
    for images, part in ((stream.train, "train"), (stream.test, "test")):
        rows = torch.cat([getattr(task, part) for task in stream.tasks])
        assert rows.sort().values.tolist() == list(range(len(images)))
    for task in stream.tasks:
        assert set(stream.train_labels[task.train].tolist()) == set(task.classes)
        assert set(stream.test_labels[task.test].tolist()) == set(task.classes)


@pytest.mark.parametrize(
    ("scenario", "masked", "units", "offsets", "taught", "answered"),
    [
        ("task", True, 10, [0, 0], [slice(0, 2), slice(2, 4)], [slice(0, 2), slice(2, 4)]),
        ("task", False, 10, [0, 0], [slice(0, 10)] * 2, [slice(0, 2), slice(2, 4)]),
        ("domain", True, 2, [0, -2], [slice(0, 2)] * 2, [slice(0, 2)] * 2),
        ("class", True, 10, [0, 0], [slice(0, 10)] * 2, [slice(0, 10)] * 2),
    ],
)
def test_which_units_compete(scenario, masked, units, offsets, taught, answered):
    """Red if the class scenario is told the task, or the domain scenario has more than a task's units."""
    stream = _split(scenario=scenario, masked=masked)
    assert stream.units == units
    assert [task.offset for task in stream.tasks[:2]] == offsets
    assert [task.taught for task in stream.tasks[:2]] == taught
    assert [task.answered for task in stream.tasks[:2]] == answered


@pytest.mark.parametrize(
    ("scenario", "units", "offsets", "answered"),
    [
        ("domain", 10, [0, 0, 0], [slice(0, 10)] * 3),
        ("task", 30, [0, 10, 20], [slice(0, 10), slice(10, 20), slice(20, 30)]),
        ("class", 30, [0, 10, 20], [slice(0, 30)] * 3),
    ],
)
def test_units_of_permuted_tasks(scenario, units, offsets, answered):
    """Red if tasks share units where they should not, or the other way round."""
    stream = _permuted(scenario)
    assert stream.units == units
    assert [task.offset for task in stream.tasks] == offsets
    assert [task.answered for task in stream.tasks] == answered


def test_the_first_permutation_leaves_the_pixels():
    """And the others are drawn by the seed alone. Red if one is drawn anew each time, or shared by the seeds."""
    stream, again = _permuted(), _permuted(seeds=(1,))
    rows = torch.tensor([[3, 5], [4, 4]])
    plain = stream.train[rows].float() / 255
    assert_close(stream.inputs(stream.train, rows, 0), plain)
    later = stream.inputs(stream.train, rows, 2)
    assert_close(later.sort(-1).values, plain.sort(-1).values)
    assert not torch.equal(later, plain)
    assert_close(later[1:], again.inputs(again.train, rows[1:], 2))
    assert not torch.equal(stream.permutations[0, 1], stream.permutations[1, 1])
    assert not torch.equal(stream.permutations[0, 1], stream.permutations[0, 2])


def test_tasks_can_be_mixed_in_a_batch():
    """Red if joint learning takes one permutation for all samples."""
    stream = _permuted()
    rows, tasks = torch.tensor([[3, 5], [4, 4]]), torch.tensor([[0, 2], [1, 2]])
    mixed = stream.inputs(stream.train, rows, tasks)
    for r in range(2):
        for b in range(2):
            expected = stream.inputs(stream.train, rows, int(tasks[r, b]))[r, b]
            assert_close(mixed[r, b], expected)


def test_imbalance_thins_out_each_task_in_its_own_way():
    """In training only. Red if the shares are the same in every task or class, or the test loses images."""
    stream = permuted(blobs(train=100), 3, "domain", "unit", False, CPU, (0,), imbalanced=True)
    counts = torch.stack([torch.bincount(stream.train_labels[task.train], minlength=10) for task in stream.tasks])
    assert counts.min() >= 10
    assert counts.max() <= 100
    assert (counts.float().std(1) > 10).all()
    assert not torch.equal(counts[0], counts[1])
    assert all(len(task.test) == 100 for task in stream.tasks)


def test_validation_takes_from_training_alone():
    """Red if an image is both trained on and tested, or the test images are looked at."""
    plain, held = _split(), _split(validation=True)
    assert len(held.train) == 180
    assert len(held.test) == 20

    def known(images):
        return sorted(row.numpy().tobytes() for row in images)

    assert known(torch.cat([held.train, held.test])) == known(plain.train)


@pytest.mark.parametrize("scale", ["unit", "standard", "raw"])
def test_scales(scale):
    """Red if the deviation is that of the test images, or a unit of 256."""
    stream = _split(scale=scale)
    rows = torch.arange(len(stream.train)).unsqueeze(0)
    inputs = stream.inputs(stream.train, rows, 0)[0]
    pixels = stream.train.float()
    expected = {"unit": pixels / 255, "raw": pixels, "standard": (pixels - pixels.mean()) / pixels.std(correction=0)}
    assert_close(inputs, expected[scale])


def test_joined_classes_follow_one_another():
    """Red if the second dataset's labels stay as they are."""
    both = joined(blobs(), blobs())
    assert both.classes == 20
    assert_close(both.train_labels, torch.cat([blobs().train_labels, blobs().train_labels + 10]))
    stream = split(both, 2, "task", "unit", False, CPU, groups=[10, 5])
    assert stream.units == 15
    assert stream.tasks[1].classes == (10, 11, 12, 13, 14)


def test_tasks_must_divide_the_classes():
    """Red if classes are left over in silence."""
    with pytest.raises(UserError, match="--tasks 3 does not divide the 10 classes of blobs"):
        _split(3)
