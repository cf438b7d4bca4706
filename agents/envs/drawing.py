"""A maze as text, and as a picture: walls, the reward's square, where the agent has been and is."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

Square = tuple[int, int]
Picture = npt.NDArray[np.uint8]

SQUARE = 8  # pixels along a side
FADE = 12  # squares of the path that are drawn
GROUND, WALL, REWARD, AGENT = (245, 245, 240), (60, 64, 72), (46, 160, 67), (203, 51, 40)


def written(solid: npt.NDArray[np.bool_], position: Square, goal: Square) -> str:
    """``#`` a wall, ``o`` the reward's square, ``@`` the agent; two characters a square."""
    rows = [["##" if wall else "  " for wall in row] for row in solid.tolist()]
    rows[goal[0]][goal[1]] = "o "
    rows[position[0]][position[1]] = "@ "
    return "\n".join("".join(row).rstrip() for row in rows) + "\n"


def drawn(solid: npt.NDArray[np.bool_], goal: Square, path: Sequence[Square]) -> Picture:
    """(H, W, 3): the path's last squares fade, its end is the agent."""
    colours = np.where(solid[..., None], WALL, GROUND).astype(np.float64)
    colours[goal] = REWARD
    trail = path[-FADE - 1 : -1]
    for age, square in zip(range(len(trail), 0, -1), trail, strict=True):
        share = 0.5 * (1 - age / (FADE + 1))
        colours[square] = (1 - share) * colours[square] + share * np.array(AGENT)
    picture = colours.round().astype(np.uint8).repeat(SQUARE, 0).repeat(SQUARE, 1)
    row, column = (SQUARE * i + SQUARE // 4 for i in path[-1])
    picture[row : row + SQUARE // 2, column : column + SQUARE // 2] = AGENT
    return picture
