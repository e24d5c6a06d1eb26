"""Fast transforms of lines by pocketfft, as SciPy carries it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from hpcsim.solvers.fft.basis import Basis


class FastLines:
    """Fast Fourier, sine and cosine transforms of any length.

    Parameters
    ----------
    basis : Basis
        The functions.

    Examples
    --------
    >>> from hpcsim.solvers.fft.basis import fourier
    >>> lines = FastLines(fourier(4, 1.0))
    >>> lines.forward(np.array([[1.0, 0.0, 0.0, 0.0]], complex), 1).real.tolist()
    [[1.0, 1.0, 1.0, 1.0]]
    """

    def __init__(self, basis: Basis) -> None:
        self._basis = basis
        self.length = basis.length
        self.in_place = not basis.half and basis.count == basis.kept == basis.length
        if not basis.fourier:
            kind = int(basis.kind[-1])
            there, back = _REAL[basis.kind[:3]]
            self._there: Callable[..., NDArray[Any]] = lambda x, axis: there(x, kind, axis=axis, overwrite_x=True)
            self._back: Callable[..., NDArray[Any]] = lambda x, axis: back(
                x, kind, axis=axis, norm="forward", overwrite_x=True
            )

    def forward(self, values: NDArray[Any], axis: int) -> NDArray[Any]:
        """Modes from sites; see `Lines`."""
        basis = self._basis
        if not basis.fourier:
            found = on_reals(self._there, values, axis)
        elif basis.half:
            found = scipy.fft.rfft(values, basis.length, axis)
        else:
            found = scipy.fft.fft(values, basis.length, axis, overwrite_x=True)
        return head(found, axis, basis.kept)

    def backward(self, modes: NDArray[Any], axis: int) -> NDArray[Any]:
        """Sites from modes; see `Lines`."""
        basis = self._basis
        if not basis.fourier:
            return on_reals(self._back, modes, axis)
        if basis.half:
            found = scipy.fft.irfft(modes, basis.length, axis, norm="forward")
        else:
            found = scipy.fft.ifft(modes, axis=axis, norm="forward", overwrite_x=True)
        return head(found, axis, basis.count)


_REAL: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "dst": (scipy.fft.dst, scipy.fft.idst),
    "dct": (scipy.fft.dct, scipy.fft.idct),
}


def on_reals(verb: Callable[..., NDArray[Any]], values: NDArray[Any], axis: int) -> NDArray[Any]:
    """A real transform of real or complex values, in place; the parts of complex ones are lines of their own.

    Parameters
    ----------
    verb : callable
        Takes a real array and the axis; returns the array itself, overwritten.
    values : ndarray
        float64 or complex128.
    axis : int
        Axis of the lines, not negative.
    """
    if not np.iscomplexobj(values):
        return verb(values, axis)
    if axis == values.ndim - 1 or values.strides[-1] != values.itemsize:
        values.real = verb(values.real.copy(), axis)
        values.imag = verb(values.imag.copy(), axis)
        return values
    return verb(values.view(np.float64), axis).view(np.complex128)


def head(values: NDArray[Any], axis: int, count: int) -> NDArray[Any]:
    """The first entries along an axis."""
    return values[(slice(None),) * axis + (slice(0, count),)]
