"""ENG-25: structure of matrices, the storage chosen for them, and products in every format."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import splu

from hpcsim.errors import ConfigError
from hpcsim.solvers.sparse.measure import product_seconds
from hpcsim.solvers.sparse.order import band_order, dissection_order, permuted
from hpcsim.solvers.sparse.storage import Storage, optimise, stored
from hpcsim.solvers.sparse.structure import analyse, bandwidth


def random_sparse(size: int, density: float, seed: int = 0):
    return sp.random(size, size, density, "csr", random_state=np.random.default_rng(seed)) + sp.identity(size)


def blocks_of_three(count: int, seed: int = 1):
    rng = np.random.default_rng(seed)
    pattern = sp.random(count, count, 0.03, random_state=rng) + sp.identity(count)
    return sp.kron(pattern, np.ones((3, 3)), format="csr").multiply(rng.uniform(1, 2, (3 * count, 3 * count))).tocsr()


def band(size: int, width: int):
    offsets = range(-width, width + 1)
    return sp.diags([1.0 + abs(o) for o in offsets], offsets, (size, size), format="csr")


def shuffled(matrix, seed: int = 2):
    order = np.random.default_rng(seed).permutation(matrix.shape[0])
    return permuted(matrix, order)


def plane(n: int):
    line = sp.diags([-1.0, 2.0, -1.0], [-1, 0, 1], (n, n))
    return (sp.kron(line, sp.identity(n)) + sp.kron(sp.identity(n), line)).tocsr()


def wrong(found: Storage, matrix) -> float:
    """Largest error of a product, relative to the product of absolute values."""
    x = np.random.default_rng(5).standard_normal(matrix.shape[1])
    whole = matrix.toarray() if sp.issparse(matrix) else matrix
    return float((np.abs(found.multiply(x) - whole @ x) / (np.abs(whole) @ np.abs(x))).max())


def test_99_percent_empty_is_csr():
    """ENG-25, first matrix."""
    matrix = random_sparse(300, 0.008)
    found = optimise(matrix)
    assert (found.format, found.petsc_type, found.block_size) == ("csr", "aij", 1)
    assert found.structure.density == pytest.approx(0.011, abs=0.002) and "empty" in found.reason
    assert wrong(found, matrix) <= 1e-13


def test_pattern_of_3x3_blocks_is_bsr_3():
    """ENG-25, second matrix."""
    matrix = blocks_of_three(80)
    found = optimise(matrix)
    assert (found.format, found.petsc_type, found.block_size) == ("bsr", "baij", 3)
    assert found.matrix.blocksize == (3, 3) and found.structure.block_size == 3 and "blocks of 3" in found.reason
    assert wrong(found, matrix) <= 1e-13


def test_60_percent_full_is_dense():
    """ENG-25, third matrix."""
    rng = np.random.default_rng(3)
    matrix = np.where(rng.random((90, 90)) < 0.6, rng.standard_normal((90, 90)), 0.0)
    found = optimise(matrix)
    assert (found.format, found.order, found.permutation) == ("dense", "natural", None)
    assert wrong(found, matrix) <= 1e-13


@pytest.mark.parametrize(("size", "width"), [(400, 1), (400, 3), (1000, 7)])
def test_rcm_restores_a_shuffled_band_within_a_factor_of_two(size, width):
    """ENG-25, fourth matrix."""
    matrix = shuffled(band(size, width))
    found = optimise(matrix)
    assert found.structure.bandwidth > size // 2
    assert found.order == "rcm" and bandwidth(found.matrix.tocsr()) <= 2 * width
    assert f"from {found.structure.bandwidth} to" in found.reason
    assert wrong(found, matrix) <= 1e-13


def test_blocks_stay_together_when_a_block_matrix_is_reordered():
    """ENG-25: reordering by blocks keeps the pattern of dense blocks."""
    matrix = shuffled(band(200, 1))
    matrix = sp.kron(matrix, np.array([[1.0, 2.0], [3.0, 4.0]]), format="csr")
    found = optimise(matrix)
    assert (found.format, found.order, found.block_size) == ("bsr", "rcm", 2)
    assert bandwidth(found.matrix.tocsr()) <= 5 and len(found.matrix.data) == 598
    assert wrong(found, matrix) <= 1e-13


@pytest.mark.parametrize("kind", ["csr", "bsr", "dense"])
@pytest.mark.parametrize("order", ["natural", "rcm"])
def test_product_is_the_same_in_every_format_and_order(kind, order):
    """ENG-25: y = A x equal in every format."""
    matrix = blocks_of_three(40)
    permutation = band_order(matrix, 3) if order == "rcm" else None
    arranged = matrix if permutation is None else permuted(matrix, permutation)
    found = Storage(kind, order, 3, permutation, stored(arranged, kind, 3), analyse(matrix), "")
    assert wrong(found, matrix) <= 1e-13


def test_rule_is_the_90_percent_of_the_guide():
    """ENG-25: the guide stores a matrix without zeros from 90 % of zeros on."""
    matrix = np.zeros((20, 20))
    matrix.flat[::10] = 1.0
    assert optimise(matrix).format == "csr"
    matrix[0, 1] = 1.0
    assert optimise(matrix).format == "dense"


def test_zeros_that_are_stored_do_not_count():
    """ENG-25: density and blocks come from values, and the given matrix is not changed."""
    matrix = sp.csr_matrix(np.diag(np.arange(1.0, 31.0)))
    rows, columns = np.tile(np.arange(30), 2), np.concatenate([np.arange(30), np.roll(np.arange(30), 7)])
    padded = sp.csr_matrix((np.concatenate([np.arange(1.0, 31.0), np.zeros(30)]), (rows, columns)), (30, 30))
    assert padded.nnz == 60 and analyse(padded) == analyse(matrix) and padded.nnz == 60
    assert analyse(matrix).components == 30 and analyse(matrix).dominance == np.inf


def test_structure_of_known_matrices():
    """ENG-25: components, symmetry, dominance, rectangular matrices."""
    two = sp.block_diag([plane(5), plane(4)])
    found = analyse(shuffled(two.tocsr()))
    assert (found.components, found.largest_component, found.symmetric) == (2, 25, True)
    assert found.dominance == 1.0
    upper = plane(4) + sp.diags([1e-3], [1], (16, 16))
    assert not analyse(upper).symmetric and analyse(plane(4) + sp.diags([1e-3, 1e-3], [-1, 1], (16, 16))).symmetric
    wide = sp.csr_matrix(np.array([[1.0, 0, 0, 0], [0, 0, 2.0, 3.0]]))
    assert (analyse(wide).square, analyse(wide).components, analyse(wide).bandwidth) == (False, 3, 2)
    assert wrong(optimise(wide), wide) <= 1e-13


def test_order_for_a_factorisation_has_less_fill(context):
    """ENG-25: nested dissection for a plane grid, a band for a narrow band."""
    pytest.importorskip("petsc4py", reason="PETSc has nested dissection")
    from hpcsim.solvers.petsc.library import Library

    def fill(matrix):
        options = {"SymmetricMode": True}
        factors = splu(matrix.tocsc(), permc_spec="NATURAL", diag_pivot_thresh=0.0, options=options)
        return factors.L.nnz + factors.U.nnz

    matrix = plane(64)
    with Library(context) as library:
        found = optimise(matrix, "factorisation", library=library)
        assert found.order == "nested_dissection" and wrong(found, matrix) <= 1e-13
        assert fill(found.matrix) < 0.8 * fill(matrix)
        assert sorted(dissection_order(library, matrix)) == list(range(4096))
        narrow = optimise(shuffled(band(500, 2)), "factorisation", library=library)
        assert narrow.order == "rcm"
    assert optimise(matrix, "factorisation").order == "natural"


def test_measured_choice_returns_times_and_a_reason():
    """ENG-25: the measured choice takes a format only if it is faster than that of the rule."""
    matrix = blocks_of_three(60)
    found = optimise(matrix, measure=True)
    assert {"csr", "bsr"} <= set(found.seconds) and min(found.seconds.values()) > 0.0
    assert found.format == "bsr" or found.seconds[found.format] <= 0.95 * found.seconds["bsr"]
    assert "measured" in found.reason and wrong(found, matrix) <= 1e-13


def test_measurement_sees_a_slower_format():
    """ENG-25: a product with a mostly empty dense matrix takes longer than with its entries."""
    matrix = sp.identity(2000, format="csr")
    seconds = product_seconds({"csr": matrix, "dense": matrix.toarray()}, 3)
    assert seconds["dense"] > 5 * seconds["csr"]


def test_faults_are_told():
    """ENG-25: an empty matrix and an unknown purpose are refused with what is allowed."""
    with pytest.raises(ConfigError, match="rows and columns"):
        analyse(np.zeros((0, 3)))
    with pytest.raises(ConfigError, match="did you mean 'product'"):
        optimise(np.eye(3), "prodct")
