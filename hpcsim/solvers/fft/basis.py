"""The functions along one axis that diagonalise a symmetric stencil with constant weights.

Which ones follows from the ends of the axis and from where the sites lie (Strang, "The discrete cosine transform",
SIAM Review 41, 1999; Martucci, IEEE Trans. Signal Processing 42, 1994). Sites at x, modes m = 0, 1, ..., length L:

=========  ==============  ==========================  =======
sites      ends            functions                   type
=========  ==============  ==========================  =======
any        periodic        exp(2 pi i m x/L)           Fourier
cells      fixed, fixed    sin((m + 1) pi x/L)         DST-II
cells      free, free      cos(m pi x/L)               DCT-II
cells      fixed, free     sin((m + 1/2) pi x/L)       DST-IV
cells      free, fixed     cos((m + 1/2) pi x/L)       DCT-IV
vertices   fixed, fixed    sin((m + 1) pi x/L)         DST-I
vertices   free, free      cos(m pi x/L)               DCT-I
vertices   fixed, free     sin((m + 1/2) pi x/L)       DST-III
vertices   free, fixed     cos((m + 1/2) pi x/L)       DCT-III
=========  ==============  ==========================  =======
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import ConfigError
from hpcsim.solvers.grid import Axis, End

FAST_FACTOR = 13
"""Largest prime factor of a length that fast transforms handle without a loss of speed."""

_TYPES = {
    (False, True, True): "dst2",
    (False, False, False): "dct2",
    (False, True, False): "dst4",
    (False, False, True): "dct4",
    (True, True, True): "dst1",
    (True, False, False): "dct1",
    (True, True, False): "dst3",
    (True, False, True): "dct3",
}


@dataclass(frozen=True)
class Basis:
    """One set of functions.

    Attributes
    ----------
    kind : str
        ``"fourier"``, one of ``"dst1"`` to ``"dst4"`` and ``"dct1"`` to ``"dct4"``, or ``"none"`` for an axis that is
        left as it is.
    count : int
        Sites.
    spacing : float
        Distance between them.
    length : int
        Sites that are transformed: the given ones and zeros behind them. Only Fourier has zeros.
    kept : int
        Modes of the forward transform that are kept, from the first on.
    half : bool
        Whether a Fourier axis holds real values and so needs the modes up to the middle only.

    Examples
    --------
    >>> basis_of(Axis(4, 0.25, False, (End(1, 0), End(1, 0)))).kind
    'dst2'
    """

    kind: str
    count: int
    spacing: float
    length: int
    kept: int
    half: bool = False

    @property
    def fourier(self) -> bool:
        """Whether the modes are complex."""
        return self.kind == "fourier"

    @property
    def scale(self) -> float:
        """Factor after forward and plain backward transform that gives the values back."""
        if self.fourier or self.kind == "none":
            return 1.0 / self.length if self.fourier else 1.0
        return 0.5 / {"dst1": self.length + 1, "dct1": self.length - 1}.get(self.kind, self.length)

    @property
    def fft_length(self) -> int:
        """Length of the complex or real Fourier transform that stands behind it; its factors decide the speed."""
        if self.kind == "none":
            return 1
        return {"dst1": 2 * (self.length + 1), "dct1": 2 * (self.length - 1)}.get(self.kind, self.length)

    @property
    def fast(self) -> bool:
        """Whether that length has no prime factor above `FAST_FACTOR`."""
        return largest_factor(self.fft_length) <= FAST_FACTOR

    def wavenumbers(self) -> NDArray[np.float64]:
        """Wavenumber of every mode, radians per length; zeros for an axis that is left as it is."""
        if self.kind == "none":
            return np.zeros(self.kept)
        if self.fourier:
            modes = np.arange(self.kept) if self.half else np.fft.fftfreq(self.length, 1.0 / self.length)
            return 2.0 * math.pi / (self.length * self.spacing) * modes
        first = {"dst1": 1.0, "dst2": 1.0, "dct1": 0.0, "dct2": 0.0}.get(self.kind, 0.5)
        return 2.0 * math.pi * self.scale / self.spacing * (np.arange(self.kept) + first)

    def weights(self) -> NDArray[np.float64]:
        """Share of each site in an integral over the axis: 1/2 of a spacing on a free wall."""
        shares = np.ones(self.count)
        if self.kind in ("dct1", "dct3"):
            shares[0] = 0.5
        if self.kind in ("dct1", "dst3"):
            shares[-1] = 0.5
        return shares


def basis_of(axis: Axis) -> Basis:
    """The functions that belong to an axis.

    Raises
    ------
    ConfigError
        If an end is neither Dirichlet nor Neumann, or there are fewer sites than the functions need.

    Examples
    --------
    >>> basis_of(Axis(8, 1.0, False, None)).wavenumbers()[1].round(3)
    0.785
    """
    if axis.ends is None:
        return fourier(axis.count, axis.spacing)
    free = [_free(end) for end in axis.ends]
    kind = _TYPES[axis.vertex, not free[0], not free[1]]
    least = 2 if kind == "dct1" else 1
    if axis.count < least:
        raise ConfigError(f"an axis with {axis.count} unknowns; this transform needs {least}")
    return Basis(kind, axis.count, axis.spacing, axis.count, axis.count)


def fourier(count: int, spacing: float, length: int | None = None) -> Basis:
    """Periodic functions over so many sites, the ones behind the given sites holding zero.

    Raises
    ------
    ConfigError
        If there are no sites, or more than are transformed.
    """
    whole = count if length is None else length
    if not 1 <= count <= whole:
        raise ConfigError(f"{count} sites in a transform of length {whole}; from 1 to {whole} are allowed")
    return Basis("fourier", count, spacing, whole, whole)


def unchanged(count: int, spacing: float) -> Basis:
    """An axis that is left as it is: its modes are its sites."""
    return Basis("none", count, spacing, count, count)


def halved(basis: Basis) -> Basis:
    """The same Fourier axis for real values."""
    return replace(basis, kept=basis.length // 2 + 1, half=True)


def largest_factor(number: int) -> int:
    """Largest prime factor.

    Examples
    --------
    >>> largest_factor(256), largest_factor(2 * 257), largest_factor(1)
    (2, 257, 1)
    """
    largest, rest, factor = 1, number, 2
    while factor * factor <= rest:
        while rest % factor == 0:
            largest, rest = factor, rest // factor
        factor += 1
    return max(largest, rest)


def fast_even_length(least: int) -> int:
    """Smallest even number from `least` on with no prime factor above 5.

    Examples
    --------
    >>> fast_even_length(511), fast_even_length(7)
    (512, 8)
    """
    length = least + least % 2
    while largest_factor(length) > 5:
        length += 2
    return max(length, 2)


def _free(end: End) -> bool:
    """Whether an end is Neumann; Dirichlet is not, and nothing else has such functions."""
    if end.alpha == 0.0 and end.beta != 0.0:
        return True
    if end.beta == 0.0:
        return False
    raise ConfigError(f"alpha = {end.alpha:g}, beta = {end.beta:g}: no sine or cosine transform fits a Robin end")
