"""Exact finite-difference and interpolation weights as fractions.

Weights solve the moment equations of Fornberg, "Generation of finite difference formulas on arbitrarily spaced
grids", Math. Comp. 51 (1988) 699; rational arithmetic makes them exact for every order.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import lru_cache

ORDERS = (2, 4, 6, 8)


def fornberg(points: Sequence[Fraction], derivative: int) -> tuple[Fraction, ...]:
    """Weights of a derivative at 0 from values at the given points (unit spacing).

    Parameters
    ----------
    points : sequence of Fraction
        Distinct positions, in units of the spacing.
    derivative : int
        0 interpolates, 1 and 2 differentiate.

    Returns
    -------
    tuple of Fraction
        One weight per point.

    Examples
    --------
    >>> fornberg([Fraction(-1), Fraction(0), Fraction(1)], 2)
    (Fraction(1, 1), Fraction(-2, 1), Fraction(1, 1))
    """
    n, m = len(points), derivative
    c = [[Fraction(0)] * (m + 1) for _ in range(n)]
    c[0][0] = Fraction(1)
    c1, c4 = Fraction(1), points[0]
    for i in range(1, n):
        c2, c5, c4 = Fraction(1), c4, points[i]
        for j in range(i):
            c3 = points[i] - points[j]
            c2 *= c3
            if j == i - 1:
                for k in range(min(i, m), 0, -1):
                    c[i][k] = c1 * (k * c[i - 1][k - 1] - c5 * c[i - 1][k]) / c2
                c[i][0] = -c1 * c5 * c[i - 1][0] / c2
            for k in range(min(i, m), 0, -1):
                c[j][k] = (c4 * c[j][k] - k * c[j][k - 1]) / c3
            c[j][0] = c4 * c[j][0] / c3
        c1 = c2
    return tuple(row[m] for row in c)


@lru_cache(maxsize=64)
def centred(derivative: int, order: int) -> tuple[tuple[int, Fraction], ...]:
    """Offsets and weights of a centred derivative, the pairs nearest to the site first.

    Examples
    --------
    >>> centred(2, 4)[0], centred(2, 4)[1]
    ((0, Fraction(-5, 2)), (-1, Fraction(4, 3)))
    """
    radius = order // 2
    offsets = sorted(range(-radius, radius + 1), key=lambda m: (abs(m), m))
    weights = dict(zip(offsets, fornberg([Fraction(m) for m in offsets], derivative), strict=True))
    return tuple((m, weights[m]) for m in offsets if weights[m] != 0)


@lru_cache(maxsize=64)
def staggered(derivative: int, order: int, to_staggered: bool) -> tuple[tuple[int, Fraction], ...]:
    """Offsets and weights from the other half of a staggered axis.

    Index i of a staggered axis lies half a spacing below index i of the centred one. With ``to_staggered`` the
    target is staggered and the values read are centred, otherwise the other way round.

    Examples
    --------
    >>> staggered(1, 2, True)
    ((-1, Fraction(-1, 1)), (0, Fraction(1, 1)))
    """
    half = order // 2
    offsets = range(-half, half) if to_staggered else range(1 - half, half + 1)
    shift = Fraction(1, 2) if to_staggered else Fraction(-1, 2)
    ordered = sorted(offsets, key=lambda m: (abs(m + shift), m))
    weights = fornberg([m + shift for m in ordered], derivative)
    return tuple(zip(ordered, weights, strict=True))
