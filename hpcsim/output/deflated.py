"""VTKHDF snapshots with deflated datasets: each chunk is compressed by one rank, rank 0 hands the chunks to HDF5.

HDF5 alone may place chunks in a file, so one process has to write them. It sees compressed chunks only, those of one
rank and one round at a time; no field is gathered. Where a chunk lies across the blocks of several ranks, they send
their parts to its owner.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from hpcsim.comm.context import Context
from hpcsim.errors import DiskError
from hpcsim.lattice.layout import Layout
from hpcsim.output.chunks import ChunkPlan, chunk_extent
from hpcsim.output.compress.entropy import shuffled
from hpcsim.output.compress.lossless import DEFLATE_LEVEL
from hpcsim.output.compress.options import Packed
from hpcsim.output.compress.tally import Tally, gather_tallies
from hpcsim.output.files import open_hdf5, reserve_ahead
from hpcsim.output.publish import failure, publish, settle, temporary_of
from hpcsim.output.snapshot import SnapshotField, snapshot_name
from hpcsim.output.vtkhdf import Piece, create_file, plan_pieces

# Raw bytes that a rank compresses before it hands its chunks on.
ROUND_BYTES = 16 << 20
# What HDF5 may write beside the chunks of a round: the index of chunks, names and attributes.
_MARGIN_BYTES = 1 << 20
_EXPECTED = (OSError, DiskError, MemoryError, RuntimeError)


def write_deflated(
    context: Context,
    layout: Layout,
    fields: Sequence[SnapshotField],
    step: int,
    time: float,
    metadata: Mapping[str, Any],
    directory: Path,
) -> Path:
    """Write the fields of all ranks as one VTKHDF file with deflated datasets; collective.

    Parameters, result and errors are those of `hpcsim.output.snapshot.write_snapshot`.
    """
    final = Path(directory) / snapshot_name(step)
    temporary = temporary_of(final)
    file = _File(temporary)
    try:
        if context.rank == 0:
            file.create(layout, fields, step, time, metadata)
        settle(context, file.problem, temporary)
        tallies = [Tally() for _ in fields]
        for field, tally in zip(fields, tallies, strict=True):
            arrays = {block.id: field.read(block) for block in layout.local(context.rank)}
            for piece in plan_pieces(layout.domain, field.name, field.spec):
                _Dataset(context, layout, piece, arrays, file, tally).write()
                settle(context, file.problem, temporary)
        totals = gather_tallies(context, tallies)
        if context.rank == 0:
            file.finish({f.name: t.record() for f, t in zip(fields, totals, strict=True)})
    finally:
        file.close()
    settle(context, file.problem, temporary)
    settle(context, publish(temporary, final) if context.rank == 0 else "", temporary)
    return final


class _File:
    """The HDF5 file on rank 0; a place for the first problem on the others.

    Attributes
    ----------
    problem : str
        What went wrong first on this rank; empty if nothing did.
    """

    def __init__(self, path: Path) -> None:
        self.problem = ""
        self._path = path
        self._handle: Any = None

    def fail(self, error: Exception) -> None:
        """Keep a failure, if it is the first."""
        self.problem = self.problem or failure(error, self._path)

    def create(
        self, layout: Layout, fields: Sequence[SnapshotField], step: int, time: float, metadata: Mapping[str, Any]
    ) -> None:
        """Make the file with all datasets, none of which has a chunk yet."""

        def chunks(piece: Piece) -> tuple[int, ...]:
            interleaved = (len(piece.components),) if len(piece.components) > 1 else ()
            return (*reversed(chunk_extent(layout, piece)), *interleaved)

        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.write_bytes(b"")
            # Space is tried before HDF5 writes: the library cannot be left cleanly after a full disk.
            reserve_ahead(self._path, _MARGIN_BYTES + len(str(metadata)))
            self._handle = open_hdf5(self._path, "w")
            specs = {field.name: field.spec for field in fields}
            create_file(self._handle, layout.domain, specs, step, time, metadata, chunks)
            self._handle.flush()
        except _EXPECTED as error:
            self.fail(error)

    def write(self, path: str, chunks: Sequence[tuple[tuple[int, ...], bytes | memoryview]]) -> None:
        """Hand compressed chunks, each with its first index, to HDF5."""
        if self.problem:
            return
        try:
            reserve_ahead(self._path, sum(len(data) for _, data in chunks) + _MARGIN_BYTES)
            dataset = self._handle[path].id
            for first, data in chunks:
                dataset.write_direct_chunk(first, bytes(data))
        except _EXPECTED as error:
            self.fail(error)
            # At once, while what HDF5 still has to write has its space.
            self.close()

    def finish(self, compression: Mapping[str, Any]) -> None:
        """Write what the compression gave."""
        try:
            reserve_ahead(self._path, _MARGIN_BYTES)
            self._handle["hpcsim"].create_dataset("compression", data=json.dumps(compression))
        except _EXPECTED as error:
            self.fail(error)
            self.close()

    def close(self) -> None:
        """Close the file and make it durable; without effect on ranks that have none open."""
        if self._handle is None:
            return
        handle, self._handle = self._handle, None
        try:
            handle.close()
            descriptor = os.open(self._path, os.O_RDWR)
            try:
                # Gives back what was reserved and not used.
                os.ftruncate(descriptor, os.fstat(descriptor).st_size)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        except _EXPECTED as error:
            self.fail(error)


class _Dataset:
    """The rounds in which one dataset is exchanged, compressed and written; collective."""

    def __init__(
        self,
        context: Context,
        layout: Layout,
        piece: Piece,
        arrays: Mapping[int, Sequence[np.ndarray]],
        file: _File,
        tally: Tally,
    ) -> None:
        self._context, self._layout, self._piece, self._arrays = context, layout, piece, arrays
        self._file, self._tally = file, tally
        self._plan = ChunkPlan(layout, piece)
        self._shape = (*reversed(self._plan.extent), len(piece.components))
        self._lists = [self._plan.of_rank(rank) for rank in range(context.size)]
        self._batch = max(1, ROUND_BYTES // (int(np.prod(self._shape)) * np.dtype(piece.dtype).itemsize))
        self._tag = context.take_tags(3)
        self._pending: list[Any] = []

    def write(self) -> None:
        """All rounds, the same number on all ranks."""
        rank, size = self._context.rank, self._context.size
        sends = self._sends()
        for turn in range(-(-max(map(len, self._lists)) // self._batch)):
            window = slice(turn * self._batch, (turn + 1) * self._batch)
            mine = self._lists[rank][window]
            filled = self._gather(mine, sends.get(turn, []))
            packed = [self._compress(number, filled) for number in mine]
            if rank == 0:
                self._hand_over(mine, packed)
                for other in range(1, size):
                    self._receive(other, self._lists[other][window])
            elif mine:
                self._send(packed)
        self._wait()

    def _sends(self) -> dict[int, list[int]]:
        """Per round the chunks of other ranks of which this rank has a part, in rising order."""
        rank = self._context.rank
        touched: set[int] = set()
        if self._context.size > 1:
            touched = touched.union(*(self._plan.touched(block) for block in self._layout.local(rank)))
        places = {number: place for numbers in self._lists for place, number in enumerate(numbers)}
        found: dict[int, list[int]] = {}
        for number in sorted(touched):
            if self._plan.owners[number] != rank:
                found.setdefault(places[number] // self._batch, []).append(number)
        return found

    def _gather(self, mine: Sequence[int], others: Sequence[int]) -> dict[int, np.ndarray]:
        """The chunks of this rank in this round, filled with what all ranks have of them."""
        rank, comm, owners = self._context.rank, self._context.comm, self._layout.owners
        chunks = {number: np.zeros(self._shape, self._piece.dtype) for number in mine}
        requests, arriving = [], []
        for number in mine:
            view = self._x_first(chunks[number])
            for part in self._plan.parts(number):
                owner = owners[part.block.id]
                if owner == rank:
                    view[part.target] = self._values(part)
                else:
                    buffer = np.empty(view[part.target].shape, self._piece.dtype)
                    requests.append(comm.Irecv(buffer, source=owner, tag=self._tag))
                    arriving.append((view, part.target, buffer))
        leaving = []
        for number in others:
            for part in self._plan.parts(number):
                if owners[part.block.id] == rank:
                    leaving.append(np.ascontiguousarray(self._values(part)))
                    requests.append(comm.Isend(leaving[-1], dest=self._plan.owners[number], tag=self._tag))
        for request in requests:
            request.Wait()
        for view, target, buffer in arriving:
            view[target] = buffer
        return chunks

    def _x_first(self, chunk: np.ndarray) -> np.ndarray:
        """A chunk, stored with z first, as a view with x first."""
        ndim = chunk.ndim - 1
        return chunk.transpose((*reversed(range(ndim)), ndim))

    def _values(self, part: Any) -> np.ndarray:
        """What this rank has of a chunk, components last."""
        values = self._arrays[part.block.id]
        taken = [np.asarray(values[component])[part.source] for component in self._piece.components]
        return np.stack(taken, axis=-1).astype(self._piece.dtype, copy=False)

    def _compress(self, number: int, chunks: dict[int, np.ndarray]) -> bytes:
        """The chunk as HDF5's shuffle and deflate filters make it; empty after a failure."""
        try:
            data = zlib.compress(shuffled(chunks.pop(number)).data, DEFLATE_LEVEL)
        except MemoryError as error:
            self._file.fail(error)
            return b""
        lo, hi = self._plan.box(number)
        sites = int(np.prod([b - a for a, b in zip(lo, hi, strict=True)])) * self._shape[-1]
        self._tally.add(sites * np.dtype(self._piece.dtype).itemsize, Packed(data, "deflate", 0.0, "asked for"))
        return data

    def _hand_over(self, numbers: Sequence[int], data: Sequence[bytes | memoryview]) -> None:
        """Write chunks on rank 0."""
        last = (0,) if len(self._piece.components) > 1 else ()
        firsts = [(*reversed(self._plan.box(number)[0]), *last) for number in numbers]
        self._file.write(self._piece.path, list(zip(firsts, data, strict=True)))

    def _send(self, packed: Sequence[bytes]) -> None:
        """Hand this round's chunks to rank 0, when those of the round before are gone."""
        self._wait()
        comm = self._context.comm
        sizes = np.array([len(data) for data in packed], np.int64)
        blob = np.frombuffer(b"".join(packed), np.uint8)
        self._pending = [
            comm.Isend(sizes, dest=0, tag=self._tag + 1), comm.Isend(blob, dest=0, tag=self._tag + 2), sizes, blob,
        ]  # fmt: skip

    def _wait(self) -> None:
        """Until the last hand-over is complete."""
        for request in self._pending[:2]:
            request.Wait()
        self._pending = []

    def _receive(self, source: int, numbers: Sequence[int]) -> None:
        """Take over the chunks of another rank and write them; on rank 0."""
        if not numbers:
            return
        sizes = np.zeros(len(numbers), np.int64)
        self._context.comm.Recv(sizes, source=source, tag=self._tag + 1)
        blob = np.empty(int(sizes.sum()), np.uint8)
        self._context.comm.Recv(blob, source=source, tag=self._tag + 2)
        if not sizes.all():
            # The rank that failed says why when the ranks settle.
            return
        ends = np.cumsum(sizes)
        view = blob.data
        parts = [view[end - size : end] for end, size in zip(ends.tolist(), sizes.tolist(), strict=True)]
        self._hand_over(numbers, parts)
