"""Transforms over all axes of a lattice that is spread over the ranks."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.comm.redistribute import Redistribution
from hpcsim.errors import ConfigError
from hpcsim.lattice.box import Box, extent
from hpcsim.solvers.fft.basis import Basis, basis_of, halved
from hpcsim.solvers.fft.decomposition import boxes_at, choose_grid, shape_at
from hpcsim.solvers.fft.holding import Holding, Types
from hpcsim.solvers.fft.local import Lines, make_lines
from hpcsim.solvers.fft.stage import LineStage, Middle
from hpcsim.solvers.fft.workers import Workers
from hpcsim.solvers.grid import Axis

if TYPE_CHECKING:
    from hpcsim.comm.context import Context

LINE_LIMIT = 2**24
"""Longest single line that every rank may hold whole."""


class Transform:
    """Fourier, sine and cosine transforms of a field, each axis by the functions that belong to it.

    Set-up and all verbs are collective.

    Parameters
    ----------
    context : Context
        The ranks.
    axes : sequence of Axis or Basis
        One to four.
    threads : int
        Threads of this rank.
    dtype : {"float64", "complex128"}
        Type of the field.
    lines : str
        Name in `FFTS`.

    Attributes
    ----------
    box : Box
        Sites this rank gives and gets. A lattice with one axis is held whole by every rank.
    spectral_box : Box
        Modes this rank holds.
    shape, modes : tuple of int
        Sites and modes of the whole lattice, per axis.
    bases : tuple of Basis
        Functions of every axis. A real field has half of the modes of its last Fourier axis.
    spectral_type : numpy.dtype
        complex128 if any axis is a Fourier axis.
    replicated : bool
        Whether every rank holds the whole lattice.
    workers : Workers
        Threads of this rank.
    scale : float
        Factor by which the plain backward transform of modes gives the values.

    Raises
    ------
    ConfigError
        If an axis has no such functions, or a lattice with one axis is too long for every rank to hold.

    Examples
    --------
    >>> from hpcsim.comm.context import Context
    >>> transform = Transform(Context.serial(), [Axis(6, 1.0, False, None), Axis(4, 1.0, False, None)])
    >>> spectrum = transform.forward(np.ones((6, 4)))
    >>> spectrum.shape, complex(spectrum[0, 0]), abs(spectrum).sum() == 24.0
    ((6, 3), (24+0j), True)
    >>> transform.backward(spectrum).round(12).tolist()[0]
    [1.0, 1.0, 1.0, 1.0]
    """

    def __init__(
        self,
        context: Context,
        axes: Sequence[Axis | Basis],
        threads: int = 1,
        dtype: str = "float64",
        lines: str = "auto",
    ) -> None:
        self.context = context
        self.bases = _real_bases(axes, dtype)
        self.shape = tuple(basis.count for basis in self.bases)
        self.modes = tuple(basis.kept for basis in self.bases)
        self.scale = math.prod(basis.scale for basis in self.bases)
        self.replicated = len(self.bases) == 1 and context.size > 1
        if self.replicated and max(self.shape + self.modes) >= LINE_LIMIT:
            text = f"a line of {self.shape[0]} sites cannot be cut: with several ranks at most {LINE_LIMIT - 1} work"
            raise ConfigError(f"{text}; use one rank")
        self.workers = Workers(threads)
        types = _types(self.bases, dtype)
        local = [make_lines(lines, basis) for basis in self.bases]
        self._holdings = self._decompose(local, types)
        self.box = self._holdings[0].box
        (_, *lo), (_, *hi) = self._holdings[-1].result_box
        own = 0 not in extent(self._holdings[-1].result_box)
        self.spectral_box: Box = ((0, *lo), (self.modes[0] if own else 0, *hi))
        self.spectral_type = types[0]
        count, columns = self.lines.shape
        # The first axis is transformed last, and what is done with its modes is done in the same pass.
        sites, modes = (1, count, columns), (1, self.modes[0], columns)
        self._first = LineStage(local[0], sites, modes, types[0], self.workers)
        self._moves = [_moves(context, a, b) for a, b in pairwise(self._holdings)]

    def _decompose(self, local: Sequence[Lines], types: Types) -> list[Holding]:
        """Boxes and work of this rank from the field to the modes of all axes but the first."""
        ndim, context = len(self.bases), self.context
        grid = choose_grid(self.shape, self.modes, context.size)
        # Axes one after the other stay on the rank until the next one is cut.
        runs: list[list[int]] = [[ndim - 1]]
        for axis in range(ndim - 2, -1, -1):
            if grid[axis] > 1:
                runs.append([])
            runs[-1].append(axis)
        holdings = []
        for place, run in enumerate(runs):
            shape = shape_at(self.shape, self.modes, run[0])
            box = boxes_at(shape, grid, run[0], context.size)[context.rank]
            from_caller = place == 0 and ndim > 1
            axes = [axis for axis in run if axis]
            holdings.append(Holding(box, axes, self.bases, local, types, from_caller, self.workers))
        return holdings

    @property
    def lines(self) -> NDArray[Any]:
        """Work memory: sites of the first axis, modes of the others; shape (sites, columns)."""
        held = self._holdings[-1].result
        return held.reshape(held.shape[0], math.prod(held.shape[1:]))

    def empty(self) -> NDArray[Any]:
        """Memory for the field on the box of this rank."""
        return np.empty(extent(self.box), self._holdings[0].type)

    def forward(self, values: NDArray[Any]) -> NDArray[Any]:
        """Modes of a field: plain sums over the sites.

        Parameters
        ----------
        values : ndarray
            The field on `box`.

        Returns
        -------
        ndarray
            Its modes on `spectral_box`, in memory of their own.
        """
        lines = self.inward(values)
        spectrum = np.empty(extent(self.spectral_box), self.spectral_type)
        self._first.forward(lines[None], spectrum.reshape(self._first.modes))
        return spectrum

    def backward(self, spectrum: NDArray[Any], result: NDArray[Any] | None = None) -> NDArray[Any]:
        """The field that has these modes.

        Parameters
        ----------
        spectrum : ndarray
            Modes on `spectral_box`; left as they are.
        result : ndarray, optional
            Memory for the field: C order, shape of `box`.
        """
        modes = np.ascontiguousarray(spectrum).reshape(self._first.modes)
        self._first.backward(modes, self.lines[None], self.scale)
        return self.outward(self.empty() if result is None else result)

    def through(self, values: NDArray[Any], result: NDArray[Any], change: Middle) -> None:
        """Transform, change the modes and transform back, in fewer passes than the three would take.

        Parameters
        ----------
        values : ndarray
            The field on `box`; left as it is.
        result : ndarray
            Memory for the outcome, which is not multiplied by `scale`; may be `values`.
        change : callable
            Called for sets of columns of the modes; see `Middle`. A column stands for one mode of every axis but the
            first, on this rank, in C order.
        """
        self.across(self.inward(values), change)
        self.outward(result)

    def across(self, source: NDArray[Any], change: Middle) -> None:
        """Transform the first axis, change the modes and transform back; `lines` with the outcome.

        Parameters
        ----------
        source : ndarray
            `lines`, or an array like it, which is left as it is.
        change : callable
            See `through`.
        """
        self._first.through(source[None], self.lines[None], change)

    def inward(self, values: NDArray[Any]) -> NDArray[Any]:
        """Transform all axes but the first; `lines` with the outcome."""
        if values.shape != extent(self.box):
            raise ValueError(f"values of shape {values.shape} were given, {extent(self.box)} is needed")
        first, *rest = self._holdings
        if len(self.shape) == 1:
            np.copyto(first.start, values)
        else:
            first.forward(np.ascontiguousarray(values))
        for (there, _), before, after in zip(self._moves, self._holdings, rest, strict=False):
            there.run([before.result], [after.start])
            after.forward(after.start)
        return self.lines

    def outward(self, result: NDArray[Any]) -> NDArray[Any]:
        """Plain backward transform of `lines` along all axes but the first; `result` with the outcome."""
        if result.shape != extent(self.box) or not result.flags.c_contiguous:
            raise ValueError(f"the result has shape {result.shape}; {extent(self.box)} in C order is needed")
        for (_, back), before, after in zip(
            self._moves[::-1], self._holdings[-2::-1], self._holdings[:0:-1], strict=True
        ):
            after.backward(after.start)
            back.run([after.start], [before.result])
        first = self._holdings[0]
        if len(self.shape) == 1:
            np.copyto(result, first.start)
        else:
            first.backward(result)
        return result

    def wavenumbers(self) -> tuple[NDArray[np.float64], ...]:
        """Wavenumbers of the modes of this rank, one array per axis that broadcasts over `spectral_box`."""
        lo, hi = self.spectral_box
        own = [basis.wavenumbers()[a:b] for basis, a, b in zip(self.bases, lo, hi, strict=True)]
        return np.ix_(*own)

    def free(self) -> None:
        """Give memory and threads back; local, harmless the second time."""
        for pair in self._moves:
            for move in pair:
                move.free()
        self.workers.free()


def _real_bases(axes: Sequence[Axis | Basis], dtype: str) -> tuple[Basis, ...]:
    """Functions of every axis; of a real field the last Fourier axis has half of its modes."""
    if not 1 <= len(axes) <= 4:
        raise ConfigError(f"{len(axes)} axes were given; a transform takes 1 to 4")
    bases = [basis_of(axis) if isinstance(axis, Axis) else axis for axis in axes]
    if dtype == "float64":
        for k in range(len(bases) - 1, -1, -1):
            if bases[k].fourier:
                bases[k] = halved(bases[k])
                break
    return tuple(bases)


def _types(bases: Sequence[Basis], dtype: str) -> list[np.dtype[Any]]:
    """Type of the data before and after the transform of each axis; see `Types`."""
    found = [np.dtype(dtype)]
    for basis in reversed(bases):
        found.append(np.dtype(np.complex128) if basis.fourier else found[-1])
    return found[::-1]


def _moves(context: Context, before: Holding, after: Holding) -> tuple[Redistribution, Redistribution]:
    """From what is held before to what is held after, and back."""
    there = Redistribution(context, [before.result_box], [after.box], after.type)
    return there, Redistribution(context, [after.box], [before.result_box], after.type)
