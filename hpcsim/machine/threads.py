"""Thread counts of numerical libraries, set before any of them is loaded."""

from __future__ import annotations

import os

_LIBRARIES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


def set_threads(threads: int) -> None:
    """Give Numba the threads of a rank and keep linear algebra libraries from starting their own.

    Parameters
    ----------
    threads : int
        Threads of this rank. Values that the user has exported for the libraries are respected; Numba's is set, since
        it must be at least the number of threads that will be asked for.
    """
    os.environ["NUMBA_NUM_THREADS"] = str(threads)
    for name in _LIBRARIES:
        os.environ.setdefault(name, str(threads))
