"""What the neighbours of a star operator along one axis do to each mode of the axis."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.solvers.fft.basis import Basis
from hpcsim.solvers.grid import Axis

SYMBOLS = ("stencil", "spectral")

Diagonals = tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]


def neighbours(basis: Basis, lower: float, upper: float) -> NDArray[Any]:
    """Exact symbol of the two neighbours: the eigenvalue of their part of the operator for every mode.

    Parameters
    ----------
    basis : Basis
        Functions of the axis; a bounded axis needs equal weights.
    lower, upper : float
        Weights of the neighbours.

    Returns
    -------
    ndarray
        float64, or complex128 where the weights of a periodic axis differ.

    Examples
    --------
    >>> from hpcsim.solvers.fft.basis import fourier
    >>> neighbours(fourier(4, 0.5), 1.0, 1.0).round(12).tolist()
    [2.0, 0.0, -2.0, 0.0]
    """
    angle = basis.wavenumbers() * basis.spacing
    if lower == upper:
        return 2.0 * lower * np.cos(angle)
    return (lower + upper) * np.cos(angle) + 1j * (upper - lower) * np.sin(angle)


def second_derivative(basis: Basis, weight: float) -> NDArray[np.float64]:
    """The same neighbours and their share ``-2*weight`` of the centre, with the exact derivative for the difference."""
    return -weight * (basis.wavenumbers() * basis.spacing) ** 2


def diagonals(axis: Axis, lower: float, centre: float, upper: float) -> Diagonals:
    """Lower, main and upper diagonal of a star operator along a bounded axis, the ends put in.

    Examples
    --------
    >>> from hpcsim.solvers.grid import End
    >>> [d.tolist() for d in diagonals(Axis(3, 1.0, False, (End(1, 0), End(0, 1))), 1.0, -2.0, 1.0)]
    [[0.0, 1.0, 1.0], [-3.0, -2.0, -1.0], [1.0, 1.0, 0.0]]
    """
    assert axis.ends is not None
    low, mid, high = np.full(axis.count, lower), np.full(axis.count, centre), np.full(axis.count, upper)
    for site, end, weight, inward in ((0, axis.ends[0], lower, high), (-1, axis.ends[1], upper, low)):
        if not axis.vertex:
            mid[site] += weight * end.mirror(axis.spacing)
        elif not end.fixed:
            mid[site] += weight * end.wall(axis.spacing)
            inward[site] += weight
    low[0] = high[-1] = 0.0
    return low, mid, high
