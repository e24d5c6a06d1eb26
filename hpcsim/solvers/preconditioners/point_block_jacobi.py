"""Inverse of the small dense block of every site."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hpcsim.solvers.preconditioners.base import Preconditioner

if TYPE_CHECKING:
    from hpcsim.solvers.petsc.system import System


class PointBlockJacobi(Preconditioner):
    """Inverse of the dense block that couples the unknowns of a site: for strong coupling between components."""

    pc_type = "pbjacobi"

    def storage(self, system: System) -> str:
        """Dense blocks, if a site has several unknowns."""
        return "baij" if system.block_size > 1 else "aij"
