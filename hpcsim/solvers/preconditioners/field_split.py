"""One solver per field, joined."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from hpcsim.errors import ConfigError, unknown_name
from hpcsim.solvers.preconditioners import PRECONDITIONERS
from hpcsim.solvers.preconditioners.base import Preconditioner

if TYPE_CHECKING:
    from hpcsim.solvers.petsc.library import Library
    from hpcsim.solvers.petsc.options import SolverOptions
    from hpcsim.solvers.petsc.system import System

COMPOSITIONS = ("additive", "multiplicative", "symmetric_multiplicative", "schur")
_INNER = ("jacobi", "block_jacobi", "additive_schwarz", "gamg", "boomeramg", "direct")


class FieldSplit(Preconditioner):
    """The unknowns of each field apart, each solved by a preconditioner of its own: coupled systems.

    After Brown et al., "Composable linear solvers for multiphysics", ISPDC 2012.

    Parameters
    ----------
    composition : {"additive", "multiplicative", "symmetric_multiplicative", "schur"}
        How the solves are joined.
    inner : str
        Preconditioner of every field, one that is known by options alone.

    Raises
    ------
    ConfigError
        If a name is unknown.
    """

    pc_type = "fieldsplit"

    def __init__(self, composition: str = "multiplicative", inner: str = "gamg") -> None:
        super().__init__()
        if composition not in COMPOSITIONS:
            raise ConfigError(unknown_name("composition of fields", composition, COMPOSITIONS))
        if inner not in _INNER:
            raise ConfigError(unknown_name("preconditioner within field_split", inner, _INNER))
        self.composition = composition
        self._inner: Preconditioner = PRECONDITIONERS.get(inner)()

    def obstacle(self, library: Library, system: System) -> str:
        """A single field, or an inner preconditioner that cannot be used."""
        if system.field_count < 2:
            return "field_split needs at least two unknowns per site; this system has one"
        return self._inner.obstacle(library, system)

    def symmetric(self, library: Library, system: System) -> bool:
        """Only the additive and the symmetric composition are."""
        return system.symmetric and self.composition in ("additive", "symmetric_multiplicative")

    def options(self, library: Library, system: System) -> dict[str, str]:
        """The composition, and the inner preconditioner under the prefix of every field."""
        found = {"pc_fieldsplit_type": self.composition}
        inner = {"ksp_type": "preonly", "pc_type": self._inner.kind(library), **self._inner.options(library, system)}
        for field in range(system.field_count):
            found |= {f"fieldsplit_{field}_{key}": value for key, value in inner.items()}
        return found

    def attach(self, pc: Any, library: Library, system: System, options: SolverOptions, sign: float) -> None:
        """Which unknown belongs to which field."""
        fields = system.fields
        if fields is None:
            sites = np.arange(0, system.count, system.block_size)
            fields = tuple(sites + component for component in range(system.block_size))
        first = pc.getOperators()[1].getOwnershipRange()[0]
        for number, places in enumerate(fields):
            members = library.petsc.IS().createGeneral(library.indices(places + first), comm=library.comm)
            pc.setFieldSplitIS((str(number), self.keep(members)))
