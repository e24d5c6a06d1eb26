"""One box of sites per rank: pencils, which leave an axis whole, and bricks, which cut all axes."""

from __future__ import annotations

import math
from itertools import product

from hpcsim.errors import LayoutError
from hpcsim.lattice.box import Box
from hpcsim.lattice.cut import even_edges, factorisations


def pencils(shape: tuple[int, ...], ranks: int, whole: int = -1) -> tuple[Box, ...]:
    """Boxes that leave one axis whole; the others are cut by the process grid of least surface.

    Parameters
    ----------
    shape : tuple of int
        Sites per axis.
    ranks : int
        Number of ranks.
    whole : int
        The axis that is never cut.

    Returns
    -------
    tuple of Box
        One per rank, extents as even as they can be; boxes of ranks beyond what the grid can use are empty.

    Raises
    ------
    LayoutError
        If there is no such axis, or no rank.

    Examples
    --------
    >>> pencils((4, 6, 5), 2)
    (((0, 0, 0), (4, 3, 5)), ((0, 3, 0), (4, 6, 5)))
    >>> pencils((3, 2), 4, whole=0)[-1]
    ((0, 0), (0, 0))
    """
    if not -len(shape) <= whole < len(shape):
        raise LayoutError(f"axis {whole} of a shape with {len(shape)} axes does not exist")
    limits = list(shape)
    limits[whole] = 1
    return cut(shape, process_grid(shape, ranks, tuple(limits)), ranks)


def bricks(shape: tuple[int, ...], ranks: int) -> tuple[Box, ...]:
    """Boxes by the process grid of least surface over all axes, one per rank; see `pencils`.

    Examples
    --------
    >>> bricks((4, 6), 4)[3]
    ((2, 3), (4, 6))
    """
    return cut(shape, process_grid(shape, ranks, shape), ranks)


def process_grid(shape: tuple[int, ...], ranks: int, limits: tuple[int, ...]) -> tuple[int, ...]:
    """Parts per axis, at most `limits`, with the fewest sites in the largest box, then the least surface between parts.

    Parameters
    ----------
    shape : tuple of int
        Sites per axis.
    ranks : int
        Most parts in all.
    limits : tuple of int
        Most parts per axis; 1 leaves an axis whole.

    Raises
    ------
    LayoutError
        If there is no rank.

    Examples
    --------
    >>> process_grid((8, 8, 8), 4, (8, 8, 1))
    (2, 2, 1)
    >>> process_grid((8, 8), 7, (8, 8))
    (3, 2)
    """
    if ranks < 1:
        raise LayoutError(f"{ranks} ranks; at least 1 is needed")
    total = math.prod(shape)
    allowed = tuple(max(1, min(limit, n)) for limit, n in zip(limits, shape, strict=True))

    def rating(grid: tuple[int, ...]) -> tuple[int, int, tuple[int, ...]]:
        largest = [-(-n // parts) for n, parts in zip(shape, grid, strict=True)]
        sites = math.prod(largest)
        surface = sum((parts - 1) * (total // n) for n, parts in zip(shape, grid, strict=True) if parts > 1)
        return sites, surface, tuple(-parts for parts in grid)

    best = (1,) * len(shape)
    for parts in range(min(ranks, math.prod(allowed)), 0, -1):
        # Fewer parts cannot make the largest box smaller than an even share.
        if rating(best)[0] * parts < total:
            break
        best = min([best, *factorisations(parts, allowed)], key=rating)
    return best


def cut(shape: tuple[int, ...], grid: tuple[int, ...], ranks: int) -> tuple[Box, ...]:
    """Boxes of a grid of parts, one per rank; rank numbers run along the last axis first.

    Parameters
    ----------
    shape : tuple of int
        Sites per axis.
    grid : tuple of int
        Parts per axis.
    ranks : int
        Number of ranks, at least the number of parts; those beyond it get an empty box.

    Examples
    --------
    >>> cut((5,), (2,), 3)
    (((0,), (2,)), ((2,), (5,)), ((0,), (0,)))
    """
    edges = [even_edges(n, parts) for n, parts in zip(shape, grid, strict=True)]
    boxes: list[Box] = [
        (
            tuple(e[i] for e, i in zip(edges, place, strict=True)),
            tuple(e[i + 1] for e, i in zip(edges, place, strict=True)),
        )
        for place in product(*(range(parts) for parts in grid))
    ]
    none: Box = ((0,) * len(shape), (0,) * len(shape))
    return (*boxes, *[none] * (ranks - len(boxes)))
