"""How a matrix is best stored: the choice, its reason, and the stored matrix."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import ConfigError, unknown_name
from hpcsim.solvers.sparse.measure import product_seconds
from hpcsim.solvers.sparse.order import Permutation, band_order, dissection_order, permuted
from hpcsim.solvers.sparse.structure import Structure, analyse, as_csr, bandwidth

if TYPE_CHECKING:
    from hpcsim.solvers.petsc.library import Library

EMPTY_ENOUGH = 0.9
"""Share of zeros from which a matrix is stored without them."""
_PETSC_TYPES = {"csr": "aij", "bsr": "baij", "dense": "dense"}
PURPOSES = ("product", "factorisation")
# A new order must make the band this much narrower, a measured format be this much faster, to be worth it.
_NARROWER, _FASTER = 0.5, 0.95


@dataclass(frozen=True)
class Storage:
    """A matrix in the form that was chosen.

    Attributes
    ----------
    format : {"csr", "bsr", "dense"}
        Compressed rows, compressed rows of dense blocks, or everything.
    order : {"natural", "rcm", "nested_dissection"}
        Order of the unknowns.
    block_size : int
        Side of the blocks.
    permutation : ndarray of int64 or None
        Old number of every new unknown; None in natural order.
    matrix : array or scipy.sparse matrix
        The matrix in that form and order.
    structure : Structure
        What it was chosen by.
    reason : str
        In words.
    seconds : dict of str to float
        Measured time of a product in each format, if it was measured.
    """

    format: str
    order: str
    block_size: int
    permutation: Permutation | None
    matrix: Any
    structure: Structure
    reason: str
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def petsc_type(self) -> str:
        """Type of such a matrix in PETSc."""
        return _PETSC_TYPES[self.format]

    def multiply(self, x: NDArray[Any]) -> NDArray[Any]:
        """``A x`` in the order of the original matrix."""
        if self.permutation is None:
            return np.asarray(self.matrix @ x)
        y = np.empty(self.matrix.shape[0], np.result_type(self.matrix, x))
        y[self.permutation] = self.matrix @ x[self.permutation]
        return y


def optimise(matrix: Any, purpose: str = "product", measure: bool = False, library: Library | None = None) -> Storage:
    """Choose storage and order for a matrix.

    A matrix of which at least `EMPTY_ENOUGH` is empty is stored without its zeros, by dense blocks if its pattern
    consists of them; any other matrix is stored whole. The unknowns of a sparse matrix are reordered if that halves its
    band (reverse Cuthill-McKee), or, for a factorisation, if nested dissection promises less fill than a band.

    Parameters
    ----------
    matrix : array-like or scipy.sparse matrix
        The matrix; not changed.
    purpose : {"product", "factorisation"}
        What it is for.
    measure : bool
        Whether to measure products in all formats and take the fastest one where it beats the rule.
    library : Library, optional
        PETSc, which has nested dissection.

    Raises
    ------
    ConfigError
        If the purpose is unknown or the matrix has no rows or columns.

    Examples
    --------
    >>> from scipy.sparse import identity
    >>> found = optimise(identity(20))
    >>> found.format, found.order, found.reason
    ('csr', 'natural', '95 % of the matrix is empty (at least 90 %): stored without zeros')
    """
    if purpose not in PURPOSES:
        raise ConfigError(unknown_name("purpose of a matrix", purpose, PURPOSES))
    csr = as_csr(matrix)
    structure = analyse(csr)
    kind, reason = _format(structure)
    order, permutation, why = "natural", None, ""
    if kind != "dense" and structure.square:
        side = structure.block_size if kind == "bsr" else 1
        order, permutation, why = _order(csr, structure, side, purpose, library)
    arranged = csr if permutation is None else permuted(csr, permutation)
    seconds: dict[str, float] = {}
    if measure:
        kind, seconds, more = _measured(arranged, structure, kind)
        why += more
    side = structure.block_size if kind == "bsr" else 1
    return Storage(kind, order, side, permutation, stored(arranged, kind, side), structure, reason + why, seconds)


def stored(csr: Any, kind: str, side: int) -> Any:
    """A matrix in one of the formats."""
    if kind == "dense":
        return csr.toarray()
    return csr.tobsr((side, side)) if kind == "bsr" else csr


def _format(structure: Structure) -> tuple[str, str]:
    """Format by the rule, and why."""
    empty = 1.0 - structure.density
    if empty < EMPTY_ENOUGH:
        return "dense", f"{100 * empty:.3g} % of the matrix is empty (less than {100 * EMPTY_ENOUGH:g} %): stored whole"
    text = f"{100 * empty:.3g} % of the matrix is empty (at least {100 * EMPTY_ENOUGH:g} %): stored without zeros"
    if structure.block_size > 1:
        return "bsr", f"{text}, in the dense blocks of {structure.block_size} its pattern consists of"
    return "csr", text


def _order(
    csr: Any, structure: Structure, side: int, purpose: str, library: Library | None
) -> tuple[str, Permutation | None, str]:
    """Order of the unknowns, and why."""
    band = band_order(csr, side)
    narrow = bandwidth(permuted(csr, band))
    if purpose == "factorisation":
        # Entries of a factor per row: the band, or 31/4 log2(m) by nested dissection of a plane grid of m x m unknowns
        # (George, SIAM J. Numer. Anal. 10 (1973) 345).
        promised = 7.75 * math.log2(max(2.0, math.sqrt(structure.shape[0])))
        if min(narrow, structure.bandwidth) > promised and library is not None:
            text = f"; nested dissection, since a band of {narrow} would fill more than about {promised:.0f} per row"
            return "nested_dissection", dissection_order(library, csr, side), text
    if narrow < _NARROWER * structure.bandwidth:
        return "rcm", band, f"; reverse Cuthill-McKee narrows the band from {structure.bandwidth} to {narrow}"
    return "natural", None, ""


def _measured(csr: Any, structure: Structure, rule: str) -> tuple[str, dict[str, float], str]:
    """The fastest format if it beats the one of the rule clearly, with all times and the reason."""
    side = structure.block_size
    kinds = ["csr", *(["bsr"] if side > 1 else []), *(["dense"] if structure.density >= 0.01 else [])]
    if rule not in kinds:
        kinds.append(rule)
    seconds = product_seconds({kind: stored(csr, kind, side) for kind in kinds})
    best = min(seconds, key=lambda kind: seconds[kind])
    if best != rule and seconds[best] <= _FASTER * seconds[rule]:
        ratio = seconds[rule] / seconds[best]
        return best, seconds, f"; measured: a product with {best} is {ratio:.2g} times as fast as with {rule}"
    return rule, seconds, f"; measured: {best if best == rule else rule} is not beaten by 5 %"
