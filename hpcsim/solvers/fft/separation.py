"""Takes a star operator with constant weights apart into one symbol per axis."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import ConfigError, unknown_name
from hpcsim.solvers.fft.basis import Basis, basis_of, unchanged
from hpcsim.solvers.fft.elimination import dominant
from hpcsim.solvers.fft.symbols import SYMBOLS, Diagonals, diagonals, neighbours, second_derivative
from hpcsim.solvers.grid import Axis, Star

ROUNDING = 1e-13
"""A sum below this share of its terms is zero."""


@dataclass(frozen=True)
class Separation:
    """A separable operator.

    Attributes
    ----------
    bases : tuple of Basis
        Functions of every axis; the first one is left as it is where its systems are solved by elimination.
    across : tuple of ndarray
        Symbols of all axes but the first.
    along : ndarray or None
        Symbol of the first axis with the centre added, or None where it is not transformed.
    diagonals : three ndarrays or None
        Lower, main and upper diagonal along the first axis with the centre, where it is not transformed.
    singular : bool
        Whether constants are in the null space.
    """

    bases: tuple[Basis, ...]
    across: tuple[NDArray[Any], ...]
    along: NDArray[Any] | None
    diagonals: Diagonals | None
    singular: bool

    @property
    def words(self) -> str:
        """How it is solved, in words."""
        kinds = [basis.kind for basis in self.bases if basis.kind != "none"]
        steps = [f"transforms ({', '.join(kinds)})"] if kinds else []
        return " and ".join([*steps, *(["elimination"] if self.diagonals is not None else [])])


def obstacle(star: Star, symbol: str = "stencil") -> str:
    """Why an operator cannot be solved by transforms; empty if it can.

    Examples
    --------
    >>> from hpcsim.solvers.grid import End, laplacian
    >>> obstacle(laplacian((Axis(8, 1.0, False, None),)))
    ''
    >>> obstacle(laplacian((Axis(8, 1.0, False, None), Axis(8, 1.0, False, (End(1, 1), End(1, 0))))))
    'axis y: alpha = 1, beta = 1: no sine or cosine transform fits a Robin end'
    """
    try:
        separate(star, symbol)
    except ConfigError as error:
        return str(error)
    return ""


def separate(star: Star, symbol: str = "stencil") -> Separation:
    """One symbol per axis of an operator.

    Parameters
    ----------
    star : Star
        The operator.
    symbol : {"stencil", "spectral"}
        Symbols of the stencil, or of exact second derivatives.

    Raises
    ------
    ConfigError
        If weights vary over the lattice, an axis has a Robin end or a bounded axis unequal weights; such ends and
        weights are allowed on the first axis if elimination is safe there.
    """
    if symbol not in SYMBOLS:
        raise ConfigError(unknown_name("symbol", symbol, SYMBOLS))
    if not star.constant:
        raise ConfigError("weights vary over the lattice; transforms need constant ones")
    lower, upper, centre = _numbers(star.lower), _numbers(star.upper), float(star.centre)
    exact = symbol == "spectral"
    pairs = list(zip(star.axes, lower, upper, strict=True))
    bases = [_basis(k, *pair, exact) for k, pair in enumerate(pairs[1:], 1)]
    across = [
        second_derivative(basis, low) if exact else neighbours(basis, low, high)
        for basis, (_, low, high) in zip(bases, pairs[1:], strict=True)
    ]
    total = centre + sum(lower) + sum(upper)
    free = all(axis.ends is None or all(end.alpha == 0.0 for end in axis.ends) for axis in star.axes)
    singular = free and abs(total) <= ROUNDING * (abs(centre) + sum(map(abs, lower)) + sum(map(abs, upper)))
    first, low, high = pairs[0]
    if not exact and first.ends is not None and not any(np.iscomplexobj(part) for part in across):
        table = diagonals(first, low, centre, high)
        if dominant(*table, sum(s.min() for s in across), sum(s.max() for s in across)):
            whole = (unchanged(first.count, first.spacing), *bases)
            return Separation(whole, tuple(across), None, table, singular)
    basis = _basis(0, *pairs[0], exact)
    along = second_derivative(basis, low) + total if exact else neighbours(basis, low, high) + centre
    return Separation((basis, *bases), tuple(across), along, None, singular)


def _basis(place: int, axis: Axis, lower: float, upper: float, exact: bool) -> Basis:
    """Functions that diagonalise the weights along an axis."""
    name = f"axis {'xyzw'[place]}"
    if lower != upper and (axis.ends is not None or exact):
        raise ConfigError(
            f"{name}: weights {lower:g} and {upper:g} of the neighbours differ; transforms need equal ones"
        )
    try:
        return basis_of(axis)
    except ConfigError as error:
        raise ConfigError(f"{name}: {error}") from None


def _numbers(weights: tuple[Any, ...]) -> list[float]:
    return [float(weight) for weight in weights]
