"""Region timers: how long the run spent in kernels, exchange, boundary, output."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager


class Timers:
    """Accumulated seconds per named region, from a monotone clock.

    Examples
    --------
    >>> timers = Timers()
    >>> with timers.region("kernel"):
    ...     pass
    >>> timers.seconds["kernel"] >= 0.0
    True
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.calls: dict[str, int] = {}

    @contextmanager
    def region(self, name: str) -> Iterator[None]:
        """Add the time spent inside the ``with`` block to a region, whether or not it raises."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.add(name, time.perf_counter() - start)

    def add(self, name: str, seconds: float) -> None:
        """Add seconds measured elsewhere to a region."""
        self.seconds[name] = self.seconds.get(name, 0.0) + seconds
        self.calls[name] = self.calls.get(name, 0) + 1
