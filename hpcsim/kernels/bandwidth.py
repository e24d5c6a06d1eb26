"""Memory bandwidth of this rank, measured once per host and kept beside the kernels.

The sweeps run through the same backend as every kernel, so the figure is what a kernel without neighbours reaches.
Bytes are counted as STREAM does: each array once, without the line that a store reads first.
"""

from __future__ import annotations

import json
import os
import socket
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from hpcsim.fields.pool import HeapAllocator
from hpcsim.kernels.backend import BACKENDS
from hpcsim.kernels.loopnest import Assignment, make_nest
from hpcsim.kernels.tiles import BlockBox, box_table
from hpcsim.lattice.layout import Block
from hpcsim.lattice.storage import Storage
from hpcsim.native.store import cache_directory
from hpcsim.symbolic.expr import Access, Expr, Symbol, add, mul

STREAMS = {"copy": 2, "triad": 3}
"""Arrays that each sweep reads or writes."""

_QUICK = 1 << 22
_PASSES = 5


def make_stream(name: str, count: int, threads: int, backend: str = "numba") -> Callable[[], None]:
    """A sweep over float64 arrays: ``"copy"`` is ``a = b``, ``"triad"`` is ``a = b + s*c``.

    Parameters
    ----------
    name : str
        One of `STREAMS`.
    count : int
        Elements of each array.
    threads : int
        Threads of this rank.
    backend : str
        Name of the backend.

    Returns
    -------
    callable
        Does one sweep; it moves ``8 * count * STREAMS[name]`` bytes. The arrays are touched and the code is compiled.

    Examples
    --------
    >>> make_stream("triad", 100, 1, "numpy")()
    """
    here = (0,)
    b, c = Access("b", 0, here), Access("c", 0, here)
    value: Expr = b if name == "copy" else add(b, mul(Symbol("s"), c))
    nest = make_nest(1, "float64", [Assignment(Access("a", 0, here), value)], {}, ("h_x",))
    storage = Storage((Block(0, here, here, (count,)),), 0, (count,), 8)
    kernel = BACKENDS.get(backend)(storage, threads).compile(nest)
    boxes = box_table([BlockBox(0, here, (count,))], 1, threads)
    scalars = np.full(len(nest.scalars), 3.0)
    arrays = [HeapAllocator().allocate(count, "float64", 0).flat for _ in nest.registers]
    for array in arrays:
        array.fill(1.0)
    kernel(arrays, boxes, scalars)
    return lambda: kernel(arrays, boxes, scalars)


def triad_bandwidth(threads: int) -> float:
    """Bytes per second of ``a = b + s*c`` with the threads of this rank.

    Measured in some milliseconds the first time, on arrays of 32 MiB each, then read from the kernel cache.

    Parameters
    ----------
    threads : int
        Threads of this rank.
    """
    path = cache_directory() / f"bandwidth-{socket.gethostname()}-{threads}.json"
    kept = _read(path)
    if kept is not None:
        return kept
    sweep = make_stream("triad", _QUICK, threads)
    best = min(_seconds(sweep) for _ in range(_PASSES))
    found = 8.0 * _QUICK * STREAMS["triad"] / best
    _write(path, found)
    return found


def _seconds(sweep: Callable[[], None]) -> float:
    start = time.perf_counter()
    sweep()
    return time.perf_counter() - start


def _read(path: Path) -> float | None:
    try:
        kept = json.loads(path.read_text())["triad_bytes_per_second"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return float(kept) if isinstance(kept, float) and kept > 0 else None


def _write(path: Path, value: float) -> None:
    """Keep the figure; a disk that refuses it only costs the next run the measurement."""
    try:
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".json")
        with os.fdopen(handle, "w") as file:
            json.dump({"triad_bytes_per_second": value}, file)
        os.replace(temporary, path)
    except OSError:
        return
