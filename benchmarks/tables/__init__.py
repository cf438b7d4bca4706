"""Which results RESULTS.md shows, and what it says of them; ``benchmarks.results`` reads the figures."""

from benchmarks.tables import agents, continual, omniglot, recall
from benchmarks.tables.claims import Claims
from benchmarks.tables.kinds import Published, Table

INTRODUCTION = """Every figure comes from a file under `results/`, written by the command beside it;
`python -m benchmarks.results` makes this page. ± is half of the 95% interval: Student's over seeds, over episodes where
there is one seed. All seeds share the classes they are tested on, so it does not cover the choice of classes. Seconds
are those of training, its evaluations included. `--trained runs/NAME` tests the networks of the command before it, run
with `--out runs/NAME`, and the seconds are those of that training.

Published figures come first, beside ours. "Agrees" is what of ours counts as the same: the published interval, or a
tenth to either side of a figure that was read from a plot by eye. *yes*: our mean agrees, or our median where the
source gives one. *better*: the whole of our interval is beyond the published one, on the good side. *no*: neither, and
why. Where a row is about the difference of two runs, the whole of its interval has to agree; it is paired over the
seeds where these are the same."""

CLAIMS = (recall.CLAIMS, omniglot.CLAIMS, agents.CLAIMS, continual.CLAIMS)
PUBLISHED = omniglot.PUBLISHED
TABLES = (*recall.TABLES, *agents.TABLES, *omniglot.TABLES, *continual.TABLES)

__all__ = ["CLAIMS", "INTRODUCTION", "PUBLISHED", "TABLES", "Claims", "Published", "Table"]
