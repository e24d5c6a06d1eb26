"""A sparse or polynomial approximation of the inverse: applied by multiplication alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hpcsim.errors import ConfigError, unknown_name
from hpcsim.solvers.preconditioners.base import Preconditioner
from hpcsim.solvers.preconditioners.neumann import NeumannSeries

if TYPE_CHECKING:
    from hpcsim.solvers.petsc.library import Library
    from hpcsim.solvers.petsc.options import SolverOptions
    from hpcsim.solvers.petsc.system import System
    from hpcsim.solvers.rows import Rows

METHODS = ("auto", "spai", "parasails", "neumann")
_TYPES = {"spai": "spai", "parasails": "hypre", "neumann": "python"}


class ApproximateInverse(Preconditioner):
    """An approximate inverse: general matrices, no triangular solves.

    SPAI (Grote and Huckle, SIAM J. Sci. Comput. 18 (1997) 838) if PETSc has it, else ParaSails of hypre (Chow, SIAM J.
    Sci. Comput. 21 (2000) 1804), else a Neumann series, which needs nothing but products with the matrix.

    Parameters
    ----------
    method : {"auto", "spai", "parasails", "neumann"}
        Which one.
    degree : int
        Degree of the Neumann series.

    Raises
    ------
    ConfigError
        If the method is unknown or the degree below 1.
    """

    def __init__(self, method: str = "auto", degree: int = 4) -> None:
        super().__init__()
        if method not in METHODS:
            raise ConfigError(unknown_name("approximate inverse", method, METHODS))
        if degree < 1:
            raise ConfigError(f"approximate_inverse: degree {degree} was given; use 1 or more")
        self.method, self.degree = method, degree
        self._series: NeumannSeries | None = None

    def resolved(self, library: Library) -> str:
        """The method that is used with this PETSc."""
        if self.method != "auto":
            return self.method
        return "spai" if library.has("spai") else "parasails" if library.has("hypre") else "neumann"

    def kind(self, library: Library) -> str:
        """Type of the method."""
        return _TYPES[self.resolved(library)]

    def obstacle(self, library: Library, system: System) -> str:
        """A package that is not built in, or a zero on the diagonal."""
        method = self.resolved(library)
        package = {"spai": "spai", "parasails": "hypre"}.get(method)
        if package is not None and not library.has(package):
            return f"PETSc {library.version} was built without {package}, which {method} needs; use method 'neumann'"
        zero = method == "neumann" and system.rows is not None and bool((system.rows.diagonal() == 0.0).any())
        if library.context.any(zero):
            return "the Neumann series divides by the diagonal, which has zeros; use direct or additive_schwarz"
        return ""

    def symmetric(self, library: Library, system: System) -> bool:
        """SPAI minimises row by row and is not symmetric."""
        return system.symmetric and self.resolved(library) != "spai"

    def options(self, library: Library, system: System) -> dict[str, str]:
        """Pattern and symmetry of ParaSails."""
        if self.resolved(library) != "parasails":
            return {}
        symmetry = "SPD" if system.symmetric else "nonsymmetric"
        return {"pc_hypre_type": "parasails", "pc_hypre_parasails_sym": symmetry, "pc_hypre_parasails_nlevels": "1"}

    def attach(self, pc: Any, library: Library, system: System, options: SolverOptions, sign: float) -> None:
        """Hand the Neumann series over."""
        if self.resolved(library) == "neumann" and system.rows is not None:
            self._series = self.keep(NeumannSeries(library.context, pc, self.degree, sign))
            self._series.update(system.rows)
            pc.setPythonContext(self._series)

    def update(self, rows: Rows) -> None:
        """Take the new diagonal."""
        if self._series is not None:
            self._series.update(rows)
