"""Global numbering of sites: one number per site that no layout, block or rank changes."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from hpcsim.lattice.box import Box
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.location import Location, owned_extent

_WORD = 1 << 64


def site_strides(domain: Domain, location: Location, level: int = 0) -> tuple[int, ...]:
    """Row-major strides of the numbering of all owned sites of one level, last axis 1.

    A level doubles the cells per axis; the extra plane of a bounded staggered axis stays one.
    """
    coarse = owned_extent(domain, location)
    extents = [(n << level) + (full - n) for n, full in zip(domain.shape, coarse, strict=True)]
    strides = [1]
    for extent in reversed(extents[1:]):
        strides.append(strides[-1] * extent)
    return tuple(reversed(strides))


def site_numbers(domain: Domain, location: Location, box: Box, level: int = 0) -> NDArray[np.uint64]:
    """Number of each site of a box of global indices.

    Parameters
    ----------
    domain : Domain
        The lattice.
    location : Location
        Place of the values, per axis 0 centred, 1 staggered.
    box : Box
        Half-open global indices ``(lo, hi)``.
    level : int
        Refinement level.

    Returns
    -------
    ndarray of uint64
        Shape of the box.

    Examples
    --------
    >>> site_numbers(Domain((3, 4), (0.0, 0.0), (3.0, 4.0), (True, True)), (0, 0), ((1, 1), (3, 3)))
    array([[ 5,  6],
           [ 9, 10]], dtype=uint64)
    """
    lo, hi = box
    strides = site_strides(domain, location, level)
    numbers = np.zeros((1,) * len(lo), np.uint64)
    for axis, stride in enumerate(strides):
        shape = [1] * len(lo)
        shape[axis] = hi[axis] - lo[axis]
        indices = np.arange(lo[axis], hi[axis], dtype=np.uint64) * np.uint64(stride % _WORD)
        numbers = numbers + indices.reshape(shape)
    return numbers
