"""Packed NumPy vectors as vectors of PETSc, without a copy."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import ConfigError
from hpcsim.solvers.petsc.owner import Owner

if TYPE_CHECKING:
    from hpcsim.solvers.petsc.library import Library

Vector = NDArray[np.float64]


class Slot(Owner):
    """A vector of PETSc that borrows the memory of packed vectors; creation is collective.

    Parameters
    ----------
    library : Library
        PETSc.
    count, size : int
        Values of this rank, and of all.

    Attributes
    ----------
    vec : petsc4py.PETSc.Vec
        The vector.
    own : ndarray, shape (count,)
        Its memory while nothing is borrowed.
    """

    def __init__(self, library: Library, count: int, size: int) -> None:
        super().__init__()
        self._library, self._count = library, count
        self.own: Vector = np.zeros(count)
        self.vec: Any = self.keep(library.petsc.Vec().createWithArray(self.own, (count, size), comm=library.comm))

    @contextmanager
    def holding(self, vector: Vector, what: str) -> Iterator[Any]:
        """The vector of PETSc with the memory of a packed vector, within the block.

        Parameters
        ----------
        vector : ndarray of float64, shape (count,)
            The packed vector.
        what : str
            Its name for the message.

        Raises
        ------
        ConfigError
            If it has another type or shape, or its values do not lie together.
        """
        self.check(vector, what)
        self.vec.placeArray(vector)
        try:
            yield self.vec
        finally:
            self.vec.resetArray()

    def check(self, vector: Vector, what: str) -> None:
        """Check that PETSc can use the memory of a packed vector.

        Raises
        ------
        ConfigError
            If not.
        """
        if vector.dtype != self.own.dtype:
            self._library.check_numbers(vector.dtype)
        if vector.shape != (self._count,) or not vector.flags.c_contiguous or not vector.flags.writeable:
            raise ConfigError(
                f"{what}: PETSc needs {self._count} writable values in one row; given shape {vector.shape}, "
                f"strides {vector.strides}, writeable {vector.flags.writeable}"
            )
