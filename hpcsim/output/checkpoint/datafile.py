"""A data file: HDF5 with one flat contiguous dataset per register, laid out in memory before the disk is touched.

HDF5 writes the headers into a sparse image. They go to the disk by plain writes, like the values, so HDF5 never holds
a file on a disk that may be full, and the digest of all that is no value is known before any of it is written.
"""

from __future__ import annotations

import io as streams
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from hpcsim.output.checkpoint import io
from hpcsim.output.checkpoint.pieces import gaps

GROUP = "fields"
# Values begin at a page, which spares the system from reading half a page to write the other half.
ALIGNMENT = 4096
RANGE = np.dtype([("start", "<i8"), ("stop", "<i8")])


class _Image:
    """A file in memory that keeps only what was written, as h5py's driver for file objects uses it."""

    def __init__(self) -> None:
        self.size = 0
        self._place = 0
        self._parts: list[tuple[int, bytes]] = []

    def seek(self, offset: int, whence: int = streams.SEEK_SET) -> int:
        base = {streams.SEEK_SET: 0, streams.SEEK_CUR: self._place, streams.SEEK_END: self.size}[whence]
        self._place = base + offset
        return self._place

    def tell(self) -> int:
        return self._place

    def write(self, data: Any) -> int:
        raw = bytes(data)
        self._parts.append((self._place, raw))
        self._place += len(raw)
        self.size = max(self.size, self._place)
        return len(raw)

    def readinto(self, buffer: Any) -> int:
        view = memoryview(buffer).cast("B")
        view[:] = self.read_at(self._place, len(view))
        self._place += len(view)
        return len(view)

    def read(self, count: int) -> bytes:
        raw = self.read_at(self._place, count)
        self._place += count
        return raw

    def truncate(self, size: int | None = None) -> int:
        self.size = self._place if size is None else size
        return self.size

    def flush(self) -> None:
        pass

    def read_at(self, offset: int, count: int) -> bytes:
        """Bytes of the image; zero where nothing was written."""
        raw = bytearray(count)
        for start, part in self._parts:
            low, high = max(start, offset), min(start + len(part), offset + count)
            if low < high:
                raw[low - offset : high - offset] = part[low - start : high - start]
        return bytes(raw)


@dataclass(frozen=True)
class DataFile:
    """A file before its values are written.

    Attributes
    ----------
    size : int
        Bytes of the file.
    offsets : tuple of int
        Where the values of each register begin; 0 for one without values in this file.
    frame : tuple of (int, bytes)
        All other bytes: offset and content of each part, in file order.
    """

    size: int
    offsets: tuple[int, ...]
    frame: tuple[tuple[int, bytes], ...]

    @property
    def digest(self) -> str:
        """xxh3-128 of the frame in hex, as the manifest has it."""
        return str(xxhash.xxh3_128_hexdigest(b"".join(part for _, part in self.frame)))

    def write_frame(self, handle: int) -> None:
        """Write all but the values."""
        for offset, part in self.frame:
            io.pwrite(handle, part, offset)

    @property
    def ranges(self) -> NDArray[np.void]:
        """Byte ranges of the frame, with ``start`` and ``stop``."""
        return np.array([(offset, offset + len(part)) for offset, part in self.frame], RANGE)


def lay_out(dtypes: Sequence[np.dtype[Any] | str], nbytes: Sequence[int]) -> DataFile:
    """Lay out a file with ``/fields/<k>`` for each register that has values in it.

    Parameters
    ----------
    dtypes : sequence of dtype
        Number type of each register; ``uint8`` for a stream of encoded pieces.
    nbytes : sequence of int
        Bytes of each register.

    Returns
    -------
    DataFile
        The same for the same arguments: no time of day is in it.

    Examples
    --------
    >>> file = lay_out(["<f8", "u1"], [8192, 3])
    >>> file.offsets[0], file.frame[0][1][1:4], sum(len(part) for _, part in file.frame) == file.size - 8195
    (4096, b'HDF', True)
    """
    import h5py

    image = _Image()
    kinds = [np.dtype(dtype) for dtype in dtypes]
    offsets = [0] * len(kinds)
    # The newest format has checksums in its headers.
    with h5py.File(image, "w", libver="latest", alignment_threshold=ALIGNMENT, alignment_interval=ALIGNMENT) as handle:
        group = handle.create_group(GROUP)
        for place, (kind, count) in enumerate(zip(kinds, nbytes, strict=True)):
            if count:
                offsets[place] = _place(group, str(place), kind, count // kind.itemsize)
    held = [(offset, count) for offset, count in zip(offsets, nbytes, strict=True) if count]
    starts, counts = np.array(held, np.uint64).reshape(-1, 2).T
    rest = gaps(starts, counts, image.size)
    if rest is None:
        raise ValueError(f"HDF5 placed datasets outside of its file of {image.size} bytes: {held}")
    frame = tuple((int(start), image.read_at(int(start), int(stop - start))) for start, stop in rest)
    return DataFile(image.size, tuple(offsets), frame)


def _place(group: Any, name: str, kind: np.dtype[Any], count: int) -> int:
    """Create one contiguous dataset without values; the byte offset of its first one."""
    import h5py

    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_obj_track_times(False)
    properties.set_layout(h5py.h5d.CONTIGUOUS)
    properties.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
    properties.set_fill_time(h5py.h5d.FILL_TIME_NEVER)
    space = h5py.h5s.create_simple((count,))
    made = h5py.h5d.create(group.id, name.encode(), h5py.h5t.py_create(kind), space, properties)
    return int(made.get_offset())
