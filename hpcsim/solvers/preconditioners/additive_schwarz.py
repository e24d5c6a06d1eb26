"""Incomplete factorisations of parts that overlap."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsim.errors import ConfigError
from hpcsim.solvers.preconditioners.base import Preconditioner
from hpcsim.solvers.preconditioners.block_jacobi import checked_levels

if TYPE_CHECKING:
    from hpcsim.solvers.petsc.library import Library
    from hpcsim.solvers.petsc.system import System


class AdditiveSchwarz(Preconditioner):
    """Parts of the ranks widened by a few layers of neighbours, each solved by ICC(k) or ILU(k).

    A symmetric matrix gets the symmetric variant with ICC; any other the restricted one of Cai and Sarkis, SIAM J. Sci.
    Comput. 21 (1999) 792, with ILU.

    Parameters
    ----------
    overlap : int
        Layers of neighbours.
    levels : int
        Levels of fill k.

    Raises
    ------
    ConfigError
        If a number is negative.
    """

    pc_type = "asm"

    def __init__(self, overlap: int = 1, levels: int = 0) -> None:
        super().__init__()
        if overlap < 0:
            raise ConfigError(f"additive_schwarz: an overlap of {overlap} layers was given; use 0, 1 or 2")
        self.overlap, self.levels = overlap, checked_levels(levels)

    def options(self, library: Library, system: System) -> dict[str, str]:
        """Overlap and inner factorisation."""
        return {
            "pc_asm_overlap": str(self.overlap),
            "pc_asm_type": "basic" if system.symmetric else "restrict",
            "sub_ksp_type": "preonly",
            "sub_pc_type": "icc" if system.symmetric else "ilu",
            "sub_pc_factor_levels": str(self.levels),
        }
