"""Threads of one rank that share a list of tasks; the work itself runs in libraries that let go of the interpreter."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


class Workers:
    """The calling thread and some more.

    Parameters
    ----------
    threads : int
        Threads in all; with one, no thread is started.

    Examples
    --------
    >>> done = []
    >>> Workers(1).run(done.append, [1, 2, 3])
    >>> done
    [1, 2, 3]
    """

    def __init__(self, threads: int = 1) -> None:
        self.threads = max(1, threads)
        self._pool = ThreadPoolExecutor(self.threads - 1) if self.threads > 1 else None

    def run(self, task: Callable[[T], object], items: Sequence[T]) -> None:
        """Do the task for every item, each once, in any order; returns when all are done.

        Raises
        ------
        BaseException
            Whatever a task raised, after all threads have ended.
        """
        # The next item of a list iterator is taken by one thread alone.
        rest = iter(items)
        if self._pool is None or len(items) < 2:
            _drain(task, rest)
            return
        others = [self._pool.submit(_drain, task, rest) for _ in range(min(self.threads, len(items)) - 1)]
        try:
            _drain(task, rest)
        finally:
            for other in others:
                other.exception()
        for other in others:
            other.result()

    def free(self) -> None:
        """End the threads; harmless the second time."""
        pool, self._pool = self._pool, None
        if pool is not None:
            pool.shutdown()


def _drain(task: Callable[[T], object], rest: Iterator[T]) -> None:
    for item in rest:
        task(item)
