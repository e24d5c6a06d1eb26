"""Persistent requests with computation between start and finish."""

from __future__ import annotations

from hpcsim.comm.persistent import PersistentExchange


class OverlappedExchange(PersistentExchange):
    """As persistent, and the run loop computes sites that read no ghost while messages travel."""

    overlaps = True

    def progress(self) -> None:
        """Let the MPI library move pending messages on; called between pieces of interior work, cheap and optional."""
        for request in self._forward:
            request.Test()
