"""A communicator of one process, so that a serial run needs no MPI library."""

from __future__ import annotations

from typing import Any

import numpy as np


class SerialComm:
    """The few communicator calls the package uses, for one process; reductions are copies.

    Examples
    --------
    >>> comm = SerialComm()
    >>> out = np.zeros(2)
    >>> comm.Allreduce(np.array([1.0, 2.0]), out)
    >>> out.tolist()
    [1.0, 2.0]
    """

    rank = 0
    size = 1

    def Allreduce(self, send: np.ndarray, receive: np.ndarray, op: Any = None) -> None:
        """Copy: the reduction over one process, whatever the operation."""
        np.copyto(receive, send)

    def Allgather(self, send: np.ndarray, receive: np.ndarray) -> None:
        """Copy the only contribution."""
        np.copyto(receive.reshape(send.shape), send)

    def Bcast(self, buffer: np.ndarray, root: int = 0) -> None:
        """Nothing to send."""

    def Barrier(self) -> None:
        """Nobody to wait for."""

    def Free(self) -> None:
        """Nothing to give back."""
