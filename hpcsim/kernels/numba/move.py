"""Moving boxes of sites between flat arrays by compiled loops, in parallel over pieces of rows when asked."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from hpcsim.native.function import native
from hpcsim.native.load import Linked

_LOOPS = "hpcsim.kernels.numba.loops"
_TABLE, _STRIDES, _WHOLE = "int64[2]", "int64[1]", "int64"


_FORMS = {
    "move_rows": ("{0}", "{0}", _TABLE, _STRIDES, _STRIDES, _WHOLE, _WHOLE, _WHOLE),
    "add_rows": ("{0}", "{0}", _TABLE, _STRIDES),
    "affine_rows": ("{0}", _TABLE, _STRIDES, "{0}", "{0}", _STRIDES, _WHOLE),
    "affine_value_rows": ("{0}", _TABLE, _STRIDES, "{0}", "{0}", _STRIDES, _STRIDES, _WHOLE),
}


def make_loop(name: str, dtype: str, parallel: bool) -> Callable[..., None]:
    """Compiled loop for one number type: from the machine code on disk, or with threads from Numba and its pool."""
    # Rows that are added must be taken in order, so that loop stays serial.
    if not parallel or name == "add_rows":
        return native(f"{_LOOPS}:{name}", tuple(form.format(f"{dtype}[1]") for form in _FORMS[name]))
    import numba

    from hpcsim.kernels.numba import loops

    compiled: Callable[..., None] = numba.njit(cache=True, nogil=True, parallel=True)(getattr(loops, name))
    return compiled


class NumbaMover:
    """Copies, packs, adds and fills boxes given by region tables; same bits as the NumPy mover.

    Parameters
    ----------
    threads : int
        Threads to spread the rows over; 1 keeps to the calling thread and starts no pool.

    Examples
    --------
    >>> field, buffer = np.arange(12.0), np.zeros(4)
    >>> NumbaMover().pack(buffer, field, np.array([[1, 0, 1, 1, 2, 2]]), np.array([0, 0, 4, 1]))
    >>> buffer.tolist()
    [1.0, 2.0, 5.0, 6.0]
    """

    def __init__(self, threads: int = 1) -> None:
        self.parts = max(1, threads)
        self._loops: dict[tuple[str, str], Callable[..., None]] = {}

    def _loop(self, name: str, values: np.ndarray) -> Callable[..., None]:
        # The name of a type is a new text at every call; its character is not.
        key = (name, values.dtype.char)
        if key not in self._loops:
            self._loops[key] = make_loop(name, values.dtype.name, parallel=self.parts > 1)
        return self._loops[key]

    def copy(self, dst: np.ndarray, src: np.ndarray, table: np.ndarray, strides: np.ndarray) -> None:
        """Field to field; both sides have the strides."""
        self._loop("move_rows", dst)(dst, src, table, strides, strides, 0, 0, self.parts)

    def bind_copy(self, dst: np.ndarray, src: np.ndarray, table: np.ndarray, strides: np.ndarray) -> Callable[[], None]:
        """The same copy prepared once."""
        loop = self._loop("move_rows", dst)
        values = (dst, src, table, strides, strides, 0, 0, self.parts)
        return loop.bind(*values) if isinstance(loop, Linked) else partial(loop, *values)

    def pack(self, buffer: np.ndarray, src: np.ndarray, table: np.ndarray, strides: np.ndarray) -> None:
        """Field to packed buffer."""
        self._loop("move_rows", src)(buffer, src, table, strides, strides, 1, 0, self.parts)

    def unpack(self, dst: np.ndarray, buffer: np.ndarray, table: np.ndarray, strides: np.ndarray) -> None:
        """Packed buffer to field."""
        self._loop("move_rows", dst)(dst, buffer, table, strides, strides, 0, 1, self.parts)

    def add(self, dst: np.ndarray, buffer: np.ndarray, table: np.ndarray, strides: np.ndarray) -> None:
        """Packed buffer added into the field, row after row."""
        self._loop("add_rows", dst)(dst, buffer, table, strides)

    def affine(
        self, dst: np.ndarray, table: np.ndarray, mirror: np.ndarray, a: np.ndarray, b: np.ndarray, strides: np.ndarray
    ) -> None:
        """Boundary fill: site q of row r becomes ``a[r] * dst[q + mirror[r]] + b[r]``."""
        self._loop("affine_rows", dst)(dst, table, mirror, a, b, strides, self.parts)

    def affine_values(
        self,
        dst: np.ndarray,
        table: np.ndarray,
        mirror: np.ndarray,
        a: np.ndarray,
        values: np.ndarray,
        value_offsets: np.ndarray,
        strides: np.ndarray,
    ) -> None:
        """The same with one added value per site, packed row after row from ``value_offsets[r]`` on."""
        loop = self._loop("affine_value_rows", dst)
        loop(dst, table, mirror, a, values, value_offsets, strides, self.parts)
