"""Semicoarsening multigrid of hypre for rectangular grids."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import ConfigError
from hpcsim.solvers.preconditioners.base import Preconditioner
from hpcsim.solvers.preconditioners.boomeramg import NO_HYPRE
from hpcsim.solvers.preconditioners.boxes import Cuts

if TYPE_CHECKING:
    from hpcsim.solvers.petsc.library import Library
    from hpcsim.solvers.petsc.options import SolverOptions
    from hpcsim.solvers.petsc.system import System
    from hpcsim.solvers.rows import Rows

_NDIM = 3


class Pfmg(Preconditioner):
    """Multigrid PFMG of hypre (PCPFMG on a DMDA): stars on a rectangular grid of at most three axes, one box per rank.

    Ashby and Falgout, Nucl. Sci. Eng. 124 (1996) 145. A periodic axis needs a power of two of unknowns.
    """

    pc_type = "pfmg"
    own_matrix = True

    def __init__(self) -> None:
        super().__init__()
        self._struct: StructMatrix | None = None

    def obstacle(self, library: Library, system: System) -> str:
        """A PETSc without hypre, or unknowns that do not lie as hypre needs them."""
        if not library.has("hypre"):
            return NO_HYPRE.format(version=library.version)
        grid = system.grid
        if grid is None or system.block_size != 1 or len(grid.axes) > _NDIM:
            return "pfmg needs one unknown per site of a grid of at most three axes, and one box per rank; use gamg"
        if grid.cuts is None:
            return "pfmg needs the boxes of the ranks to form a grid of processes in the order of the ranks"
        if any(axis.count < 2 for axis in grid.axes):
            return "pfmg needs at least two unknowns along every axis; use gamg"
        if any(axis.ends is None and axis.count & (axis.count - 1) for axis in grid.axes):
            return "pfmg needs a power of two of unknowns along a periodic axis; use gamg"
        return ""

    def attach(self, pc: Any, library: Library, system: System, options: SolverOptions, sign: float) -> None:
        """Give hypre the matrix in its own form."""
        grid, rows = system.grid, system.rows
        if grid is None or grid.cuts is None or rows is None:
            return
        periodic = tuple(axis.ends is None for axis in grid.axes)
        self._struct = self.keep(StructMatrix(library, grid.cuts, periodic, sign))
        self._struct.fill(rows)
        pc.setOperators(pc.getOperators()[0], self._struct.mat)

    def update(self, rows: Rows) -> None:
        """Take up new entries."""
        if self._struct is not None:
            self._struct.fill(rows)


class StructMatrix:
    """A matrix of hypre's structured interface on a DMDA; creation and filling are collective.

    A DMDA numbers its first direction fastest and its ranks likewise, so its directions are our axes in reverse order;
    missing ones have one site.
    """

    def __init__(self, library: Library, cuts: Cuts, periodic: tuple[bool, ...], sign: float) -> None:
        self._library, self._cuts, self._periodic, self._sign = library, cuts, periodic, sign
        petsc = library.petsc
        missing = _NDIM - len(cuts.edges)
        parts = [tuple(np.diff(edges).tolist()) for edges in reversed(cuts.edges)] + [(1,)] * missing
        kinds = [petsc.DM.BoundaryType.PERIODIC if p else petsc.DM.BoundaryType.NONE for p in reversed(periodic)]
        kinds += [petsc.DM.BoundaryType.NONE] * missing
        self._dmda = petsc.DMDA().create(
            dim=_NDIM,
            dof=1,
            sizes=[sum(widths) for widths in parts],
            proc_sizes=[len(widths) for widths in parts],
            ownership_ranges=parts,
            boundary_type=kinds,
            stencil_type=petsc.DMDA.StencilType.STAR,
            stencil_width=1,
            setup=True,
            comm=library.comm,
        )
        self._dmda.setMatType("hyprestruct")
        self.mat = self._dmda.createMatrix()

    def fill(self, rows: Rows) -> None:
        """Set all entries.

        Raises
        ------
        ConfigError
            On all ranks, if a row reaches beyond its next neighbours along the axes.
        """
        own = rows.row_numbers()
        steps = self._steps(own + rows.first, rows.indices)
        if self._library.context.any(bool((np.abs(steps).sum(axis=0) > 1).any())):
            raise ConfigError("pfmg: rows reach beyond the next neighbours along the axes; use gamg")
        # One value per row and place of the star, zeros included: MatZeroEntries of this type writes out of bounds
        # (PETSc 3.18), so nothing may be left as it was.
        ndim = len(steps)
        values = np.zeros((rows.count, 2 * ndim + 1))
        column = ndim + np.arange(1, ndim + 1) @ np.array(steps)
        np.add.at(values, (own, column), self._sign * rows.data)
        strides, places = self._places(rows)
        shifts = np.array([*(-stride for stride in reversed(strides)), 0, *strides])
        starts = np.arange(rows.count + 1) * (2 * ndim + 1)
        indices = self._library.indices
        targets = (places[:, None] + shifts).ravel()
        self.mat.setValuesLocalIJV(indices(starts), indices(targets), values.ravel(), rowmap=indices(places))
        self.mat.assemble()

    def _places(self, rows: Rows) -> tuple[list[int], NDArray[np.int64]]:
        """Distance of neighbours along each axis, and place of each row, in the box widened by a layer of ghosts.

        hypre finds a neighbour by the difference of two places, which therefore may lie outside.
        """
        ghosted = self._dmda.getGhostRanges()
        strides = np.cumprod([1, *(hi - lo for lo, hi in ghosted[:-1])])
        start = -sum(lo * stride for (lo, _), stride in zip(ghosted, strides, strict=True))
        sites = self._cuts.sites(np.arange(rows.first, rows.first + rows.count))
        along = [int(stride) for stride in strides[: len(sites)][::-1]]
        return along, start + sum(site * stride for site, stride in zip(sites, along, strict=True))

    def _steps(self, rows: NDArray[np.int64], columns: NDArray[np.int64]) -> list[NDArray[np.int64]]:
        """Distance from row to column on each axis, over the periodic end where that is shorter."""
        pairs = zip(self._cuts.sites(rows), self._cuts.sites(columns), strict=True)
        steps = []
        for (site, other), count, periodic in zip(pairs, self._cuts.shape, self._periodic, strict=True):
            step = other - site
            if periodic:
                half = count // 2
                step = (step + half) % count - half
            steps.append(step)
        return steps

    def destroy(self) -> None:
        """Give matrix and DMDA back; collective."""
        self.mat.destroy()
        self._dmda.destroy()
