"""Convolution as the double sum it stands for: the reference, and a way for very small lattices."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import product
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hpcsim.comm.redistribute import Redistribution
from hpcsim.errors import ConfigError, unknown_name
from hpcsim.lattice.box import Box
from hpcsim.lattice.pencils import pencils
from hpcsim.solvers.fft.convolution import Kernel
from hpcsim.solvers.fft.kernel_modes import wrapped

if TYPE_CHECKING:
    from hpcsim.comm.context import Context

MOST_SITES = 2**15
"""Largest lattice; the work grows with the square."""


class DirectSum:
    """The sums of `Convolution`, one after the other; every rank holds the whole field.

    Parameters
    ----------
    context : Context
        The ranks.
    shape : tuple of int
        Sites per axis.
    spacing : sequence of float
        Distance between them, per axis.
    kernel : Kernel
        What to convolve with.
    mode : {"periodic", "padded"}
        Whether offsets are those to the nearest periodic image.

    Attributes
    ----------
    box : Box
        Sites of this rank.

    Raises
    ------
    ConfigError
        If the mode is none of these, or the lattice has more than `MOST_SITES` sites.

    Examples
    --------
    >>> from hpcsim.comm.context import Context
    >>> from hpcsim.solvers.fft.greens import make_green
    >>> total = DirectSum(Context.serial(), (3,), (0.5,), make_green("formula", 1, formula="exp(-r)"))
    >>> result = np.empty(3)
    >>> total.apply(np.array([2.0, 0.0, 0.0]), result)
    >>> bool(np.allclose(result, np.exp([0.0, -0.5, -1.0])))
    True
    """

    def __init__(
        self, context: Context, shape: Sequence[int], spacing: Sequence[float], kernel: Kernel, mode: str = "padded"
    ) -> None:
        if mode not in ("periodic", "padded"):
            raise ConfigError(unknown_name("mode of a direct sum", mode, ("periodic", "padded")))
        if math.prod(shape) > MOST_SITES:
            raise ConfigError(f"{math.prod(shape)} sites are too many for a direct sum; at most {MOST_SITES}")
        whole: Box = ((0,) * len(shape), tuple(shape))
        self.box = pencils(tuple(shape), context.size)[context.rank]
        self._volume = math.prod(spacing)
        self._field = np.zeros(tuple(shape))
        self._spread = Redistribution(context, [self.box], [whole], np.float64)
        # All offsets between two sites: entry n - 1 of an axis with n sites is offset 0.
        offsets = [_offsets(n, mode == "periodic") * h for n, h in zip(shape, spacing, strict=True)]
        self._table = np.array(kernel.sample(np.ix_(*offsets), spacing))

    def apply(self, source: NDArray[np.float64], result: NDArray[np.float64]) -> None:
        """Convolve a field on `box`; collective."""
        self._spread.run([source], [self._field])
        flipped = self._field[(slice(None, None, -1),) * self._field.ndim]
        lo, hi = self.box
        for site in product(*(range(a, b) for a, b in zip(lo, hi, strict=True))):
            window = self._table[tuple(slice(i, i + n) for i, n in zip(site, self._field.shape, strict=True))]
            result[tuple(i - a for i, a in zip(site, lo, strict=True))] = self._volume * np.sum(window * flipped)

    def free(self) -> None:
        """Give the messages back; local."""
        self._spread.free()


def _offsets(count: int, wraps: bool) -> NDArray[np.int64]:
    """Offsets from -(count - 1) to count - 1, or those of the nearest periodic image."""
    plain = np.arange(1 - count, count)
    return wrapped(count)[plain % count] if wraps else plain
