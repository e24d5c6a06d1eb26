"""Geometric multigrid of PETSc on the boxes of the ranks."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from hpcsim.errors import ConfigError, unknown_name
from hpcsim.lattice.box import volume
from hpcsim.solvers.grid import Axis, Star
from hpcsim.solvers.petsc.matrix import Matrix
from hpcsim.solvers.petsc.nullspace import constants
from hpcsim.solvers.preconditioners.base import Preconditioner
from hpcsim.solvers.preconditioners.boxes import Cuts
from hpcsim.solvers.preconditioners.transfers import coarser, coarser_edges, interpolation, product_rows, star_rows

if TYPE_CHECKING:
    from hpcsim.solvers.petsc.library import Library
    from hpcsim.solvers.petsc.options import SolverOptions
    from hpcsim.solvers.petsc.system import System

COARSE_OPERATORS = ("auto", "galerkin", "rediscretised")
# Enough to fill a direct solver on one rank, too few to matter.
_SMALL = 200
_LARGE = 20_000


@dataclass(frozen=True)
class Level:
    """One grid of the hierarchy."""

    axes: tuple[Axis, ...]
    cuts: Cuts

    @property
    def size(self) -> int:
        """Unknowns."""
        return math.prod(axis.count for axis in self.axes)

    def coarser(self) -> Level | None:
        """The grid with cells of twice the length along every axis that allows it; None if none does."""
        pairs = [(axis, coarser(axis)) for axis in self.axes]
        if all(found is None for _, found in pairs):
            return None
        axes = tuple(axis if found is None else found for axis, found in pairs)
        edges = tuple(
            cuts if found is None else coarser_edges(axis, cuts)
            for (axis, found), cuts in zip(pairs, self.cuts.edges, strict=True)
        )
        return Level(axes, Cuts(edges))


class Geometric(Preconditioner):
    """Multigrid (PCMG) with linear interpolation on a rectangular grid of one to four axes, one box per rank.

    Cells and vertices, every end condition and variable coefficients; every axis needs a number of cells that can be
    halved a few times. The smoother is one symmetric sweep of Gauss-Seidel, the coarsest grid is solved by singular
    value decomposition, which does not mind a null space.

    Parameters
    ----------
    coarse : {"auto", "galerkin", "rediscretised"}
        Coarse operators: products ``transpose(P) A P``, or the star with constant weights on the coarse grid (auto
        takes it where there is one).

    Raises
    ------
    ConfigError
        If the kind of coarse operators is unknown.
    """

    pc_type = "mg"

    def __init__(self, coarse: str = "auto") -> None:
        super().__init__()
        if coarse not in COARSE_OPERATORS:
            raise ConfigError(unknown_name("kind of coarse operators", coarse, COARSE_OPERATORS))
        self._coarse = coarse

    def obstacle(self, library: Library, system: System) -> str:
        """Unknowns that do not lie in one box per rank, or a grid that cannot be coarsened."""
        if system.grid is None or system.block_size != 1:
            return "geometric needs one unknown per site of a rectangular grid, and one box of them per rank; use gamg"
        if system.grid.cuts is None:
            return "geometric needs the boxes of the ranks to form a grid of processes in the order of the ranks"
        if self._coarse == "rediscretised" and (system.star is None or not system.star.constant):
            return "geometric: coarse operators by rediscretisation need constant weights; use 'galerkin'"
        levels = hierarchy(Level(system.grid.axes, system.grid.cuts))
        coarsest = levels[-1]
        if coarsest.size > _LARGE or len(levels) == 1:
            cells = "x".join(str(axis.cells) for axis in coarsest.axes)
            return f"geometric cannot halve {cells} cells ({coarsest.size} unknowns on the coarsest grid); use gamg"
        return ""

    def options(self, library: Library, system: System) -> dict[str, str]:
        """Smoother, coarse solver and coarse operators."""
        inner = "redundant_" if library.context.size > 1 else ""
        found = {
            "mg_levels_ksp_type": "richardson",
            "mg_levels_ksp_max_it": "1",
            "mg_levels_ksp_norm_type": "none",
            "mg_levels_pc_type": "sor",
            "mg_coarse_ksp_type": "preonly",
            f"mg_coarse_{inner}pc_type": "svd",
        }
        if inner:
            found |= {"mg_coarse_pc_type": "redundant", f"mg_coarse_{inner}ksp_type": "preonly"}
        return found if self._star(system) is not None else {"pc_mg_galerkin": "both", **found}

    def _star(self, system: System) -> Star | None:
        """The star whose coarse versions are used, None for products."""
        constant = system.star is not None and system.star.constant and self._coarse != "galerkin"
        return system.star if constant else None

    def attach(self, pc: Any, library: Library, system: System, options: SolverOptions, sign: float) -> None:
        """Interpolations, and coarse operators by rediscretisation."""
        grid, star = system.grid, self._star(system)
        if grid is None or grid.cuts is None:
            return
        asked = options.asked("pc_mg_levels")
        levels = hierarchy(Level(grid.axes, grid.cuts), int(asked) if asked is not None and asked.isdigit() else None)
        pc.setMGLevels(len(levels))
        for place, (fine, coarse) in enumerate(zip(levels, levels[1:], strict=False)):
            number = len(levels) - 1 - place
            prolongation = self._prolongation(library, fine, coarse)
            pc.setMGInterpolation(number, prolongation)
            if star is None:
                continue
            halved = [axis != small for axis, small in zip(fine.axes, coarse.axes, strict=True)]
            restriction = self.keep(prolongation.transpose(library.petsc.Mat()))
            restriction.scale(0.5 ** sum(halved))
            pc.setMGRestriction(number, restriction)
            star = coarser_star(star, coarse.axes)
            rows = star_rows(star, coarse.cuts, library.context.rank)
            null_space = None if system.null_space is None else constants(rows.count)
            matrix = self.keep(Matrix(library, rows, sign=sign, symmetric=system.symmetric, null_space=null_space))
            pc.getMGSmoother(number - 1).setOperators(matrix.mat, matrix.mat)

    def _prolongation(self, library: Library, fine: Level, coarse: Level) -> Any:
        """The interpolation from one grid to the next finer one as a matrix of PETSc."""
        from scipy.sparse import identity

        factors = [
            identity(axis.count, format="csr") if axis == small else interpolation(axis, small)
            for axis, small in zip(fine.axes, coarse.axes, strict=True)
        ]
        rank = library.context.rank
        rows = product_rows(factors, fine.cuts, coarse.cuts, rank)
        sizes = ((rows.shape[0], fine.size), (volume(coarse.cuts.boxes[rank]), coarse.size))
        csr = (library.indices(rows.indptr), library.indices(rows.indices), rows.data)
        return self.keep(library.petsc.Mat().createAIJ(sizes, csr=csr, comm=library.comm))


def hierarchy(finest: Level, most: int | None = None) -> list[Level]:
    """Grids from the finest to a small one.

    Parameters
    ----------
    finest : Level
        Where to begin.
    most : int, optional
        Most levels; by default grids are halved once, and until few unknowns are left.
    """
    levels = [finest]
    while len(levels) < most if most is not None else levels[-1].size > _SMALL or len(levels) == 1:
        found = levels[-1].coarser()
        if found is None:
            break
        levels.append(found)
    return levels


def coarser_star(star: Star, axes: tuple[Axis, ...]) -> Star:
    """A star with constant weights on a coarser grid: second differences shrink by 4, first ones by 2 per doubling.

    Examples
    --------
    >>> from hpcsim.solvers.grid import laplacian
    >>> coarser_star(laplacian((Axis(8, 0.5, False, None),), shift=3.0), (Axis(4, 1.0, False, None),))
    Star(axes=(Axis(count=4, spacing=1.0, vertex=False, ends=None, first=0),), lower=(1.0,), upper=(1.0,), centre=1.0)
    """
    lower, upper = [], []
    weights = [(float(low), float(up)) for low, up in zip(star.lower, star.upper, strict=True)]
    for axis, coarse, (low, up) in zip(star.axes, axes, weights, strict=True):
        ratio = axis.spacing / coarse.spacing
        second, first = (low + up) / 2 * ratio**2, (up - low) / 2 * ratio
        lower.append(second - first)
        upper.append(second + first)
    constant = float(star.centre) + sum(low + up for low, up in weights)
    return replace(star, axes=axes, lower=tuple(lower), upper=tuple(upper), centre=constant - sum(lower) - sum(upper))
