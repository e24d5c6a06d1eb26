"""Moving boxes of sites between flat arrays by NumPy slices: the reference mover, needing no compiler."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np


class NumpyMover:
    """Copies, packs, adds and fills boxes given by region tables, one NumPy call per row.

    A table has rows ``[source offset, destination offset, n0, n1, n2, n3]``; the field side of a row has the strides
    given with the call (elements, four axes), a packed side is contiguous.

    Examples
    --------
    >>> field, buffer = np.arange(12.0), np.zeros(4)
    >>> NumpyMover().pack(buffer, field, np.array([[1, 0, 1, 1, 2, 2]]), np.array([0, 0, 4, 1]))
    >>> buffer.tolist()
    [1.0, 2.0, 5.0, 6.0]
    """

    def copy(self, dst: np.ndarray, src: np.ndarray, table: np.ndarray, strides: np.ndarray) -> None:
        """Field to field; both sides have the strides."""
        steps = _steps(strides, dst.itemsize)
        for source, destination, *extents in table.tolist():
            np.copyto(_box(dst, destination, extents, steps), _box(src, source, extents, steps))

    def bind_copy(self, dst: np.ndarray, src: np.ndarray, table: np.ndarray, strides: np.ndarray) -> Callable[[], None]:
        """The same copy prepared once."""
        return partial(self.copy, dst, src, table, strides)

    def pack(self, buffer: np.ndarray, src: np.ndarray, table: np.ndarray, strides: np.ndarray) -> None:
        """Field to packed buffer."""
        steps = _steps(strides, src.itemsize)
        for source, destination, *extents in table.tolist():
            np.copyto(_packed(buffer, destination, extents), _box(src, source, extents, steps))

    def unpack(self, dst: np.ndarray, buffer: np.ndarray, table: np.ndarray, strides: np.ndarray) -> None:
        """Packed buffer to field."""
        steps = _steps(strides, dst.itemsize)
        for source, destination, *extents in table.tolist():
            np.copyto(_box(dst, destination, extents, steps), _packed(buffer, source, extents))

    def add(self, dst: np.ndarray, buffer: np.ndarray, table: np.ndarray, strides: np.ndarray) -> None:
        """Packed buffer added into the field, row after row."""
        steps = _steps(strides, dst.itemsize)
        for source, destination, *extents in table.tolist():
            box = _box(dst, destination, extents, steps)
            np.add(box, _packed(buffer, source, extents), out=box)

    def affine(
        self, dst: np.ndarray, table: np.ndarray, mirror: np.ndarray, a: np.ndarray, b: np.ndarray, strides: np.ndarray
    ) -> None:
        """Boundary fill: site q of row r becomes ``a[r] * dst[q + mirror[r]] + b[r]``."""
        steps = _steps(strides, dst.itemsize)
        for row, (_, destination, *extents) in enumerate(table.tolist()):
            inner = _box(dst, destination + int(mirror[row]), extents, steps)
            _box(dst, destination, extents, steps)[...] = a[row] * inner + b[row]

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
        steps = _steps(strides, dst.itemsize)
        for row, (_, destination, *extents) in enumerate(table.tolist()):
            inner = _box(dst, destination + int(mirror[row]), extents, steps)
            added = _packed(values, int(value_offsets[row]), extents)
            _box(dst, destination, extents, steps)[...] = a[row] * inner + added


def _steps(strides: np.ndarray, itemsize: int) -> tuple[int, ...]:
    return tuple(int(stride) * itemsize for stride in strides)


def _box(flat: np.ndarray, offset: int, extents: list[int], steps: tuple[int, ...]) -> np.ndarray:
    return np.ndarray(extents, flat.dtype, flat, offset * flat.itemsize, steps)


def _packed(buffer: np.ndarray, offset: int, extents: list[int]) -> np.ndarray:
    n0, n1, n2, n3 = extents
    return buffer[offset : offset + n0 * n1 * n2 * n3].reshape(extents)
