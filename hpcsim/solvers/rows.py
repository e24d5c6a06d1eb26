"""The rows of a distributed matrix that one rank holds."""

from __future__ import annotations

from collections.abc import Sequence
from copy import copy
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from hpcsim.errors import ConfigError

Indices = NDArray[np.int64]
Values = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Rows:
    """Consecutive rows of a square sparse matrix in compressed form, with the column numbers of the whole matrix.

    Rank 0 holds the first rows, rank 1 the next ones, and so on; a column belongs to the rank that holds its row.

    Attributes
    ----------
    indptr : ndarray of int64, shape (rows + 1,)
        Where each row begins in `indices` and `data`.
    indices : ndarray of int64, shape (entries,)
        Column of each entry, rising within a row; a column occurs once in a row.
    data : ndarray of float64, shape (entries,)
        Value of each entry.
    first : int
        Number of the first row in the whole matrix.
    size : int
        Rows of the whole matrix.
    block_size : int
        Unknowns that lie together at every site.

    Raises
    ------
    ConfigError
        If the arrays do not describe such rows.

    Examples
    --------
    >>> rows = Rows.of([0, 2, 4], [0, 1, 0, 1], [2.0, -1.0, -1.0, 2.0])
    >>> rows.count, rows.to_scipy().toarray().tolist()
    (2, [[2.0, -1.0], [-1.0, 2.0]])
    """

    indptr: Indices
    indices: Indices
    data: Values
    first: int
    size: int
    block_size: int = 1

    def __post_init__(self) -> None:
        fault = self._fault()
        if fault:
            raise ConfigError(f"rows of a matrix: {fault}")

    @classmethod
    def of(
        cls,
        indptr: Sequence[int] | ArrayLike,
        indices: Sequence[int] | ArrayLike,
        data: Sequence[float] | ArrayLike,
        first: int = 0,
        size: int | None = None,
        block_size: int = 1,
    ) -> Rows:
        """Rows from entries in any order within a row; entries of the same column are added.

        Parameters
        ----------
        indptr, indices, data : array-like
            As the attributes; converted if they are of another type.
        first : int
            Number of the first row.
        size : int, optional
            Rows of the whole matrix; by default there are no others.
        block_size : int
            Unknowns of a site.
        """
        starts = np.ascontiguousarray(indptr, np.int64)
        columns = np.ascontiguousarray(indices, np.int64)
        values = np.ascontiguousarray(data, np.float64)
        whole = len(starts) - 1 if size is None else size
        if len(columns) == len(values) and not _rising(starts, columns):
            starts, columns, values = _canonical(starts, columns, values, whole)
        return cls(starts, columns, values, first, whole, block_size)

    @property
    def count(self) -> int:
        """Rows of this rank."""
        return len(self.indptr) - 1

    @property
    def entries(self) -> int:
        """Entries of this rank."""
        return len(self.indices)

    def matches(self, other: Rows) -> bool:
        """Whether the entries stand at the same places, so that only values differ."""
        return (
            (self.first, self.size, self.block_size) == (other.first, other.size, other.block_size)
            and np.array_equal(self.indptr, other.indptr)
            and np.array_equal(self.indices, other.indices)
        )

    def with_data(self, data: Values) -> Rows:
        """The same places with other values.

        Raises
        ------
        ConfigError
            If there are not as many float64 values as entries.
        """
        if data.shape != self.data.shape or data.dtype != self.data.dtype:
            raise ConfigError(f"rows of a matrix: {data.shape} values of {data.dtype} for {self.entries} entries")
        # The places were checked when they were made; looking at all of them again would cost more than the values.
        other = copy(self)
        object.__setattr__(other, "data", data)
        return other

    def diagonal(self) -> Values:
        """Entry of each row in its own column, 0 where there is none."""
        values = np.zeros(self.count)
        own = self.row_numbers() == self.indices - self.first
        values[self.indices[own] - self.first] = self.data[own]
        return values

    def row_numbers(self) -> Indices:
        """Row of each entry, counted from the first row of this rank."""
        return np.repeat(np.arange(self.count), np.diff(self.indptr))

    def to_scipy(self) -> Any:
        """The whole matrix as ``scipy.sparse.csr_matrix``.

        Raises
        ------
        ConfigError
            If other ranks hold rows too.
        """
        if self.count != self.size:
            raise ConfigError(
                f"rows of a matrix: this rank holds {self.count} of {self.size} rows, not the whole matrix"
            )
        return self.local()

    def local(self) -> Any:
        """The rows of this rank as ``scipy.sparse.csr_matrix``, shape (count, size)."""
        from scipy.sparse import csr_matrix

        return csr_matrix((self.data, self.indices, self.indptr), shape=(self.count, self.size))

    def _fault(self) -> str:
        """What is wrong with the arrays, or nothing."""
        if self.indptr.ndim != 1 or len(self.indptr) == 0 or self.indptr[0] != 0:
            return "indptr must be one row of numbers that begins with 0"
        if len(self.indices) != self.indptr[-1] or len(self.data) != len(self.indices):
            return f"{len(self.indices)} indices and {len(self.data)} values for {int(self.indptr[-1])} entries"
        if [str(array.dtype) for array in (self.indptr, self.indices, self.data)] != ["int64", "int64", "float64"]:
            return f"types {self.indptr.dtype}, {self.indices.dtype}, {self.data.dtype}; use int64, int64, float64"
        if self.first < 0 or self.first + self.count > self.size:
            return f"rows {self.first} to {self.first + self.count} of {self.size}"
        if self.block_size < 1 or any(n % self.block_size for n in (self.count, self.first, self.size)):
            return f"{self.count} rows from {self.first} of {self.size} are no whole blocks of {self.block_size}"
        if self.entries and not 0 <= int(self.indices.min()) <= int(self.indices.max()) < self.size:
            return f"columns {self.indices.min()} to {self.indices.max()} of {self.size}"
        if not _rising(self.indptr, self.indices):
            return "columns must rise within a row and occur once; Rows.of sorts and adds them"
        return ""


def _rising(indptr: Indices, indices: Indices) -> bool:
    """Whether rows do not overlap, and columns rise strictly within each of them."""
    if bool((np.diff(indptr) < 0).any()):
        return False
    falls = np.diff(indices) <= 0
    # A fall is allowed only from the end of one row to the start of the next.
    starts = indptr[1:-1]
    starts = starts[(starts > 0) & (starts < len(indices))]
    falls[starts - 1] = False
    return not bool(falls.any())


def _canonical(indptr: Indices, indices: Indices, data: Values, size: int) -> tuple[Indices, Indices, Values]:
    """Sort the columns of every row and add entries of the same column."""
    from scipy.sparse import csr_matrix

    matrix = csr_matrix((data.copy(), indices.copy(), indptr.copy()), shape=(len(indptr) - 1, size))
    matrix.sum_duplicates()
    return matrix.indptr.astype(np.int64), matrix.indices.astype(np.int64), matrix.data
