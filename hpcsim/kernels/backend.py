"""What a backend must offer, and the table of backends."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hpcsim.kernels.loopnest import LoopNest
from hpcsim.registry import Registry

BACKENDS = Registry(
    "backend",
    {
        "numba": "hpcsim.kernels.numba.compile:NumbaBackend",
        "numpy": "hpcsim.kernels.numpy.compile:NumpyBackend",
    },
)

Boxes = NDArray[np.int64]


class Kernel(Protocol):
    """A compiled loop nest; one launch covers a list of boxes."""

    nest: LoopNest
    source: str

    def __call__(
        self, registers: Sequence[NDArray[Any]], boxes: Boxes, scalars: NDArray[Any], copies: Any = None
    ) -> None:
        """Run over boxes.

        Parameters
        ----------
        registers : sequence of ndarray
            Flat array of each register of the nest, in the order of ``nest.registers``.
        boxes : ndarray of int64, shape (n, 1 + 2 d)
            Rows ``slot, lo[0], hi[0], ..., lo[d-1], hi[d-1]`` in array indices of the block.
        scalars : ndarray, shape (len(nest.scalars),)
            Scalar arguments in the type of the nest.
        copies : Copies, optional
            Ghost copies before each box, for a backend that has ``copies_ghosts``.
        """
        ...


class Backend(Protocol):
    """Compiles loop nests for one storage (pitch and origins are fixed per storage, not per kernel).

    Attributes
    ----------
    name : str
        Name in the table of backends.
    copies_ghosts : bool
        Whether its kernels can copy ghosts between blocks of the rank just before the box that reads them.
    """

    name: str
    copies_ghosts: bool

    def compile(self, nest: LoopNest) -> Kernel:
        """Compile a nest, or load it from the cache."""
        ...

    @property
    def mover(self) -> Any:
        """The region mover of this backend (ghost copies, packing, boundary fills)."""
        ...

    @property
    def compile_seconds(self) -> float:
        """Seconds spent compiling or loading kernels so far."""
        ...
