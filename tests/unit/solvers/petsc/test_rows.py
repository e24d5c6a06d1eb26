"""Rows of a distributed matrix: what they accept and refuse (ENG-25)."""

from __future__ import annotations

import numpy as np
import pytest

from hpcsim.errors import ConfigError
from hpcsim.solvers.rows import Rows


def integers(*values) -> np.ndarray:
    return np.array(values, np.int64)


def make(**changes) -> Rows:
    """Rows 2 and 3 of a matrix of four rows."""
    parts = {
        "indptr": integers(0, 2, 3), "indices": integers(1, 2, 3), "data": np.array([5.0, 6.0, 7.0]), "first": 2,
        "size": 4, "block_size": 1,
    }  # fmt: skip
    return Rows(**(parts | changes))


def test_parts_of_rows():
    """ENG-25: counts, diagonal, row numbers, the local matrix."""
    rows = make()
    assert (rows.count, rows.entries, rows.diagonal().tolist(), rows.row_numbers().tolist()) == (
        2,
        3,
        [6, 7],
        [0, 0, 1],
    )
    assert rows.local().toarray().tolist() == [[0, 5, 6, 0], [0, 0, 0, 7]]
    assert make(indices=integers(0, 1, 3)).diagonal().tolist() == [0, 7]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"indptr": integers(1, 2, 3)}, "begins with 0"),
        ({"indptr": integers(0, 2, 4)}, "3 indices and 3 values for 4 entries"),
        ({"indptr": integers(0, 4, 3)}, "must rise"),
        ({"data": np.zeros(2)}, "2 values"),
        ({"data": np.zeros(3, np.float32)}, "float32"),
        ({"indices": integers(1, 2, 4)}, "columns 1 to 4 of 4"),
        ({"indices": integers(-1, 2, 3)}, "columns -1 to 3 of 4"),
        ({"indices": integers(2, 1, 3)}, "must rise"),
        ({"indices": integers(1, 1, 3)}, "occur once"),
        ({"first": 3}, "rows 3 to 5 of 4"),
        ({"block_size": 3}, "no whole blocks of 3"),
    ],
)
def test_faults_are_told(changes, told):
    """ENG-25: arrays that describe no rows are refused with the numbers."""
    with pytest.raises(ConfigError, match=told):
        make(**changes)


def test_entries_of_a_column_are_sorted_and_added():
    """ENG-25: the two neighbours of a periodic axis of two sites are one entry."""
    rows = Rows.of([0, 3, 6], [1, 0, 1, 1, 0, 0], [1.0, -2.0, 1.0, -2.0, 1.0, 1.0])
    assert rows.indices.tolist() == [0, 1, 0, 1] and rows.data.tolist() == [-2.0, 2.0, 2.0, -2.0]


def test_given_arrays_are_not_changed():
    """ENG-25: sorting works on a copy."""
    columns, values = integers(1, 0), np.array([1.0, 2.0])
    Rows.of([0, 2], columns, values, size=2)
    assert columns.tolist() == [1, 0] and values.tolist() == [1.0, 2.0]


def test_a_first_row_or_last_row_may_be_empty():
    """ENG-25: rows without entries, and ranks without rows."""
    rows = Rows.of([0, 0, 2, 2], [0, 2], [1.0, 2.0])
    assert rows.to_scipy().toarray().tolist() == [[0, 0, 0], [1, 0, 2], [0, 0, 0]]
    assert Rows.of([0], [], [], first=4, size=4).count == 0


def test_pattern_and_values_apart():
    """ENG-25: two matrices match if their entries stand at the same places."""
    rows = make()
    other = rows.with_data(np.arange(3.0))
    assert rows.matches(other) and other.data.tolist() == [0, 1, 2] and rows.data.tolist() == [5, 6, 7]
    for wrong in (np.zeros(2), np.zeros(3, np.float32)):
        with pytest.raises(ConfigError, match="for 3 entries"):
            rows.with_data(wrong)
    assert not rows.matches(make(indices=integers(0, 2, 3))) and not rows.matches(make(first=1))


def test_only_a_whole_matrix_goes_to_scipy():
    """ENG-25: a rank does not hold the rows of others."""
    with pytest.raises(ConfigError, match="2 of 4 rows"):
        make().to_scipy()
