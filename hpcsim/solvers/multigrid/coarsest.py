"""The coarsest level: its matrix in dense form, and the inverse."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hpcsim.solvers.grid import Axis

Matrix = NDArray[np.float64]
Weights = Sequence[NDArray[np.float64]]


def dense_matrix(axes: Sequence[Axis], lower: Weights, upper: Weights, centre: NDArray[np.float64]) -> Matrix:
    """The matrix of a star operator with the ends folded in.

    Parameters
    ----------
    axes : sequence of Axis
        The axes.
    lower, upper : sequence of ndarray
        Per axis, weights at every site; zero where there is no neighbour.
    centre : ndarray
        Weights of the sites.

    Returns
    -------
    ndarray
        Shape (unknowns, unknowns), sites in C order.
    """
    shape = tuple(axis.count for axis in axes)
    number = np.arange(centre.size).reshape(shape)
    matrix = np.zeros((centre.size, centre.size))
    matrix[number.ravel(), number.ravel()] = centre.ravel()
    for axis, (low, high) in enumerate(zip(lower, upper, strict=True)):
        for weight, step in ((low, 1), (high, -1)):
            # Neighbours of a periodic axis with two sites coincide, so weights are added.
            np.add.at(matrix, (number.ravel(), np.roll(number, step, axis).ravel()), weight.ravel())
    return matrix


def inverse(matrix: Matrix, null: NDArray[np.float64] | None) -> Matrix:
    """The inverse; of a singular matrix the pseudo-inverse.

    Parameters
    ----------
    matrix : ndarray
        The matrix.
    null : ndarray or None
        Volumes of the sites if the matrix makes nothing of a constant: the inverse then takes from right sides of
        volume mean zero to solutions of volume mean zero.
    """
    if null is None:
        return np.linalg.inv(matrix)
    n = len(matrix)
    # One more equation, for the mean, and one more unknown, which takes up what the right side has in excess.
    bordered = np.zeros((n + 1, n + 1))
    bordered[:n, :n] = matrix
    scale = np.abs(matrix).max()
    bordered[:n, n] = scale
    bordered[n, :n] = scale * null / null.sum()
    return np.ascontiguousarray(np.linalg.inv(bordered)[:n, :n])
