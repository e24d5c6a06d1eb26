"""Power spectrum of a periodic field, mode by mode and averaged over shells of wavenumber."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import ConfigError
from hpcsim.solvers.fft.basis import Basis
from hpcsim.solvers.fft.bins import RadialBins, RadialMeans
from hpcsim.solvers.fft.transform import Transform
from hpcsim.solvers.grid import Axis

if TYPE_CHECKING:
    from hpcsim.comm.context import Context

Real = NDArray[np.float64]


class PowerSpectrum:
    """Power ``P(k) = V |u_k|^2`` with ``u_k = (1/N) sum over sites of u exp(-i k x)`` and V the volume of the lattice.

    The mean over all modes of P, divided by the volume of a cell, is the mean square of the field. White noise of
    variance s^2 has ``P = s^2 * (volume of a cell)``.

    Parameters
    ----------
    context : Context
        The ranks.
    axes : sequence of Axis
        Periodic ones.
    edges : ndarray, optional
        Ends of the shells of wavenumber; by default one shell for every multiple of the smallest wavenumber, around
        it, up to the largest that every axis resolves.
    threads : int
        Threads of this rank.

    Attributes
    ----------
    box : Box
        Sites of this rank.
    spectral_box : Box
        Modes of this rank; the last axis has those up to the middle.

    Raises
    ------
    ConfigError
        If an axis is not periodic.

    Examples
    --------
    >>> from hpcsim.comm.context import Context
    >>> spectrum = PowerSpectrum(Context.serial(), [Axis(8, 0.25, False, None)])
    >>> found = spectrum.measure(np.cos(2.0 * np.pi * np.arange(8) / 8 * 2))
    >>> found.mean.round(12).tolist(), found.count.tolist()
    ([0.0, 0.0, 0.5, 0.0, 0.0], [1, 2, 2, 2, 1])
    """

    def __init__(
        self, context: Context, axes: Sequence[Axis | Basis], edges: Real | None = None, threads: int = 1
    ) -> None:
        self._context = context
        self._transform = Transform(context, axes, threads)
        bases = self._transform.bases
        if not all(basis.fourier for basis in bases):
            raise ConfigError("a power spectrum needs periodic axes")
        self.box, self.spectral_box = self._transform.box, self._transform.spectral_box
        cell = math.prod(basis.spacing for basis in bases)
        self._factor = cell * self._transform.scale
        self._edges = shells(bases) if edges is None else edges

    def modes(self, values: NDArray[np.float64]) -> Real:
        """Power of every mode of this rank, on `spectral_box`; collective."""
        found = self._transform.forward(values)
        power: Real = np.square(found.real)
        power += found.imag**2
        power *= self._factor
        return power

    def wavenumbers(self) -> tuple[Real, ...]:
        """Wavenumbers of the modes of this rank, one array per axis that broadcasts over `spectral_box`."""
        return self._transform.wavenumbers()

    def measure(self, values: NDArray[np.float64]) -> RadialMeans:
        """Mean power in every shell, equal on all ranks; collective."""
        power = self.modes(values)
        bins = RadialBins(self._edges)
        # Every rank holds a lattice with one axis; it counts once.
        if not (self._transform.replicated and self._context.rank):
            first, *others = self.wavenumbers()
            twice = self._twice()
            for layer in range(len(power)):
                k = np.sqrt(sum((part**2 for part in others), start=first[layer : layer + 1] ** 2))
                part = power[layer : layer + 1]
                times = np.broadcast_to(twice if others else twice[layer : layer + 1], part.shape)
                bins.add(np.broadcast_to(k, part.shape), part * times, times)
        return bins.means(self._context)

    def _twice(self) -> NDArray[np.int64]:
        """How many modes each mode along the last axis stands for: itself and, inside, its mirror image."""
        basis = self._transform.bases[-1]
        mode = np.arange(self.spectral_box[0][-1], self.spectral_box[1][-1])
        return np.where((mode == 0) | (2 * mode == basis.length), 1, 2)

    def free(self) -> None:
        """Give memory and threads back; local, harmless the second time."""
        self._transform.free()


def shells(bases: Sequence[Basis]) -> Real:
    """Ends of shells around every multiple of the smallest wavenumber, up to the largest that every axis resolves."""
    least = min(2.0 * math.pi / (basis.length * basis.spacing) for basis in bases)
    most = min(math.pi / basis.spacing for basis in bases)
    return least * (np.arange(math.floor(most / least * (1.0 + 1e-12)) + 2) - 0.5)
