"""Messages of a run: rank 0 prints, every rank has a file of its own."""

from __future__ import annotations

import sys
import time
from collections.abc import Collection
from pathlib import Path
from typing import TextIO

from hpcsim.errors import ConfigError


def parse_ranks(text: str, size: int) -> frozenset[int]:
    """Ranks named on the command line.

    Parameters
    ----------
    text : str
        ``all``, or numbers and ranges: ``0,3,8-11``.
    size : int
        Number of ranks.

    Raises
    ------
    ConfigError
        If the text is no such list, or names a rank that does not exist.

    Examples
    --------
    >>> sorted(parse_ranks("0,2-3", 4))
    [0, 2, 3]
    """
    if text.strip() == "all":
        return frozenset(range(size))
    chosen: set[int] = set()
    for part in text.split(","):
        ends = part.strip().split("-")
        if len(ends) > 2 or not all(end.strip().isdecimal() for end in ends):
            raise ConfigError(f"--log-ranks: '{part.strip()}' is no rank; give 'all' or a list such as 0,3,8-11")
        first, last = int(ends[0]), int(ends[-1])
        if first > last or last >= size:
            raise ConfigError(f"--log-ranks: '{part.strip()}' is not within the ranks 0 to {size - 1} of this run")
        chosen.update(range(first, last + 1))
    return frozenset(chosen)


class Log:
    """Messages of one rank.

    Parameters
    ----------
    rank : int
        Rank of this process.
    directory : Path, optional
        Where ``rank-N.log`` goes; made at the first message. None writes no file.
    ranks : collection of int
        Ranks that also print.
    stream : text stream, optional
        Where printed messages go; standard output by default.

    Examples
    --------
    >>> Log(rank=0).info("512 cells, 1 rank")
    512 cells, 1 rank
    """

    def __init__(
        self, rank: int, directory: Path | None = None, ranks: Collection[int] = (0,), stream: TextIO | None = None
    ) -> None:
        self.rank = rank
        self._path = directory / f"rank-{rank}.log" if directory is not None else None
        self._prints = rank in ranks
        self._prefix = f"[{rank}] " if set(ranks) != {0} else ""
        self._stream = stream
        self._file: TextIO | None = None

    def info(self, message: str) -> None:
        """A fact for whoever watches the run: printed by the chosen ranks and kept in the file."""
        if self._prints:
            self._print(message, self._stream or sys.stdout)
        self.note(message)

    def warn(self, message: str) -> None:
        """Something the user should act on: as `info`, on standard error."""
        if self._prints:
            self._print(f"warning: {message}", self._stream or sys.stderr)
        self.note(f"warning: {message}")

    def note(self, message: str) -> None:
        """A line for the file alone, with the time of day."""
        if self._path is None:
            return
        try:
            if self._file is None:
                self._path.parent.mkdir(parents=True, exist_ok=True)
                # A file name in a message need not be text.
                self._file = open(self._path, "a", 1, "utf-8", "backslashreplace")  # noqa: SIM115 (kept open)
            self._file.write(f"{time.strftime('%Y-%m-%dT%H:%M:%S')} {message}\n")
        except OSError as error:
            # A log that cannot be written must not end a run that can.
            self._path = None
            print(f"warning: rank {self.rank} keeps no log: {error}", file=sys.stderr)

    def close(self) -> None:
        """Close the file; later messages open it again."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _print(self, message: str, stream: TextIO) -> None:
        """One line in one piece, at once: batch systems show only what is flushed, and mix pieces of several ranks."""
        stream.write(f"{self._prefix}{message}\n")
        stream.flush()
