"""Snapshots in the format "packed": compressed streams of pieces, a table of them, and a description.

A file is a head of 128 bytes, the streams, the table (one segment per rank that wrote) and the description in JSON. The
head tells where the description is and has its checksum, the description those of the segments, and each stream its
own, so every byte is protected. A piece is a box of owned sites of one component, stored with x first; pieces are
small (2 MiB), so a part of a field is read without decoding the rest.
"""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import xxhash

from hpcsim.errors import DiskError
from hpcsim.output.compress.codec import decode
from hpcsim.output.compress.stream import MAX_NBYTES
from hpcsim.output.files import describe

MAGIC = b"\x89hpcsim packed\n\x1a"
FORMAT_VERSION = 1
HEAD_BYTES = 128
MAX_DESCRIPTION = 64 << 20
PIECE_BYTES = 2 << 20
HEAD = struct.Struct("<16sIIQQ8s")
ROW = np.dtype(
    [
        ("field", "<u2"),
        ("component", "<u2"),
        ("lo", "<i8", 4),
        ("shape", "<i8", 4),
        ("offset", "<u8"),
        ("stored", "<u8"),
    ]
)


def cut(lo: Sequence[int], shape: Sequence[int], itemsize: int) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """Boxes of at most `PIECE_BYTES` that tile a box, as near to cubes as they can be.

    Parameters
    ----------
    lo, shape : sequence of int
        The box.
    itemsize : int
        Bytes of a value.

    Returns
    -------
    list of (tuple of int, tuple of int)
        First site and extents of each.

    Examples
    --------
    >>> cut((0, 0), (1024, 1024), 8)
    [((0, 0), (512, 512)), ((0, 512), (512, 512)), ((512, 0), (512, 512)), ((512, 512), (512, 512))]
    """
    if int(np.prod(shape, dtype=np.int64)) * itemsize <= PIECE_BYTES:
        return [(tuple(lo), tuple(shape))]
    axis = max(range(len(shape)), key=lambda a: shape[a])
    half = (shape[axis] + 1) // 2
    low, high = list(shape), list(shape)
    low[axis], high[axis] = half, shape[axis] - half
    above = list(lo)
    above[axis] += half
    return cut(lo, low, itemsize) + cut(above, high, itemsize)


def make_head(offset: int, description: bytes) -> bytes:
    """The first bytes of a file whose description stands at an offset."""
    digest = xxhash.xxh3_64_digest(description)
    head = HEAD.pack(MAGIC, FORMAT_VERSION, 0, offset, len(description), digest)
    return (head + xxhash.xxh3_64_digest(head)).ljust(HEAD_BYTES, b"\0")


def is_packed(path: Path) -> bool:
    """Whether a file begins like one of this format."""
    try:
        with open(path, "rb") as stream:
            return stream.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


class PackedFile:
    """A snapshot in the format "packed"; opened only while something is read from it.

    Parameters
    ----------
    path : Path
        The file.

    Attributes
    ----------
    description : dict
        As in a VTKHDF snapshot, with ``config`` and ``compression`` beside it.

    Raises
    ------
    DiskError
        If the file cannot be read, is damaged, or is of another version.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        try:
            handle = os.open(path, os.O_RDONLY)
            try:
                size = os.fstat(handle).st_size
                self.description = self._describe(handle, size)
                table = self._table(handle, size)
            finally:
                os.close(handle)
            self._pieces = self._checked(table, size)
        except OSError as error:
            raise DiskError(describe(error, "read the snapshot", path)) from error
        except (KeyError, TypeError, ValueError, IndexError, OverflowError, AttributeError) as error:
            raise self._damaged(f"its description makes no sense ({error})") from error

    def _damaged(self, why: str) -> DiskError:
        return DiskError(f"the snapshot {self.path} is damaged: {why}")

    def _describe(self, handle: int, size: int) -> dict[str, Any]:
        """The description, if its checksums are right."""
        head = os.pread(handle, HEAD_BYTES, 0)
        if len(head) < HEAD_BYTES or head[: len(MAGIC)] != MAGIC:
            raise DiskError(f"{self.path} is no packed snapshot of hpcsim")
        _, version, _, offset, length, digest = HEAD.unpack_from(head)
        if head[HEAD.size : HEAD.size + 8] != xxhash.xxh3_64_digest(head[: HEAD.size]):
            raise self._damaged("the checksum of its head is wrong")
        if version != FORMAT_VERSION:
            raise DiskError(f"{self.path} has packed format {version}; this version reads {FORMAT_VERSION}")
        if length > MAX_DESCRIPTION or offset + length > size:
            raise self._damaged("it is shorter than its head says")
        text = os.pread(handle, length, offset)
        if xxhash.xxh3_64_digest(text) != digest:
            raise self._damaged("the checksum of its description is wrong")
        description = json.loads(text)
        if not isinstance(description, dict):
            raise self._damaged("its description is no table")
        return description

    def _table(self, handle: int, size: int) -> np.ndarray:
        """The table of pieces, if the checksum of each segment is right."""
        offset = int(self.description["packed"]["offset"])
        segments = []
        for rows, digest in self.description["packed"]["segments"]:
            length = int(rows) * ROW.itemsize
            if not 0 <= length <= size - offset or offset < 0:
                raise self._damaged("its table is shorter than its description says")
            raw = os.pread(handle, length, offset)
            if xxhash.xxh3_64_hexdigest(raw) != digest:
                raise self._damaged("the checksum of its table is wrong")
            segments.append(np.frombuffer(raw, ROW))
            offset += length
        return np.concatenate(segments) if segments else np.empty(0, ROW)

    def _checked(self, table: np.ndarray, size: int) -> dict[tuple[str, int], np.ndarray]:
        """Rows by field and component; every component has to be covered by boxes inside of it."""
        if (table["offset"] > size).any() or (table["stored"] > size - table["offset"].astype(np.int64)).any():
            raise self._damaged("a piece lies outside of the file")
        found = {}
        for number, (name, stored) in enumerate(self.description["fields"].items()):
            itemsize = np.dtype(stored["dtype"]).itemsize
            for component, extent in enumerate(stored["extents"]):
                rows = table[(table["field"] == number) & (table["component"] == component)]
                lo, shape = rows["lo"], rows["shape"]
                whole = np.array([*extent, 1, 1, 1, 1][:4], np.int64)
                if (lo < 0).any() or (shape < 1).any() or (shape > whole).any() or (lo > whole - shape).any():
                    raise self._damaged(f"a piece of {name} lies outside of the lattice")
                sites = np.prod(shape.astype(np.float64), axis=1)
                if (sites * itemsize > MAX_NBYTES).any() or sites.sum() != float(np.prod(whole.astype(np.float64))):
                    raise self._damaged(f"pieces of {name} are missing")
                found[name, component] = rows
        return found

    def read(self, name: str, component: int, dtype: str, chosen: Sequence[slice | int]) -> np.ndarray:
        """Values of a part of a component.

        Parameters
        ----------
        name, component, dtype
            A field of the description, one of its components, and its number type.
        chosen : sequence of (slice or int)
            One entry per axis, within the extents; slices have positive steps.

        Returns
        -------
        ndarray
            With x first; axes given by an integer are dropped.

        Raises
        ------
        DiskError
            If the file cannot be read or is damaged.
        """
        ranges = [range(c.start, c.stop, c.step) if isinstance(c, slice) else range(c, c + 1) for c in chosen]
        values = np.zeros([len(r) for r in ranges], dtype)
        rows, filled = self._pieces[name, component], 0
        if values.size:
            first = np.array([r[0] for r in ranges])
            last = np.array([r[-1] for r in ranges])
            lo, shape = rows["lo"][:, : len(ranges)], rows["shape"][:, : len(ranges)]
            for row in rows[((lo <= last) & (lo + shape > first)).all(axis=1)]:
                filled += self._place(row, ranges, values)
        if filled != values.size:
            raise self._damaged(f"pieces of {name} are missing")
        return values[tuple(slice(None) if isinstance(c, slice) else 0 for c in chosen)]

    def _place(self, row: np.void, ranges: Sequence[range], values: np.ndarray) -> int:
        """Decode a piece and copy what is wanted of it; how many values that were."""
        source, target = [], []
        for r, lo, n in zip(ranges, row["lo"].tolist(), row["shape"].tolist(), strict=False):
            begin = max(0, -(-(lo - r.start) // r.step))
            end = min(len(r), -(-(lo + n - r.start) // r.step))
            if begin >= end:
                return 0
            target.append(slice(begin, end))
            source.append(slice(r[begin] - lo, r[end - 1] - lo + 1, r.step))
        piece = self._decode(row, values.dtype, len(ranges))
        part = piece[tuple(source)]
        values[tuple(target)] = part
        return part.size

    def _decode(self, row: np.void, dtype: np.dtype, ndim: int) -> np.ndarray:
        """The values of a piece."""
        try:
            handle = os.open(self.path, os.O_RDONLY)
            try:
                data = os.pread(handle, int(row["stored"]), int(row["offset"]))
            finally:
                os.close(handle)
            return decode(data, dtype, tuple(row["shape"][:ndim].tolist()))
        except OSError as error:
            raise DiskError(describe(error, "read the snapshot", self.path)) from error
        except DiskError as error:
            raise DiskError(f"{self.path}: {error}") from error
