"""Reference strategy: receives are posted, then every message is sent and waited for in turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from hpcsim.comm.buffers import Part
from hpcsim.comm.exchange import Exchange

if TYPE_CHECKING:
    from hpcsim.comm.plan import Register


class BlockingExchange(Exchange):
    """Post receives, send one after the other, wait: the plain order every other strategy must reproduce."""

    def _transfer(self, incoming: list[Part], outgoing: list[Part]) -> None:
        comm, tag = self.context.comm, self._tag
        requests = [comm.Irecv(part.data, part.rank, tag + part.tag) for part in incoming]
        for part in outgoing:
            comm.Send(part.data, part.rank, tag + part.tag)
        for request in requests:
            request.Wait()

    def _launch_forward(self) -> None:
        self._transfer(self.buffers.incoming, self.buffers.outgoing)

    def _complete_forward(self) -> None:
        """All messages were waited for when they were sent."""

    def _launch_backward(self) -> None:
        self._transfer(self.buffers.outgoing, self.buffers.incoming)

    def _complete_backward(self, registers: Sequence[Register]) -> None:
        """All messages were waited for when they were sent."""
