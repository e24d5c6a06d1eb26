"""Sparse averages along one axis: how weights of the operator on a coarse axis follow from those on the fine one."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hpcsim.solvers.grid import Axis
from hpcsim.solvers.multigrid.transfer import Transfer

Indices = NDArray[np.int64]
Values = NDArray[np.float64]
_MOST = 5


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
    """Means over the way between neighbouring coarse sites, from the ways between neighbouring fine sites.

    Face f of an axis is the way from site f - 1 to site f. Beyond a wall the way is the mirror image of that inside;
    on an axis of cells face 0 lies across the wall, on one of vertices with a given wall it begins there.

    Parameters
    ----------
    transfer : Transfer
        The axis.
    index : int64 array
        Coarse faces; on a periodic axis any integers.

    Examples
    --------
    >>> face_taps(Transfer(Axis(8, 0.5, False, None), Axis(4, 1.0, False, None)), np.array([1])).weight
    array([[0.25, 0.5 , 0.25, 0.  , 0.  ]])
    """
    if transfer.same:
        return Taps(index[:, None].copy(), np.ones((len(index), 1)))
    fine, coarse = transfer.fine, transfer.coarse
    rows, weights = np.zeros((len(index), _MOST), np.int64), np.zeros((len(index), _MOST))
    for place, face in enumerate(index):
        low, high = (int(_position(coarse, np.array(f), fine.cells)) for f in (face - 1, face))
        found: dict[int, float] = {}
        # Faces of the fine axis that begin below `high` and end above `low`.
        step, start = 2 * coarse.cells, int(_position(fine, np.array(0), coarse.cells))
        for number in range((low - start) // step + 1, -((start - high) // step) + 1):
            end = start + number * step
            share = min(end, high) - max(end - step, low)
            if share > 0:
                inside = _mirrored(fine, number)
                found[inside] = found.get(inside, 0.0) + share / (high - low)
        for tap, (number, share) in enumerate(sorted(found.items())):
            rows[place, tap], weights[place, tap] = number, share
    return Taps(rows, weights)


def _position(axis: Axis, site: Indices, other: int) -> Indices:
    """Position of a site in units of length / (2 * cells of this axis * cells of the other)."""
    if axis.vertex:
        return 2 * other * (site + axis.first)
    return other * (2 * site + 1)


def _mirrored(axis: Axis, face: int) -> int:
    """The face that stands for one beyond a wall."""
    if axis.ends is None or 0 <= face <= axis.count:
        return face
    if axis.vertex:
        # The wall is a site: site 0, or the one before it.
        first, last = -axis.first, axis.cells - axis.first
        return 2 * first + 1 - face if face < 0 else 2 * last + 1 - face
    return -face if face < 0 else 2 * axis.count - face
