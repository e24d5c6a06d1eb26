"""Exchange plans: which sites of which register go where, as tables of integers. No MPI here.

A transfer is one box of ghost sites of one component of one block, filled from the block that owns those sites. All
transfers between two ranks, for all fields of a call, make one message; both ends sort them by the same key, so that no
index travels. The reverse exchange runs the same tables backwards.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from hpcsim.lattice.neighbors import GhostRegion, ghost_regions, sent_regions

if TYPE_CHECKING:
    from hpcsim.lattice.layout import Layout
    from hpcsim.lattice.storage import Storage

RegionTable = np.ndarray
"""int64 array (n, 6): source offset, destination offset and four extents of each row."""

TRAILER = 16
"""Elements left free after each neighbour's part of a buffer; a checked message puts its 16-byte trailer there."""

_COLUMNS = 6


class Register(Protocol):
    """What an exchange needs of a field register: its flat array and those of the node neighbours."""

    flat: np.ndarray

    @property
    def peers(self) -> Mapping[int, np.ndarray]:
        """Flat arrays of the same register on other ranks of the node."""


class Mover(Protocol):
    """Moves boxes of sites between flat arrays; the rows of a table do not overlap except in ``add``."""

    def copy(self, dst: np.ndarray, src: np.ndarray, table: RegionTable, strides: np.ndarray) -> None:
        """Field to field."""

    def bind_copy(
        self, dst: np.ndarray, src: np.ndarray, table: RegionTable, strides: np.ndarray
    ) -> Callable[[], None]:
        """The same copy prepared once, for a caller that repeats it and keeps the arrays alive."""

    def pack(self, buffer: np.ndarray, src: np.ndarray, table: RegionTable, strides: np.ndarray) -> None:
        """Field to packed buffer."""

    def unpack(self, dst: np.ndarray, buffer: np.ndarray, table: RegionTable, strides: np.ndarray) -> None:
        """Packed buffer to field."""

    def add(self, dst: np.ndarray, buffer: np.ndarray, table: RegionTable, strides: np.ndarray) -> None:
        """Packed buffer added into the field, rows strictly in order."""

    def affine(
        self, dst: np.ndarray, table: RegionTable, mirror: np.ndarray, a: np.ndarray, b: np.ndarray, strides: np.ndarray
    ) -> None:
        """Boundary fill: site q of row r becomes ``a[r] * dst[q + mirror[r]] + b[r]``."""

    def affine_values(
        self,
        dst: np.ndarray,
        table: RegionTable,
        mirror: np.ndarray,
        a: np.ndarray,
        values: np.ndarray,
        value_offsets: np.ndarray,
        strides: np.ndarray,
    ) -> None:
        """The same with one added value per site, packed row after row from ``value_offsets[r]`` on."""


@dataclass(frozen=True)
class FieldGeometry:
    """Shape of a field for an exchange: the number of components and the location of each."""

    components: int
    locations: tuple[tuple[int, ...], ...]


@dataclass(frozen=True)
class Neighbour:
    """Traffic with one other rank.

    Attributes
    ----------
    rank : int
    send_start, send_count, receive_start, receive_count : int
        Its parts of the send and of the receive buffer, in elements.
    pack, unpack : tuple of RegionTable
        Per field: my interior into the send buffer; the receive buffer into my ghosts.
    read : tuple of RegionTable
        Per field: its interior straight into my ghosts (source offsets in its flat register).
    read_back : tuple of RegionTable
        Per field: its ghosts straight into my send buffer, for the reverse exchange.
    """

    rank: int
    send_start: int
    send_count: int
    receive_start: int
    receive_count: int
    pack: tuple[RegionTable, ...]
    unpack: tuple[RegionTable, ...]
    read: tuple[RegionTable, ...]
    read_back: tuple[RegionTable, ...]


@dataclass(frozen=True)
class ExchangePlan:
    """All tables of one rank for one list of fields.

    Attributes
    ----------
    rank : int
    strides : numpy.ndarray
        Storage strides in elements, padded to four axes.
    specs : tuple of FieldGeometry
    neighbours : tuple of Neighbour
        In order of rank.
    local : tuple of RegionTable
        Per field: ghosts filled from blocks of the same rank.
    local_back : tuple of RegionTable
        Per field: those ghosts into the tail of the send buffer, for the reverse exchange.
    add_back : tuple of RegionTable
        Per field: the whole send buffer added into the owners, in an order that does not depend on who owns what.
    send_length, receive_length, tail_length : int
        Elements of the send buffer without its tail, of the receive buffer, of the tail.
    """

    rank: int
    strides: np.ndarray
    specs: tuple[FieldGeometry, ...]
    neighbours: tuple[Neighbour, ...]
    local: tuple[RegionTable, ...]
    local_back: tuple[RegionTable, ...]
    add_back: tuple[RegionTable, ...]
    send_length: int
    receive_length: int
    tail_length: int

    def joined(self, name: str, ranks: Iterable[int] | None = None) -> tuple[RegionTable, ...]:
        """One table per field with the rows of several neighbours: ``name`` is ``"pack"`` or ``"unpack"``."""
        wanted = None if ranks is None else set(ranks)
        chosen = [n for n in self.neighbours if wanted is None or n.rank in wanted]
        return tuple(
            _stack([getattr(neighbour, name)[field] for neighbour in chosen]) for field in range(len(self.specs))
        )

    def message_elements(self) -> int:
        """Elements this rank sends in one exchange."""
        return sum(neighbour.send_count for neighbour in self.neighbours)


class _Transfer(NamedTuple):
    """One box of one component; the fields up to ``source`` are the order both ends agree on."""

    field: int
    component: int
    receiver: int
    direction: tuple[int, ...]
    source: int
    src_offset: int
    dst_offset: int
    extents: tuple[int, ...]

    @property
    def sites(self) -> int:
        return math.prod(self.extents)


def build_plan(
    layout: Layout,
    rank: int,
    storage_of: Callable[[int], Storage],
    specs: Sequence[FieldGeometry],
    width: int,
    corners: bool,
) -> ExchangePlan:
    """Tables of one rank for an exchange of ghosts of ``width`` layers.

    Parameters
    ----------
    layout : Layout
    rank : int
    storage_of : callable
        Storage of a rank; asked for this rank and its neighbours.
    specs : sequence of FieldGeometry
        The fields, in the order in which registers will be passed.
    width : int
        Ghost layers to fill, at most the ghost width of the storage.
    corners : bool
        Whether edges and corners are filled too, or faces only.

    Returns
    -------
    ExchangePlan
    """
    builder = _Builder(layout, storage_of, tuple(specs), width, corners)
    own = {block.id for block in layout.local(rank)}
    incoming = builder.transfers(own, ghost_regions)
    outgoing = [t for t in builder.transfers(own, sent_regions) if t.receiver not in own]
    local = [t for t in incoming if t.source in own]
    owners = layout.owners
    receive = _by_rank((t for t in incoming if t.source not in own), lambda t: owners[t.source])
    send = _by_rank(outgoing, lambda t: owners[t.receiver])
    return _assemble(rank, builder, local, send, receive, storage_of(rank))


def _by_rank(transfers: Iterable[_Transfer], rank_of: Callable[[_Transfer], int]) -> dict[int, list[_Transfer]]:
    groups: dict[int, list[_Transfer]] = {}
    for transfer in transfers:
        groups.setdefault(rank_of(transfer), []).append(transfer)
    return groups


class _Builder:
    """Lists transfers with the flat offsets of both ends."""

    def __init__(
        self,
        layout: Layout,
        storage_of: Callable[[int], Storage],
        specs: tuple[FieldGeometry, ...],
        width: int,
        corners: bool,
    ) -> None:
        self.layout, self.storage_of, self.specs = layout, storage_of, specs
        self.width, self.corners = width, corners

    def transfers(self, blocks: Iterable[int], regions_of: Callable[..., list[GhostRegion]]) -> list[_Transfer]:
        """Every transfer into or out of the given blocks, in the agreed order."""
        found = []
        for block in blocks:
            regions: dict[tuple[int, ...], list[GhostRegion]] = {}
            for field, spec in enumerate(self.specs):
                for component, location in enumerate(spec.locations):
                    if location not in regions:
                        regions[location] = regions_of(
                            self.layout, self.layout.blocks[block], location, self.width, self.corners
                        )
                    found += [self._transfer(field, component, region) for region in regions[location]]
        return sorted(found)

    def _transfer(self, field: int, component: int, region: GhostRegion) -> _Transfer:
        lo, hi = region.box
        source = tuple(a + s for a, s in zip(lo, region.shift, strict=True))
        return _Transfer(
            field,
            component,
            region.block_id,
            region.direction,
            region.source_id,
            self._offset(region.source_id, field, component, source),
            self._offset(region.block_id, field, component, lo),
            tuple(b - a for a, b in zip(lo, hi, strict=True)),
        )

    def _offset(self, block_id: int, field: int, component: int, index: tuple[int, ...]) -> int:
        storage = self.storage_of(self.layout.owners[block_id])
        place = storage.slot(block_id) * self.specs[field].components + component
        return place * storage.sites + storage.site_offset(self.layout.blocks[block_id], index)


def _assemble(
    rank: int,
    builder: _Builder,
    local: list[_Transfer],
    send: dict[int, list[_Transfer]],
    receive: dict[int, list[_Transfer]],
    storage: Storage,
) -> ExchangePlan:
    """Buffer places for every transfer, then the tables."""
    fields = len(builder.specs)
    neighbours, additions = [], []
    send_length = receive_length = 0
    for other in sorted({*send, *receive}):
        out = _placed(send.get(other, []), send_length)
        back = _placed(receive.get(other, []), receive_length)
        neighbours.append(_neighbour(other, fields, send_length, out, receive_length, back))
        additions += out
        send_length += neighbours[-1].send_count + TRAILER
        receive_length += neighbours[-1].receive_count + TRAILER
    tail = _placed(local, send_length)
    additions = sorted(additions + tail)
    return ExchangePlan(
        rank=rank,
        strides=np.array([0] * (4 - len(storage.strides)) + list(storage.strides), np.int64),
        specs=builder.specs,
        neighbours=tuple(neighbours),
        local=_tables(fields, ((t, t.src_offset, t.dst_offset) for t in local)),
        local_back=_tables(fields, ((t, t.dst_offset, place) for t, place in tail)),
        add_back=_tables(fields, ((t, place, t.src_offset) for t, place in additions)),
        send_length=send_length,
        receive_length=receive_length,
        tail_length=sum(t.sites for t in local),
    )


def _neighbour(
    rank: int,
    fields: int,
    send_start: int,
    out: list[tuple[_Transfer, int]],
    receive_start: int,
    back: list[tuple[_Transfer, int]],
) -> Neighbour:
    return Neighbour(
        rank=rank,
        send_start=send_start,
        send_count=sum(t.sites for t, _ in out),
        receive_start=receive_start,
        receive_count=sum(t.sites for t, _ in back),
        pack=_tables(fields, ((t, t.src_offset, place) for t, place in out)),
        unpack=_tables(fields, ((t, place, t.dst_offset) for t, place in back)),
        read=_tables(fields, ((t, t.src_offset, t.dst_offset) for t, _ in back)),
        read_back=_tables(fields, ((t, t.dst_offset, place) for t, place in out)),
    )


def _placed(transfers: list[_Transfer], start: int) -> list[tuple[_Transfer, int]]:
    """Each transfer with its place in a packed buffer that begins at ``start``."""
    placed = []
    for transfer in transfers:
        placed.append((transfer, start))
        start += transfer.sites
    return placed


def _tables(fields: int, rows: Iterable[tuple[_Transfer, int, int]]) -> tuple[RegionTable, ...]:
    lists: list[list[tuple[int, ...]]] = [[] for _ in range(fields)]
    for transfer, source, destination in rows:
        lists[transfer.field].append((source, destination, *(1,) * (4 - len(transfer.extents)), *transfer.extents))
    return tuple(np.array(table, np.int64).reshape(-1, _COLUMNS) for table in lists)


def _stack(tables: Sequence[RegionTable]) -> RegionTable:
    return np.concatenate(tables) if tables else np.empty((0, _COLUMNS), np.int64)
