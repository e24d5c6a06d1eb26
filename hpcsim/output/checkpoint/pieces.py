"""Pieces: the slabs of the owned boxes that a checkpoint stores, and the binary table that lists them.

A piece is keyed by field, component, level and the global index of its first site, so a checkpoint is tied neither to
the blocks nor to the ranks that wrote it. The table is a NumPy array of dtype `PIECE`; everything here works on whole
tables, which may have millions of rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from hpcsim.fields.spec import DTYPES, FieldSpec
from hpcsim.lattice.domain import MAX_AXES
from hpcsim.lattice.layout import Block, Layout

MAX_PIECE_BYTES = 16 << 20
PIECE = np.dtype(
    [
        ("field", "<u2"),
        ("component", "<u2"),
        ("level", "<u2"),
        ("file", "<u4"),
        ("lo", "<i8", (MAX_AXES,)),
        ("shape", "<i8", (MAX_AXES,)),
        ("offset", "<u8"),
        ("stored", "<u8"),
        ("digest", "<u8", (2,)),
    ]
)
# Number types that a checkpoint may hold, as they lie in the files.
STORED_DTYPES = {name: np.dtype(name).newbyteorder("<") for name in DTYPES}


class Slab(NamedTuple):
    """The box of one piece.

    Attributes
    ----------
    component : int
        Component of the field.
    lo, shape : tuple of int
        Global index of the first site and sites per axis, one entry per axis of the domain.
    """

    component: int
    lo: tuple[int, ...]
    shape: tuple[int, ...]

    def within(self, lo: Sequence[int]) -> tuple[slice, ...]:
        """The slab as slices of an array whose first site has the global index `lo`.

        Examples
        --------
        >>> Slab(0, (4, 2), (2, 8)).within((3, 2))
        (slice(1, 3, None), slice(0, 8, None))
        """
        return tuple(slice(a - b, a - b + n) for a, b, n in zip(self.lo, lo, self.shape, strict=True))


def cut_box(
    lo: Sequence[int], shape: Sequence[int], itemsize: int, limit: int = MAX_PIECE_BYTES
) -> Iterator[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Cut a box into slabs that are one run of memory each, in the order of memory (last axis fastest).

    Parameters
    ----------
    lo, shape : sequence of int
        First site and extent.
    itemsize : int
        Bytes of a value.
    limit : int
        Most bytes of a slab; at least `itemsize`.

    Yields
    ------
    (tuple of int, tuple of int)
        First site and extent of each slab. Only the first axes are cut, and as few of them as it takes.

    Examples
    --------
    >>> list(cut_box((0, 0), (3, 4), 8, limit=64))
    [((0, 0), (2, 4)), ((2, 0), (1, 4))]
    """
    if 0 in shape:
        return
    axis, rest = 0, int(np.prod(shape, dtype=np.object_)) * itemsize
    while axis < len(shape) and rest // shape[axis] > limit:
        rest //= shape[axis]
        axis += 1
    if axis == len(shape):
        raise ValueError(f"a value of {itemsize} bytes is larger than a slab of {limit} bytes")
    thick = max(1, min(shape[axis], limit // (rest // shape[axis])))
    for index in np.ndindex(*shape[:axis]):
        head = tuple(a + i for a, i in zip(lo, index, strict=False))
        for first in range(0, shape[axis], thick):
            count = min(thick, shape[axis] - first)
            yield (*head, lo[axis] + first, *lo[axis + 1 :]), (*(1,) * axis, count, *shape[axis + 1 :])


def cut(layout: Layout, block: Block, spec: FieldSpec, limit: int = MAX_PIECE_BYTES) -> list[Slab]:
    """The pieces of one field in one block.

    Parameters
    ----------
    layout : Layout
        The layout of the block.
    block : Block
        The block.
    spec : FieldSpec
        The field.
    limit : int
        Most bytes of a piece.

    Returns
    -------
    list of Slab
        Component after component, each in the order of memory.
    """
    slabs = []
    for component, location in enumerate(spec.locations(layout.domain.ndim)):
        lo, hi = layout.owned_box(block, location)
        shape = tuple(b - a for a, b in zip(lo, hi, strict=True))
        slabs += [Slab(component, *box) for box in cut_box(lo, shape, spec.itemsize, limit)]
    return slabs


def table_of(field: int, slabs: Sequence[Slab], level: int = 0) -> NDArray[np.void]:
    """Rows of the table for the pieces of one field; file, offset, stored bytes and digest are zero.

    Examples
    --------
    >>> table_of(1, [Slab(0, (4, 2), (2, 8))])["shape"].tolist()
    [[2, 8, 1, 1]]
    """
    table = np.zeros(len(slabs), PIECE)
    table["field"], table["level"], table["shape"] = field, level, 1
    if slabs:
        ndim = len(slabs[0].lo)
        table["component"] = [slab.component for slab in slabs]
        table["lo"][:, :ndim] = [slab.lo for slab in slabs]
        table["shape"][:, :ndim] = [slab.shape for slab in slabs]
    return table


def sites(table: NDArray[np.void]) -> NDArray[np.int64]:
    """Sites of each piece."""
    return np.asarray(np.prod(table["shape"], axis=1, dtype=np.int64))


def _order_columns(table: NDArray[np.void]) -> list[NDArray[np.int64]]:
    """What the rows are sorted by, the most important first."""
    return [*(table[name].astype(np.int64) for name in ("field", "component", "level")), *table["lo"].T]


def sort_table(table: NDArray[np.void]) -> NDArray[np.void]:
    """The rows sorted by field, component, level and first site; equal keys keep their order."""
    return table[np.lexsort(_order_columns(table)[::-1])]


def is_sorted(table: NDArray[np.void]) -> bool:
    """Whether every row comes strictly after the one before it, in the order of `sort_table`."""
    tied = np.ones(max(0, len(table) - 1), bool)
    for column in _order_columns(table):
        step = np.sign(column[1:] - column[:-1])
        if (step[tied] < 0).any():
            return False
        tied &= step == 0
    return not tied.any()


def match_keys(wanted: NDArray[np.void], known: NDArray[np.void]) -> NDArray[np.int64]:
    """Where each wanted piece is among the known ones.

    Parameters
    ----------
    wanted, known : ndarray of PIECE
        Tables; the known one holds each key once.

    Returns
    -------
    ndarray of int64
        Row of the known piece with the same field, component, level, first site and extent, or -1.
    """
    both = np.concatenate([known, wanted])
    columns = np.stack([*_order_columns(both), *both["shape"].T])
    # The sort is stable: a known piece comes just before the wanted ones of its key.
    order = np.lexsort(columns[::-1])
    columns = columns[:, order]
    fresh = np.ones(len(both), bool)
    fresh[1:] = (columns[:, 1:] != columns[:, :-1]).any(axis=0)
    leader = order[np.maximum.accumulate(np.where(fresh, np.arange(len(both)), 0))]
    found = np.empty(len(both), np.int64)
    found[order] = np.where(leader < len(known), leader, -1)
    return found[len(known) :]


def intersect_boxes(
    lo: NDArray[np.int64], hi: NDArray[np.int64], other_lo: NDArray[np.int64], other_hi: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Common parts of boxes, row by row (arrays of shape ``[..., axis]``, which may be broadcast).

    Returns
    -------
    (ndarray, ndarray)
        First site and extent; the extent is 0 on an axis where the two do not meet.
    """
    first = np.maximum(lo, other_lo)
    return first, np.maximum(np.minimum(hi, other_hi) - first, 0)


def tiles(table: NDArray[np.void], extent: Sequence[int]) -> bool:
    """Whether the boxes of a table cover every site of ``[0, extent)`` exactly once, whatever their cut.

    The number of boxes over a site is fixed by its mixed difference along all axes, which is a sum of signed corners
    of the boxes. So the corners must cancel to those of the whole.

    Parameters
    ----------
    table : ndarray of PIECE
        Pieces of one component.
    extent : sequence of int
        Sites of the component per axis.

    Examples
    --------
    >>> parts = table_of(0, [Slab(0, (0, 0), (2, 4)), Slab(0, (2, 0), (1, 4))])
    >>> tiles(parts, (3, 4)), tiles(parts, (3, 5)), tiles(parts[[0, 0]], (4, 4))
    (True, False, False)
    """
    ndim = len(extent)
    lo, shape = table["lo"], table["shape"]
    whole = np.array([*extent, *(1,) * (MAX_AXES - ndim)], np.int64)
    inside = (lo >= 0).all() and (shape >= 1).all() and (lo <= whole).all() and (shape <= whole - lo).all()
    if not inside:
        return False
    # Numbers of corners: at most 2**62 sites of a domain leave room for the one more per axis in 64 bits.
    steps = [1]
    for n in reversed(extent[1:]):
        steps.insert(0, steps[0] * (n + 1))
    stride = np.array(steps, np.uint64)
    low, high = lo[:, :ndim].astype(np.uint64), (lo + shape)[:, :ndim].astype(np.uint64)
    plus: list[NDArray[np.uint64]] = []
    minus: list[NDArray[np.uint64]] = []
    for corner in np.ndindex(*(2,) * ndim):
        upper = np.array(corner, bool)
        number = (np.where(upper, high, low) * stride).sum(axis=1, dtype=np.uint64)
        own = (np.where(upper, whole[:ndim], 0).astype(np.uint64) * stride).sum(dtype=np.uint64, keepdims=True)
        odd = bool(upper.sum() % 2)
        (minus if odd else plus).append(number)
        (plus if odd else minus).append(own)
    return np.array_equal(np.sort(np.concatenate(plus)), np.sort(np.concatenate(minus)))


def gaps(offset: NDArray[np.uint64], stored: NDArray[np.uint64], size: int) -> NDArray[np.int64] | None:
    """Byte ranges of a file that belong to no piece: its frame.

    Parameters
    ----------
    offset, stored : ndarray of uint64
        Place and length of the pieces in the file, in any order.
    size : int
        Bytes of the file.

    Returns
    -------
    ndarray of int64 or None
        Rows ``[start, stop)`` in file order, none empty; None if pieces overlap or end after the file.

    Examples
    --------
    >>> gaps(np.array([8, 4], np.uint64), np.array([2, 4], np.uint64), 12).tolist()
    [[0, 4], [10, 12]]
    """
    order = np.argsort(offset, kind="stable")
    start, length = offset[order], stored[order]
    if len(start) and (start.max() > size or (length > size - start).any()):
        return None
    start, stop = start.astype(np.int64), (start + length).astype(np.int64)
    begin, end = np.concatenate([[0], stop]), np.concatenate([start, [size]])
    if (end < begin).any():
        return None
    return np.stack([begin, end], axis=1)[end > begin]


def words_of(digest: bytes) -> NDArray[np.uint64]:
    """The two words of the table for the 16 bytes of an xxh3-128 digest."""
    return np.frombuffer(digest, "<u8")


def digest_of(array: NDArray) -> NDArray[np.uint64]:
    """xxh3-128 of the values of an array, C order, little-endian.

    Parameters
    ----------
    array : ndarray
        Any shape; one that is not contiguous is copied first.

    Returns
    -------
    ndarray of uint64
        Two words, as the table holds them.

    Examples
    --------
    >>> a = np.arange(6.0).reshape(2, 3)
    >>> bool((digest_of(a) == digest_of(a.ravel())).all()), bool((digest_of(a) == digest_of(a.T)).all())
    (True, False)
    """
    values = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<"))
    return words_of(xxhash.xxh3_128_digest(values.data))
