"""Linear stability of a semi-discrete system: eigenvalues of its symbol over all wave numbers.

The right-hand side is linearised by differentiating it with respect to every read. Coefficients that vary over the
lattice are frozen at their extremes, which gives the exact limit for the usual cases (a variable mass, a variable
diffusivity) and a bound for the others.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from hpcsim.symbolic.differentiate import differentiate
from hpcsim.symbolic.expr import ZERO, Access, Expr
from hpcsim.symbolic.simplify import normal_form

Unknown = tuple[str, int]
Range = tuple[float, float]
_POINTS = {1: 65, 2: 33, 3: 17, 4: 9}


@dataclass(frozen=True)
class JacobianEntry:
    """``d rhs[row] / d unknown[column]`` at an offset."""

    row: int
    column: int
    offset: tuple[int, ...]
    coefficient: Expr


def jacobian(rhs: Sequence[Expr], unknowns: Sequence[Unknown]) -> list[JacobianEntry]:
    """Derivatives of right-hand sides with respect to every read of every unknown.

    Parameters
    ----------
    rhs : sequence of Expr
        Discrete right-hand sides.
    unknowns : sequence of (str, int)
        Register and component of each unknown.

    Returns
    -------
    list of JacobianEntry
        Entries that are not zero.
    """
    column = {unknown: i for i, unknown in enumerate(unknowns)}
    entries = []
    for row, expr in enumerate(rhs):
        reads = dict.fromkeys(n for n in expr.walk() if isinstance(n, Access) and (n.register, n.component) in column)
        for access in reads:
            slope = normal_form(differentiate(expr, access))
            if slope != ZERO:
                entries.append(JacobianEntry(row, column[access.register, access.component], access.offset, slope))
    return entries


def symbol_eigenvalues(
    entries: Sequence[JacobianEntry], size: int, ndim: int, ranges: Callable[[Sequence[Expr]], Sequence[Range]]
) -> NDArray[np.complex128]:
    """Eigenvalues of the frozen-coefficient symbol, over wave numbers and extremes of the coefficients.

    Parameters
    ----------
    entries : sequence of JacobianEntry
        The linearised system.
    size : int
        Number of unknowns.
    ndim : int
        Axes of the lattice.
    ranges : callable
        Gives the smallest and the largest value of each coefficient over all sites.

    Returns
    -------
    ndarray of complex
        All eigenvalues found, 1-D.
    """
    if not entries:
        return np.zeros(1, dtype=complex)
    bounds = np.array(ranges([entry.coefficient for entry in entries]), dtype=float)
    low, high = bounds[:, 0], bounds[:, 1]
    large = np.where(np.abs(low) > np.abs(high), low, high)
    small = np.where(np.abs(low) > np.abs(high), high, low)
    corners = np.unique(np.array([low, high, large, small]), axis=0)
    theta = np.array(list(product(np.linspace(-math.pi, math.pi, _POINTS[ndim]), repeat=ndim)))
    offsets = np.array([entry.offset for entry in entries], dtype=float)
    phases = np.exp(1j * theta @ offsets.T)
    found = []
    for corner in corners:
        matrix = np.zeros((len(theta), size, size), dtype=complex)
        for i, entry in enumerate(entries):
            matrix[:, entry.row, entry.column] += corner[i] * phases[:, i]
        found.append(matrix[:, 0, 0] if size == 1 else np.linalg.eigvals(matrix).ravel())
    return np.concatenate(found)
