"""Small operators as dense matrices, and random cases."""

from __future__ import annotations

import numpy as np

from hpcsim.solvers.grid import Axis, End, Star, laplacian

FIXED, FREE, ROBIN = End(1.0, 0.0), End(0.0, 1.0), End(1.0, 0.7)
ENDS = [None, (FIXED, FIXED), (FREE, FREE), (FIXED, FREE), (FREE, FIXED)]


def neighbour_matrix(axis: Axis, lower: float, upper: float) -> np.ndarray:
    """The neighbours of a star along one axis, straight from the definition of the ends."""
    n = axis.count
    matrix = np.zeros((n, n))
    for site in range(n):
        for weight, other, image in ((lower, site - 1, 1), (upper, site + 1, n - 2)):
            if axis.ends is None:
                matrix[site, other % n] += weight
            elif 0 <= other < n:
                matrix[site, other] += weight
            else:
                end = axis.ends[0] if other < 0 else axis.ends[1]
                if not axis.vertex:
                    matrix[site, site] += weight * end.mirror(axis.spacing)
                elif not end.fixed:
                    matrix[site, site] += weight * end.wall(axis.spacing)
                    if 0 <= image < n:
                        matrix[site, image] += weight
    return matrix


def star_matrix(star: Star) -> np.ndarray:
    """A star operator with constant weights as a dense matrix."""
    matrix = np.eye(star.size) * star.centre
    for place, axis in enumerate(star.axes):
        own = neighbour_matrix(axis, star.lower[place], star.upper[place])
        term = np.eye(1)
        for other, beside in enumerate(star.axes):
            term = np.kron(term, own if other == place else np.eye(beside.count))
        matrix += term
    return matrix


def random_star(rng: np.random.Generator) -> Star:
    """One to four axes of any kind, sometimes with a Robin end, unequal weights, a shift or the other sign."""
    ndim = int(rng.integers(1, 5))
    most = (40, 12, 7, 5)[ndim - 1]
    axes = []
    for place in range(ndim):
        ends = ENDS[rng.integers(5)] if rng.random() < 0.7 else (ENDS[2] if rng.random() < 0.5 else None)
        if place == 0 and rng.random() < 0.2:
            ends = (ROBIN, FREE)
        axes.append(Axis(int(rng.integers(2, most)), float(rng.random() + 0.5), bool(rng.integers(2)), ends))
    shift = 0.0 if rng.random() < 0.6 else float(rng.choice([-0.7, 0.43]))
    star = laplacian(tuple(axes), 1.0 if rng.random() < 0.8 else -2.0, shift)
    place = int(rng.integers(ndim))
    if rng.random() < 0.2 and (place == 0 or axes[place].ends is None):
        lower, upper = list(star.lower), list(star.upper)
        lower[place] += 0.3
        upper[place] -= 0.3
        star = Star(star.axes, tuple(lower), tuple(upper), star.centre)
    return star


def inside(box) -> tuple[slice, ...]:
    """Slices of a box in an array over the whole lattice."""
    return tuple(slice(a, b) for a, b in zip(*box, strict=True))
