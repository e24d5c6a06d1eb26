"""Two-point correlation of a field as a function of the distance between the points."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hpcsim.lattice.box import extent
from hpcsim.solvers.fft.basis import fast_even_length, fourier
from hpcsim.solvers.fft.bins import RadialBins, RadialMeans
from hpcsim.solvers.fft.kernel_modes import moved, wrapped
from hpcsim.solvers.fft.transform import Transform

if TYPE_CHECKING:
    from hpcsim.comm.context import Context

Real = NDArray[np.float64]


class Correlation:
    """Mean of ``u(x)*u(x + r)`` over all pairs of sites whose distance falls into a shell.

    Along periodic axes the offset is that to the nearest image; along others only pairs inside the lattice count.
    Subtract the mean of the field before, where the correlation of its fluctuations is wanted.

    Parameters
    ----------
    context : Context
        The ranks.
    shape : tuple of int
        Sites per axis.
    spacing : sequence of float
        Distance between them, per axis.
    periodic : sequence of bool
        Which axes are periodic.
    edges : ndarray, optional
        Ends of the shells of distance; by default one shell for every multiple of the smallest spacing, around it, up
        to half of the shortest axis.
    threads : int
        Threads of this rank.

    Attributes
    ----------
    box : Box
        Sites of this rank.

    Examples
    --------
    >>> from hpcsim.comm.context import Context
    >>> correlation = Correlation(Context.serial(), (4,), (1.0,), (False,))
    >>> correlation.measure(np.array([1.0, 2.0, 3.0, 4.0])).mean.round(12).tolist()
    [7.5, 6.666666666667, 5.5]
    """

    def __init__(
        self,
        context: Context,
        shape: Sequence[int],
        spacing: Sequence[float],
        periodic: Sequence[bool],
        edges: Real | None = None,
        threads: int = 1,
    ) -> None:
        self._context = context
        self._shape, self._spacing, self._periodic = tuple(shape), tuple(spacing), tuple(periodic)
        lengths = [n if wraps else fast_even_length(2 * n - 1) for n, wraps in zip(shape, periodic, strict=True)]
        axes = list(zip(shape, spacing, lengths, strict=True))
        self._there = Transform(context, [fourier(n, h, length) for n, h, length in axes], threads)
        # Back come all offsets, the negative ones behind the others.
        self._back = Transform(context, [fourier(length, h) for _, h, length in axes], threads)
        self.box = self._there.box
        self._edges = _edges(self._shape, self._spacing) if edges is None else edges

    def measure(self, values: NDArray[np.float64]) -> RadialMeans:
        """The correlation, equal on all ranks; collective."""
        modes = self._there.forward(values)
        power = modes.real**2 + modes.imag**2
        sums = self._back.backward(
            moved(self._context, power, self._there.spectral_box, self._back.spectral_box).astype(np.complex128)
        )
        bins = RadialBins(self._edges)
        if not (self._back.replicated and self._context.rank):
            self._collect(sums, bins)
        return bins.means(self._context)

    def _collect(self, sums: Real, bins: RadialBins) -> None:
        """Sort the sums over pairs with one offset by distance, with the number of these pairs."""
        squares, pairs = [], []
        for axis, (a, b) in enumerate(zip(*self._back.box, strict=True)):
            offset = wrapped(self._back.shape[axis])[a:b]
            count = self._shape[axis]
            inside = np.full(len(offset), count) if self._periodic[axis] else np.maximum(count - np.abs(offset), 0)
            shape = [-1 if k == axis else 1 for k in range(sums.ndim)]
            squares.append(((offset * self._spacing[axis]) ** 2).reshape(shape))
            pairs.append(inside.reshape(shape))
        for layer in range(extent(self._back.box)[0]):
            here = slice(layer, layer + 1)
            distance = np.sqrt(sum(squares[1:], start=squares[0][here]))
            number = math.prod(pairs[1:], start=pairs[0][here])
            # Offsets that no pair has hold rounding errors.
            bins.add(np.broadcast_to(distance, number.shape), np.where(number > 0, sums[here], 0.0), number)

    def free(self) -> None:
        """Give memory and threads back; local, harmless the second time."""
        self._there.free()
        self._back.free()


def _edges(shape: tuple[int, ...], spacing: tuple[float, ...]) -> Real:
    least = min(spacing)
    most = min(n * h for n, h in zip(shape, spacing, strict=True)) / 2.0
    return least * (np.arange(math.floor(most / least * (1.0 + 1e-12)) + 2) - 0.5)
