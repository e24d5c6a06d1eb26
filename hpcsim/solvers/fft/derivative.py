"""Derivatives that are exact for every mode the lattice can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import ConfigError
from hpcsim.solvers.fft.basis import Basis
from hpcsim.solvers.fft.transform import Transform
from hpcsim.solvers.grid import Axis

if TYPE_CHECKING:
    from hpcsim.comm.context import Context

Orders = tuple[int, ...]


class SpectralDerivative:
    """A sum of derivatives with constant factors, such as one partial derivative or a Laplacian.

    Set-up and calls are collective.

    Parameters
    ----------
    context : Context
        The ranks.
    axes : sequence of Axis or Basis
        Axes of the field. Bounded ones take even orders only: an odd derivative of a sine is a cosine.
    terms : mapping of tuple of int to float
        Orders per axis to the factor of that derivative: ``{(2, 0): 1.0, (0, 2): 1.0}`` is the Laplacian in two
        dimensions, ``{(0, 0): 1.0}`` the field itself.
    dealias : bool
        Leave out the modes of the upper third on every axis, so that products of two such fields hold no false modes
        in the lower two thirds (Orszag, J. Atmos. Sci. 28, 1971).
    threads : int
        Threads of this rank.

    Attributes
    ----------
    box : Box
        Sites of this rank.

    Raises
    ------
    ConfigError
        If an order is negative, odd on a bounded axis, or there are not as many as axes.

    Examples
    --------
    >>> from hpcsim.comm.context import Context
    >>> x = 2.0 * np.pi / 16 * np.arange(16)
    >>> slope = SpectralDerivative(Context.serial(), [Axis(16, 2.0 * np.pi / 16, False, None)], {(1,): 1.0})
    >>> result = np.empty(16)
    >>> slope.apply(np.sin(3.0 * x), result)
    >>> bool(np.allclose(result, 3.0 * np.cos(3.0 * x), atol=1e-13))
    True
    """

    def __init__(
        self,
        context: Context,
        axes: Sequence[Axis | Basis],
        terms: Mapping[Orders, float],
        dealias: bool = False,
        threads: int = 1,
    ) -> None:
        self._transform = Transform(context, axes, threads)
        self.box = self._transform.box
        for orders in terms:
            _check(orders, self._transform.bases)
        lo, hi = self._transform.spectral_box
        self._factors = [self._term(orders, factor, dealias, lo, hi) for orders, factor in terms.items()]

    def _term(
        self, orders: Orders, factor: float, dealias: bool, lo: tuple[int, ...], hi: tuple[int, ...]
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        """Factors of one derivative along the first axis, and for the columns of this rank."""
        bases = self._transform.bases
        lines = [_symbol(basis, order, dealias)[a:b] for basis, order, a, b in zip(bases, orders, lo, hi, strict=True)]
        columns: NDArray[Any] = np.ones(1)
        for line in lines[1:]:
            columns = np.multiply.outer(columns, line).reshape(-1)
        return lines[0] * (factor * self._transform.scale), columns

    def apply(self, values: NDArray[Any], result: NDArray[Any]) -> None:
        """Differentiate.

        Parameters
        ----------
        values : ndarray
            The field on `box`, float64; left as it is.
        result : ndarray
            Memory for the outcome: shape of `box`, C order; may be `values`.
        """
        self._transform.through(values, result, self._change)

    def _change(self, modes: NDArray[Any], columns: slice) -> None:
        first, *others = (np.multiply.outer(along, across[columns]) for along, across in self._factors)
        modes *= sum(others, start=first)

    def free(self) -> None:
        """Give memory and threads back; local, harmless the second time."""
        self._transform.free()


def _check(orders: Orders, bases: Sequence[Basis]) -> None:
    if len(orders) != len(bases):
        raise ConfigError(f"{len(orders)} orders {orders} were given for {len(bases)} axes")
    for axis, (order, basis) in enumerate(zip(orders, bases, strict=True)):
        if order < 0 or (order % 2 and not basis.fourier):
            allowed = "0, 1, 2, ..." if basis.fourier else "0, 2, 4, ... (the axis is not periodic)"
            raise ConfigError(f"order {order} along axis {'xyzw'[axis]}: allowed are {allowed}")


def _symbol(basis: Basis, order: int, dealias: bool) -> NDArray[Any]:
    """What a derivative does to every mode of an axis."""
    k = basis.wavenumbers()
    symbol: NDArray[Any] = k**order * (-1.0) ** (order // 2)
    if order % 2:
        # The highest mode of an even number of sites is a cosine that vanishes where its slope does not: it has none.
        symbol = 1j * np.where(np.abs(k) * basis.spacing > math.pi * (1.0 - 1e-12), 0.0, symbol)
    return np.where(lower_two_thirds(basis), symbol, 0.0) if dealias else symbol


def lower_two_thirds(basis: Basis) -> NDArray[np.bool_]:
    """Modes of an axis with wavenumbers below two thirds of the highest.

    Examples
    --------
    >>> from hpcsim.solvers.fft.basis import fourier
    >>> lower_two_thirds(fourier(6, 1.0)).tolist()
    [True, True, False, False, False, True]
    """
    return np.abs(basis.wavenumbers()) * basis.spacing < 2.0 * math.pi / 3.0 * (1.0 - 1e-12)
