"""An incomplete factorisation of the part of the matrix that lies within a rank."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsim.errors import ConfigError
from hpcsim.solvers.preconditioners.base import Preconditioner

if TYPE_CHECKING:
    from hpcsim.solvers.petsc.library import Library
    from hpcsim.solvers.petsc.system import System


class BlockJacobi(Preconditioner):
    """One block per rank, each solved by ILU(k): no messages, weaker with every rank.

    Parameters
    ----------
    levels : int
        Levels of fill k.

    Raises
    ------
    ConfigError
        If the level is negative.
    """

    pc_type = "bjacobi"

    def __init__(self, levels: int = 0) -> None:
        super().__init__()
        self.levels = checked_levels(levels)

    def storage(self, system: System) -> str:
        """Dense blocks, if a site has several unknowns."""
        return "baij" if system.block_size > 1 else "aij"

    def options(self, library: Library, system: System) -> dict[str, str]:
        """ILU(k) in every block."""
        return {"sub_ksp_type": "preonly", "sub_pc_type": "ilu", "sub_pc_factor_levels": str(self.levels)}


def checked_levels(levels: int) -> int:
    """A level of fill, if it is one."""
    if levels < 0:
        raise ConfigError(f"levels of fill: {levels} was given; 0 keeps the pattern of the matrix, 1 and 2 are common")
    return levels
