"""Which results RESULTS.md shows, and what it says of them; ``benchmarks.results`` reads the figures."""

from benchmarks.tables import agents, continual, omniglot, recall
from benchmarks.tables.kinds import Published, Table

INTRODUCTION = """Every figure comes from a file under `results/`, written by the command beside it;
`python -m benchmarks.results` makes this page. ± is half of the 95% interval: Student's over seeds, over episodes where
there is one seed. All seeds share the classes they are tested on, so it does not cover the choice of classes. Seconds
are those of training, its evaluations included. `--trained runs/NAME` tests the networks of the command before it, run
with `--out runs/NAME`, and the seconds are those of that training."""

PUBLISHED = (*omniglot.PUBLISHED, *agents.PUBLISHED, *continual.PUBLISHED)
TABLES = (*recall.TABLES, *agents.TABLES, *omniglot.TABLES, *continual.TABLES)

__all__ = ["INTRODUCTION", "PUBLISHED", "TABLES", "Published", "Table"]
