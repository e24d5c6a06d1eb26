"""Moves values from one set of boxes per rank to another: blocks to pencils, pencils to other pencils, and back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from hpcsim.errors import LayoutError
from hpcsim.lattice.box import Box, extent, volume
from hpcsim.lattice.pieces import Piece, Pieces

if TYPE_CHECKING:
    from hpcsim.comm.context import Context

CHUNK_BYTES = 2**30
"""Largest single message; MPI counts end at 2**31 - 1."""

Arrays = Sequence[NDArray[Any]]
_Slices = tuple[slice, ...]


class Redistribution:
    """Copies values from arrays over the boxes each rank has to arrays over the boxes it wants.

    Set-up is collective. A run sends one message per pair of ranks (more if one would be above `chunk_bytes`) and
    copies what stays on the rank directly. A message that is one contiguous piece of the caller's array is sent from
    there, or received there, without a copy.

    Parameters
    ----------
    context : Context
        The ranks.
    have, want : sequence of Box
        Boxes of this rank, in global indices; any number, some may be empty. Of a site that several ranks have, each
        taker gets its own value or else that of the lowest rank. Wanted sites that nobody has are left alone.
    dtype : dtype-like
        Type of the values.
    chunk_bytes : int
        Largest single message.

    Raises
    ------
    LayoutError
        On all ranks, if boxes have different numbers of axes.

    Examples
    --------
    >>> from hpcsim.comm.context import Context
    >>> whole, part = ((0, 0), (2, 3)), ((0, 1), (2, 3))
    >>> target = np.zeros((2, 2))
    >>> Redistribution(Context.serial(), [whole], [part], "float64").run([np.arange(6.0).reshape(2, 3)], [target])
    >>> target.tolist()
    [[1.0, 2.0], [4.0, 5.0]]
    """

    def __init__(
        self,
        context: Context,
        have: Sequence[Box],
        want: Sequence[Box],
        dtype: DTypeLike,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        self.dtype = np.dtype(dtype)
        self._context = context
        self._shapes = [[extent(box) for box in boxes] for boxes in (have, want)]
        pieces = Pieces(*_gather(context, have, want))
        self._local: list[tuple[int, _Slices, int, _Slices]] = []
        incoming: dict[int, list[tuple[int, Piece]]] = {}
        outgoing: dict[int, list[tuple[int, Piece]]] = {}
        for piece in pieces.wanted_by(context.rank):
            if piece.source == context.rank:
                source, target = _within(piece.box, have[piece.have]), _within(piece.box, want[piece.want])
                self._local.append((piece.have, source, piece.want, target))
            else:
                incoming.setdefault(piece.source, []).append((piece.want, piece))
        for piece in pieces.sent_by(context.rank):
            outgoing.setdefault(piece.target, []).append((piece.have, piece))
        step = max(1, chunk_bytes // self.dtype.itemsize)
        self._incoming = [_Message(rank, parts, want, self.dtype, step) for rank, parts in sorted(incoming.items())]
        self._outgoing = [_Message(rank, parts, have, self.dtype, step) for rank, parts in sorted(outgoing.items())]
        # All ranks take the same number of tags, so that both ends of a message agree on its tag.
        most = max((message.chunks for message in (*self._incoming, *self._outgoing)), default=1)
        self._tag = context.take_tags(int(context.max(float(most))))

    @property
    def sent(self) -> int:
        """Bytes this rank sends to others in one run."""
        return sum(message.count for message in self._outgoing) * self.dtype.itemsize

    def run(self, source: Arrays, target: Arrays) -> None:
        """Move the values; collective.

        Parameters
        ----------
        source : sequence of ndarray
            One array per box this rank has: shape of the box, the type of the set-up, any strides.
        target : sequence of ndarray
            One per wanted box, written where somebody has the site; must not share memory with `source`.

        Raises
        ------
        ValueError
            If the arrays do not fit the boxes.
        """
        self._check(source, self._shapes[0], "source")
        self._check(target, self._shapes[1], "target")
        comm, requests = self._context.comm, []
        landing = [message.place(target) for message in self._incoming]
        for message, data in zip(self._incoming, landing, strict=True):
            for tag, chunk in message.cut(data):
                requests.append(comm.Irecv(chunk, message.rank, self._tag + tag))
        sends = []
        for message in self._outgoing:
            for tag, chunk in message.cut(message.pack(source)):
                sends.append(comm.Isend(chunk, message.rank, self._tag + tag))
        for have, inside, want, place in self._local:
            np.copyto(target[want][place], source[have][inside])
        first = 0
        for message, data in zip(self._incoming, landing, strict=True):
            for request in requests[first : first + message.chunks]:
                request.Wait()
            first += message.chunks
            message.unpack(data, target)
        for request in sends:
            request.Wait()

    def free(self) -> None:
        """Give the buffers back; local, harmless the second time."""
        self._local, self._incoming, self._outgoing = [], [], []

    def _check(self, arrays: Arrays, shapes: list[tuple[int, ...]], name: str) -> None:
        found = [(array.shape, array.dtype) for array in arrays]
        wanted = [(shape, self.dtype) for shape in shapes]
        if found != wanted:
            raise ValueError(f"{name}: arrays {found} were given, {wanted} are needed")


class _Message:
    """What one rank sends to or receives from another.

    Parameters
    ----------
    rank : int
        The other rank.
    parts : list of (int, Piece)
        Place of the array among those of this rank, and the sites; the same order on both ranks.
    boxes : sequence of Box
        Boxes of the arrays.
    dtype : numpy.dtype
        Type of the values.
    step : int
        Most values in a chunk.
    """

    def __init__(
        self, rank: int, parts: list[tuple[int, Piece]], boxes: Sequence[Box], dtype: np.dtype[Any], step: int
    ) -> None:
        self.rank = rank
        self._parts = [(i, _within(piece.box, boxes[i]), extent(piece.box)) for i, piece in parts]
        self.count = sum(volume(piece.box) for _, piece in parts)
        self.chunks = -(-self.count // step)
        self._step = step
        self._dtype = dtype
        self._buffer: NDArray[Any] | None = None

    def cut(self, data: NDArray[Any]) -> Iterator[tuple[int, NDArray[Any]]]:
        """Number and values of each chunk of a flat array."""
        for chunk in range(self.chunks):
            yield chunk, data[chunk * self._step : (chunk + 1) * self._step].view(np.uint8)

    def place(self, arrays: Arrays) -> NDArray[Any]:
        """Flat memory for the values: the array itself where they are contiguous in it, else the buffer."""
        if len(self._parts) == 1:
            i, inside, _ = self._parts[0]
            view = arrays[i][inside]
            if view.flags.c_contiguous:
                return view.reshape(-1)
        return self._packed()

    def pack(self, source: Arrays) -> NDArray[Any]:
        """The values in a row, without a copy where they are so already."""
        data = self.place(source)
        if data is self._buffer:
            for (i, inside, _), packed in zip(self._parts, self._views(), strict=True):
                np.copyto(packed, source[i][inside])
        return data

    def unpack(self, data: NDArray[Any], target: Arrays) -> None:
        """Put received values where they belong, unless they arrived there."""
        if data is self._buffer:
            for (i, inside, _), packed in zip(self._parts, self._views(), strict=True):
                np.copyto(target[i][inside], packed)

    def _packed(self) -> NDArray[Any]:
        """The buffer, made at the first use and kept."""
        if self._buffer is None:
            self._buffer = np.empty(self.count, self._dtype)
        return self._buffer

    def _views(self) -> Iterator[NDArray[Any]]:
        """The pieces in the buffer."""
        buffer, first = self._packed(), 0
        for _, _, shape in self._parts:
            size = int(np.prod(shape))
            yield buffer[first : first + size].reshape(shape)
            first += size


def _within(box: Box, array: Box) -> _Slices:
    """Slices of the array over a box that select another box inside it."""
    return tuple(slice(a - o, b - o) for a, b, o in zip(*box, array[0], strict=True))


def _gather(context: Context, have: Sequence[Box], want: Sequence[Box]) -> tuple[list[list[Box]], list[list[Box]]]:
    """Boxes of all ranks; collective."""
    axes = {len(corner) for box in (*have, *want) for corner in box}
    # A rank without boxes takes the number of axes from the others.
    ndim = int(context.max(float(max(axes, default=0))))
    if not context.agree(axes <= {ndim}):
        raise LayoutError(f"redistribution: boxes with different numbers of axes, at most {ndim}")
    own = np.array([len(have), len(want)], np.int64)
    counts = np.zeros((context.size, 2), np.int64)
    context.comm.Allgather(own, counts)
    # One row a rank, of the length of the longest.
    rows = int(counts.sum(axis=1).max())
    table = np.zeros((rows, 2, ndim), np.int64)
    for row, box in enumerate((*have, *want)):
        table[row] = box
    tables = np.zeros((context.size, rows, 2, ndim), np.int64)
    context.comm.Allgather(table, tables)
    every = [[(tuple(lo), tuple(hi)) for lo, hi in rank] for rank in tables.tolist()]
    both = list(zip(every, counts.tolist(), strict=True))
    return [boxes[:n] for boxes, (n, _) in both], [boxes[n : n + m] for boxes, (n, m) in both]
