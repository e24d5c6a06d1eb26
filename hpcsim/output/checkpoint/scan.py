"""Reading the bytes of a checkpoint once: every piece with its digest checked, handed on while it is in the cache."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import groupby

import numpy as np
import xxhash
from numpy.typing import NDArray

from hpcsim.errors import ConfigError, DiskError
from hpcsim.output.checkpoint import io
from hpcsim.output.checkpoint.check import describe_piece, stored_dtypes
from hpcsim.output.checkpoint.manifest import Manifest
from hpcsim.output.checkpoint.pieces import cut_box
from hpcsim.output.checkpoint.store import CheckpointStore

# Bytes read at a time: few calls, and still in the cache when they are hashed and copied.
BUFFER_BYTES = 1 << 20

Use = Callable[[int, NDArray, tuple[int, ...]], None]
"""``use(row, values, lo)``: values of a slab of the piece in that row, and the global index of its first site."""


def by_place(rows: NDArray[np.void]) -> NDArray[np.int64]:
    """Order in which pieces are read: by file, then by place in it."""
    return np.lexsort((rows["offset"], rows["file"]))


def scan_pieces(
    store: CheckpointStore, manifest: Manifest, rows: NDArray[np.void], use: Use | None = None, *, whole: bool = False
) -> Iterator[str]:
    """Read pieces and check their digests.

    A slab is handed to `use` before the digest of its whole piece is known: what was made of it counts only if no fault
    comes out. With `whole` it gets whole pieces, and only good ones, which takes the memory of a piece.

    Parameters
    ----------
    store : CheckpointStore
        Where the checkpoint lies.
    manifest : Manifest
        Of the checkpoint.
    rows : ndarray of PIECE
        The pieces, sorted as `by_place` does.
    use : callable, optional
        Gets the values, slab after slab; the array is valid during the call only.
    whole : bool
        Whether a piece is handed on in one, after its digest was found right.

    Yields
    ------
    str
        A fault: a file that is missing or cannot be read, or a piece that is not what was written.
    """
    first = 0
    for number, group in groupby(rows["file"].tolist()):
        last = first + sum(1 for _ in group)
        entry = manifest.files[number]
        try:
            with store.open_file(manifest.name, entry) as handle:
                yield from _File(handle, manifest, rows, use, entry.name, whole).scan(first, last)
        except (DiskError, OSError) as error:
            yield str(error)
        first = last


def scan_file(handle: int, manifest: Manifest, rows: NDArray[np.void], name: str) -> Iterator[str]:
    """Read pieces of one open file and check their digests.

    Parameters
    ----------
    handle : int
        Descriptor open for reading.
    manifest : Manifest
        Says what the pieces are; its files are not looked at.
    rows : ndarray of PIECE
        The pieces, sorted by place.
    name : str
        The file, for messages.

    Yields
    ------
    str
        A fault, as `scan_pieces` gives them.
    """
    yield from _File(handle, manifest, rows, None, name).scan(0, len(rows))


def scan_frames(
    store: CheckpointStore, manifest: Manifest, ranges: NDArray[np.void], files: Iterable[int]
) -> Iterator[str]:
    """Check the bytes of files that belong to no piece.

    Parameters
    ----------
    store, manifest
        As for `scan_pieces`.
    ranges : ndarray of FRAME_GAP
        The byte ranges, as `frame_gaps` gives them.
    files : iterable of int
        Positions of the files to check.

    Yields
    ------
    str
        A fault of a file.
    """
    for number in files:
        entry = manifest.files[number]
        first, last = np.searchsorted(ranges["file"], [number, number + 1])
        try:
            with store.open_file(manifest.name, entry) as handle:
                if frame_digest(handle, ranges[first:last]) != entry.frame:
                    yield f"{entry.name}: it is damaged outside the pieces"
        except (DiskError, OSError) as error:
            yield str(error)


def frame_digest(handle: int, ranges: NDArray[np.void]) -> str:
    """xxh3-128 in hex of byte ranges of a file, in their order; a file that ends early gives another digest.

    Parameters
    ----------
    handle : int
        Descriptor open for reading.
    ranges : structured ndarray
        With ``start`` and ``stop``.
    """
    buffer = memoryview(bytearray(BUFFER_BYTES))
    hasher = xxhash.xxh3_128()
    for start, stop in zip(ranges["start"].tolist(), ranges["stop"].tolist(), strict=True):
        for place in range(start, stop, BUFFER_BYTES):
            part = buffer[: min(BUFFER_BYTES, stop - place)]
            hasher.update(part[: io.pread(handle, part, place)])
    return hasher.hexdigest()


class _File:
    """The pieces of one open file."""

    def __init__(
        self,
        handle: int,
        manifest: Manifest,
        rows: NDArray[np.void],
        use: Use | None,
        name: str,
        whole: bool = False,
    ) -> None:
        self._handle = handle
        self._manifest = manifest
        self._rows = rows
        self._use = use
        self._name = name
        self._dtypes = stored_dtypes(manifest)
        self._decode = _decoder(manifest.codec)
        self._sliced = self._decode is None and not whole
        self._ndim = manifest.grid.ndim
        self._buffer = np.empty(BUFFER_BYTES, np.uint8)

    def scan(self, first: int, last: int) -> Iterator[str]:
        """Faults of the pieces in some rows, which lie in this file in order."""
        rows = self._rows[first:last]
        start = rows["offset"].astype(np.int64)
        stop = start + rows["stored"].astype(np.int64)
        begin = 0
        while begin < len(rows):
            end = _run(start, stop, begin)
            if self._sliced and stop[begin] - start[begin] > BUFFER_BYTES:
                good = [self._large(first + begin)]
            else:
                good = self._several(first + begin, first + end, int(start[begin]), int(stop[end - 1]))
            for row, fine in enumerate(good, first + begin):
                if not fine:
                    yield f"{self._name}: {self._piece(row)} is damaged: its values are not those that were written"
            begin = end

    def _piece(self, row: int) -> str:
        return describe_piece(self._manifest, self._rows[row])

    def _box(self, row: int) -> tuple[np.dtype, tuple[int, ...], tuple[int, ...]]:
        """Number type, first site and extent of a piece."""
        piece = self._rows[row]
        lo, shape = (tuple(piece[key][: self._ndim].tolist()) for key in ("lo", "shape"))
        return self._dtypes[int(piece["field"])], lo, shape

    def _large(self, row: int) -> bool:
        """Read a piece that is longer than the buffer slab by slab; whether its digest is right."""
        dtype, lo, shape = self._box(row)
        hasher = xxhash.xxh3_128()
        place = int(self._rows["offset"][row])
        for corner, part in cut_box(lo, shape, dtype.itemsize, BUFFER_BYTES):
            count = int(np.prod(part)) * dtype.itemsize
            raw = self._buffer[:count]
            if io.pread(self._handle, raw, place) != count:
                return False
            hasher.update(raw.data)
            if self._use is not None:
                self._use(row, raw.view(dtype).reshape(part), corner)
            place += count
        return hasher.digest() == self._rows["digest"][row].tobytes()

    def _several(self, first: int, last: int, start: int, stop: int) -> list[bool]:
        """Read pieces that follow each other in one go; whether the digest of each is right."""
        if stop - start > len(self._buffer):
            self._buffer = np.empty(stop - start, np.uint8)
        raw = self._buffer[: stop - start]
        came = io.pread(self._handle, raw, start)
        good = []
        place = 0
        for row, stored in enumerate(self._rows["stored"][first:last].tolist(), first):
            good.append(place + stored <= came and self._one(row, raw[place : place + stored]))
            place += stored
        return good

    def _one(self, row: int, raw: NDArray[np.uint8]) -> bool:
        """Check a piece that was read whole, and hand it on."""
        dtype, lo, shape = self._box(row)
        values = raw.view(dtype).reshape(shape) if self._decode is None else self._decode(raw, dtype, shape)
        if values is None or xxhash.xxh3_128_digest(values.data) != self._rows["digest"][row].tobytes():
            return False
        if self._use is not None:
            self._use(row, values, lo)
        return True


def _run(start: NDArray[np.int64], stop: NDArray[np.int64], begin: int) -> int:
    """End of the pieces from `begin` on that lie one after the other and fit the buffer together; at least one."""
    window = slice(begin, begin + 4096)
    joined = start[window][1:] == stop[window][:-1]
    fits = stop[window][1:] - start[begin] <= BUFFER_BYTES
    more = joined & fits
    return begin + 1 + (int(np.argmin(more)) if not more.all() else len(more))


def _decoder(codec: str) -> Callable[[NDArray[np.uint8], np.dtype, tuple[int, ...]], NDArray | None] | None:
    """How a codec's pieces become values, None as an answer for bytes that it refuses; None without a codec."""
    if codec == "none":
        return None
    from hpcsim.output.compress import CODECS

    try:
        method = CODECS.get(codec)
    except (ConfigError, ImportError) as error:
        raise DiskError(f"its pieces are packed with {codec}, which cannot be loaded: {error}") from None

    def decode(raw: NDArray[np.uint8], dtype: np.dtype, shape: tuple[int, ...]) -> NDArray | None:
        try:
            values = np.asarray(method.decode(raw.tobytes(), dtype, shape))
        except Exception:
            # Whatever a library says about damaged bytes, here it is only a damaged piece.
            return None
        return np.ascontiguousarray(values) if values.shape == shape and values.dtype == dtype else None

    return decode
