"""Vectors that a singular operator maps to zero, known to PETSc so that solvers keep clear of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import ConfigError
from hpcsim.lattice.box import Box
from hpcsim.solvers.grid import Axis

if TYPE_CHECKING:
    from hpcsim.solvers.petsc.library import Library
    from hpcsim.solvers.petsc.owner import Owner

Vector = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class NullSpace:
    """A null space by vectors that span it.

    A right-hand side has a solution if it is orthogonal to the left null space; what is not is removed before the
    solve. The solution is the one orthogonal to the right null space.

    Attributes
    ----------
    vectors : tuple of ndarray, shape (local unknowns,) each
        With ``A v = 0``, the part of this rank.
    left : tuple of ndarray or None
        With ``transpose(A) v = 0``; None if they are the same, as they are for a symmetric matrix.

    Examples
    --------
    >>> [v.tolist() for v in constants(4, 2).vectors]
    [[1.0, 0.0, 1.0, 0.0], [0.0, 1.0, 0.0, 1.0]]
    """

    vectors: tuple[Vector, ...]
    left: tuple[Vector, ...] | None = None


def constants(count: int, block_size: int = 1, components: Sequence[int] | None = None) -> NullSpace:
    """Null space of constants: one for each of the components.

    Parameters
    ----------
    count : int
        Unknowns of this rank.
    block_size : int
        Unknowns that lie together at a site.
    components : sequence of int, optional
        Those that are fixed only up to a constant; by default all.
    """
    chosen = range(block_size) if components is None else components
    vectors = []
    for component in chosen:
        vector = np.zeros(count)
        vector[component::block_size] = 1.0
        vectors.append(vector)
    return NullSpace(tuple(vectors))


def grid_constants(axes: Sequence[Axis], box: Box) -> NullSpace:
    """Null space of the constant on a grid between Neumann and periodic ends.

    On the walls of a vertex axis half the cell belongs to the unknown, so the rows of a second difference sum to zero
    with half weight there: the left null space is the product of these weights.

    Parameters
    ----------
    axes : sequence of Axis
        The unknowns.
    box : Box
        Those of this rank.

    Examples
    --------
    >>> from hpcsim.solvers.grid import Axis, End
    >>> axis = Axis.of_cells(2, 1.0, (End(0, 1), End(0, 1)), vertex=True)
    >>> grid_constants([axis], ((0,), (3,))).left
    (array([0.5, 1. , 0.5]),)
    """
    weights = np.ones(())
    for axis, lo, hi in zip(axes, *box, strict=True):
        along = np.ones(axis.count)
        if axis.vertex and axis.ends is not None:
            along[[0, -1]] = 0.5
        weights = np.multiply.outer(weights, along[lo:hi])
    left = weights.ravel()
    return NullSpace((np.ones(left.size),), (left,))


def attach(library: Library, owner: Owner, matrix: Any, null_space: NullSpace | None) -> None:
    """Tell PETSc the null space of a matrix; collective.

    Raises
    ------
    ConfigError
        If the vectors are not independent.
    """
    if null_space is None:
        return
    right = _make(library, owner, matrix, null_space.vectors)
    left = right if null_space.left is None else _make(library, owner, matrix, null_space.left)
    matrix.setNullSpace(right)
    matrix.setTransposeNullSpace(left)


def _make(library: Library, owner: Owner, matrix: Any, vectors: Sequence[Vector]) -> Any:
    """A null space of PETSc, its vectors made orthonormal."""
    made: list[Any] = []
    for vector in vectors:
        target = owner.keep(matrix.createVecRight())
        with target as values:
            values[:] = vector
        length = target.norm()
        for other in made:
            target.axpy(-target.dot(other), other)
        rest = target.norm()
        if not rest > 1e-8 * length:
            raise ConfigError("the vectors of a null space must be independent and not zero")
        target.scale(1.0 / rest)
        made.append(target)
    return owner.keep(library.petsc.NullSpace().create(constant=False, vectors=made, comm=library.comm))
