"""Plain C loops to compare with, compiled on the spot by the C compiler of the machine, where there is one."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from hpcsim.fields.pool import HeapAllocator
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.layout import make_layout
from hpcsim.lattice.storage import Storage

FLAGS = ("-O3", "-march=native", "-fopenmp", "-shared", "-fPIC")
_SOURCE = Path(__file__).with_name("loops.c")
_LIMIT_S = 120.0


class CLoops:
    """The compiled loops; made by `load`.

    Parameters
    ----------
    compiler : str
        Path of the compiler.
    threads : int
        OpenMP threads of the loops.
    """

    def __init__(self, compiler: str, threads: int) -> None:
        self.compiler = compiler
        self._threads = threads

    @cached_property
    def _library(self) -> Any:
        with tempfile.TemporaryDirectory(prefix="hpcsim-bench-") as folder:
            path = os.path.join(folder, "loops.so")
            subprocess.run(
                [self.compiler, *FLAGS, str(_SOURCE), "-o", path],
                check=True, capture_output=True, timeout=_LIMIT_S,
            )  # fmt: skip
            library = ctypes.CDLL(path)
        library.use_threads(ctypes.c_int(self._threads))
        return library

    def stream(self, name: str, count: int) -> Callable[[], None]:
        """One sweep of ``"copy"`` or ``"triad"`` over arrays of so many elements."""
        arrays = [HeapAllocator().allocate(count, "float64", 0).flat for _ in range(2 if name == "copy" else 3)]
        for array in arrays:
            array.fill(1.0)
        return self._call(name, arrays, 0, [count, 1], ())

    def stencil(self, case: str, n: int, order: int, dtype: str, steps: int) -> Callable[[], None]:
        """So many steps of ``"heat"`` or ``"wave"`` on n**3 sites.

        The arrays have the padding that hpcsim gives its own. Every call goes on from where the one before ended; the
        coefficients keep the values bounded.
        """
        radius = order // 2
        layout = make_layout(Domain((n,) * 3, (0.0,) * 3, (1.0,) * 3, (True,) * 3), 1, ghost=radius)
        storage = Storage.build(layout, 0, radius, False, np.dtype(dtype).itemsize)
        names = ("u", "v") if case == "heat" else ("p", "u", "m")
        lead = storage.ghost
        arrays = [HeapAllocator().allocate(storage.length(1), dtype, lead).flat for _ in names]
        for array in arrays:
            array.fill(0.5)
        weights = (0.4, 0.1) if case == "heat" else (1.4, -0.01, 0.1, -0.01, 0.001, -0.0001)
        constants = np.array(weights, dtype)
        tail = (ctypes.c_void_p(constants.ctypes.data), ctypes.c_long(steps))
        name = f"heat_{dtype}" if case == "heat" else f"wave{order}_{dtype}"
        sizes = [n, storage.strides[1], storage.strides[0]]
        return self._call(name, [*arrays, constants], storage.first_site, sizes, tail)

    def _call(
        self, name: str, arrays: list[Any], first: int, sizes: Sequence[int], tail: tuple[Any, ...]
    ) -> Callable[[], None]:
        """The function with pointers to element ``first`` of the arrays; it keeps them alive."""
        function = getattr(self._library, name)
        fields = arrays[:-1] if tail else arrays
        pointers = [ctypes.c_void_p(a.ctypes.data + first * a.itemsize) for a in fields]
        arguments = [*pointers, *map(ctypes.c_long, sizes), *tail]

        def call(kept: list[Any] = arrays) -> None:
            function(*arguments)

        return call


def load(threads: int) -> CLoops | None:
    """The loops for so many threads, or None where there is no C compiler with OpenMP."""
    for name in (os.environ.get("CC"), "gcc", "cc", "clang"):
        path = shutil.which(name) if name else None
        if path is None:
            continue
        loops = CLoops(path, threads)
        try:
            loops.stream("copy", 8)()
        except (OSError, subprocess.SubprocessError, AttributeError):
            continue
        return loops
    return None
