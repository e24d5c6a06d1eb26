"""A thread that does the local work of a checkpoint while the run goes on: no MPI, no HDF5, no compiled loops in it."""

from __future__ import annotations

import threading
from collections.abc import Callable


class Background:
    """Does one piece of work at a time beside the calling thread.

    Examples
    --------
    >>> background, done = Background(), []
    >>> background.start(lambda: done.append(1))
    >>> background.wait()
    >>> background.idle, done
    (True, [1])
    """

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None

    @property
    def idle(self) -> bool:
        """Whether nothing is under way."""
        return self._thread is None or not self._thread.is_alive()

    def start(self, work: Callable[[], None]) -> None:
        """Begin; `work` must keep its own errors, for nobody is there to take them."""
        self.wait()
        # A daemon: a run that has to end does not wait for its disk.
        self._thread = threading.Thread(target=work, name="hpcsim-checkpoint", daemon=True)
        self._thread.start()

    def wait(self) -> None:
        """Return when nothing is under way; signals are still handled."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
