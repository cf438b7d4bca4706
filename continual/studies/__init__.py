"""What the talk on synaptic intelligence claims, each claim as a study that can be repeated."""

from typing import NamedTuple

from matplotlib.figure import Figure

Row = dict[str, str | float]


class Study(NamedTuple):
    """What a study found."""

    figures: dict[str, Figure]
    table: list[Row]
    """rows with the same columns"""

    def markdown(self) -> str:
        """The table as text."""
        columns = list(self.table[0])
        rows = [[_shown(row[column]) for column in columns] for row in self.table]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *rows))


def _shown(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"


def layer(parameter: str) -> str:
    """What the talk calls the weights of a layer of the networks here: W1, W2, ..., and the read-out."""
    kind, *rest = parameter.split(".")
    return f"W{int(rest[0]) + 1}" if kind == "hidden" else "read-out"
