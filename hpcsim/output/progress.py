"""How far a run is: a bar on a terminal, a line every few seconds in a batch job."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TextIO

BAR = 24


def duration(seconds: float) -> str:
    """Seconds as people say them.

    Examples
    --------
    >>> duration(75), duration(7384), duration(200000)
    ('1:15', '2:03:04', '2 d 07 h')
    """
    whole = max(0, round(seconds))
    if whole >= 100 * 3600 or whole >= 48 * 3600:
        return f"{whole // 86400} d {whole % 86400 // 3600:02d} h"
    hours, minutes = whole // 3600, whole % 3600 // 60
    return f"{hours}:{minutes:02d}:{whole % 60:02d}" if hours else f"{minutes}:{whole % 60:02d}"


def rate(value: float) -> str:
    """A rate with a unit prefix.

    Examples
    --------
    >>> rate(1.234e9), rate(5.0)
    ('1.23 G', '5.00 ')
    """
    for limit, prefix in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit:
            return f"{value / limit:.3g} {prefix}"
    return f"{value:.2f} "


class Progress:
    """Progress line of a run; made on the rank that prints.

    Parameters
    ----------
    steps : int
        Step number at the end.
    cells : int
        Cells of the whole lattice.
    first : int
        Step number at the start (not 0 after a restart).
    interval_s : float
        Seconds between lines in batch; on a terminal the bar is redrawn five times a second.
    bytes_per_cell_step : float, optional
        Memory traffic of a step per cell.
    bandwidth : float, optional
        Measured memory bandwidth of all ranks together, bytes per second.
    stream : text stream, optional
        Standard output by default.
    bar : bool
        Whether a bar may be drawn if the stream is a terminal; MPI launchers hand their ranks a terminal of their own,
        whatever the output of the job is.
    clock : callable
        Monotone seconds.
    """

    def __init__(
        self,
        steps: int,
        cells: int,
        *,
        first: int = 0,
        interval_s: float = 10.0,
        bytes_per_cell_step: float | None = None,
        bandwidth: float | None = None,
        stream: TextIO | None = None,
        bar: bool = True,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._steps, self._cells, self._first = steps, cells, first
        self._traffic, self._bandwidth = bytes_per_cell_step, bandwidth
        self._stream = stream if stream is not None else sys.stdout
        self._clock = clock
        self._tty = bar and self._stream.isatty()
        self._interval = 0.2 if self._tty else interval_s
        self._start = self._shown = clock()
        self._last: tuple[int, float] = (first, 0.0)
        self._drawn = False

    def update(self, step: int, t: float) -> None:
        """Tell how far the run is; prints only when the interval has passed."""
        self._last = (step, t)
        now = self._clock()
        if now - self._shown >= self._interval:
            self._shown = now
            self._show(now)

    def close(self) -> None:
        """Print the last state and end the line."""
        if self._last[0] > self._first:
            self._show(self._clock())
        if self._drawn:
            self._stream.write("\n")
            self._stream.flush()

    def line(self, now: float) -> str:
        """Text of the line at a time of the clock."""
        step, t = self._last
        elapsed, done = now - self._start, step - self._first
        parts = [f"step {step}/{self._steps}", f"t = {t:.6g}"]
        if done > 0 and elapsed > 0:
            speed = done / elapsed
            parts += [f"ETA {duration((self._steps - step) / speed)}", f"{rate(speed * self._cells)}cells/s"]
            if self._traffic and self._bandwidth:
                share = speed * self._cells * self._traffic / self._bandwidth
                parts.append(f"{100 * share:.0f} % of memory bandwidth")
        return "  ".join(parts)

    def _show(self, now: float) -> None:
        """Redraw the bar, or print a line."""
        text = self.line(now)
        if self._tty:
            total = max(1, self._steps - self._first)
            full = min(BAR, BAR * (self._last[0] - self._first) // total)
            # Erase to the end of the line: the new text may be shorter than the old.
            self._stream.write(f"\r[{'#' * full}{'.' * (BAR - full)}] {text}\x1b[K")
            self._drawn = True
        else:
            self._stream.write(text + "\n")
        self._stream.flush()
