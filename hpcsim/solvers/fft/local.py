"""Transforms of lines that one rank holds whole, and the choice of the fastest kind by the length."""

from __future__ import annotations

from typing import Any, Protocol

from numpy.typing import NDArray

from hpcsim.registry import Registry
from hpcsim.solvers.fft.basis import Basis

FFTS = Registry(
    "transform",
    {
        "auto": "hpcsim.solvers.fft.local:choose_lines",
        "scipy": "hpcsim.solvers.fft.fast:FastLines",
        "matrix": "hpcsim.solvers.fft.dense:DenseLines",
    },
)

DENSE_LIMITS = {"fourier": 256, "dst1": 1024, "dct1": 1024, "dst2": 512, "dct2": 512}
DENSE_LIMIT = 256
"""Longest lines for which a product with a matrix beats a fast transform of a length with a large prime factor."""


class Lines(Protocol):
    """Transforms along one axis of small arrays that fit the cache.

    Both verbs may overwrite what they are given and return it, or return new memory. The data are complex where the
    axis, or one transformed before it, is a Fourier axis.

    Attributes
    ----------
    length : int
        Longest line that occurs.
    in_place : bool
        Whether both verbs always overwrite and return what they are given.
    """

    length: int
    in_place: bool

    def forward(self, values: NDArray[Any], axis: int) -> NDArray[Any]:
        """Modes from sites: the plain sum, without a factor."""
        ...

    def backward(self, modes: NDArray[Any], axis: int) -> NDArray[Any]:
        """Sites from modes, to be multiplied by `Basis.scale`."""
        ...


def make_lines(name: str, basis: Basis) -> Lines:
    """The local transform of that name for a basis.

    Parameters
    ----------
    name : str
        ``"auto"`` (by the length), ``"scipy"`` (fast transforms of pocketfft), ``"matrix"`` (products with BLAS) or a
        registered one.
    basis : Basis
        The functions.

    Raises
    ------
    ConfigError
        If the name is unknown.

    Examples
    --------
    >>> from hpcsim.solvers.fft.basis import fourier
    >>> type(make_lines("auto", fourier(250, 1.0))).__name__, type(make_lines("auto", fourier(251, 1.0))).__name__
    ('FastLines', 'FourierMatrix')
    """
    lines: Lines = UnchangedLines(basis) if basis.kind == "none" else FFTS.get(name)(basis)
    return lines


class UnchangedLines:
    """No transform at all."""

    in_place = True

    def __init__(self, basis: Basis) -> None:
        self.length = basis.length

    def forward(self, values: NDArray[Any], axis: int) -> NDArray[Any]:
        """The values; see `Lines`."""
        return values

    def backward(self, modes: NDArray[Any], axis: int) -> NDArray[Any]:
        """The values; see `Lines`."""
        return modes


def choose_lines(basis: Basis) -> Lines:
    """A fast transform, or a product with a matrix where the length has a large prime factor and is not too long."""
    return make_lines("matrix" if dense_is_faster(basis) else "scipy", basis)


def dense_is_faster(basis: Basis) -> bool:
    """Whether a matrix is the better choice; measured with pocketfft and OpenBLAS, both one thread a core."""
    if basis.fast or basis.length != basis.count:
        return False
    return basis.length <= DENSE_LIMITS.get(basis.kind, DENSE_LIMIT)
