"""Backend ``numpy``: every nest by array slices, in the same order of operations as the compiled kernels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.kernels.backend import Boxes
from hpcsim.kernels.loopnest import LoopNest
from hpcsim.lattice.storage import Storage
from hpcsim.symbolic.evaluate import Evaluator
from hpcsim.symbolic.expr import Access, Expr, Scalar, SiteIndex, Temp


class NumpyKernel:
    """A nest evaluated box by box; see `hpcsim.kernels.backend.Kernel`."""

    def __init__(self, nest: LoopNest, storage: Storage) -> None:
        self.nest = nest
        self.source = "\n".join(f"{a.target} = {a.value}" for a in nest.assignments)
        self._storage = storage

    def __call__(
        self, registers: Sequence[NDArray[Any]], boxes: Boxes, scalars: NDArray[Any], copies: Any = None
    ) -> None:
        """Run over boxes; see the protocol."""
        assert copies is None, "this backend leaves ghost copies to the mover"
        pitch = self._storage.pitch
        arrays = {
            name: flat.reshape(-1, count, *pitch)
            for (name, count), flat in zip(self.nest.registers, registers, strict=True)
        }
        for row in boxes.tolist():
            with np.errstate(all="ignore"):
                self._box(arrays, row[0], row[1::2], row[2::2], scalars)

    def _box(
        self, arrays: dict[str, NDArray[Any]], slot: int, lo: list[int], hi: list[int], scalars: NDArray[Any]
    ) -> None:
        temporaries: dict[int, Any] = {}
        origin = [start - self._storage.ghost for start in self._storage.blocks[slot].lo]
        kind = np.dtype(self.nest.dtype).type

        def window(access: Access) -> NDArray[Any]:
            slices = tuple(slice(a + o, b + o) for a, b, o in zip(lo, hi, access.offset, strict=True))
            return arrays[access.register][(slot, access.component, *slices)]

        def leaf(node: Expr) -> Any:
            if isinstance(node, Access):
                return window(node)
            if isinstance(node, Scalar):
                return scalars[node.index]
            if isinstance(node, Temp):
                return temporaries[node.index]
            assert isinstance(node, SiteIndex)
            a = node.axis
            index = np.arange(lo[a] + origin[a] + node.offset, hi[a] + origin[a] + node.offset).astype(kind)
            shape = [1] * self.nest.ndim
            shape[a] = -1
            return (index if node.staggered else index + kind(0.5)).reshape(shape)

        evaluator = Evaluator(leaf, self.nest.dtype)
        for assignment in self.nest.assignments:
            value = evaluator(assignment.value)
            if isinstance(assignment.target, Temp):
                temporaries[assignment.target.index] = value
            else:
                window(assignment.target)[...] = value


class NumpyBackend:
    """The reference: no compiler, no threads.

    Parameters
    ----------
    storage : Storage
        Pitch and blocks of this rank.
    threads : int
        Ignored by design: NumPy slices run on one thread.
    """

    name = "numpy"
    copies_ghosts = False
    compile_seconds = 0.0

    def __init__(self, storage: Storage, threads: int = 1) -> None:
        self._storage = storage
        self._kernels: dict[LoopNest, NumpyKernel] = {}

    def compile(self, nest: LoopNest) -> NumpyKernel:
        """Prepare a nest."""
        return self._kernels.setdefault(nest, NumpyKernel(nest, self._storage))

    @property
    def mover(self) -> Any:
        """Region mover by slices."""
        from hpcsim.kernels.numpy.move import NumpyMover

        return NumpyMover()
