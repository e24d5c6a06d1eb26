"""Writing compressed snapshots: every rank compresses its own pieces and writes them into its places of one file."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from hpcsim.comm.context import Context
from hpcsim.errors import HpcsimError
from hpcsim.lattice.layout import Layout
from hpcsim.output.compress.options import Packed
from hpcsim.output.compress.tally import Tally, gather_tallies
from hpcsim.output.files import write_all
from hpcsim.output.packed_file import HEAD_BYTES, ROW, cut, make_head
from hpcsim.output.publish import failure, publish, settle, temporary_of
from hpcsim.output.snapshot import SnapshotField
from hpcsim.output.vtkhdf import describe_file

# Raw bytes that a rank compresses before the ranks agree on the places of the streams.
ROUND_BYTES = 32 << 20
_EXPECTED = (OSError, HpcsimError, MemoryError)


def packed_name(step: int) -> str:
    """File name of the packed snapshot of a step.

    Examples
    --------
    >>> packed_name(100)
    'step-000100.packed'
    """
    return f"step-{step:06d}.packed"


def write_packed(
    context: Context,
    layout: Layout,
    fields: Sequence[SnapshotField],
    step: int,
    time: float,
    metadata: Mapping[str, Any],
    directory: Path,
) -> Path:
    """Write the fields of all ranks as one file of compressed pieces, which hpcsim reads; collective.

    Parameters
    ----------
    context, layout, step, time, metadata, directory
        As for `hpcsim.output.snapshot.write_snapshot`.
    fields : sequence of SnapshotField
        What to write, each with its compression.

    Returns
    -------
    Path
        The finished file. `hpcsim.output.read.Snapshot.compression` tells what the compression gave.

    Raises
    ------
    DiskError
        On every rank, if any rank could not write; the temporary file is then removed.
    """
    final = Path(directory) / packed_name(step)
    temporary = temporary_of(final)
    settle(context, _create(temporary) if context.rank == 0 else "", temporary)
    writer = _Writer(context, layout, fields, temporary)
    try:
        settle(context, writer.open(), temporary)
        settle(context, writer.streams(), temporary)
        described = describe_file(layout.domain, {f.name: f.spec for f in fields}, step, time, metadata)
        for entry in described["fields"].values():
            entry["sources"] = [[] for _ in entry["sources"]]
        described["config"] = str(metadata.get("config", ""))
        settle(context, writer.finish(described), temporary)
    finally:
        writer.close()
    settle(context, publish(temporary, final) if context.rank == 0 else "", temporary)
    return final


def _create(temporary: Path) -> str:
    """Make an empty file; what went wrong, or an empty text."""
    try:
        temporary.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(bytes(HEAD_BYTES))
    except OSError as error:
        return failure(error, temporary)
    return ""


class _Writer:
    """What one rank does to the file; methods give what went wrong, or an empty text."""

    def __init__(self, context: Context, layout: Layout, fields: Sequence[SnapshotField], path: Path) -> None:
        self._context, self._layout, self._fields, self._path = context, layout, fields, path
        self._handle = -1
        self._end = HEAD_BYTES
        self._rows: list[np.ndarray] = []
        self._tallies = [Tally() for _ in fields]

    def open(self) -> str:
        """Open the file that rank 0 made."""
        try:
            self._handle = os.open(self._path, os.O_WRONLY)
        except OSError as error:
            return failure(error, self._path)
        return ""

    def close(self) -> None:
        """Close the file if it is open."""
        if self._handle >= 0:
            os.close(self._handle)
            self._handle = -1

    def streams(self) -> str:
        """Compress and write all pieces of this rank, in rounds that all ranks go through together; collective."""
        pieces = self._pieces()
        problem = ""
        while True:
            batch: list[tuple[np.ndarray, Packed]] = []
            more = False
            if not problem:
                try:
                    more = self._compress(pieces, batch)
                except _EXPECTED as error:
                    problem = failure(error, self._path)
            places = self._places(sum(len(packed.data) for _, packed in batch), more, bool(problem))
            if places is None:
                return problem
            if not problem:
                try:
                    self._write(batch, places[0])
                except OSError as error:
                    # The others learn of it in the next round.
                    problem = failure(error, self._path)
            if not places[1]:
                return problem

    def _pieces(self) -> Iterator[tuple[np.ndarray, np.ndarray, int]]:
        """Row, values and number of field of every piece of this rank."""
        layout = self._layout
        for number, field in enumerate(self._fields):
            dtype = np.dtype(field.spec.dtype)
            for block in layout.local(self._context.rank):
                arrays = field.read(block)
                for component, location in enumerate(field.spec.locations(layout.domain.ndim)):
                    lo, hi = layout.owned_box(block, location)
                    extent = [b - a for a, b in zip(lo, hi, strict=True)]
                    for first, shape in cut((0,) * len(lo), extent, dtype.itemsize):
                        row = np.zeros((), ROW)
                        row["field"], row["component"] = number, component
                        row["lo"] = [*(a + b for a, b in zip(lo, first, strict=True)), 0, 0, 0, 0][:4]
                        row["shape"] = [*shape, 1, 1, 1, 1][:4]
                        box = tuple(slice(a, a + n) for a, n in zip(first, shape, strict=True))
                        yield row, np.asarray(arrays[component])[box].astype(dtype, copy=False), number

    def _compress(
        self, pieces: Iterator[tuple[np.ndarray, np.ndarray, int]], batch: list[tuple[np.ndarray, Packed]]
    ) -> bool:
        """Compress the pieces of one round; whether there may be more."""
        raw = 0
        for row, values, number in pieces:
            packed = self._fields[number].compression.encode(values)
            row["stored"] = len(packed.data)
            batch.append((row, packed))
            self._tallies[number].add(values.nbytes, packed)
            raw += values.nbytes
            if raw >= ROUND_BYTES:
                return True
        return False

    def _places(self, nbytes: int, more: bool, failed: bool) -> tuple[int, bool] | None:
        """Where this rank's streams of the round begin, and whether a rank has more; None if one has failed."""
        size = self._context.size
        all_of = np.zeros((size, 3), np.int64)
        self._context.comm.Allgather(np.array([nbytes, more, failed], np.int64), all_of)
        if all_of[:, 2].any():
            return None
        begin = self._end + int(all_of[: self._context.rank, 0].sum())
        self._end += int(all_of[:, 0].sum())
        return begin, bool(all_of[:, 1].any())

    def _write(self, batch: list[tuple[np.ndarray, Packed]], offset: int) -> None:
        """Write the streams of a round one after the other."""
        write_all(self._handle, b"".join(packed.data for _, packed in batch), offset)
        for row, packed in batch:
            row["offset"] = offset
            offset += len(packed.data)
            self._rows.append(row)

    def finish(self, described: dict[str, Any]) -> str:
        """Write this rank's part of the table, and on rank 0 description and head; collective."""
        context = self._context
        table = np.stack(self._rows) if self._rows else np.empty(0, ROW)
        raw = table.tobytes()
        tallies = gather_tallies(context, self._tallies)
        segments = [json.loads(text) for text in context.texts(json.dumps([len(table), xxhash.xxh3_64_hexdigest(raw)]))]
        before = sum(rows for rows, _ in segments[: context.rank])
        after = sum(rows for rows, _ in segments)
        described["packed"] = {"offset": self._end, "segments": segments}
        described["compression"] = {f.name: t.record() for f, t in zip(self._fields, tallies, strict=True)}
        try:
            write_all(self._handle, raw, self._end + before * ROW.itemsize)
            if context.rank == 0:
                text = json.dumps(described).encode()
                place = self._end + after * ROW.itemsize
                write_all(self._handle, text, place)
                write_all(self._handle, make_head(place, text), 0)
            os.fsync(self._handle)
        except OSError as error:
            return failure(error, self._path)
        return ""
