"""What the talk on synaptic intelligence claims, each claim as a study that can be repeated."""

from typing import NamedTuple

from matplotlib.figure import Figure


class Study(NamedTuple):
    """What a study found."""

    figures: dict[str, Figure]
    table: list[dict[str, str | float]]
    """rows with the same columns"""

    def markdown(self) -> str:
        """The table as text."""
        columns = list(self.table[0])
        rows = [[_shown(row[column]) for column in columns] for row in self.table]
        return "\n".join(f"| {' | '.join(cells)} |" for cells in (columns, ["---"] * len(columns), *rows))


def _shown(value: str | float) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"
