"""What one rank writes: its pieces in the order of the file, packed batch by batch while they are in the cache."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import xxhash
from numpy.typing import NDArray

from hpcsim.errors import HpcsimError
from hpcsim.fields.spec import FieldSpec
from hpcsim.lattice.box import extent
from hpcsim.lattice.layout import Block, Layout
from hpcsim.output.checkpoint.pieces import (
    MAX_PIECE_BYTES,
    PIECE,
    STORED_DTYPES,
    cut,
    sites,
    table_of,
    words_of,
)
from hpcsim.output.snapshot import SnapshotField
from hpcsim.timing import Timers


class Packing:
    """The pieces of one rank; a `Cutter` makes them.

    Parameters
    ----------
    rows : ndarray of PIECE
        The pieces, register after register. File, offset, stored bytes and digest are filled in on the way.
    arrays : sequence of ndarray
        Values of each piece, with any strides.
    dtypes : sequence of dtype
        Number type of each register in the file.

    Attributes
    ----------
    fresh : ndarray of bool
        Pieces that this checkpoint writes; of the others an older one holds the same values.
    timers : Timers
        Seconds per phase on this rank.
    """

    def __init__(
        self, rows: NDArray[np.void], arrays: Sequence[NDArray[Any]], dtypes: Sequence[np.dtype[Any]], timers: Timers
    ) -> None:
        self.rows = rows
        self.arrays = arrays
        self.dtypes = dtypes
        self.timers = timers
        self.fresh = np.ones(len(rows), bool)
        itemsizes = np.array([dtype.itemsize for dtype in dtypes], np.int64)
        self.nbytes = sites(rows) * itemsizes[rows["field"]]
        self.rows["stored"] = self.nbytes
        self._digested = False
        self._encoded: dict[int, bytes] = {}

    @property
    def totals(self) -> NDArray[np.int64]:
        """Bytes that this rank writes of each register."""
        rows = self.rows[self.fresh]
        found = np.zeros(len(self.dtypes), np.int64)
        np.add.at(found, rows["field"], rows["stored"].astype(np.int64))
        return found

    def place(self, file: int, starts: NDArray[np.int64]) -> None:
        """Give every piece that is written its place.

        Parameters
        ----------
        file : int
            Number of the file.
        starts : ndarray of int64
            Per register, where in the file the bytes of this rank begin.
        """
        chosen = np.flatnonzero(self.fresh)
        fields, stored = self.rows["field"][chosen], self.rows["stored"][chosen].astype(np.int64)
        before = np.cumsum(stored) - stored
        # Registers follow each other: what lies before a piece in its own one is what lies before it at all, minus
        # what lies before the first piece of the register.
        heads = np.searchsorted(fields, np.arange(len(self.dtypes)))
        base = before[np.minimum(heads, len(before) - 1)] if len(before) else np.zeros(len(self.dtypes), np.int64)
        self.rows["offset"][chosen] = starts[fields] + before - base[fields]
        self.rows["file"][chosen] = file

    def batches(self, limit: int) -> Iterator[NDArray[np.intp]]:
        """Pieces to be written whose bytes follow each other in the file, as many as fit `limit` bytes (at least one).

        Yields
        ------
        ndarray of int
            Rows of the pieces.
        """
        chosen = np.flatnonzero(self.fresh)
        fields, stored = self.rows["field"][chosen].tolist(), self.rows["stored"][chosen].tolist()
        first = total = 0
        for place, (field, nbytes) in enumerate(zip(fields, stored, strict=True)):
            if place > first and (total + nbytes > limit or field != fields[first]):
                yield chosen[first:place]
                first, total = place, 0
            total += nbytes
        if first < len(chosen):
            yield chosen[first:]

    def load(self, batch: NDArray[np.intp], staging: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Bytes of a batch as the file gets them; digests are taken here, from memory, if they were not before.

        Parameters
        ----------
        batch : ndarray of int
            Rows, as `batches` gives them.
        staging : ndarray of uint8
            Where the values are packed; valid until the next call.
        """
        if self._encoded:
            with self.timers.region("pack"):
                return np.frombuffer(b"".join([self._encoded[row] for row in batch.tolist()]), np.uint8)
        with self.timers.region("pack"):
            packed = self._packed(batch, staging)
        if not self._digested:
            with self.timers.region("digest"):
                self._digest(batch, packed)
        return packed

    def digest_all(self, staging: NDArray[np.uint8]) -> None:
        """Take the digests of all pieces before any is written."""
        for batch in self.batches(len(staging)):
            self.load(batch, staging)
        self._digested = True

    def encode(self, codec: Any) -> None:
        """Encode the pieces to be written and keep the streams, whose lengths then are the stored bytes."""
        buffer = np.empty(MAX_PIECE_BYTES, np.uint8)
        for row in np.flatnonzero(self.fresh):
            batch = np.array([row])
            with self.timers.region("pack"):
                packed = self._packed(batch, buffer)
            if not self._digested:
                with self.timers.region("digest"):
                    self._digest(batch, packed)
            with self.timers.region("encode"):
                values = packed.view(self.dtypes[self.rows["field"][row]]).reshape(self.arrays[row].shape)
                self._encoded[int(row)] = codec.encode(values)
            self.rows["stored"][row] = len(self._encoded[int(row)])
        self._digested = True

    def _packed(self, batch: NDArray[np.intp], staging: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Values of some pieces of one register, one after the other."""
        dtype = self.dtypes[self.rows["field"][batch[0]]]
        if len(batch) == 1:
            values = self.arrays[batch[0]]
            if values.flags.c_contiguous and values.dtype == dtype:
                # Already as the file wants it: no copy at all.
                return values.reshape(-1).view(np.uint8)
        place = 0
        for row in batch.tolist():
            values, count = self.arrays[row], int(self.nbytes[row])
            np.copyto(staging[place : place + count].view(dtype).reshape(values.shape), values)
            place += count
        return staging[:place]

    def _digest(self, batch: NDArray[np.intp], packed: NDArray[np.uint8]) -> None:
        """Enter the digests of packed pieces into the table."""
        place = 0
        for row in batch.tolist():
            count = int(self.nbytes[row])
            self.rows["digest"][row] = words_of(xxhash.xxh3_128_digest(packed[place : place + count].data))
            place += count


class _Part(NamedTuple):
    """One register in one block: the slabs of each component, and the arrays that a reader has to give."""

    block: Block
    slabs: tuple[tuple[int, tuple[slice, ...]], ...]
    shapes: tuple[tuple[int, ...], ...]


class Cutter:
    """Cuts the registers of a rank into pieces; the cuts are found once and used for every checkpoint.

    Parameters
    ----------
    layout : Layout
        Blocks and owners.
    rank : int
        Whose pieces.
    """

    def __init__(self, layout: Layout, rank: int) -> None:
        self._layout = layout
        self._blocks = layout.local(rank)
        self._specs: tuple[FieldSpec, ...] = ()
        self._rows = np.empty(0, PIECE)
        self._parts: list[list[_Part]] = []

    def collect(self, fields: Sequence[SnapshotField], timers: Timers) -> Packing:
        """The pieces, as views of what the fields give.

        Parameters
        ----------
        fields : sequence of SnapshotField
            The registers.
        timers : Timers
            Gets the seconds per phase.

        Raises
        ------
        HpcsimError
            If a field gives arrays of another shape or number type than its declaration says.
        """
        specs = tuple(field.spec for field in fields)
        if specs != self._specs:
            self._cut(specs)
        arrays = []
        for field, parts in zip(fields, self._parts, strict=True):
            for part in parts:
                values = field.read(part.block)
                for component, shape in enumerate(part.shapes):
                    if values[component].shape != shape or values[component].dtype != field.spec.dtype:
                        raise _unlike(field, part.block, component, values[component], shape)
                arrays += [values[component][place] for component, place in part.slabs]
        return Packing(self._rows.copy(), arrays, [STORED_DTYPES[spec.dtype] for spec in specs], timers)

    def _cut(self, specs: tuple[FieldSpec, ...]) -> None:
        """Find the pieces of these registers."""
        tables, self._parts = [np.empty(0, PIECE)], []
        for number, spec in enumerate(specs):
            parts, slabs, levels = [], [], []
            for block in self._blocks:
                boxes = [self._layout.owned_box(block, at) for at in spec.locations(self._layout.domain.ndim)]
                found = cut(self._layout, block, spec)
                places = tuple((slab.component, slab.within(boxes[slab.component][0])) for slab in found)
                parts.append(_Part(block, places, tuple(extent(box) for box in boxes)))
                slabs += found
                levels += [block.level] * len(found)
            self._parts.append(parts)
            tables.append(table_of(number, slabs))
            tables[-1]["level"] = levels
        self._rows = np.concatenate(tables)
        self._specs = specs


def _unlike(
    field: SnapshotField, block: Block, component: int, values: NDArray[Any], shape: tuple[int, ...]
) -> HpcsimError:
    """The error for values that are not what the field declares."""
    return HpcsimError(
        f"field {field.name}[{component}] of block {block.id} has shape {values.shape} and type {values.dtype}; "
        f"its declaration says {shape} and {field.spec.dtype}"
    )
