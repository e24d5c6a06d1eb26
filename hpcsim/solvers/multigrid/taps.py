"""Sparse averages along one axis: how weights of the operator on a coarse axis follow from those on the fine one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpcsim.solvers.grid import Axis
from hpcsim.solvers.multigrid.transfer import Transfer

Indices = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True)
class Taps:
    """Each target takes a few sources with weights.

    Attributes
    ----------
    index, weight : ndarray
        Shape (targets, taps).
    """

    index: Indices
    weight: Values

    @property
    def span(self) -> tuple[int, int]:
        """Range of the sources."""
        used = self.index[self.weight != 0.0]
        return (int(used.min()), int(used.max()) + 1) if used.size else (0, 0)

    def apply(self, values: Values, axis: int, first: int) -> Values:
        """Targets along an axis from sources that begin at index `first`."""
        total: Values | None = None
        along = [1] * values.ndim
        along[axis] = -1
        for index, weight in zip(self.index.T, self.weight.T, strict=True):
            if not weight.any():
                continue
            place = np.where(weight != 0.0, index - first, 0)
            part = np.take(values, place, axis=axis)
            part *= weight.reshape(along)
            total = part if total is None else np.add(total, part, out=total)
        assert total is not None
        return total


def site_taps(transfer: Transfer, index: Indices) -> Taps:
    """Means over the volumes of coarse sites."""
    first, weights = transfer.restriction(index)
    return Taps(first[:, None] + np.arange(weights.shape[1]), weights)


def face_taps(transfer: Transfer, index: Indices) -> Taps:
    """Weights of faces between coarse sites, from the fine faces on both sides of the same place.

    Face f of an axis lies between site f - 1 and site f. Beyond a wall the fine faces are the mirror image of those
    inside.

    Parameters
    ----------
    transfer : Transfer
        The axis.
    index : int64 array
        Coarse faces; on a periodic axis any integers.

    Examples
    --------
    >>> taps = face_taps(Transfer(Axis(7, 0.5, False, None), Axis(4, 0.875, False, None)), np.array([0, 1]))
    >>> taps.index.tolist(), taps.weight.tolist()
    ([[0, 0], [1, 2]], [[1.0, 0.0], [0.25, 0.75]])
    """
    if transfer.same:
        return Taps(index[:, None].copy(), np.ones((len(index), 1)))
    fine, coarse = transfer.fine, transfer.coarse
    many, few = fine.cells, coarse.cells
    # Faces in units of length / (2 * many * few): of cells at multiples of a cell, of vertices half a cell before it.
    half, start = (1, fine.first) if fine.vertex else (0, 0)
    place = many * (2 * (index + coarse.first * half) - half)
    below = (place + half * few) // (2 * few) - start
    share = (place - few * (2 * (below + start) - half)) / (2 * few)
    inside = [_mirrored(fine, face) for face in (below, below + 1)]
    inside[1] = np.where(share == 0.0, inside[0], inside[1])
    return Taps(np.stack(inside, axis=1), np.stack([1.0 - share, share], axis=1))


def _mirrored(axis: Axis, face: Indices) -> Indices:
    """The faces that stand for those beyond a wall."""
    if axis.ends is None:
        return face
    first, last = (-axis.first, axis.cells - axis.first) if axis.vertex else (0, axis.count)
    turn = 1 if axis.vertex else 0
    below = np.where(face < 0, 2 * first + turn - face, face)
    found: Indices = np.where(below > axis.count, 2 * last + turn - below, below)
    return found
