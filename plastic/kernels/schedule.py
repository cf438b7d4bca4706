r"""What a sequence will do, worked out on the host before it runs.

An activity that recurs has one slot: silence (none), the first hidden state, each clamped row of the input, and each
free step's answer. Equal clamped steps in a row are one step, taken ``times`` over. Clamped steps that follow one
another form a phase; every free step is a phase of its own. The trace of a stretch of phases (a segment) is the dense
trace from before it, faded, and one outer product for each activity that was pre-synaptic since: its terms. A free
step asks each of these terms, which costs products with N x N coefficients: one for each pair of activities, as it
makes no difference which of the two asks, and when. Folding the terms into a new dense trace
starts the count again, and costs passes over N x N numbers an episode. Where to fold is decided here, from counts.
"""

from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple


class Costs(NamedTuple):
    """In units of one term asked by one free step, way back included."""

    fold: float
    dense: float  # one free step that asks the dense trace


class Step(NamedTuple):
    """Equal steps in a row."""

    pre: int  # index among the segment's terms
    post: int  # slot
    times: int


class Phase(NamedTuple):
    """A free step, or clamped steps that follow one another."""

    free: bool
    row: int  # of the input, at a free step
    pre: int | None  # slot of the activity before; None: silence
    post: int  # slot of the activity after
    steps: tuple[Step, ...]  # what the rule does; none where pre is silence
    terms: int  # how many of the segment's terms have been written before
    products: tuple[int, ...]  # of a free step, for each of these terms: which of the segment's products it needs
    fresh: tuple[int, ...]  # the terms whose product no phase before has needed

    @property
    def numbers(self) -> range:
        """Which of the segment's products are those of ``fresh``."""
        first = self.products[self.fresh[0]] if self.fresh else 0
        return range(first, first + len(self.fresh))


class Segment(NamedTuple):
    """Phases between two folds."""

    slots: tuple[int, ...]  # of the activity that is pre-synaptic here, in the order in which it first is
    phases: tuple[Phase, ...]
    products: int


class Schedule(NamedTuple):
    slots: int
    posts: tuple[int, ...]  # slot of each of the T steps
    shown: tuple[tuple[int, int], ...]  # slot, row of the input: the clamped activity
    segments: tuple[Segment, ...]


class _Draft(NamedTuple):
    """A phase before it is known in which segment it falls."""

    free: bool
    row: int
    steps: list[tuple[int | None, int, int]]  # pre slot, post slot, times


@lru_cache(maxsize=64)
def schedule(order: tuple[int, ...], clamped: tuple[bool, ...], blank: bool, costs: Costs) -> Schedule:
    """The schedule of a sequence; ``blank``: silence and a blank trace come first."""
    slots = 0 if blank else 1
    pre = None if blank else 0
    of_row: dict[int, int] = {}
    posts: list[int] = []
    drafts: list[_Draft] = []
    for row, held in zip(order, clamped, strict=True):
        post = of_row.get(row, slots) if held else slots
        if held:
            of_row[row] = post
        slots += post == slots
        if not held or not drafts or drafts[-1].free:
            drafts.append(_Draft(not held, row, []))
        steps = drafts[-1].steps
        if steps and steps[-1][:2] == (pre, post):
            steps[-1] = (pre, post, steps[-1][2] + 1)
        else:
            steps.append((pre, post, 1))
        posts.append(post)
        pre = post
    cuts = _cuts(drafts, blank, costs)
    segments = tuple(_segment(drafts[a:b]) for a, b in pairwise(cuts))
    return Schedule(slots, tuple(posts), tuple((slot, row) for row, slot in of_row.items()), segments)


def _cuts(drafts: list[_Draft], blank: bool, costs: Costs) -> list[int]:
    """Where segments begin, and the end: the cheapest choice, by dynamic programming. A segment begins at a free
    step; none is longer than where asking its terms has cost three folds."""
    best: dict[int, tuple[float, int]] = {0: (0.0, 0)}
    for start in range(len(drafts)):
        if start not in best:
            continue
        spent = best[start][0] + (costs.fold if start else 0)
        asking = costs.dense if start or not blank else 0
        written: set[int | None] = {None}
        asked = 0.0
        for end, draft in enumerate(drafts[start:], start + 1):
            if draft.free:
                asked += len(written) - 1 + asking
            written.update(pre for pre, _, _ in draft.steps)
            if end == len(drafts) or drafts[end].free:
                best[end] = min(best.get(end, (float("inf"), 0)), (spent + asked, start))
                if asked > 3 * costs.fold + asking:
                    break
    cuts = [len(drafts)]
    while cuts[-1]:
        cuts.append(best[cuts[-1]][1])
    return cuts[::-1]


def _segment(drafts: list[_Draft]) -> Segment:
    terms: dict[int, int] = {}
    products: dict[tuple[int, int], int] = {}
    phases = []
    for draft in drafts:
        before, known = len(terms), len(products)
        steps = tuple(
            Step(terms.setdefault(pre, len(terms)), post, times) for pre, post, times in draft.steps if pre is not None
        )
        asks = range(before) if draft.free and steps else ()
        needed = [products.setdefault(_pair(term, steps[0].pre), len(products)) for term in asks]
        fresh = tuple(term for term, product in enumerate(needed) if product >= known)
        pre, post = draft.steps[0][0], draft.steps[-1][1]
        phases.append(Phase(draft.free, draft.row, pre, post, steps, before, tuple(needed), fresh))
    return Segment(tuple(terms), tuple(phases), len(products))


def _pair(a: int, b: int) -> tuple[int, int]:
    return min(a, b), max(a, b)
