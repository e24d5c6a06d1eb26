"""A callable on packed vectors as a preconditioner of PETSc."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]


class ActionPC:
    """What PETSc calls to apply a preconditioner.

    Parameters
    ----------
    name : str
        In words.
    action : callable
        ``action(r, z)`` fills `z`, which has any values before; `r` is read-only.
    sign : float
        Factor of the result.
    """

    def __init__(self, name: str, action: Callable[[Vector, Vector], object], sign: float = 1.0) -> None:
        self.name, self._action, self._sign = name, action, sign

    def apply(self, pc: Any, r: Any, z: Any) -> None:
        """Z = M^-1 r."""
        target = z.array_w
        self._action(r.array_r, target)
        if self._sign != 1.0:
            np.multiply(target, self._sign, out=target)
