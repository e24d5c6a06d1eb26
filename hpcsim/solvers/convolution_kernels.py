"""Kernels of convolutions from what a model says of them: named functions, formulas of the offset, products of both."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import ConfigError
from hpcsim.solvers.fft.convolution import Kernel as SampledKernel
from hpcsim.solvers.fft.greens import Green, make_green
from hpcsim.symbolic.convolution import Kernel
from hpcsim.symbolic.evaluate import evaluate, scalar_value
from hpcsim.symbolic.expr import ONE, Coordinate, Expr, Symbol
from hpcsim.symbolic.parity import EVEN, parity

Real = NDArray[np.float64]

TOLERANCE = 1e-5
# Points of the quadrature across the axis of a pyramid, by the number of axes, and along it.
_ACROSS = {1: 1, 2: 32, 3: 24, 4: 12}
_DEPTH = 48


class FormulaKernel:
    """A formula of offsets and distance, times a function of the catalogue if there is one.

    Parameters
    ----------
    kernel : Kernel
        The formula.
    values : mapping of str to float
        Values of numeric parameters.
    green : Green, optional
        The function that the formula is multiplied by.
    reach : sequence of float, optional
        Largest offset that counts along each axis; transforms sample others as well, and take no notice of them.

    Attributes
    ----------
    even : bool
        Whether it is the same at opposite offsets along every axis.
    faulty : tuple of float or None
        An offset that counts at which a sampled value was not finite; it is given as zero. Ranks sample different
        offsets, so it is for all of them to look at it together.

    Examples
    --------
    >>> from hpcsim.symbolic.expr import Symbol
    >>> kernel = FormulaKernel(Kernel(formula=Symbol("a") * Symbol("r")), {"a": 2.0})
    >>> kernel.sample(np.ix_(np.array([0.0, 1.5])), (0.5,)).tolist(), kernel.even
    ([0.0, 3.0], True)
    """

    def __init__(
        self,
        kernel: Kernel,
        values: Mapping[str, float],
        green: Green | None = None,
        reach: Sequence[float] | None = None,
    ) -> None:
        self._formula, self._green, self._reach = kernel.formula, green, reach
        self._values: dict[Expr, float] = {Symbol(name): value for name, value in values.items()}
        self._origin = None if kernel.origin is None else scalar_value(kernel.origin, dict(values))
        offsets = {node for node in self._formula.walk() if isinstance(node, Coordinate)}
        self.even = all(parity(self._formula, offset) == EVEN for offset in offsets)
        self.faulty: tuple[float, ...] | None = None

    def sample(self, offsets: Sequence[Real], spacing: Sequence[float]) -> Real:
        """Values at offsets, one array per axis that broadcast against each other."""
        values = self._at(offsets)
        zero = [np.flatnonzero(offset.reshape(-1) == 0.0) for offset in offsets]
        for place in product(*zero):
            values[place] = self.at_origin(spacing)
        finite = np.isfinite(values)
        if not finite.all():
            for place in np.argwhere(~finite):
                self._note([float(np.broadcast_to(x, values.shape)[tuple(place)]) for x in offsets])
            values[~finite] = 0.0
        return values

    def _note(self, offset: Sequence[float]) -> None:
        """Keep a faulty offset, if it counts."""
        if self._reach is None or all(abs(x) <= most for x, most in zip(offset, self._reach, strict=True)):
            self.faulty = tuple(offset)

    def at_origin(self, spacing: Sequence[float]) -> float:
        """Value that stands for the origin: the given one, that of a formula alone, else the mean over the cell.

        Raises
        ------
        ConfigError
            If it has no mean there.
        """
        if self._origin is not None:
            return self._origin
        if self._green is None:
            value = float(self._at([np.zeros((1,) * len(spacing))] * len(spacing)).reshape(-1)[0])
            if np.isfinite(value):
                return value
        return cell_mean(self._at, spacing)

    def _at(self, offsets: Sequence[Real]) -> Real:
        """Values as the formula gives them, finite or not; in memory of their own."""
        r = np.sqrt(sum(offset**2 for offset in offsets))
        leaves: dict[Expr, Real] = {Coordinate(axis, 0, 0): offset for axis, offset in enumerate(offsets)}
        with np.errstate(all="ignore"):
            values = evaluate(self._formula, {**self._values, **leaves, Symbol("r"): r})
            if self._green is not None:
                values = values * self._green(r)
        return np.array(np.broadcast_to(np.asarray(values, np.float64), r.shape))


def make_kernel(
    kernel: Kernel, ndim: int, values: Mapping[str, float], reach: Sequence[float] | None = None
) -> Green | FormulaKernel:
    """What a convolution can be given.

    Parameters
    ----------
    kernel : Kernel
        What the model says.
    ndim : int
        Axes of the lattice.
    values : mapping of str to float
        Values of numeric parameters.
    reach : sequence of float, optional
        Largest offset that counts along each axis.

    Raises
    ------
    ConfigError
        If a name or a parameter is unknown, or out of range.

    Examples
    --------
    >>> make_kernel(Kernel("coulomb"), 3, {}).truncates
    True
    """
    green = None
    if kernel.name:
        given = {name: scalar_value(value, dict(values)) for name, value in kernel.parameters}
        green = make_green(kernel.name, ndim, **given)
        if kernel.formula == ONE and kernel.origin is None:
            return green
    return FormulaKernel(kernel, values, green, reach)


def chosen_mode(mode: str, kernel: SampledKernel) -> str:
    """The mode asked for, or the most accurate one in open space.

    Examples
    --------
    >>> chosen_mode("", make_kernel(Kernel("coulomb"), 3, {})), chosen_mode("periodic", FormulaKernel(Kernel(), {}))
    ('truncated', 'periodic')
    """
    if mode:
        return mode
    return "truncated" if isinstance(kernel, Green) and kernel.truncates else "padded"


def cell_mean(function: Callable[[Sequence[Real]], Real], spacing: Sequence[float]) -> float:
    """Mean of a function of the offset over the cell around the origin, where it may be singular.

    The cell is taken as pyramids with their tips at the origin (Duffy, SIAM J. Numer. Anal. 19, 1982).

    Parameters
    ----------
    function : callable
        Values at offsets, one array per axis.
    spacing : sequence of float
        Edges of the cell.

    Raises
    ------
    ConfigError
        If the function has no integral over the cell, as far as can be seen.

    Examples
    --------
    >>> coulomb = cell_mean(lambda x: 1 / np.sqrt(x[0]**2 + x[1]**2 + x[2]**2), (1.0, 1.0, 1.0))
    >>> round(coulomb, 6), cell_mean(lambda x: x[0] / np.sqrt(x[0]**2 + x[1]**2) ** 2, (1.0, 1.0))
    (2.380077, 0.0)
    """
    fine, size = _pyramids(function, spacing, 1)
    coarse, _ = _pyramids(function, spacing, 2)
    if not abs(fine - coarse) <= TOLERANCE * size:
        raise ConfigError(
            f"the mean of the kernel over the cell at the origin came out as {coarse:.9g} and {fine:.9g}: "
            "it seems to have no integral there; give its value at the origin"
        )
    return fine


def _pyramids(
    function: Callable[[Sequence[Real]], Real], spacing: Sequence[float], coarsening: int
) -> tuple[float, float]:
    """Mean of a function over the cell, and that of its size."""
    ndim, half = len(spacing), 0.5 * np.asarray(spacing, float)
    nodes, weights = _rule(max(1, _ACROSS[ndim] // coarsening))
    along, along_weights = _rule(_DEPTH // coarsening)
    # The third power draws points to the tip, for what little singularity is left there.
    depth, depth_weights = along**3, 3.0 * along ** (2 + 3 * (ndim - 1)) * along_weights
    whole = np.ix_(depth, *[nodes] * (ndim - 1))
    total_weights = np.ones((1,) * ndim)
    for line in np.ix_(depth_weights, *[weights] * (ndim - 1)):
        total_weights = total_weights * line
    totals, sizes = [], []
    for axis, signs in product(range(ndim), product((1.0, -1.0), repeat=ndim)):
        # Along the axis of a pyramid the offset is its depth, across it a part of that.
        across = iter(whole[1:])
        lengths = [whole[0] if a == axis else whole[0] * next(across) for a in range(ndim)]
        values = function([sign * edge * length for sign, edge, length in zip(signs, half, lengths, strict=True)])
        totals.append(float(np.sum(total_weights * values)))
        sizes.append(float(np.sum(total_weights * np.abs(values))))
    # Added without rounding, so that what is odd vanishes exactly.
    return math.fsum(totals) / 2**ndim, math.fsum(sizes) / 2**ndim


def _rule(points: int) -> tuple[Real, Real]:
    """Gauss-Legendre points and weights on the unit interval."""
    nodes, weights = np.polynomial.legendre.leggauss(points)
    return 0.5 * (nodes + 1.0), 0.5 * weights
