"""Stages of a pass: what they read and write, and how far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hpcsim.solvers.multigrid.fields import STAGES

# Stages that read neighbours of what the stage before them wrote; the others read the same site.
_REACH = {"FRESH", "RELAX0", "RELAX1", "RESTRICT", "RESIDUAL", "OPERATE", "POLYU", "POLYV"}
# Which registers a stage reads at its site or beside it: U iterate, F right side, P second iterate, X solution.
_READS = {
    "LOAD": "", "START": "F", "FRESH": "FU", "RELAX0": "FU", "RELAX1": "FU", "RESTRICT": "FU", "INJECT": "F",
    "CORRECT": "U", "ASSIGN": "", "ADD": "UX", "SET": "U", "RESIDUAL": "X", "OPERATE": "X",
    "POLYU0": "F", "POLYV0": "F", "POLYU": "FPU", "POLYV": "FPU", "TAKE": "P",
}  # fmt: skip
_WRITES = {
    "LOAD": "F", "START": "U", "FRESH": "U", "RELAX0": "U", "RELAX1": "U", "RESTRICT": "", "INJECT": "",
    "CORRECT": "U", "ASSIGN": "U", "ADD": "X", "SET": "X", "RESIDUAL": "F", "OPERATE": "",
    "POLYU0": "UP", "POLYV0": "UP", "POLYU": "U", "POLYV": "P", "TAKE": "U",
}  # fmt: skip
# Stages whose other end is an array without ghosts.
_OWN_ROWS = {"LOAD", "RESIDUAL", "OPERATE"}
# What the second half sweep from zero finds of its own colour counts as nothing.
_FROM_NOTHING = {"START", "ASSIGN", "POLYU0", "POLYV0"}


@dataclass(frozen=True)
class Stage:
    """One stage.

    Attributes
    ----------
    name : str
        One of `fields.STAGES`.
    alpha, beta : float
        Parameters: relaxation factor; those of a step of the polynomial; whether a restriction sums squares.
    """

    name: str
    alpha: float = 0.0
    beta: float = 0.0

    @property
    def number(self) -> int:
        """Its number in the compiled loops."""
        return STAGES.index(self.name)

    @property
    def reach(self) -> int:
        """How far it reads what the stage before it wrote."""
        return int(self.name in _REACH)

    @property
    def reads(self) -> str:
        """Registers it reads."""
        return _READS[self.name]

    @property
    def writes(self) -> str:
        """Registers it writes."""
        return _WRITES[self.name]

    @property
    def own_rows(self) -> bool:
        """Whether it can only work on own rows."""
        return self.name in _OWN_ROWS

    @property
    def restricts(self) -> bool:
        """Whether it fills the right side of the coarser level."""
        return self.name in ("RESTRICT", "INJECT")

    @property
    def interpolates(self) -> bool:
        """Whether it reads the coarser level."""
        return self.name in ("CORRECT", "ASSIGN")


def lags(stages: Sequence[Stage]) -> list[int]:
    """How many planes each stage stays behind the first one.

    Examples
    --------
    >>> lags([Stage("START"), Stage("FRESH"), Stage("RESTRICT")])
    [0, 1, 2]
    """
    found: list[int] = []
    for stage in stages:
        found.append(found[-1] + stage.reach if found else 0)
    return found


def extents(stages: Sequence[Stage], extra: int = 0) -> list[int]:
    """How many ghost rows each stage of a pass must work on, so that the last one is right.

    A restriction needs the residual one row beyond the own ones.

    Examples
    --------
    >>> extents([Stage("START"), Stage("FRESH"), Stage("RESTRICT")])
    [3, 2, 1]
    """
    behind = lags(stages)
    end = 1 if stages[-1].restricts else extra
    return [end + behind[-1] - lag + (extra if stages[-1].restricts else 0) for lag in behind[:-1]] + [end]


def needs(stages: Sequence[Stage], reach: Sequence[int]) -> dict[str, int]:
    """How many ghost rows of each register must be right before a pass.

    Examples
    --------
    >>> pair = [Stage("RELAX0"), Stage("RELAX1")]
    >>> needs(pair, extents(pair))
    {'F': 1, 'U': 2}
    """
    found: dict[str, int] = {}
    written: set[str] = set()
    for stage, width in zip(stages, reach, strict=True):
        for register in stage.reads:
            if register not in written:
                found[register] = max(found.get(register, 0), width + stage.reach * (register in "UPX"))
        if stage.name in _FROM_NOTHING or stage.name in ("SET", "TAKE", "LOAD", "RESIDUAL"):
            written |= set(stage.writes)
    return found
