"""Orders of unknowns: reverse Cuthill-McKee for a narrow band, nested dissection for little fill."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse.csgraph import reverse_cuthill_mckee

from hpcsim.solvers.sparse.structure import as_csr, block_pattern

if TYPE_CHECKING:
    from hpcsim.solvers.petsc.library import Library

Permutation = NDArray[np.int64]
"""Old number of every new one."""


def band_order(matrix: Any, side: int = 1) -> Permutation:
    """Order with a narrow band, by reverse Cuthill-McKee on the graph of the symmetric pattern.

    Cuthill and McKee, Proc. 24th ACM National Conference (1969) 157; George and Liu, Computer Solution of Large Sparse
    Positive Definite Systems (1981), chapter 4.

    Parameters
    ----------
    matrix : scipy.sparse matrix
        Square.
    side : int
        Side of blocks that stay together.

    Examples
    --------
    >>> from scipy.sparse import csr_matrix
    >>> chain = csr_matrix(([1.0, 1.0, 1.0], ([0, 1, 2], [3, 2, 0])), shape=(4, 4))
    >>> band_order(chain).tolist() in ([3, 0, 2, 1], [1, 2, 0, 3])
    True
    """
    graph = block_pattern(as_csr(matrix), side)
    graph = (graph + graph.T).tocsr()
    return expanded(reverse_cuthill_mckee(graph, symmetric_mode=True).astype(np.int64), side)


def dissection_order(library: Library, matrix: Any, side: int = 1) -> Permutation:
    """Order with little fill in a factorisation, by nested dissection of PETSc on this rank.

    George, SIAM J. Numer. Anal. 10 (1973) 345.

    Parameters
    ----------
    library : Library
        PETSc.
    matrix : scipy.sparse matrix
        Square.
    side : int
        Side of blocks that stay together.
    """
    graph = block_pattern(as_csr(matrix), side)
    graph = (graph + graph.T).tocsr()
    petsc = library.petsc
    csr = (library.indices(graph.indptr), library.indices(graph.indices), graph.data)
    held = petsc.Mat().createAIJ(graph.shape, csr=csr, comm=petsc.COMM_SELF)
    rows, columns = held.getOrdering(petsc.Mat.OrderingType.ND)
    order = np.asarray(rows.getIndices(), np.int64).copy()
    for thing in (rows, columns, held):
        thing.destroy()
    return expanded(order, side)


def expanded(order: Permutation, side: int) -> Permutation:
    """The order of unknowns that belongs to an order of blocks.

    Examples
    --------
    >>> expanded(np.array([1, 0]), 2).tolist()
    [2, 3, 0, 1]
    """
    return (order[:, None] * side + np.arange(side)).ravel()


def permuted(matrix: Any, order: Permutation) -> Any:
    """Rows and columns of a matrix in another order."""
    csr = as_csr(matrix)[order][:, order]
    csr.sort_indices()
    return csr
