"""The look for NaN and Inf in the values of a field."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.fields.backends import compiled_kernels


def all_finite(values: NDArray[Any], backend: str = "auto") -> bool:
    """Whether no value is NaN or infinite.

    Parameters
    ----------
    values : ndarray of float32 or float64
        At most four axes, any strides.
    backend : {"auto", "numba", "numpy"}
        Which implementation.

    Examples
    --------
    >>> all_finite(np.array([1.0, np.inf]), "numpy")
    False
    """
    kernels = compiled_kernels(backend)
    if kernels is not None:
        return bool(kernels.all_finite(values))
    # Plane by plane: the temporary stays in cache.
    return all(bool(np.isfinite(plane).all()) for plane in np.atleast_2d(values))
