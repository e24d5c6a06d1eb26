"""Ghost exchange: the common part of all strategies, and the table of their names.

Call sequence of one exchange: ``start`` (pack and send, fill ghosts from own blocks), then work that reads no ghost if
the strategy overlaps, then ``finish`` (receive, unpack). After ``finish`` every ghost of the plan holds the value of
its owner and the registers may be changed in place.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from hpcsim.comm.buffers import CHUNK_BYTES, Buffers
from hpcsim.registry import Registry

if TYPE_CHECKING:
    from hpcsim.comm.context import Context
    from hpcsim.comm.plan import ExchangePlan, Mover, Register

EXCHANGES = Registry(
    "exchange",
    {
        "auto": "hpcsim.comm.exchange:choose_exchange",
        "blocking": "hpcsim.comm.blocking:BlockingExchange",
        "persistent": "hpcsim.comm.persistent:PersistentExchange",
        "overlapped": "hpcsim.comm.overlapped:OverlappedExchange",
        "shared": "hpcsim.comm.shared:SharedExchange",
    },
)


class Exchange(ABC):
    """Base of the strategies: packing, own blocks, checks and the order of the reverse exchange.

    Parameters
    ----------
    context : Context
    plan : ExchangePlan
    mover : Mover
    dtype : dtype-like
        Type of all registers of the exchange.
    check : bool
        Seal every message with a sequence number and a crc32.
    chunk_bytes : int
        Largest single message.

    Attributes
    ----------
    overlaps : bool
        Whether it pays to compute between :meth:`start` and :meth:`finish`.
    sequence : int
        Number of exchanges begun so far.
    """

    overlaps = False

    def __init__(
        self,
        context: Context,
        plan: ExchangePlan,
        mover: Mover,
        dtype: Any,
        check: bool = False,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        self.context, self.plan, self.mover = context, plan, mover
        self.sequence = 0
        ranks = self._message_ranks(check)
        self.buffers = Buffers(plan, np.dtype(dtype), check, chunk_bytes, ranks)
        self._pack = plan.joined("pack", ranks)
        self._unpack = plan.joined("unpack", ranks)
        # All ranks take the same number of tags, so that both ends of a message agree on its tag.
        self._tag = context.take_tags(int(context.max(float(self.buffers.tags))))
        self._connect()

    def _message_ranks(self, check: bool) -> frozenset[int]:
        """Neighbours reached by messages; all of them unless a strategy reads some in place."""
        return frozenset(neighbour.rank for neighbour in self.plan.neighbours)

    def _connect(self) -> None:  # noqa: B027 (a strategy may have nothing to set up)
        """Set up requests or shared flags, once."""

    def start(self, registers: Sequence[Register], local: bool = True) -> None:
        """Send the interiors that others need and fill ghosts from blocks of this rank.

        Parameters
        ----------
        registers : sequence of Register
            One per field of the plan, in that order.
        local : bool
            Whether to fill ghosts from blocks of this rank, or leave that to the caller.
        """
        self.sequence += 1
        self._move(self.mover.pack, self.buffers.send, registers, self._pack)
        self.buffers.seal("send", self.sequence)
        self._launch_forward()
        strides = self.plan.strides
        for register, table in zip(registers, self.plan.local, strict=True):
            if local and len(table):
                self.mover.copy(register.flat, register.flat, table, strides)

    def finish(self, registers: Sequence[Register]) -> None:
        """Wait for the messages and fill the ghosts.

        Raises
        ------
        MessageError
            With ``check``, if a message arrived altered.
        """
        self._complete_forward()
        self.buffers.verify("receive", self.sequence)
        buffer, strides = self.buffers.receive, self.plan.strides
        for register, table in zip(registers, self._unpack, strict=True):
            if len(table):
                self.mover.unpack(register.flat, buffer, table, strides)

    def run(self, registers: Sequence[Register]) -> None:
        """One whole exchange."""
        self.start(registers)
        self.finish(registers)

    def reverse(self, registers: Sequence[Register]) -> None:
        """Add every ghost into the site that owns it; the ghosts keep their values.

        Each site takes its contributions in the order (receiving block, direction), wherever the blocks live, so the
        result has the same bits for every map of blocks to ranks.
        """
        self.sequence += 1
        swapped = self._swapped_unpack()
        self._move(self.mover.pack, self.buffers.receive, registers, swapped)
        self.buffers.seal("receive", self.sequence)
        self._launch_backward()
        self._move(self.mover.pack, self.buffers.send, registers, self.plan.local_back)
        self._complete_backward(registers)
        self.buffers.verify("send", self.sequence)
        buffer, strides = self.buffers.send, self.plan.strides
        for register, table in zip(registers, self.plan.add_back, strict=True):
            if len(table):
                self.mover.add(register.flat, buffer, table, strides)

    def free(self) -> None:  # noqa: B027 (a strategy may hold nothing)
        """Give requests and flags back; collective for strategies with shared memory."""

    def _swapped_unpack(self) -> tuple[np.ndarray, ...]:
        if not hasattr(self, "_unpack_back"):
            self._unpack_back = tuple(np.ascontiguousarray(t[:, [1, 0, 2, 3, 4, 5]]) for t in self._unpack)
        return self._unpack_back

    def _move(
        self, verb: Any, buffer: np.ndarray, registers: Sequence[Register], tables: tuple[np.ndarray, ...]
    ) -> None:
        strides = self.plan.strides
        for register, table in zip(registers, tables, strict=True):
            if len(table):
                verb(buffer, register.flat, table, strides)

    @abstractmethod
    def _launch_forward(self) -> None:
        """Begin to send and receive the packed ghosts."""

    @abstractmethod
    def _complete_forward(self) -> None:
        """Wait until the received ghosts are in their buffer."""

    @abstractmethod
    def _launch_backward(self) -> None:
        """Begin to send ghosts back to their owners."""

    @abstractmethod
    def _complete_backward(self, registers: Sequence[Register]) -> None:
        """Wait until the returned ghosts are in their buffer."""


def choose_exchange(context: Context, *arguments: Any) -> Exchange:
    """Overlapped where messages leave the node, persistent on one node, where nothing hides behind a copy in memory."""
    name = "overlapped" if len(set(context.hosts)) > 1 else "persistent"
    strategy: Exchange = EXCHANGES.get(name)(context, *arguments)
    return strategy


def make_exchange(
    name: str,
    context: Context,
    plan: ExchangePlan,
    mover: Mover,
    dtype: Any,
    check: bool = False,
    chunk_bytes: int = CHUNK_BYTES,
) -> Exchange:
    """The exchange strategy of that name; collective over the context.

    Parameters
    ----------
    name : str
        ``"auto"``, ``"blocking"``, ``"persistent"``, ``"overlapped"``, ``"shared"`` or a registered one.
    context, plan, mover, dtype, check, chunk_bytes
        See :class:`Exchange`.

    Raises
    ------
    ConfigError
        If the name is unknown.
    """
    strategy: Exchange = EXCHANGES.get(name)(context, plan, mover, dtype, check, chunk_bytes)
    return strategy
