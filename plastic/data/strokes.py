"""x"""

import numpy as np


def draw_strokes() -> np.ndarray:
    raise NotImplementedError
