"""Division of all modes by the symbol of an operator."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import ConfigError
from hpcsim.solvers.fft.transform import Transform

ZERO = 1e-14
"""An eigenvalue below this share of the largest one is zero."""


class Division:
    """Divides modes by ``along[mode] + shift[column]``, and by the factors that two plain transforms bring in.

    Parameters
    ----------
    transform : Transform
        Transform of all axes.
    along : ndarray
        Symbol of the first axis.
    shift : ndarray
        Symbol of the others, one entry per column of this rank.
    null : bool
        Whether mode 0 of column 0 of this rank is a null mode, which becomes zero.

    Raises
    ------
    ConfigError
        On all ranks, if another eigenvalue is zero.
    """

    def __init__(self, transform: Transform, along: NDArray[Any], shift: NDArray[Any], null: bool) -> None:
        _check(transform, along, shift, null)
        # Real and imaginary parts are divided alike by a real symbol, and faster so.
        real = not (np.iscomplexobj(along) or np.iscomplexobj(shift))
        self._parts = real and transform.spectral_type == np.complex128
        self._step = 2 if self._parts else 1
        self._along = along / transform.scale
        self._shift = np.repeat(shift, self._step) / transform.scale
        self._null = null

    def change(self, modes: NDArray[Any], columns: slice) -> None:
        """Divide the modes of some columns; see `Middle`."""
        view = modes.view(np.float64) if self._parts else modes
        first, last = columns.start * self._step, columns.stop * self._step
        symbol = np.add.outer(self._along, self._shift[first:last])
        null = self._null and first == 0
        if null:
            symbol[0, : self._step] = 1.0
        np.divide(view, symbol, out=view)
        if null:
            view[0, : self._step] = 0.0


def _check(transform: Transform, along: NDArray[Any], shift: NDArray[Any], null: bool) -> None:
    """Refuse an operator with a zero eigenvalue; collective."""
    least, most = np.inf, 0.0
    for row, value in enumerate(along) if shift.size else ():
        sizes = np.abs(shift + value)
        most = max(most, float(sizes.max()))
        least = min(least, float(sizes[int(null and row == 0) :].min(initial=np.inf)))
    context = transform.context
    if context.min(least) <= ZERO * context.max(most):
        raise ConfigError(
            "the operator has an eigenvalue of zero besides that of constants: there is no unique solution"
        )
