"""Mean of a radial function over the cell around the origin, where it may be singular.

The cell is taken as pyramids with their tips at the origin (Duffy, SIAM J. Numer. Anal. 19, 1982): along a pyramid the
area grows with a power of the distance, which takes an integrable singularity away.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import ConfigError

Radial = Callable[[NDArray[np.float64]], Any]

POINTS = 32
TOLERANCE = 1e-6


def cell_average(function: Radial, spacing: Sequence[float]) -> float:
    """Mean over the cell of edges `spacing` centred at the origin.

    Parameters
    ----------
    function : callable
        Values for an array of distances above zero.
    spacing : sequence of float
        Edges of the cell.

    Raises
    ------
    ConfigError
        If the function has no integral over the cell, as far as can be seen.

    Examples
    --------
    >>> round(cell_average(lambda r: 1.0 / r, (1.0, 1.0, 1.0)), 6), cell_average(np.ones_like, (0.1, 0.3)) - 1.0 < 1e-14
    (2.380077, True)
    """
    fine, coarse = _pyramids(function, spacing, POINTS), _pyramids(function, spacing, POINTS // 2)
    if not abs(fine - coarse) <= TOLERANCE * abs(fine):
        raise ConfigError(
            f"the mean of the kernel over the cell at the origin came out as {coarse:.9g} and {fine:.9g}: "
            "it seems to have no integral there; give its value at the origin"
        )
    return fine


def _pyramids(function: Radial, spacing: Sequence[float], points: int) -> float:
    nodes, weights = np.polynomial.legendre.leggauss(points)
    nodes, weights = 0.5 * (nodes + 1.0), 0.5 * weights
    # The third power draws points to the tip, for what little singularity is left there.
    depth, depth_weights = nodes**3, 3.0 * nodes**2 * weights
    half = 0.5 * np.asarray(spacing, float)
    total = 0.0
    for axis in range(len(half)):
        others = [half[k] for k in range(len(half)) if k != axis]
        grids = np.meshgrid(*([nodes] * len(others)), indexing="ij")
        squares: Any = half[axis] ** 2
        for edge, grid in zip(others, grids, strict=True):
            squares = squares + (edge * grid) ** 2
        base = np.sqrt(squares).reshape(-1)
        base_weights = np.array([np.prod(w) for w in product(weights, repeat=len(others))])
        for t, weight in zip(depth, depth_weights, strict=True):
            total += weight * t ** (len(half) - 1) * float(base_weights @ function(t * base))
    return total
