"""Matrices for PETSc: assembled from rows, or an action on packed vectors."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import ConfigError, unknown_name
from hpcsim.solvers.petsc.nullspace import NullSpace, attach
from hpcsim.solvers.petsc.owner import Owner
from hpcsim.solvers.rows import Rows

if TYPE_CHECKING:
    from hpcsim.solvers.petsc.library import Library

Vector = NDArray[np.float64]
Action = Callable[[Vector, Vector], object]
"""Fills its second argument from the first, which it must not change."""

KINDS = ("aij", "baij")


class Matrix(Owner):
    """A matrix assembled from rows, with memory for exactly their entries; creation and update are collective.

    Parameters
    ----------
    library : Library
        PETSc.
    rows : Rows
        Rows of this rank.
    kind : {"aij", "baij"}
        Storage by entries, or by dense blocks of the size of the rows' blocks.
    sign : float
        Factor of all entries; -1 makes a negative definite matrix positive.
    symmetric : bool
        Whether the matrix is symmetric, so that PETSc need not find out.
    null_space : NullSpace, optional
        What it maps to zero.
    prefix : str
        Prefix of its options.

    Attributes
    ----------
    mat : petsc4py.PETSc.Mat
        The matrix.
    rows : Rows
        Rows with the values as given.
    sign : float
        The factor.

    Raises
    ------
    ConfigError
        If the storage is unknown, or a number too large for this PETSc.
    """

    def __init__(
        self,
        library: Library,
        rows: Rows,
        kind: str = "aij",
        sign: float = 1.0,
        symmetric: bool = False,
        null_space: NullSpace | None = None,
        prefix: str = "",
    ) -> None:
        super().__init__()
        if kind not in KINDS:
            raise ConfigError(unknown_name("matrix storage", kind, KINDS))
        library.indices([rows.size, rows.entries])
        self._library, self.rows, self.sign = library, rows, sign
        self._order: NDArray[np.int64] | None = None
        if kind == "baij":
            self._order, self._indptr, self._indices = _block_pattern(library, rows)
        else:
            self._indptr, self._indices = library.indices(rows.indptr), library.indices(rows.indices)
        self.mat: Any = self.keep(library.petsc.Mat().create(library.comm))
        self.mat.setOptionsPrefix(prefix)
        self.mat.setSizes(((rows.count, rows.size), (rows.count, rows.size)), bsize=rows.block_size)
        self.mat.setType(kind)
        if symmetric:
            self.mat.setOption(library.petsc.Mat.Option.SYMMETRIC, True)
            self.mat.setOption(library.petsc.Mat.Option.SYMMETRY_ETERNAL, True)
        with library.errors("assembly of a matrix"):
            self.mat.setPreallocationCSR((self._indptr, self._indices, self._values(rows.data)))
            self.mat.assemble()
            attach(library, self, self.mat, null_space)

    def update(self, data: Vector) -> None:
        """Give the entries other values, in the order of the rows.

        Raises
        ------
        ConfigError
            If there are not as many values as entries.
        """
        if data.shape != self.rows.data.shape:
            raise ConfigError(f"update of a matrix: {len(data)} values for {self.rows.entries} entries")
        self.rows = self.rows.with_data(data)
        with self._library.errors("update of a matrix"):
            insert = self.mat.setValuesCSR if self._order is None else self.mat.setValuesBlockedCSR
            insert(self._indptr, self._indices, self._values(data))
            self.mat.assemble()

    def _values(self, data: Vector) -> Vector:
        """Entries in the order of the storage, with the sign."""
        values = data if self._order is None else np.append(data, 0.0)[self._order]
        return values if self.sign == 1.0 else self.sign * values


def _block_pattern(library: Library, rows: Rows) -> tuple[NDArray[np.int64], Any, Any]:
    """Where each value of the blocks comes from (one past the last entry for a zero), and the pattern of blocks."""
    from scipy.sparse import csr_matrix

    # Numbers of entries in place of values: exact in float64, and 0 marks places without an entry.
    marks = np.arange(1.0, rows.entries + 1.0)
    marked = csr_matrix((marks, rows.indices, rows.indptr), shape=(rows.count, rows.size))
    blocks = marked.tobsr((rows.block_size, rows.block_size))
    blocks.sort_indices()
    order = blocks.data.ravel().astype(np.int64) - 1
    order[order < 0] = rows.entries
    return order, library.indices(blocks.indptr), library.indices(blocks.indices)


class Shell(Owner):
    """An operator known by its action on packed vectors; creation is collective.

    Parameters
    ----------
    library : Library
        PETSc.
    count, size : int
        Unknowns of this rank, and of all.
    action : callable
        ``action(x, y)`` fills `y`, which has any values before; `x` is read-only.
    sign : float
        Factor of the result.
    block_size : int
        Unknowns of a site.
    null_space : NullSpace, optional
        What it maps to zero.

    Attributes
    ----------
    mat : petsc4py.PETSc.Mat
        The operator.
    """

    def __init__(
        self,
        library: Library,
        count: int,
        size: int,
        action: Action,
        sign: float = 1.0,
        block_size: int = 1,
        null_space: NullSpace | None = None,
    ) -> None:
        super().__init__()
        self.sign = sign
        sizes = ((count, size), (count, size))
        self.mat: Any = self.keep(library.petsc.Mat().createPython(sizes, _Product(action, sign), comm=library.comm))
        self.mat.setBlockSize(block_size)
        self.mat.setUp()
        attach(library, self, self.mat, null_space)


class _Product:
    """What PETSc calls to multiply."""

    def __init__(self, action: Action, sign: float) -> None:
        self._action, self._sign = action, sign

    def mult(self, mat: Any, x: Any, y: Any) -> None:
        """Y = A x."""
        target = y.array_w
        self._action(x.array_r, target)
        if self._sign != 1.0:
            np.multiply(target, self._sign, out=target)


def negative_diagonal(library: Library, rows: Rows) -> bool:
    """Whether every entry on the diagonal is negative, on all ranks; collective.

    A negative definite matrix has such a diagonal; with the opposite sign it suits methods for positive ones.
    """
    return bool(library.context.agree(bool((rows.diagonal() < 0.0).all())))


def is_symmetric(library: Library, mat: Any, tolerance: float = 1e-12) -> bool:
    """Whether ``x . A y = y . A x`` for two random vectors; collective.

    Parameters
    ----------
    library : Library
        PETSc.
    mat : petsc4py.PETSc.Mat
        The operator.
    tolerance : float
        Largest difference, relative to the size of the products.
    """
    start = mat.getOwnershipRange()[0]
    with Owner() as owner:
        x, product = (owner.keep(vec) for vec in mat.createVecs())
        y, other = owner.keep(x.duplicate()), owner.keep(product.duplicate())
        for seed, vector in enumerate((x, y)):
            values = np.random.default_rng([seed, start]).standard_normal(vector.getLocalSize())
            with vector as target:
                target[:] = values
        mat.mult(y, product)
        mat.mult(x, other)
        scale = x.norm() * product.norm()
        return bool(abs(x.dot(product) - y.dot(other)) <= tolerance * scale)
