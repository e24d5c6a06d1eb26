"""Which sites a solver may change, and their order in packed vectors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hpcsim.kernels.loopnest import Assignment
from hpcsim.lattice.box import Box, extent, volume
from hpcsim.sweeps.compiled import update_boxes
from hpcsim.sweeps.setting import Setting
from hpcsim.sweeps.sweep import Sweep
from hpcsim.symbolic.expr import ZERO, Access

Vector = NDArray[np.float64]
"""Values of the unknowns of this rank: block after block, sites in C order, components of a site together."""


class Piece(NamedTuple):
    """The unknowns of some components of one block, which lie on the same sites.

    Attributes
    ----------
    slot : int
        Position of the block on the rank.
    box : Box
        Global indices of the sites.
    window : tuple of slice
        The sites in the array of the block.
    columns : tuple of int
        Which unknowns of a site.
    start : int
        Place of the first value in the packed vector.
    """

    slot: int
    box: Box
    window: tuple[slice, ...]
    columns: tuple[int, ...]
    start: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Sites per axis, then unknowns of a site."""
        return (*extent(self.box), len(self.columns))

    @property
    def span(self) -> int:
        """Values in the packed vector."""
        return volume(self.box) * len(self.columns)


class Unknowns:
    """The unknowns of a problem on the blocks of this rank.

    Parameters
    ----------
    setting : Setting
        The run; its ghosts say which planes of walls are fixed.
    unknowns : sequence of (str, int)
        Register and component.

    Attributes
    ----------
    pieces : tuple of Piece
        In the order of the packed vector.
    size : int
        Values of this rank.
    first, total : int
        Number of the first one over all ranks, and how many there are.
    block_size : int
        Unknowns that lie together at every site; 1 if components live at different places.
    """

    def __init__(self, setting: Setting, unknowns: Sequence[tuple[str, int]]) -> None:
        self._setting = setting
        self.names = tuple(unknowns)
        boxes = [_boxes(setting, register, component) for register, component in self.names]
        self.together = all(own == boxes[0] for own in boxes)
        groups = [tuple(range(len(boxes)))] if self.together else [(column,) for column in range(len(boxes))]
        pieces: list[Piece] = []
        start = 0
        for slot in range(len(setting.storage.blocks)):
            for columns in groups:
                box, window = boxes[columns[0]][slot]
                piece = Piece(slot, box, window, columns, start)
                pieces.append(piece)
                start += piece.span
        self.pieces = tuple(pieces)
        self.size = start
        self.block_size = len(boxes) if self.together else 1
        context = setting.context
        sizes = np.zeros(context.size, np.int64)
        context.comm.Allgather(np.array([start], np.int64), sizes)
        self.first, self.total = int(sizes[: context.rank].sum()), int(sizes.sum())

    def view(self, vector: Vector, piece: Piece) -> Vector:
        """The part of a packed vector that belongs to a piece, shape of the piece."""
        return vector[piece.start : piece.start + piece.span].reshape(piece.shape)

    def pack(self, registers: Sequence[str], vector: Vector) -> Vector:
        """Read unknown i from the register ``registers[i]`` (at the component of the unknown)."""
        for piece in self.pieces:
            target = self.view(vector, piece)
            for place, column in enumerate(piece.columns):
                target[..., place] = self._values(registers[column], self.names[column][1], piece)
        return vector

    def unpack(self, vector: Vector, registers: Sequence[str]) -> None:
        """Write unknown i into the register ``registers[i]``."""
        for piece in self.pieces:
            source = self.view(vector, piece)
            for place, column in enumerate(piece.columns):
                self._values(registers[column], self.names[column][1], piece)[...] = source[..., place]

    def clear(self, registers: Sequence[str]) -> None:
        """Set unknown i in the register ``registers[i]`` to zero."""
        for piece in self.pieces:
            for column in piece.columns:
                self._values(registers[column], self.names[column][1], piece).fill(0.0)

    def _values(self, register: str, component: int, piece: Piece) -> NDArray[Any]:
        array: NDArray[Any] = self._setting.state[register].array[piece.slot, component]
        return array[piece.window]

    def positions(self) -> list[NDArray[np.int64]]:
        """Places in the packed vector of every unknown of a site."""
        found: list[list[NDArray[np.int64]]] = [[] for _ in self.names]
        for piece in self.pieces:
            places = np.arange(piece.start, piece.start + piece.span).reshape(-1, len(piece.columns))
            for place, column in enumerate(piece.columns):
                found[column].append(places[:, place])
        return [np.concatenate(parts) if parts else np.zeros(0, np.int64) for parts in found]

    def dot(self, left: Vector, right: Vector) -> float:
        """Sum of products over all ranks, added in the order of the ranks; collective."""
        context = self._setting.context
        parts = np.zeros(context.size)
        context.comm.Allgather(np.array([np.dot(left, right)]), parts)
        return float(parts.sum())

    def norm(self, vector: Vector) -> float:
        """Two-norm over all ranks; collective."""
        return float(np.sqrt(self.dot(vector, vector)))


def _boxes(setting: Setting, register: str, component: int) -> list[tuple[Box, tuple[slice, ...]]]:
    """Sites of a component that may change, per local block: global indices, and where they lie in the block."""
    spec = setting.state[register].spec
    location = spec.locations(setting.layout.domain.ndim)[component]
    origin = (0,) * len(location)
    found = update_boxes(setting, Sweep(location, (Assignment(Access(register, component, origin), ZERO),)))
    ghost = setting.storage.ghost
    boxes = []
    for block, inner in zip(setting.storage.blocks, found, strict=True):
        window = tuple(slice(a, b) for a, b in zip(inner.lo, inner.hi, strict=True))
        lo = tuple(a - ghost + start for a, start in zip(inner.lo, block.lo, strict=True))
        hi = tuple(b - ghost + start for b, start in zip(inner.hi, block.lo, strict=True))
        boxes.append(((lo, hi), window))
    return boxes
