"""Message buffers of one exchange: allocated once, cut into chunks MPI can count, optionally sealed with a checksum."""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

import numpy as np

from hpcsim.comm.plan import TRAILER, ExchangePlan
from hpcsim.errors import MessageError

CHUNK_BYTES = 2**30
"""Largest single message; MPI counts end at 2**31 - 1."""

_SEAL = struct.Struct("<QQ")


class Part(NamedTuple):
    """One MPI message: a chunk of what goes to or comes from a rank."""

    rank: int
    tag: int
    data: np.ndarray


class Buffers:
    """Send and receive buffer of an exchange, one part per neighbour.

    Parameters
    ----------
    plan : ExchangePlan
    dtype : numpy.dtype
        Type of all fields of the exchange.
    check : bool
        Append a sequence number and a crc32 to every neighbour's part.
    chunk_bytes : int
        Largest single message.
    ranks : frozenset of int
        Neighbours that are served by messages.

    Attributes
    ----------
    send, receive : numpy.ndarray
        Flat buffers of the field type; the forward exchange packs into ``send``, the reverse one into ``receive``.
    """

    def __init__(
        self, plan: ExchangePlan, dtype: np.dtype, check: bool, chunk_bytes: int, ranks: frozenset[int]
    ) -> None:
        self.rank = plan.rank
        self.send = np.zeros(plan.send_length + plan.tail_length, dtype)
        self.receive = np.zeros(plan.receive_length, dtype)
        self._check = check
        extra = min(TRAILER, -(-_SEAL.size // dtype.itemsize)) if check else 0
        self.outgoing: list[Part] = []
        self.incoming: list[Part] = []
        self._seals: dict[str, list[tuple[int, memoryview, memoryview]]] = {"send": [], "receive": []}
        for neighbour in plan.neighbours:
            if neighbour.rank not in ranks:
                continue
            for name, parts, start, count in (
                ("send", self.outgoing, neighbour.send_start, neighbour.send_count),
                ("receive", self.incoming, neighbour.receive_start, neighbour.receive_count),
            ):
                whole = getattr(self, name)[start : start + count + extra]
                parts += _chunks(neighbour.rank, whole, chunk_bytes)
                octets = memoryview(whole.view(np.uint8))
                data = count * dtype.itemsize
                self._seals[name].append((neighbour.rank, octets[:data], octets[data:]))
        self.tags = 1 + max((part.tag for part in (*self.outgoing, *self.incoming)), default=0)

    def seal(self, name: str, sequence: int) -> None:
        """Write sequence number and checksum after each part of a packed buffer, if messages are checked."""
        if self._check:
            for _, data, trailer in self._seals[name]:
                _SEAL.pack_into(trailer, 0, sequence, zlib.crc32(data, sequence & 0xFFFFFFFF))

    def verify(self, name: str, sequence: int) -> None:
        """Compare each received part with its trailer, if messages are checked.

        Raises
        ------
        MessageError
            With both ranks, the exchange number and what differs.
        """
        if not self._check:
            return
        for rank, data, trailer in self._seals[name]:
            number, sealed = _SEAL.unpack_from(trailer, 0)
            found = zlib.crc32(data, sequence & 0xFFFFFFFF)
            if number != sequence or sealed != found:
                why = (
                    f"checksum {sealed:08x} was sent, {found:08x} arrived"
                    if number == sequence
                    else f"it carries sequence number {number}"
                )
                raise MessageError(
                    f"exchange {sequence}: the message of {len(data)} bytes from rank {rank} to rank {self.rank} "
                    f"arrived altered: {why}"
                )


def _chunks(rank: int, whole: np.ndarray, chunk_bytes: int) -> list[Part]:
    step = max(1, chunk_bytes // whole.itemsize)
    return [Part(rank, tag, whole[lo : lo + step]) for tag, lo in enumerate(range(0, len(whole), step))]
