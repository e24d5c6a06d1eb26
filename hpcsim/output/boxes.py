"""Writing one rank's box of an array into its place in a file whose layout is known."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import numpy as np

from hpcsim.lattice.layout import Block
from hpcsim.output.files import write_all

SLAB_BYTES = 16 << 20


def bars(blocks: Sequence[Block]) -> list[list[Block]]:
    """Group blocks that follow each other along x, so that their rows can be written as one.

    Parameters
    ----------
    blocks : sequence of Block
        Blocks of one rank in any order.

    Returns
    -------
    list of list of Block
        Every block once; in a group the cells along x are consecutive and the other extents equal.
    """
    grouped: list[list[Block]] = []
    for block in sorted(blocks, key=lambda block: (block.lo[1:], block.hi[1:], block.lo[0])):
        last = grouped[-1][-1] if grouped else None
        if last and (last.hi[0], *last.lo[1:], *last.hi[1:]) == (block.lo[0], *block.lo[1:], *block.hi[1:]):
            grouped[-1].append(block)
        else:
            grouped.append([block])
    return grouped


def write_box(handle: int, offset: int, extent: Sequence[int], lo: Sequence[int], parts: Sequence[np.ndarray]) -> None:
    """Write a box of values, given with x first, into a dataset stored with x fastest.

    Parameters
    ----------
    handle : int
        File descriptor open for writing.
    offset : int
        Byte offset of the dataset in the file.
    extent : sequence of int
        Sites of the whole dataset along x, y, z.
    lo : sequence of int
        Index of the first site of the box.
    parts : sequence of ndarray
        Consecutive parts of the box along x, each of shape (*part, components) with any strides.

    Raises
    ------
    OSError
        As ``os.pwrite`` does.
    """
    ndim = len(extent)
    turned = [part.transpose((*reversed(range(ndim)), ndim)) for part in parts]
    whole = (*reversed(extent), turned[0].shape[-1])
    start = (*reversed(lo), 0)
    if ndim == 1:
        _write_slab(handle, offset, whole, start, np.concatenate(turned))
        return
    # Copied slab by slab: the transposed copy of a large block would need its memory twice.
    thick = max(8, SLAB_BYTES // max(1, sum(part[:1].nbytes for part in turned)))
    for first in range(0, turned[0].shape[0], thick):
        pieces = [part[first : first + thick] for part in turned]
        shape = (*pieces[0].shape[:-2], sum(piece.shape[-2] for piece in pieces), whole[-1])
        # Given the target, for else NumPy keeps the order of the source and a second copy is needed.
        slab = np.concatenate(pieces, axis=-2, out=np.empty(shape, pieces[0].dtype))
        _write_slab(handle, offset, whole, (start[0] + first, *start[1:]), slab)


def _write_slab(handle: int, offset: int, whole: Sequence[int], start: Sequence[int], slab: np.ndarray) -> None:
    """Write a contiguous box with as few calls as its shape allows: trailing full axes are one run."""
    strides = [slab.itemsize]
    for n in reversed(whole[1:]):
        strides.insert(0, strides[0] * n)
    split = len(whole) - 1
    while split > 0 and slab.shape[split] == whole[split]:
        split -= 1
    base = offset + sum(s * b for s, b in zip(start, strides, strict=True))
    for index in np.ndindex(*slab.shape[:split]):
        write_all(handle, slab[index], base + sum(i * s for i, s in zip(index, strides, strict=False)))


def wrapped_boxes(
    lo: Sequence[int], shape: Sequence[int], wraps: Sequence[int | None]
) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
    """Places in the file where a box has to go: its own, and the repeated planes of periodic axes.

    Parameters
    ----------
    lo, shape : sequence of int
        The box.
    wraps : sequence of (int or None)
        Per axis the index at which plane 0 is repeated, or None.

    Yields
    ------
    (tuple of int, tuple of slice)
        First index in the file, part of the box that goes there.

    Examples
    --------
    >>> [place for place, part in wrapped_boxes((0, 2), (4, 2), (4, None))]
    [(0, 2), (4, 2)]
    """
    choices = []
    for first, count, wrap in zip(lo, shape, wraps, strict=True):
        own = [(first, slice(0, count))]
        choices.append(own + [(wrap, slice(0, 1))] if wrap is not None and first == 0 and count else own)
    for combination in itertools.product(*choices):
        yield tuple(place for place, _ in combination), tuple(part for _, part in combination)
