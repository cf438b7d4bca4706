"""What a sequence keeps for its backward, and how many traces live at once. B = 1: a trace is N·N numbers."""

import weakref
from collections import Counter

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from plastic import PlasticRNN
from plastic.kernels.stepwise import SEGMENT

N = 20 * SEGMENT  # more units than steps, so that all the activity together is smaller than one trace


def whole(rnn, input):
    output, state = rnn(input)
    return output.sum() + state.trace.sum()


def stepped(rnn, input):
    """The same through plain autograd: what the measure must notice."""
    total, state = 0, None
    for x in input:
        output, state = rnn.cell(x, state)
        total = total + output.sum()
    return total + state.trace.sum()


def numbers_saved(run, rule, T):
    """How many numbers autograd keeps between forward and backward."""
    saved = 0

    def keep(value):
        nonlocal saved
        saved += value.numel()
        return value

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda value: value):
        run(PlasticRNN(3, N, rule, backend="torch"), torch.randn(T, 1, 3))
    return saved


class LiveTraces(TorchDispatchMode):
    """The peak number of storages at least as large as a trace."""

    def __init__(self):
        super().__init__()
        self.holders, self.peak = Counter(), 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        result = function(*args, **(kwargs or {}))
        for value in tree_leaves(result):
            if isinstance(value, torch.Tensor) and value.untyped_storage().nbytes() >= 4 * N * N:
                place = value.untyped_storage().data_ptr()
                self.holders[place] += 1
                weakref.finalize(value, self._forget, place)
        self.peak = max(self.peak, len(+self.holders))
        return result

    def _forget(self, place):
        self.holders[place] -= 1


def live_traces(run, rule, T):
    """The peak over forward and backward together."""
    rnn, input = PlasticRNN(3, N, rule, backend="torch"), torch.randn(T, 1, 3)
    with LiveTraces() as live:
        run(rnn, input).backward()
    return live.peak


@pytest.mark.parametrize("rule", ["clipped_hebb", "modulated", "retroactive"])
def test_only_the_activity_is_saved_per_step(rule):
    """Red when: forward saves anything of the size of a trace for each step."""
    per_step = (numbers_saved(whole, rule, 40) - numbers_saved(whole, rule, 10)) / 30
    assert per_step == 3 + N + N  # the input of the layer, what it drives, the activity
    assert (numbers_saved(stepped, rule, 40) - numbers_saved(stepped, rule, 10)) / 30 > 2 * N * N


@pytest.mark.parametrize("rule", ["hebb", "oja"])
def test_a_free_step_saves_a_few_vectors(rule):
    """Red when: forward saves anything of the size of a trace for each step, or a segment's terms are never folded, so
    that each step saves more than the one before."""
    early = (numbers_saved(whole, rule, 100) - numbers_saved(whole, rule, 20)) / 80
    late = (numbers_saved(whole, rule, 400) - numbers_saved(whole, rule, 100)) / 300
    assert early < 14 * N
    assert late < early + N
    assert (numbers_saved(stepped, rule, 40) - numbers_saved(stepped, rule, 10)) / 30 > 2 * N * N


@pytest.mark.parametrize("rule", ["hebb", "oja", "clipped_hebb", "modulated", "retroactive"])
def test_few_traces_live_at_once(rule):
    """Red when: backward keeps the traces of all steps or segments, or autograd does.

    A segment's traces (a stepwise rule), one trace for each halving, and a handful of buffers; twice the traces where
    an eligibility goes with them.
    """
    kinds = 2 if rule == "retroactive" else 1
    short, long = live_traces(whole, rule, 4 * SEGMENT), live_traces(whole, rule, 16 * SEGMENT)
    # stepwise: two halvings more; folds come every 15 steps or so, and may come to one more
    halvings = 3 if rule in ("hebb", "oja") else 2
    assert long - short <= halvings * kinds
    assert short <= kinds * (SEGMENT + 2) + 8
    assert live_traces(stepped, rule, 4 * SEGMENT) > 4 * SEGMENT


def test_unwritten_memory_shows():
    """Red when: the fixture that poisons it is lost, or floods integers or tensors that require gradients."""
    like = torch.zeros(3)
    for made in (torch.empty(3), torch.empty(3, requires_grad=True), torch.empty_like(like), like.new_empty(3)):
        assert made.isnan().all()
    assert torch.empty(3, dtype=torch.int64).shape == (3,)
