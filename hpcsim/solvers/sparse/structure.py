"""What a matrix looks like: density, blocks, bandwidth, components, symmetry, diagonal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from hpcsim.errors import ConfigError

LARGEST_BLOCK = 8
FULL_ENOUGH = 0.9
"""Share of entries that a block of the pattern must have, for all blocks together, to count as dense."""


@dataclass(frozen=True)
class Structure:
    """Properties of a matrix; entries that are stored but zero do not count.

    Attributes
    ----------
    shape : tuple of int
        Rows and columns.
    entries : int
        Entries that are not zero.
    density : float
        Share of such entries.
    block_size : int
        Side of the dense square blocks the pattern consists of, 1 if there are none.
    bandwidth : int
        Largest distance of an entry from the diagonal.
    components : int
        Parts of the matrix that do not couple: blocks of a block diagonal matrix, up to order.
    largest_component : int
        Rows of the largest part.
    symmetric_pattern, symmetric : bool
        Whether the places of entries, and their values too, are the same in the transpose.
    dominance : float
        Smallest ratio over the rows of the diagonal entry to the sum of the others, in absolute values; 1 and more is a
        diagonally dominant matrix.
    """

    shape: tuple[int, int]
    entries: int
    density: float
    block_size: int
    bandwidth: int
    components: int
    largest_component: int
    symmetric_pattern: bool
    symmetric: bool
    dominance: float

    @property
    def square(self) -> bool:
        """Whether there are as many rows as columns."""
        return self.shape[0] == self.shape[1]

    def describe(self) -> str:
        """All of it in one line.

        Examples
        --------
        >>> analyse(np.diag([1.0, 2.0])).describe()
        '2 x 2, 2 entries (50 %), bandwidth 0, 2 components, symmetric'
        """
        blocks = f", blocks of {self.block_size}" if self.block_size > 1 else ""
        parts = f", {self.components} components" if self.components > 1 else ""
        kind = ", symmetric" if self.symmetric else ", symmetric pattern" if self.symmetric_pattern else ""
        size = f"{self.shape[0]} x {self.shape[1]}, {self.entries} entries ({100 * self.density:.3g} %)"
        return f"{size}{blocks}, bandwidth {self.bandwidth}{parts}{kind}"


def as_csr(matrix: Any) -> Any:
    """A matrix as ``csr_matrix`` with sorted rows and without stored zeros; the given one is not changed.

    Parameters
    ----------
    matrix : array-like or scipy.sparse matrix
        Two-dimensional.

    Raises
    ------
    ConfigError
        If it does not have two dimensions or is empty.
    """
    found = sparse.csr_matrix(matrix if sparse.issparse(matrix) else np.atleast_2d(np.asarray(matrix)), copy=True)
    if found.ndim != 2 or 0 in found.shape:
        raise ConfigError(f"a matrix with rows and columns is needed, given the shape {found.shape}")
    found.sum_duplicates()
    found.eliminate_zeros()
    found.sort_indices()
    return found


def analyse(matrix: Any) -> Structure:
    """Properties of a matrix.

    Parameters
    ----------
    matrix : array-like or scipy.sparse matrix, shape (rows, columns)
        The matrix.

    Raises
    ------
    ConfigError
        If it does not have two dimensions or is empty.

    Examples
    --------
    >>> found = analyse(np.kron(np.eye(4), np.ones((3, 3))))
    >>> found.block_size, found.components, found.bandwidth, found.density
    (3, 4, 2, 0.25)
    """
    csr = as_csr(matrix)
    rows, columns = csr.shape
    count, largest = _components(csr)
    pattern, values = _symmetry(csr)
    return Structure(
        (rows, columns),
        int(csr.nnz),
        csr.nnz / (rows * columns),
        block_size(csr),
        bandwidth(csr),
        count,
        largest,
        pattern,
        values,
        _dominance(csr),
    )


def row_numbers(csr: Any) -> NDArray[np.int64]:
    """Row of every entry."""
    return np.repeat(np.arange(csr.shape[0], dtype=np.int64), np.diff(csr.indptr))


def bandwidth(csr: Any) -> int:
    """Largest distance of an entry from the diagonal."""
    return int(np.abs(row_numbers(csr) - csr.indices).max(initial=0))


def block_size(csr: Any) -> int:
    """Largest side, up to `LARGEST_BLOCK`, for which the blocks that have entries are nearly full; else 1."""
    rows, columns = csr.shape
    sides = [side for side in range(2, LARGEST_BLOCK + 1) if rows % side == 0 and columns % side == 0]
    full = [side for side in sides if csr.nnz >= FULL_ENOUGH * side**2 * _blocks(csr, side) > 0]
    return max(full, default=1)


def _blocks(csr: Any, side: int) -> int:
    """Blocks of a side that have an entry."""
    keys = row_numbers(csr) // side * (csr.shape[1] // side) + csr.indices // side
    return len(np.unique(keys))


def block_pattern(csr: Any, side: int) -> Any:
    """Matrix with an entry for every block that has one."""
    shape = (csr.shape[0] // side, csr.shape[1] // side)
    places = (row_numbers(csr) // side, csr.indices // side)
    return sparse.csr_matrix((np.ones(csr.nnz), places), shape=shape)


def _components(csr: Any) -> tuple[int, int]:
    """Number of uncoupled parts, and rows of the largest one; rows and columns are told apart if they differ."""
    rows, columns = csr.shape
    square = rows == columns
    graph = csr if square else sparse.bmat([[None, csr], [csr.T, None]], format="csr")
    count, labels = connected_components(graph, directed=False)
    return int(count), int(np.bincount(labels[:rows]).max())


def _symmetry(csr: Any) -> tuple[bool, bool]:
    """Whether pattern and values are symmetric, the values to rounding."""
    if csr.shape[0] != csr.shape[1]:
        return False, False
    other = csr.T.tocsr()
    other.sort_indices()
    if not (np.array_equal(csr.indptr, other.indptr) and np.array_equal(csr.indices, other.indices)):
        return False, False
    scale = float(np.abs(csr.data).max(initial=0.0))
    return True, bool(np.abs(csr.data - other.data).max(initial=0.0) <= 1e-14 * scale)


def _dominance(csr: Any) -> float:
    """Smallest ratio of a diagonal entry to the rest of its row."""
    size = min(csr.shape)
    diagonal = np.abs(csr.diagonal())
    rest = np.asarray(abs(csr).sum(axis=1)).ravel()[:size] - diagonal
    ratios = np.divide(diagonal, rest, out=np.full(size, np.inf), where=rest > 0.0)
    return float(ratios.min())
