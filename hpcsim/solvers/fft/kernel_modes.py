"""The modes of a convolution kernel on the ranks that multiply by them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hpcsim.comm.redistribute import Redistribution
from hpcsim.errors import ConfigError
from hpcsim.lattice.box import Box, extent
from hpcsim.solvers.fft.basis import Basis, fourier
from hpcsim.solvers.fft.transform import Transform

if TYPE_CHECKING:
    from hpcsim.comm.context import Context

Sampler = Callable[[Sequence[NDArray[np.float64]]], NDArray[np.float64]]
"""Values of a kernel at offsets, given by one array per axis that broadcast against each other."""


class KernelModes(Protocol):
    """Modes of a kernel for the columns of a rank."""

    def change(self, modes: NDArray[Any], columns: slice) -> None:
        """Multiply the modes of some columns by those of the kernel; see `Middle`."""
        ...


class FullModes:
    """Complex modes of any kernel.

    Parameters
    ----------
    modes : ndarray
        Modes on the spectral box of the rank.
    """

    def __init__(self, modes: NDArray[Any]) -> None:
        self._modes = modes.reshape(modes.shape[0], math.prod(modes.shape[1:]))

    def change(self, modes: NDArray[Any], columns: slice) -> None:
        """See `KernelModes`."""
        modes *= self._modes[:, columns]


class EvenModes:
    """Real modes of a kernel that is even along every axis; the second half of the first axis mirrors the first.

    Parameters
    ----------
    modes : ndarray
        Modes of the first axis up to the middle, of the others as the rank has them.
    length : int
        Length of the transform of the first axis.
    """

    def __init__(self, modes: NDArray[np.float64], length: int) -> None:
        self._modes = modes.reshape(modes.shape[0], math.prod(modes.shape[1:]))
        self._mirrored = (length - 1) // 2

    def change(self, modes: NDArray[Any], columns: slice) -> None:
        """See `KernelModes`."""
        kernel = self._modes[:, columns]
        first, second = modes[: len(kernel)], modes[len(kernel) :]
        for part in (first.real, first.imag):
            part *= kernel
        # A real line has no second half.
        if len(second):
            for part in (second.real, second.imag):
                part *= kernel[self._mirrored : 0 : -1]


def sampled_modes(
    context: Context, transform: Transform, sampler: Sampler, even: bool, wraps: bool, threads: int
) -> KernelModes:
    """Modes of a kernel from its values at all offsets; collective.

    Parameters
    ----------
    context : Context
        The ranks.
    transform : Transform
        The one whose modes are to be multiplied.
    sampler : callable
        The kernel.
    even : bool
        Whether it is even along every axis.
    wraps : bool
        Whether offsets are those to the nearest periodic image; else those between any two sites, without images.
    threads : int
        Threads of this rank.
    """
    factor = transform.scale * math.prod(basis.spacing for basis in transform.bases)
    if even and all(basis.length % 2 == 0 for basis in transform.bases):
        middles = [basis.length // 2 + 1 for basis in transform.bases]
        axes = [Basis("dct1", n, b.spacing, n, n) for n, b in zip(middles, transform.bases, strict=True)]
        own = Transform(context, axes, threads)
        offsets = [np.arange(basis.count) * basis.spacing for basis in axes]
        modes = own.forward(sample_box(context, sampler, offsets, own.box))
        modes *= factor
        own.free()
        return folded_modes(context, transform, modes, own.spectral_box)
    whole = Transform(context, [fourier(b.length, b.spacing) for b in transform.bases], threads)
    offsets = [b.spacing * wrapped(b.length) for b in transform.bases]
    values = sample_box(context, sampler, offsets, whole.box)
    if not wraps:
        for axis, (basis, offset) in enumerate(zip(transform.bases, offsets, strict=True)):
            inside = np.abs(offset) < (basis.count - 0.5) * basis.spacing
            values *= _along(inside[whole.box[0][axis] : whole.box[1][axis]], axis, values.ndim)
    modes = whole.forward(values)
    modes *= factor
    whole.free()
    found = moved(context, modes, whole.spectral_box, transform.spectral_box)
    if even:
        return EvenModes(found.real[: transform.bases[0].length // 2 + 1].copy(), transform.bases[0].length)
    return FullModes(found)


def folded_modes(context: Context, transform: Transform, modes: NDArray[np.float64], box: Box) -> KernelModes:
    """Modes of an even kernel for the columns of this rank, from those up to the middle of every axis; collective.

    Parameters
    ----------
    context : Context
        The ranks.
    transform : Transform
        The one whose modes are to be multiplied.
    modes : ndarray
        Modes of the kernel on a box.
    box : Box
        That box of this rank.
    """
    lo, hi = transform.spectral_box
    # Mode m of an axis is that of min(m, length - m).
    folds = [_folded(np.arange(a, b), basis.length) for a, b, basis in zip(lo, hi, transform.bases, strict=True)]
    whole = transform.bases[0].length // 2 + 1 if hi[0] else 0
    folds[0] = np.arange(whole)
    wanted: Box = (
        tuple(int(fold.min()) if fold.size else 0 for fold in folds),
        tuple(int(fold.max()) + 1 if fold.size else 0 for fold in folds),
    )
    found = moved(context, modes, box, wanted)
    for axis, fold in enumerate(folds):
        if axis and found.shape[axis] and not np.array_equal(fold, np.arange(*_range(fold))):
            found = np.take(found, fold - wanted[0][axis], axis)
    return EvenModes(np.ascontiguousarray(found), transform.bases[0].length)


def _range(fold: NDArray[np.int64]) -> tuple[int, int]:
    return int(fold[0]), int(fold[-1]) + 1


def _folded(modes: NDArray[np.int64], length: int) -> NDArray[np.int64]:
    return np.minimum(modes, length - modes)


def wrapped(length: int) -> NDArray[np.int64]:
    """Offset of every place of a periodic line to the nearest image of the first.

    Examples
    --------
    >>> wrapped(4).tolist(), wrapped(5).tolist()
    ([0, 1, -2, -1], [0, 1, 2, -2, -1])
    """
    place = np.arange(length)
    return np.where(place < (length + 1) // 2, place, place - length)


def sample_box(
    context: Context, sampler: Sampler, offsets: Sequence[NDArray[np.float64]], box: Box
) -> NDArray[np.float64]:
    """Values of a kernel on a box of offsets, layer by layer so that little memory is needed besides; collective.

    Parameters
    ----------
    context : Context
        The ranks.
    sampler : callable
        The kernel.
    offsets : sequence of ndarray
        Offsets of all places of each axis.
    box : Box
        Places of this rank.

    Raises
    ------
    ConfigError
        On all ranks, with the words of the first that the kernel refused.
    """
    values = np.empty(extent(box))
    own = [offset[a:b] for offset, a, b in zip(offsets, *box, strict=True)]
    grids = [_along(offset, axis, len(own)) for axis, offset in enumerate(own)]
    fault = ""
    try:
        for layer in range(len(values) if values.size else 0):
            values[layer : layer + 1] = sampler([grids[0][layer : layer + 1], *grids[1:]])
    except ConfigError as error:
        fault = str(error)
    if not context.agree(not fault):
        raise ConfigError(next(text for text in context.texts(fault) if text))
    return values


def _along(line: NDArray[Any], axis: int, ndim: int) -> NDArray[Any]:
    """A line as an array with so many axes."""
    return line.reshape([-1 if k == axis else 1 for k in range(ndim)])


def moved(context: Context, values: NDArray[Any], have: Box, want: Box) -> NDArray[Any]:
    """Values on another box; collective."""
    if context.agree(have == want):
        return values
    found = np.zeros(extent(want), values.dtype)
    move = Redistribution(context, [have], [want], values.dtype)
    move.run([np.ascontiguousarray(values)], [found])
    move.free()
    return found
