"""Neighbours on the same node are read in place from shared memory; others get persistent messages."""

from __future__ import annotations

import os
import time
import weakref
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from hpcsim.comm.persistent import PersistentExchange
from hpcsim.comm.window import SharedWindow
from hpcsim.errors import ConfigError

if TYPE_CHECKING:
    import numpy as np

    from hpcsim.comm.plan import Neighbour, Register

_LINE = 64
_SPINS = 400
_YIELDS = 4000
_NAP = 5e-5


class SharedExchange(PersistentExchange):
    """Read the neighbour's interior straight into my ghosts: no packing, no message, two flags.

    Each rank counts exchanges in shared memory: ``ready`` says that its sites may be read, ``done`` that it has read
    those of the others. ``finish`` returns when all neighbours are done, so the registers may be changed in place at
    once. Between ``start`` and ``finish`` they must not be changed, hence no overlap. With ``check`` all neighbours get
    messages, since a value read in place has nothing to seal.
    """

    def _message_ranks(self, check: bool) -> frozenset[int]:
        every = super()._message_ranks(check)
        self._near: tuple[Neighbour, ...] = ()
        if check:
            return every
        node = set(self.context.node_ranks)
        self._near = tuple(neighbour for neighbour in self.plan.neighbours if neighbour.rank in node)
        return every - node

    def _connect(self) -> None:
        super()._connect()
        self._spins = 0 if self.context.crowded else _SPINS
        self._flags = SharedWindow(self.context, 2 * _LINE)
        mine = _counters(self._flags.local)
        self._my_ready, self._my_done = mine[0:1], mine[_LINE // 8 : _LINE // 8 + 1]
        self._ready: list[memoryview] = []
        self._done: list[memoryview] = []
        self._readers: dict[tuple[int, int, int], tuple[weakref.ref[np.ndarray], Callable[[], None]]] = {}
        for neighbour in self._near:
            theirs = _counters(self._flags.peer(neighbour.rank))
            self._ready.append(theirs[0:1])
            self._done.append(theirs[_LINE // 8 : _LINE // 8 + 1])

    def _launch_forward(self) -> None:
        super()._launch_forward()
        self._publish(self._my_ready)

    def finish(self, registers: Sequence[Register]) -> None:
        """Read the node neighbours' sites, complete messages from other nodes, wait until all have read mine."""
        epoch = self.sequence
        for place, ready in enumerate(self._ready):
            self._wait(ready, epoch)
            for field, register in enumerate(registers):
                self._reader(place, field, register)()
        if self._near:
            self._publish(self._my_done)
        super().finish(registers)
        for done in self._done:
            self._wait(done, epoch)

    def _reader(self, place: int, field: int, register: Register) -> Callable[[], None]:
        """The copy of one field from one neighbour; prepared once for each array, since registers are swapped."""
        key = place, field, id(register.flat)
        known = self._readers.get(key)
        if known is None or known[0]() is not register.flat:
            neighbour = self._near[place]
            table, peer = neighbour.read[field], _peer(register, neighbour.rank)
            read = self.mover.bind_copy(register.flat, peer, table, self.plan.strides) if len(table) else _nothing
            known = self._readers[key] = weakref.ref(register.flat), read
        return known[1]

    def _launch_backward(self) -> None:
        super()._launch_backward()
        self._publish(self._my_ready)

    def _complete_backward(self, registers: Sequence[Register]) -> None:
        """Gather the node neighbours' ghosts into the send buffer, so that the sum has the order of all strategies."""
        strides, epoch = self.plan.strides, self.sequence
        for neighbour, ready in zip(self._near, self._ready, strict=True):
            self._wait(ready, epoch)
            for register, table in zip(registers, neighbour.read_back, strict=True):
                if len(table):
                    self.mover.pack(self.buffers.send, _peer(register, neighbour.rank), table, strides)
        self._publish(self._my_done)
        super()._complete_backward(registers)
        for done in self._done:
            self._wait(done, epoch)

    def _publish(self, counter: memoryview) -> None:
        if self._near:
            self._flags.sync()
            counter[0] = self.sequence

    def _wait(self, counter: memoryview, epoch: int) -> None:
        """Wait until a neighbour's counter reaches an epoch: spin, then give the CPU away, then nap."""
        spins = self._spins
        while counter[0] < epoch:
            if spins > 0:
                spins -= 1
            elif spins > -_YIELDS:
                spins -= 1
                os.sched_yield()
            else:
                time.sleep(_NAP)
        self._flags.sync()

    def free(self) -> None:
        """Free requests and flags; collective over the node."""
        super().free()
        self._near, self._ready, self._done = (), [], []
        self._readers.clear()
        self._my_ready = self._my_done = memoryview(b"")
        self._flags.free()


def _nothing() -> None:
    """The copy of a field of which a neighbour holds no ghost."""


def _counters(piece: np.ndarray) -> memoryview:
    counters: memoryview = piece.data
    return counters.cast("q")


def _peer(register: Register, rank: int) -> np.ndarray:
    flat = register.peers.get(rank)
    if flat is None:
        raise ConfigError(
            f"run.exchange: 'shared' needs registers in shared memory and that of rank {rank} is not; allocate the "
            "state with fields.pool.SharedAllocator or use 'overlapped'"
        )
    return flat
