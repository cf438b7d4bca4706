"""What RESULTS.md is made of."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

ALPHAS = {"full": "one alpha a connection", "neuron": "one a unit", "shared": "one for all"}


@dataclass(frozen=True)
class Table:
    """One table: a row for each condition, a column for each way to test it.

    ``rows`` maps a condition to the files under results/, one a column, without their ending, then ``:metric`` unless
    the first is meant, and ``#`` for the figures of each seed; None leaves a cell open.
    """

    title: str
    text: str
    columns: tuple[str, ...]
    rows: Mapping[str, tuple[str | None, ...]]
    counted: str = "episodes"
    """what training is counted in"""


@dataclass(frozen=True)
class Published:
    """What papers report: rows of figures as they print them, with split and source."""

    title: str
    text: str
    columns: tuple[str, ...]
    rows: Iterable[tuple[str, ...]]
