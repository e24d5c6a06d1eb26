"""Backend ``numba``: prints a nest, compiles it once per machine, and launches it over boxes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.kernels.backend import Boxes
from hpcsim.kernels.cache import discard, load_module
from hpcsim.kernels.copies import Copies, no_copies
from hpcsim.kernels.loopnest import LoopNest
from hpcsim.kernels.numba.source import kernel_source
from hpcsim.lattice.storage import Storage
from hpcsim.native.function import native_source


class NumbaKernel:
    """A nest compiled by Numba; see `hpcsim.kernels.backend.Kernel`."""

    def __init__(self, nest: LoopNest, storage: Storage, threads: int) -> None:
        self.nest = nest
        self.source = kernel_source(nest, parallel=threads > 1)
        self._storage = storage
        self._pitch = np.array(storage.strides, dtype=np.int64)
        origins = [[lo - storage.ghost for lo in block.lo] for block in storage.blocks]
        self._origins = np.array(origins, dtype=np.int64).reshape(len(origins), nest.ndim)
        self._run = _compiled(self.source, nest) if threads > 1 else _linked(self.source, nest)

    def __call__(
        self, registers: Sequence[NDArray[Any]], boxes: Boxes, scalars: NDArray[Any], copies: Copies | None = None
    ) -> None:
        """Run over boxes; see the protocol."""
        if not len(boxes):
            return
        before = copies if copies is not None else no_copies(len(boxes), self.nest.ndim)
        fixed = (self._origins, self._pitch, self._storage.sites)
        self._run(boxes, before.starts, before.rows, *fixed, scalars, *registers)


def _linked(source: str, nest: LoopNest) -> Any:
    """The kernel for one thread, from stored machine code; Numba is not even imported if it is there."""
    values = f"{nest.dtype}[1]"
    fixed = ("int64[2]", "int64[1]", "int64[2]", "int64[2]", "int64[1]", "int64", values)
    return native_source(source, "run", (*fixed, *[values] * len(nest.registers)))


def _compiled(source: str, nest: LoopNest) -> Any:
    """The kernel for several threads; Numba brings their pool and keeps its own cache."""
    from numba.core.errors import NumbaError

    module = load_module(source)
    try:
        return _specialise(module, nest)
    except NumbaError:
        raise
    except Exception:
        # A damaged entry of the cache can raise anything while it is unpickled: forget it and compile again.
        discard(module.run)
    try:
        return _specialise(load_module(source), nest)
    except (OSError, RuntimeError):
        # Machine code cannot be written here.
        return _specialise(load_module(source), nest, cached=False)


def _specialise(module: ModuleType, nest: LoopNest, cached: bool = True) -> Any:
    from numba import types

    value = types.float32 if nest.dtype == "float32" else types.float64
    flat = types.Array(value, 1, "C")
    table = types.Array(types.int64, 2, "C")
    strides = types.Array(types.int64, 1, "C")
    signature = (table, strides, table, table, strides, types.int64, flat) + (flat,) * len(nest.registers)
    if cached:
        for function in (module.box, module.run):
            function.enable_caching()
    module.run.compile(signature)
    return module.run


class NumbaBackend:
    """Compiled kernels, threads over boxes.

    Parameters
    ----------
    storage : Storage
        Pitch and blocks of this rank.
    threads : int
        Threads of this rank; with one, no threading layer is loaded.
    """

    name = "numba"
    copies_ghosts = True

    def __init__(self, storage: Storage, threads: int = 1) -> None:
        self._storage = storage
        self._threads = threads
        self._kernels: dict[LoopNest, NumbaKernel] = {}
        self.compile_seconds = 0.0

    def compile(self, nest: LoopNest) -> NumbaKernel:
        """Compile a nest, or load its machine code from the cache."""
        if nest not in self._kernels:
            start = time.perf_counter()
            self._kernels[nest] = NumbaKernel(nest, self._storage, self._threads)
            self.compile_seconds += time.perf_counter() - start
        return self._kernels[nest]

    @property
    def mover(self) -> Any:
        """Compiled region mover."""
        from hpcsim.kernels.numba.move import NumbaMover

        return NumbaMover()
