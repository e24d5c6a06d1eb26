"""What a direct solve costs, and whether multigrid would be faster.

The figures are nanoseconds per unknown on one core of a present-day processor; only their ratios matter for the choice.
"""

from __future__ import annotations

import math

from hpcsim.errors import ConfigError
from hpcsim.solvers.fft.basis import Basis
from hpcsim.solvers.fft.local import dense_is_faster
from hpcsim.solvers.fft.separation import Separation, separate
from hpcsim.solvers.fft.transform import LINE_LIMIT
from hpcsim.solvers.grid import Star

FAST_NS, SLOW_NS, SLOWEST_NS = 2.4, 15.0, 40.0
"""Transform of a line whose length has small factors, a large prime factor, and that within a transform of type I."""

DENSE_NS = 0.019
"""Product with a folded matrix, per site of the line; a matrix that does not fold takes twice as long."""

ELIMINATION_NS, DIVISION_NS, MOVE_NS = 1.3, 0.8, 2.0

MULTIGRID_NS = 50.0
"""Multigrid to a relative residual of 1e-8."""


def line_ns(basis: Basis) -> float:
    """One transform along an axis.

    Examples
    --------
    >>> from hpcsim.solvers.fft.basis import fourier
    >>> line_ns(fourier(256, 1.0)), line_ns(fourier(10007, 1.0))
    (2.4, 15.0)
    """
    if basis.kind == "none":
        return 0.0
    if basis.fast:
        return FAST_NS
    if dense_is_faster(basis):
        folded = basis.kind in ("dst1", "dst2", "dct1", "dct2")
        return DENSE_NS * basis.length * (1 if folded else 2)
    return SLOWEST_NS if basis.kind in ("dst1", "dct1") else SLOW_NS


def solve_ns(separation: Separation, ranks: int) -> float:
    """Direct solve, in nanoseconds per unknown on one core."""
    middle = ELIMINATION_NS if separation.diagonals is not None else DIVISION_NS
    moves = 2.0 * MOVE_NS if ranks > 1 and len(separation.bases) > 1 else 0.0
    return middle + moves + 2.0 * sum(map(line_ns, separation.bases))


def direct_seconds(star: Star, ranks: int = 1, threads: int = 1, symbol: str = "stencil") -> float:
    """Rough time of one direct solve; infinite where it is impossible.

    Parameters
    ----------
    star : Star
        The operator.
    ranks, threads : int
        Ranks, and threads of each.
    symbol : str
        See `DirectSolver`.

    Examples
    --------
    >>> from hpcsim.solvers.grid import Axis, laplacian
    >>> 0.1 < direct_seconds(laplacian((Axis(256, 1.0, False, None),) * 3)) < 0.4
    True
    """
    try:
        separation = separate(star, symbol)
    except ConfigError:
        return math.inf
    # A lattice with one axis is solved by every rank for itself.
    cores = threads * (ranks if len(star.axes) > 1 else 1)
    return solve_ns(separation, ranks) * 1e-9 * star.size / cores


def direct_is_faster(star: Star, ranks: int = 1) -> tuple[bool, str]:
    """Whether to solve directly rather than by multigrid, and why.

    Examples
    --------
    >>> from hpcsim.solvers.grid import Axis, End, laplacian
    >>> direct_is_faster(laplacian((Axis(64, 1.0, False, None),) * 2))
    (True, 'constant weights, all transforms are fast')
    >>> direct_is_faster(laplacian((Axis(64, 1.0, False, None), Axis(64, 1.0, False, (End(1, 1), End(1, 1))))))[0]
    False
    """
    if len(star.axes) == 1 and ranks > 1 and star.size >= LINE_LIMIT:
        return False, f"a line of {star.size} sites is too long for every rank to hold"
    try:
        separation = separate(star)
    except ConfigError as error:
        return False, str(error)
    if solve_ns(separation, ranks) > MULTIGRID_NS:
        worst = max(separation.bases, key=line_ns)
        return False, f"a transform of length {worst.fft_length} has a large prime factor"
    return True, "constant weights, all transforms are fast"
