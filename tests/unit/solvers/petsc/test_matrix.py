"""Matrices of PETSc from rows and from actions (ENG-25, F-44, need 32)."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp

from hpcsim.errors import ConfigError
from hpcsim.solvers.petsc.matrix import KINDS, Matrix, Shell, is_symmetric, negative_diagonal
from hpcsim.solvers.petsc.nullspace import NullSpace, constants
from hpcsim.solvers.petsc.owner import Owner
from hpcsim.solvers.petsc.vectors import Slot
from hpcsim.solvers.rows import Rows


def blocked(count=7, side=3, seed=0):
    """A matrix of blocks of which some entries are missing."""
    rng = np.random.default_rng(seed)
    matrix = (sp.random(count * side, count * side, 0.2, random_state=rng) + sp.identity(count * side)).tocsr()
    matrix.sort_indices()
    return matrix, Rows.of(matrix.indptr, matrix.indices, matrix.data, block_size=side)


def product(library, mat, x):
    """``A x`` through borrowed memory."""
    y = np.full(len(x), np.nan)
    source, target = Slot(library, len(x), len(x)), Slot(library, len(x), len(x))
    with source, target, source.holding(x, "x") as right, target.holding(y, "y") as left:
        mat.mult(right, left)
    return y


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_rows_in_either_storage(library, kind, sign):
    """ENG-25: AIJ and BAIJ hold the matrix with exactly the memory it needs."""
    matrix, rows = blocked()
    x = np.random.default_rng(1).standard_normal(rows.size)
    with Matrix(library, rows, kind, sign) as held:
        info = held.mat.getInfo()
        assert (info["mallocs"], info["nz_allocated"]) == (0, info["nz_used"]) and held.mat.getBlockSize() == 3
        assert (info["nz_used"] == rows.entries) is (kind == "aij")
        assert product(library, held.mat, x) == pytest.approx(sign * (matrix @ x), rel=1e-13)
        # The pattern stays, the values change.
        held.update(2.0 * rows.data)
        assert product(library, held.mat, x) == pytest.approx(2 * sign * (matrix @ x), rel=1e-13)
        assert held.mat.getInfo()["mallocs"] == 0
        with pytest.raises(ConfigError, match="values for"):
            held.update(rows.data[:-1])


def test_unknown_storage_is_refused(library):
    """F-44: the nearest name."""
    with pytest.raises(ConfigError, match="did you mean 'baij'"):
        Matrix(library, blocked()[1], "bajj")


def test_action_as_an_operator(library):
    """F-44: a shell multiplies by a callable, in place, with a sign, and hands on its errors."""
    matrix, rows = blocked()
    x = np.random.default_rng(1).standard_normal(rows.size)
    seen = []

    def apply(given, out):
        seen.append(given.flags.writeable)
        np.copyto(out, matrix @ given)

    with Shell(library, rows.count, rows.size, apply, sign=-1.0, block_size=3) as shell:
        assert product(library, shell.mat, x) == pytest.approx(-(matrix @ x), rel=1e-13)
        assert seen == [False] and shell.mat.getBlockSize() == 3

    def fail(given, out):
        raise ZeroDivisionError("a fault of the user")

    with Shell(library, rows.count, rows.size, fail) as shell, pytest.raises(ZeroDivisionError, match="of the user"):
        product(library, shell.mat, x)


def test_sign_of_the_diagonal(library):
    """ENG-11: a Laplacian has a negative diagonal, a matrix with one positive entry has not."""
    rows = Rows.of([0, 2, 4], [0, 1, 0, 1], [-2.0, 1.0, 1.0, -2.0])
    assert negative_diagonal(library, rows)
    assert not negative_diagonal(library, rows.with_data(np.array([-2.0, 1, 1, 2])))
    assert not negative_diagonal(library, Rows.of([0, 1, 2], [1, 0], [1.0, 1.0]))


def test_symmetry_is_found_by_two_products(library):
    """ENG-11: the test that decides between conjugate gradients and GMRES."""
    matrix, _ = blocked()
    for found, expected in ((matrix + matrix.T, True), (matrix, False)):
        found = found.tocsr()
        with Matrix(library, Rows.of(found.indptr, found.indices, found.data)) as held:
            assert is_symmetric(library, held.mat) is expected


def test_constants_of_chosen_components(library):
    """ENG-11: one constant per field, orthonormal, attached to the matrix."""
    matrix = sp.kron(sp.csr_matrix([[1.0, -1.0], [-1.0, 1.0]]), sp.diags([1.0, 2.0, 3.0]), format="csr")
    rows = Rows.of(matrix.indptr, matrix.indices, matrix.data, block_size=3)
    with Matrix(library, rows, null_space=constants(6, 3, [0, 2])) as held:
        vectors = [vec.array_r.tolist() for vec in held.mat.getNullSpace().getVecs()]
        half = 2**-0.5
        assert np.allclose(vectors, [[half, 0, 0, half, 0, 0], [0, 0, half, 0, 0, half]])
        assert held.mat.getNullSpace().test(held.mat)


def test_null_space_vectors_are_made_orthonormal(library):
    """ENG-11: any basis will do, a dependent one is refused."""
    rows = Rows.of([0, 1, 2], [0, 1], [0.0, 0.0])
    space = NullSpace((np.array([1.0, 0.0]), np.array([3.0, 1.0])), left=())
    with Matrix(library, rows, null_space=space) as held:
        assert [vec.array_r.tolist() for vec in held.mat.getNullSpace().getVecs()] == [[1, 0], [0, 1]]
    with (
        pytest.raises(ConfigError, match="independent"),
        Matrix(library, rows, null_space=NullSpace((np.array([1.0, 2.0]), np.array([2.0, 4.0])))),
    ):
        pass


def test_memory_is_borrowed_not_copied(library):
    """F-44: what PETSc writes is in the NumPy array, and the array is free afterwards."""
    values = np.arange(4.0)
    with Slot(library, 4, 4) as slot:
        with slot.holding(values, "x") as held:
            held.scale(3.0)
            assert np.shares_memory(held.array_r, values)
        assert values.tolist() == [0, 3, 6, 9] and not np.shares_memory(slot.vec.array_r, values)


@pytest.mark.parametrize(
    ("vector", "told"),
    [
        (np.zeros(3), r"shape \(3,\)"),
        (np.zeros(8)[::2], r"strides \(16,\)"),
        (np.zeros(4, np.complex128), "complex128"),
        (np.zeros(4, np.float32), "float32"),
        (np.frombuffer(bytes(32)), "writeable False"),
    ],
)
def test_memory_that_petsc_cannot_use_is_refused(library, vector, told):
    """F-44, need 34: type, shape, stride and right to write."""
    with Slot(library, 4, 4) as slot, pytest.raises(ConfigError, match=told), slot.holding(vector, "x"):
        pass


class Thing:
    """Notes when it ends."""

    def __init__(self, log, name):
        self.log, self.name = log, name

    def destroy(self):
        self.log.append(self.name)


def test_owner_destroys_last_made_first_and_once():
    """Need 32: the order is that of the program, not of the garbage collector."""
    log = []
    with Owner() as owner:
        for name in "abc":
            owner.keep(Thing(log, name))
        inner = owner.keep(Owner())
        inner.keep(Thing(log, "d"))
    owner.free()
    assert log == ["d", "c", "b", "a"]


def test_owner_destroys_nothing_when_an_exception_leaves():
    """Need 32: other ranks may not be there, and destroying is collective; what is local is undone."""
    log = []

    class Local(Thing):
        def abandon(self):
            self.log.append(f"{self.name} undone here")

    with pytest.raises(KeyError), Owner() as owner:
        owner.keep(Thing(log, "matrix"))
        owner.keep(Local(log, "options"))
        raise KeyError
    assert log == ["options undone here"]
