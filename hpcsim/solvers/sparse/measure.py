"""Time of a product of a matrix with a vector."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

_ROUNDS = 7
_SHORTEST = 2e-4


def product_seconds(matrices: Mapping[str, Any], rounds: int = _ROUNDS) -> dict[str, float]:
    """Shortest time of a product with each matrix, measured in turns so that disturbances meet all of them.

    Parameters
    ----------
    matrices : mapping of str to array or scipy.sparse matrix
        Matrices of equal shape.
    rounds : int
        Turns.

    Returns
    -------
    dict of str to float
        Seconds of one product.
    """
    best = dict.fromkeys(matrices, np.inf)
    x = np.ones(next(iter(matrices.values())).shape[1])
    counts = {name: _repeats(matrix, x) for name, matrix in matrices.items()}
    for _ in range(rounds):
        for name, matrix in matrices.items():
            best[name] = min(best[name], _seconds(matrix, x, counts[name]))
    return best


def _repeats(matrix: Any, x: Any) -> int:
    """Products that take long enough to be timed."""
    return max(1, int(_SHORTEST / max(_seconds(matrix, x, 1), 1e-9)))


def _seconds(matrix: Any, x: Any, repeats: int) -> float:
    begun = time.perf_counter()
    for _ in range(repeats):
        matrix @ x
    return (time.perf_counter() - begun) / repeats
