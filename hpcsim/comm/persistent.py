"""Persistent requests: every message is set up once, a step only starts and completes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from hpcsim.comm.buffers import Part
from hpcsim.comm.exchange import Exchange

if TYPE_CHECKING:
    from hpcsim.comm.plan import Register


class PersistentExchange(Exchange):
    """Requests made once; pack, start all, copy between own blocks, wait for all, unpack."""

    def _connect(self) -> None:
        self._startall: Any = None
        self._waitall: Any = None
        if self.buffers.outgoing or self.buffers.incoming:
            from mpi4py import MPI

            self._startall, self._waitall = MPI.Prequest.Startall, MPI.Prequest.Waitall
        self._forward = self._requests(self.buffers.incoming, self.buffers.outgoing)
        self._backward = self._requests(self.buffers.outgoing, self.buffers.incoming)

    def _requests(self, incoming: list[Part], outgoing: list[Part]) -> list[Any]:
        comm, tag = self.context.comm, self._tag
        # Receives first: a message that finds its receive posted needs no intermediate copy.
        requests = [comm.Recv_init(part.data, part.rank, tag + part.tag) for part in incoming]
        return requests + [comm.Send_init(part.data, part.rank, tag + part.tag) for part in outgoing]

    def _launch_forward(self) -> None:
        if self._forward:
            self._startall(self._forward)

    def _complete_forward(self) -> None:
        if self._forward:
            self._waitall(self._forward)

    def _launch_backward(self) -> None:
        if self._backward:
            self._startall(self._backward)

    def _complete_backward(self, registers: Sequence[Register]) -> None:
        if self._backward:
            self._waitall(self._backward)

    def free(self) -> None:
        """Free the requests; local."""
        for request in (*self._forward, *self._backward):
            request.Free()
        self._forward, self._backward = [], []
