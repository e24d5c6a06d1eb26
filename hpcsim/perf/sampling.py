"""Timing statistics: alternatives are run in turn, so that a slow spell of the machine hits all of them alike."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median, quantiles


@dataclass(frozen=True)
class Spread:
    """Median and quartiles of some figure.

    Attributes
    ----------
    median, low, high : float
        Median, lower and upper quartile.
    best : float
        The smallest value.
    """

    median: float
    low: float
    high: float
    best: float

    @classmethod
    def of(cls, values: Sequence[float]) -> Spread:
        """Statistics of one or more values.

        Examples
        --------
        >>> Spread.of([3.0, 1.0, 2.0])
        Spread(median=2.0, low=1.0, high=3.0, best=1.0)
        """
        low, _, high = quantiles(values, n=4) if len(values) > 1 else (values[0],) * 3
        return cls(median(values), low, high, min(values))


Clock = Callable[[Callable[[], object]], float]


def wall_seconds(call: Callable[[], object]) -> float:
    """Seconds one call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def interleave(
    cases: Mapping[str, Callable[[], object]], repeats: int, clock: Clock = wall_seconds
) -> dict[str, list[float]]:
    """Time alternatives in turn, ``repeats`` times each, after one run of each that is not counted.

    Parameters
    ----------
    cases : mapping of str to callable
        The alternatives.
    repeats : int
        Timed rounds.
    clock : callable
        Gives the seconds of a call.

    Returns
    -------
    dict of str to list of float
        Seconds of each alternative, round by round.
    """
    for call in cases.values():
        call()
    seconds: dict[str, list[float]] = {name: [] for name in cases}
    for _ in range(repeats):
        for name, call in cases.items():
            seconds[name].append(clock(call))
    return seconds


def ratio(above: Sequence[float], below: Sequence[float]) -> Spread:
    """Spread of the ratio of two alternatives, taken round by round.

    Examples
    --------
    >>> ratio([2.0, 4.0, 9.0], [1.0, 2.0, 3.0]).median
    2.0
    """
    return Spread.of([a / b for a, b in zip(above, below, strict=True)])


def enough_calls(call: Callable[[], object], seconds: float) -> int:
    """How often to call so that one sample lasts about so many seconds."""
    call()
    return max(1, round(seconds / max(wall_seconds(call), 1e-7)))
