"""How the axes of a domain are cut into blocks: a given block shape, or the grid that suits a number of ranks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

from hpcsim.errors import LayoutError, Problem
from hpcsim.lattice.check import axis_name, whole_numbers

MAX_BLOCKS = 2**22
# A default grid is good enough if the busiest rank has at most 1/0.8 of the mean number of cells.
GOOD_BALANCE = 0.8
MAX_BLOCKS_PER_RANK = 8
COUNTS_TRIED = 32

Shape = tuple[int, ...]


def even_edges(cells: int, count: int) -> Shape:
    """Edges of `count` blocks along an axis whose lengths differ by at most one cell.

    Examples
    --------
    >>> even_edges(7, 3)
    (0, 2, 4, 7)
    """
    return tuple(cells * i // count for i in range(count + 1))


def stepped_edges(cells: int, size: int) -> Shape:
    """Edges of blocks of `size` cells along an axis; the last block takes the rest.

    Examples
    --------
    >>> stepped_edges(7, 3)
    (0, 3, 6, 7)
    """
    return (*range(0, cells, size), cells)


def check_ghost(shape: Shape, ghost: int) -> None:
    """Refuse a domain with an axis shorter than the ghost width."""
    problems = [
        Problem(
            "lattice.shape",
            f"axis {axis_name(axis)} has {n} cells, fewer than the ghost width {ghost}; at least {ghost} are needed",
        )
        for axis, n in enumerate(shape)
        if n < ghost
    ]
    if problems:
        raise LayoutError(problems)


def check_block_shape(shape: Shape, block_shape: object, ghost: int) -> Shape:
    """A block shape given by the user, if every block of it can work.

    Parameters
    ----------
    shape : tuple of int
        Cells per axis of the domain; none smaller than `ghost`.
    block_shape : sequence of int
        Cells per axis of a block.
    ghost : int
        Ghost width, which no block may be narrower than.

    Returns
    -------
    tuple of int
        The block shape.

    Raises
    ------
    LayoutError
        If it is no shape of that many axes, larger than the domain, leaves a block narrower than the ghost width,
        or makes too many blocks; each message has a size that works.
    """
    where = "lattice.block_shape"
    sizes = whole_numbers(block_shape, where, 1, max(shape))  # type: ignore[arg-type]
    if len(sizes) != len(shape):
        raise LayoutError([Problem(where, f"{sizes} has {len(sizes)} entries for {len(shape)} axes")])
    problems = []
    for axis, (cells, size) in enumerate(zip(shape, sizes, strict=True)):
        name = axis_name(axis)
        if size > cells:
            text = f"axis {name}: blocks of {size} cells are larger than the {cells} cells of the domain; "
            problems.append(Problem(where, text + f"at most {cells}"))
        elif narrowest(cells, size) < ghost:
            text = f"axis {name}: {cells} cells in blocks of {size} leave a block of {narrowest(cells, size)}, "
            text += f"narrower than the ghost width {ghost}; {workable_size(cells, size, ghost)} works"
            problems.append(Problem(where, text))
    if problems:
        raise LayoutError(problems)
    blocks = _count(shape, sizes)
    if blocks > MAX_BLOCKS:
        larger = _larger(shape, sizes, ghost)
        text = f"{sizes} makes {blocks} blocks, more than {MAX_BLOCKS}; {larger} makes {_count(shape, larger)}"
        raise LayoutError([Problem(where, text)])
    return sizes


def narrowest(cells: int, size: int) -> int:
    """Length of the smallest block when an axis is cut in steps.

    Examples
    --------
    >>> narrowest(10, 4)
    2
    """
    return min(size, cells % size or size)


def workable_size(cells: int, wanted: int, ghost: int) -> int:
    """The block length nearest to the wanted one that leaves no block narrower than the ghost width.

    Examples
    --------
    >>> workable_size(10, 3, 2)
    2
    """
    for distance in range(4096):
        for size in (wanted - distance, wanted + distance):
            if 1 <= size <= cells and narrowest(cells, size) >= ghost:
                return size
    return cells


def workable_block_shape(shape: Shape, ranks: int, ghost: int) -> Shape | None:
    """A block shape that gives every rank a block, or None if there is none near the default grid."""
    limits = _limits(shape, ghost)
    if math.prod(limits) < ranks:
        return None
    grid = default_grid(shape, ranks, ghost)
    sizes = []
    for cells, count in zip(shape, grid, strict=True):
        smaller = islice(range(cells // count, 0, -1), 4096)
        size = next((s for s in smaller if narrowest(cells, s) >= ghost), None)
        if size is None:
            return None
        sizes.append(size)
    return tuple(sizes) if ranks <= _count(shape, tuple(sizes)) <= MAX_BLOCKS else None


def default_grid(shape: Shape, ranks: int, ghost: int, exact: bool = False) -> Shape:
    """Blocks per axis for a number of ranks: the fewest blocks per rank that balance well, with least surface.

    Parameters
    ----------
    shape : tuple of int
        Cells per axis.
    ranks : int
        Number of ranks.
    ghost : int
        Ghost width, which no block may be narrower than.
    exact : bool, default False
        Allow only grids of exactly `ranks` blocks.

    Returns
    -------
    tuple of int
        Blocks per axis.

    Raises
    ------
    LayoutError
        If the domain cannot be cut into enough blocks; the message has the largest number of ranks that works.

    Examples
    --------
    >>> default_grid((48, 48, 48), 8, 1)
    (2, 2, 2)
    >>> default_grid((13, 7), 1, 2)
    (1, 1)
    """
    limits = _limits(shape, ghost)
    if math.prod(limits) < ranks:
        raise LayoutError([Problem("ranks", _too_many_ranks(shape, ranks, ghost, limits))])
    best: _Candidate | None = None
    for share in range(1, 2 if exact else MAX_BLOCKS_PER_RANK + 1):
        grids = (grid for count in _counts(ranks, share) for grid in factorisations(count, limits))
        found = min((_rate(shape, grid, ranks, ghost) for grid in grids), default=None)
        if found is not None:
            best = found if best is None else min(best, found)
            if found.balance >= GOOD_BALANCE:
                break
    if best is not None:
        return best.grid
    if not exact and math.prod(limits) <= MAX_BLOCKS:
        return limits
    text = f"shape {shape} with ghost width {ghost} cannot be cut into exactly {ranks} blocks"
    raise LayoutError([Problem("ranks", f"{text}; {_nearest_count(limits, ranks)} is possible")])


def factorisations(count: int, limits: Shape) -> Iterator[Shape]:
    """All ways to write a number as an ordered product, one factor per axis, each within its limit.

    Examples
    --------
    >>> list(factorisations(4, (4, 2)))
    [(2, 2), (4, 1)]
    """
    small = [i for i in range(1, math.isqrt(count) + 1) if count % i == 0]
    divisors = sorted({*small, *(count // i for i in small)})

    def split(rest: int, axis: int) -> Iterator[Shape]:
        if axis == len(limits) - 1:
            if rest <= limits[axis]:
                yield (rest,)
            return
        for first in divisors:
            if first > limits[axis]:
                break
            if rest % first == 0:
                for others in split(rest // first, axis + 1):
                    yield (first, *others)

    return split(count, 0)


@dataclass(frozen=True, order=True)
class _Candidate:
    """A grid with what speaks for it; the smaller is the better."""

    cost: int
    surface: int
    counts: Shape
    balance: float
    grid: Shape


def _rate(shape: Shape, grid: Shape, ranks: int, ghost: int) -> _Candidate:
    """Cells and ghost cells of the busiest rank; ties go to compact blocks, then to cuts of the first axes."""
    share = -(-math.prod(grid) // ranks)
    block = [-(-n // g) for n, g in zip(shape, grid, strict=True)]
    cells = math.prod(block)
    faces = [cells // n for n in block]
    cut_faces = sum(face for face, count in zip(faces, grid, strict=True) if count > 1)
    return _Candidate(
        cost=share * (cells + 2 * max(1, ghost) * cut_faces),
        surface=sum(faces),
        counts=tuple(-count for count in grid),
        balance=math.prod(shape) / (ranks * share * cells),
        grid=grid,
    )


def _counts(ranks: int, share: int) -> list[int]:
    """Numbers of blocks to try when the busiest rank has `share` of them."""
    if share == 1:
        return [ranks]
    low, high = (share - 1) * ranks + 1, share * ranks
    tried = {*range(max(low, high - COUNTS_TRIED), high + 1), *range(low, min(low + COUNTS_TRIED, high))}
    return sorted(count for count in tried if count <= MAX_BLOCKS)


def _limits(shape: Shape, ghost: int) -> Shape:
    """Most blocks per axis."""
    return tuple(n // max(1, ghost) for n in shape)


def _count(shape: Shape, sizes: Shape) -> int:
    """Number of blocks of a given size."""
    return math.prod(-(-n // s) for n, s in zip(shape, sizes, strict=True))


def _larger(shape: Shape, sizes: Shape, ghost: int) -> Shape:
    """A block shape near the given one that stays within the allowed number of blocks."""
    while _count(shape, sizes) > MAX_BLOCKS:
        sizes = tuple(workable_size(n, min(n, 2 * s), ghost) for n, s in zip(shape, sizes, strict=True))
    return sizes


def _nearest_count(limits: Shape, count: int) -> int:
    """The largest number of blocks not above `count` that is a product of allowed factors."""
    return next(n for n in range(count, 0, -1) if next(factorisations(n, limits), None))


def _too_many_ranks(shape: Shape, ranks: int, ghost: int, limits: Shape) -> str:
    """Sentence for a domain that has too few cells for the ranks."""
    most = math.prod(limits)
    smallest = tuple(n // count for n, count in zip(shape, limits, strict=True))
    return (
        f"{ranks} ranks, but shape {shape} with ghost width {ghost} can be cut into at most {most} blocks "
        f"(of about {smallest} cells); use at most {most} ranks"
    )
