"""What is known of a linear system when its solver is made."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from numpy.typing import NDArray

from hpcsim.errors import ConfigError
from hpcsim.solvers.petsc.matrix import Action
from hpcsim.solvers.petsc.nullspace import NullSpace
from hpcsim.solvers.preconditioners.boxes import BoxGrid
from hpcsim.solvers.rows import Rows

if TYPE_CHECKING:
    import numpy as np

    from hpcsim.solvers.grid import Star


@dataclass(frozen=True, eq=False)
class System:
    """A system of linear equations for packed vectors.

    Attributes
    ----------
    count, size : int
        Unknowns of this rank, and of all.
    block_size : int
        Unknowns that lie together at every site.
    rows : Rows or None
        The matrix; None if only its action is known.
    apply : callable or None
        ``apply(x, y)`` fills y with A x; None to multiply by the rows.
    symmetric : bool
        Whether the matrix is symmetric and definite.
    kind : str
        Symbolic type of the operator: ``"elliptic"``, ``"coupled"``, ``"hyperbolic"``, ``"pointwise"`` or
        ``"general"``.
    null_space : NullSpace or None
        What the operator maps to zero.
    grid : BoxGrid or None
        Where the unknowns lie, if every rank has one box of them in C order.
    star : Star or None
        The operator by its weights on that grid, if it is a star with constant weights.
    fields : tuple of ndarray of int64, or None
        Positions in the packed vector of this rank of the unknowns of each field, where fields do not lie together.
    multigrid : callable or None
        ``multigrid(r, z)`` fills z with an approximate solution of ``A z = r``: the native cycle.

    Raises
    ------
    ConfigError
        If there is neither a matrix nor an action, or they differ in size.
    """

    count: int
    size: int
    block_size: int = 1
    rows: Rows | None = None
    apply: Action | None = None
    symmetric: bool = False
    kind: str = "general"
    null_space: NullSpace | None = None
    grid: BoxGrid | None = None
    star: Star | None = None
    fields: tuple[NDArray[np.int64], ...] | None = None
    multigrid: Action | None = None

    def __post_init__(self) -> None:
        if self.rows is None and self.apply is None:
            raise ConfigError("a linear system needs the rows of its matrix or its action on a vector")
        if self.rows is not None and (self.rows.count, self.rows.size) != (self.count, self.size):
            given = f"{self.rows.count} of {self.rows.size}"
            raise ConfigError(f"a linear system has {self.count} of {self.size} unknowns here, its rows {given}")

    @property
    def field_count(self) -> int:
        """Unknowns per site that a split by fields would separate."""
        return self.block_size if self.fields is None else len(self.fields)


def system_of(rows: Rows, **known: object) -> System:
    """The system of a matrix; `known` are further attributes of `System`."""
    return System(rows.count, rows.size, rows.block_size, rows, **known)  # type: ignore[arg-type]
