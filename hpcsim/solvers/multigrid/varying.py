"""Weights that differ from site to site, and those of the next coarser level.

The weight of a face is split into an even part, the conductance, and an odd one, from first differences. A coarse face
takes the mean over the fine faces that lie on it, which is half of what piecewise constant transfers would make of the
operator: corrections are then at most twice too large, however the conductance jumps, and a Krylov method puts that
right (Wesseling, An introduction to multigrid methods, 1992, section 5.4; Braess, Computing 55 (1995) 379). Averages of
resistances between coarse sites, right for smooth coefficients, make corrections at jumps far too large. Row sums are
averaged over the volume of the coarse site.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from hpcsim.lattice.box import Box
from hpcsim.solvers.grid import Axis
from hpcsim.solvers.multigrid.fetch import Fetch
from hpcsim.solvers.multigrid.level import Level
from hpcsim.solvers.multigrid.taps import Taps, face_taps, site_taps
from hpcsim.solvers.multigrid.transfer import Transfer
from hpcsim.solvers.multigrid.walls import folds

if TYPE_CHECKING:
    from hpcsim.comm.context import Context

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Varying:
    """Weights at the sites of a box, those of missing neighbours included.

    Attributes
    ----------
    lower, upper : tuple of float64 array
        Per axis, shape of the box.
    centre : float64 array
        Shape of the box.
    """

    lower: tuple[Values, ...]
    upper: tuple[Values, ...]
    centre: Values

    def scaled(self, factor: float) -> Varying:
        """All weights times a factor."""
        return Varying(
            tuple(factor * w for w in self.lower), tuple(factor * w for w in self.upper), factor * self.centre
        )

    def folded(self, axes: Sequence[Axis], box: Box) -> Varying:
        """Without missing neighbours: their weights go to the site and to the neighbour on the other side."""
        lower, upper, centre = [w.copy() for w in self.lower], [w.copy() for w in self.upper], self.centre.copy()
        for axis, (along, lo, hi) in enumerate(zip(axes, *box, strict=True)):
            ends = folds(along)
            if ends is None:
                if along.count == 1:
                    centre += lower[axis] + upper[axis]
                    lower[axis][...] = upper[axis][...] = 0.0
                continue
            for side, at_wall in ((0, lo == 0), (1, hi == along.count)):
                if not at_wall or lo == hi:
                    continue
                place: list[slice | int] = [slice(None)] * len(axes)
                place[axis] = 0 if side == 0 else -1
                window = tuple(place)
                gone, kept = (lower, upper) if side == 0 else (upper, lower)
                weight = gone[axis][window].copy()
                gone[axis][window] = 0.0
                centre[window] += ends[side].own * weight
                if along.count > 1:
                    kept[axis][window] += ends[side].image * weight
        return Varying(tuple(lower), tuple(upper), centre)


class Coarsening:
    """Makes the weights of a level from those of the finer one; set-up and runs are collective.

    Parameters
    ----------
    context : Context
        The ranks.
    level, coarse : Level
        The finer and the coarser level.
    """

    def __init__(self, context: Context, level: Level, coarse: Level) -> None:
        self._level, self._coarse = level, coarse
        part = coarse.part
        self._sites: list[Taps] = []
        self._faces: list[Taps] = []
        low, high = [], []
        for transfer, lo, hi in zip(level.down, *part, strict=True):
            sites = site_taps(transfer, np.arange(lo, hi))
            faces = face_taps(transfer, np.arange(lo, hi + 1))
            self._sites.append(sites)
            self._faces.append(faces)
            # A face needs the sites on both sides of it.
            spans = [s for s in (sites.span, (faces.span[0] - 1, faces.span[1])) if s[0] < s[1]]
            a, b = min((s[0] for s in spans), default=0), max((s[1] for s in spans), default=0)
            if transfer.fine.ends is not None:
                a, b = max(a, 0), min(b, transfer.fine.count)
            low.append(a)
            high.append(b)
        self._box: Box = (tuple(low), tuple(high))
        self._fetch = Fetch(context, level.axes, level.box, self._box, level.shared)
        self._join = None
        if coarse.shared and not level.shared:
            self._join = Fetch(context, coarse.axes, part, coarse.box, False)

    def run(self, weights: Varying) -> Varying:
        """Weights on the own box of the coarser level."""
        fetch, level = self._fetch.run, self._level
        lower, upper = [], []
        excess = fetch(weights.centre + sum(weights.lower) + sum(weights.upper))
        for axis, transfer in enumerate(level.down):
            low, high = self._pair(fetch(weights.lower[axis]), fetch(weights.upper[axis]), axis, transfer)
            lower.append(low)
            upper.append(high)
        for axis, taps in enumerate(self._sites):
            excess = taps.apply(excess, axis, self._box[0][axis])
        centre = excess - sum(lower) - sum(upper)
        if self._join is not None:
            join = self._join.run
            return Varying(tuple(join(w) for w in lower), tuple(join(w) for w in upper), join(centre))
        return Varying(tuple(lower), tuple(upper), centre)

    def _pair(self, lower: Values, upper: Values, axis: int, transfer: Transfer) -> tuple[Values, Values]:
        """Coarse weights of the lower and the upper neighbour along one axis."""
        even, odd, first = _faces(lower, upper, axis, transfer.fine, self._box[0][axis], self._box[1][axis])
        for other, taps in enumerate(self._sites):
            if other != axis:
                even = taps.apply(even, other, self._box[0][other])
                odd = taps.apply(odd, other, self._box[0][other]) if odd is not None else None
        ratio = transfer.fine.spacing / transfer.coarse.spacing
        taps = self._faces[axis]
        even = taps.apply(even, axis, first) * ratio**2
        if odd is None:
            return _ends(even, axis)
        odd = taps.apply(odd, axis, first) * ratio
        # Where first differences outweigh second ones they are made one-sided, else the smoother would diverge.
        even = np.where(np.abs(odd) > np.abs(even), np.where(even < 0.0, -np.abs(odd), np.abs(odd)), even)
        return _ends(even - odd, axis)[0], _ends(even + odd, axis)[1]

    def free(self) -> None:
        """Give back the messages."""
        self._fetch.free()
        if self._join is not None:
            self._join.free()


def _ends(faces: Values, axis: int) -> tuple[Values, Values]:
    """Faces below and above the sites."""
    n = faces.shape[axis]
    return np.take(faces, range(n - 1), axis), np.take(faces, range(1, n), axis)


def _faces(lower: Values, upper: Values, axis: int, along: Axis, lo: int, hi: int) -> tuple[Values, Values | None, int]:
    """Even and odd part of the weights of the faces between the sites lo..hi, with those at walls; first face."""
    below, above = np.moveaxis(upper, axis, 0)[:-1], np.moveaxis(lower, axis, 0)[1:]
    even, odd = 0.5 * (below + above), 0.5 * (below - above)
    bounded = along.ends is not None
    first, last = np.moveaxis(lower, axis, 0)[:1], np.moveaxis(upper, axis, 0)[-1:]
    plain = not odd.any()
    inner = odd if len(odd) else 0.5 * (last - first)
    evens, odds = [even], [odd]
    if bounded and lo == 0:
        # The odd part does not change across a wall.
        evens.insert(0, first + inner[:1])
        odds.insert(0, inner[:1])
    if bounded and hi == along.count:
        evens.append(last - inner[-1:])
        odds.append(inner[-1:])
    start = lo if bounded and lo == 0 else lo + 1
    found = np.moveaxis(np.concatenate(evens), 0, axis)
    if plain and not inner.any():
        return found, None, start
    return found, np.moveaxis(np.concatenate(odds), 0, axis), start
