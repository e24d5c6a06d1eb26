"""The ways in which the values of all ranks get into data files, by name; the reader takes them all."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from hpcsim.comm.context import Context
from hpcsim.errors import DiskError
from hpcsim.output.checkpoint.packing import Packing
from hpcsim.registry import Registry

MODES = Registry(
    "checkpoint mode",
    {
        "shards": "hpcsim.output.checkpoint.shards:Shards",
        "collective": "hpcsim.output.checkpoint.collective:Collective",
    },
)
DEFAULT_MODE = "shards"


class Groups(NamedTuple):
    """Which ranks write into one file.

    Attributes
    ----------
    number : ndarray of int64
        Group of each rank; groups are numbered from 0 in the order of their leaders.
    leaders : ndarray of int64
        Rank of each group that makes its file.
    names : tuple of str
        Name of the file of each group.
    """

    number: NDArray[np.int64]
    leaders: NDArray[np.int64]
    names: tuple[str, ...]


@dataclass(frozen=True)
class Target:
    """What a mode needs to fill a file.

    Attributes
    ----------
    context : Context
        The ranks.
    path : Path or None
        The file of this rank; None if nobody of its group has anything to write.
    packing : Packing
        The pieces of this rank, with their places.
    staging : ndarray of uint8
        Room to pack them.
    starts : ndarray of int64
        Where in the file each register begins, 0 for one that is not in it.
    leader : bool
        Whether this rank made the file.
    """

    context: Context
    path: Path | None
    packing: Packing
    staging: NDArray[np.uint8]
    starts: NDArray[np.int64]
    leader: bool


class OutOfStep(DiskError):
    """A library failed on this rank inside a call in which the other ranks now wait: the run has to end."""


class DataMode(Protocol):
    """A way to write data files.

    Attributes
    ----------
    name : str
        Name in `MODES` and in the manifest.
    background : bool
        Whether `fill` is local to the rank: no MPI, no HDF5, so that a thread may call it.
    trusted : bool
        Whether a write that fails raises an error on the rank that gave the values. If not, the read-back must not be
        left out, and space that the file system cannot reserve is filled with zeros beforehand.
    staging_bytes : int
        Bytes of the room for packing.
    """

    name: str
    background: bool
    trusted: bool
    staging_bytes: int

    def check(self, context: Context) -> None:
        """Refuse an installation that cannot do it; raises ``ConfigError``."""

    def groups(self, context: Context, writers_per_node: int) -> Groups:
        """Who writes into which file; collective."""

    def fill(self, target: Target) -> None:
        """Write the values of this rank and make them durable.

        In a mode that is not for the background this is collective, and whatever happens, a rank leaves it only after
        the last collective call; where that is impossible it raises `OutOfStep`. Raises ``OSError`` or ``DiskError``.
        """


def resolve_mode(name: str) -> DataMode:
    """The mode of a name, of which ``auto`` is one.

    Raises
    ------
    ConfigError
        If the name is unknown.

    Examples
    --------
    >>> resolve_mode("auto").name
    'shards'
    """
    made: DataMode = MODES.get(DEFAULT_MODE if name == "auto" else name)()
    return made
