"""Metrics against an example worked by hand."""

import pytest
import torch
from torch.testing import assert_close

from continual import metrics

# after learning 0, 1, 2, 3 tasks (rows), on task 1, 2, 3 (columns)
R = torch.tensor([[0.5, 0.4, 0.6], [0.9, 0.5, 0.5], [0.7, 0.8, 0.6], [0.8, 0.6, 1.0]], dtype=torch.double)


def test_the_worked_example():
    """Red if a row or column is off by one, the maximum takes in the last row, or a difference is turned round."""
    assert_close(metrics.average_accuracy(R), torch.tensor((0.8 + 0.6 + 1.0) / 3).double())
    assert_close(metrics.forgetting(R), torch.tensor(((0.9 - 0.8) + (0.8 - 0.6)) / 2).double())
    assert_close(metrics.backward_transfer(R), torch.tensor(((0.8 - 0.9) + (0.6 - 0.8)) / 2).double())
    assert_close(metrics.forward_transfer(R), torch.tensor(((0.5 - 0.4) + (0.6 - 0.6)) / 2).double())


def test_forgetting_can_be_negative():
    """Red if the last row is among those that the best is taken from."""
    better = R.clone()
    better[3, :2] = 1.0
    assert_close(metrics.forgetting(better), torch.tensor(((0.9 - 1) + (0.8 - 1)) / 2).double())


def test_seeds_are_kept_apart():
    """Red if a mean goes over seeds."""
    both = torch.stack([R, R.flip(-1)])
    for metric in (metrics.average_accuracy, metrics.forgetting, metrics.backward_transfer, metrics.forward_transfer):
        assert_close(metric(both), torch.stack([metric(R), metric(R.flip(-1))]))


def test_one_task_transfers_nothing():
    """Red if nothing over nothing becomes NaN."""
    with pytest.raises(ValueError, match="two tasks"):
        metrics.forgetting(R[:2, :1])


def test_the_table_has_a_line_for_each_number():
    """Red if tasks and rows are mixed up, or rows that were not reached are written."""
    lines = metrics.as_csv(torch.stack([R, R + 0.001]), [7, 8], learned=2).splitlines()
    assert lines[0] == "seed,tasks_learned,task,accuracy"
    assert len(lines) == 1 + 2 * 3 * 3
    assert "7,2,3,0.600000" in lines
    assert "8,1,1,0.901000" in lines
