"""Transforms of lines by products with the matrix of the functions.

BLAS makes up for the larger number of operations where fast transforms are at their worst: lengths with a large prime
factor, up to several hundred sites. Functions that are even or odd about the middle of the line halve the work: the
line is folded, and each half is multiplied by a matrix of half the size.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import ConfigError
from hpcsim.solvers.fft.basis import Basis
from hpcsim.solvers.fft.local import Lines

Real = NDArray[np.float64]


def DenseLines(basis: Basis) -> Lines:  # noqa: N802 (an entry of a table of classes)
    """Transforms by matrices.

    Parameters
    ----------
    basis : Basis
        The functions; no zeros behind the sites.

    Raises
    ------
    ConfigError
        If the basis pads.

    Examples
    --------
    >>> lines = DenseLines(Basis("dct2", 3, 1.0, 3, 3))
    >>> lines.forward(np.ones((1, 3)), 1).round(12).tolist()
    [[6.0, 0.0, 0.0]]
    """
    if basis.length != basis.count:
        raise ConfigError(f"a matrix transform of {basis.count} sites cannot pad to {basis.length}")
    if basis.fourier:
        return FourierMatrix(basis)
    return FoldedMatrix(basis) if basis.kind in ("dst1", "dst2", "dct1", "dct2") else PlainMatrix(basis)


def synthesis(basis: Basis) -> Real:
    """Matrix of the plain backward transform, shape (sites, modes), with the factors of FFTW and SciPy."""
    n = basis.count
    # In half spacings and half modes everything is a whole number, so the angles are exact.
    mode = 2 * np.arange(n) + {"dst1": 2, "dst2": 2, "dct1": 0, "dct2": 0}.get(basis.kind, 1)
    place = 2 * np.arange(n) + {"dst1": 2, "dct1": 0, "dst3": 2, "dct3": 0}.get(basis.kind, 1)
    period = round(4.0 / basis.scale)
    wave = np.sin if basis.kind.startswith("dst") else np.cos
    table: Real = 2.0 * wave(2.0 * math.pi / period * (np.outer(place, mode) % period))
    table[:, _single_modes(basis)] *= 0.5
    return table


def analysis(basis: Basis) -> Real:
    """Matrix of the forward transform, shape (modes, sites)."""
    table = synthesis(basis).T
    table[_single_modes(basis)] *= 2.0
    return (table * basis.weights())[: basis.kept]


def _single_modes(basis: Basis) -> list[int]:
    """Modes that the backward transform takes once, where it takes the others twice."""
    return {"dct1": [0, -1], "dct2": [0], "dst2": [-1]}.get(basis.kind, [])


def product(matrix: Real, lines: NDArray[Any]) -> NDArray[Any]:
    """Real matrix times lines along the last but one axis, which may be complex."""
    if not np.iscomplexobj(lines):
        # BLAS wants neighbouring entries along one of the two axes.
        return matrix @ (lines if lines.itemsize in lines.strides[-2:] else lines.copy(order="K"))
    columns = np.ascontiguousarray(lines).view(np.float64)
    return (matrix @ columns).view(np.complex128)


class PlainMatrix:
    """Product with the whole matrix."""

    in_place = False

    def __init__(self, basis: Basis) -> None:
        self.length = basis.length
        self._there, self._back = np.ascontiguousarray(analysis(basis)), synthesis(basis)[:, : basis.kept].copy()

    def forward(self, values: NDArray[Any], axis: int) -> NDArray[Any]:
        """Modes from sites; see `Lines`."""
        return np.moveaxis(product(self._there, np.moveaxis(values, axis, -2)), -2, axis)

    def backward(self, modes: NDArray[Any], axis: int) -> NDArray[Any]:
        """Sites from modes; see `Lines`."""
        return np.moveaxis(product(self._back, np.moveaxis(modes, axis, -2)), -2, axis)


class FoldedMatrix:
    """Products with the parts that belong to functions even and odd about the middle."""

    in_place = False

    def __init__(self, basis: Basis) -> None:
        self.length = basis.length
        self._count, self._kept = basis.count, basis.kept
        low = basis.count // 2
        high = basis.count - low
        there, back = analysis(basis), synthesis(basis)[:, : basis.kept]
        self._even = there[0::2, :high].copy(), back[:high, 0::2].copy()
        self._odd = there[1::2, :low].copy(), back[:low, 1::2].copy()

    def forward(self, values: NDArray[Any], axis: int) -> NDArray[Any]:
        """Modes from sites; see `Lines`."""
        lines = np.moveaxis(values, axis, -2)
        low = self._count // 2
        mirrored = lines[..., : self._count - low - 1 : -1, :]
        even = lines[..., : self._count - low, :].copy(order="K")
        even[..., :low, :] += mirrored
        odd = lines[..., :low, :] - mirrored
        found = _like(lines, self._kept)
        found[..., 0::2, :] = product(self._even[0], even)
        found[..., 1::2, :] = product(self._odd[0], odd)
        return np.moveaxis(found, -2, axis)

    def backward(self, modes: NDArray[Any], axis: int) -> NDArray[Any]:
        """Sites from modes; see `Lines`."""
        lines = np.moveaxis(modes, axis, -2)
        low = self._count // 2
        even = product(self._even[1], lines[..., 0::2, :])
        odd = product(self._odd[1], lines[..., 1::2, :])
        found = _like(lines, self._count)
        found[..., : self._count - low, :] = even
        found[..., :low, :] += odd
        np.subtract(even[..., :low, :], odd, out=found[..., : self._count - low - 1 : -1, :])
        return np.moveaxis(found, -2, axis)


class FourierMatrix:
    """Discrete Fourier transform by a cosine matrix for the even and a sine matrix for the odd part of a line."""

    in_place = False

    def __init__(self, basis: Basis) -> None:
        n = self.length = self._count = basis.count
        self._half = basis.half
        self._pairs = (n - 1) // 2
        turns = np.outer(np.arange(n // 2 + 1), np.arange(n // 2 + 1)) % n
        self._cos: Real = np.cos(2.0 * math.pi / n * turns)
        self._sin: Real = np.sin(2.0 * math.pi / n * turns)[:, 1 : self._pairs + 1].copy()
        # A half spectrum stands for its mirror image too, except at the ends.
        twice = np.full(n // 2 + 1, 2.0)
        twice[0] = 1.0
        if n % 2 == 0:
            twice[-1] = 1.0
        self._cos_back = self._cos * twice
        self._sin_back = 2.0 * self._sin

    def forward(self, values: NDArray[Any], axis: int) -> NDArray[Any]:
        """Modes from sites; see `Lines`."""
        lines = np.moveaxis(values, axis, -2)
        even, odd = self._folded(lines)
        real, imaginary = product(self._cos, even), product(self._sin, odd)
        if not self._half:
            return np.moveaxis(self._unfolded(real, -1j * imaginary), -2, axis)
        found = np.empty(real.shape, np.complex128)
        found.real, found.imag = real, -imaginary
        return np.moveaxis(found, -2, axis)

    def backward(self, modes: NDArray[Any], axis: int) -> NDArray[Any]:
        """Sites from modes; see `Lines`."""
        lines = np.moveaxis(modes, axis, -2)
        if not self._half:
            even, odd = self._folded(lines)
            return np.moveaxis(self._unfolded(product(self._cos, even), 1j * product(self._sin, odd)), -2, axis)
        even = product(self._cos_back, lines.real)
        odd = product(self._sin_back, lines.imag[..., 1 : self._pairs + 1, :])
        return np.moveaxis(self._unfolded(even, -odd), -2, axis)

    def _folded(self, lines: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
        """Sums and differences of a line and its mirror image about the first site."""
        inner = slice(1, self._pairs + 1)
        mirrored = lines[..., : -self._pairs - 1 : -1, :]
        even = lines[..., : self._count // 2 + 1, :].copy()
        even[..., inner, :] += mirrored
        return even, lines[..., inner, :] - mirrored

    def _unfolded(self, even: NDArray[Any], odd: NDArray[Any]) -> NDArray[Any]:
        """Line of which the even and odd parts are given for the first half."""
        found = np.empty((*even.shape[:-2], self._count, even.shape[-1]), even.dtype)
        pairs, half = self._pairs, self._count // 2 + 1
        found[..., :half, :] = even
        odd = odd[..., -half:, :][..., 1 : pairs + 1, :] if odd.shape[-2] == half else odd
        found[..., 1 : pairs + 1, :] += odd
        np.subtract(even[..., 1 : pairs + 1, :], odd, out=found[..., : -pairs - 1 : -1, :])
        return found


def _like(lines: NDArray[Any], count: int) -> NDArray[Any]:
    """Memory for lines of another length."""
    return np.empty((*lines.shape[:-2], count, lines.shape[-1]), lines.dtype)
