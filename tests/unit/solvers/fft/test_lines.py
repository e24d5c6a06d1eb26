"""Bases and local transforms: every kind, every axis, fast and by matrix (ENG-07, ENG-11)."""

from __future__ import annotations

import numpy as np
import pytest

from hpcsim.errors import ConfigError
from hpcsim.solvers.fft.basis import Basis, basis_of, fast_even_length, fourier, halved, largest_factor
from hpcsim.solvers.fft.dense import synthesis
from hpcsim.solvers.fft.local import FFTS, dense_is_faster, make_lines
from hpcsim.solvers.fft.symbols import neighbours
from hpcsim.solvers.grid import Axis
from tests.unit.solvers.fft.cases import ENDS, FIXED, FREE, ROBIN, neighbour_matrix

REAL = ("dst1", "dst2", "dst3", "dst4", "dct1", "dct2", "dct3", "dct4")
LENGTHS = (2, 3, 4, 7, 8, 13)


def bases(n: int) -> list[Basis]:
    """All kinds of so many sites."""
    return [*(Basis(kind, n, 0.3, n, n) for kind in REAL), fourier(n, 0.3), halved(fourier(n, 0.3))]


def values(basis: Basis, seed: int, complex_data: bool) -> np.ndarray:
    """Random values that the basis can hold."""
    rng = np.random.default_rng(seed)
    found = rng.standard_normal((3, basis.count, basis.count))
    if complex_data or (basis.fourier and not basis.half):
        found = found + 1j * rng.standard_normal(found.shape)
    return found


@pytest.mark.parametrize("name", ["scipy", "matrix", "auto"])
@pytest.mark.parametrize("n", LENGTHS)
def test_there_and_back(name: str, n: int) -> None:
    """Forward, backward and the scale give the values back, along both axes, for real and complex data."""
    for basis in bases(n):
        lines = make_lines(name, basis)
        for axis in (1, 2):
            for complex_data in (False, not basis.half):
                given = values(basis, n, complex_data)
                found = lines.backward(lines.forward(given.copy(), axis), axis) * basis.scale
                assert np.allclose(found, given, rtol=0, atol=1e-13)


@pytest.mark.parametrize("n", [1, *LENGTHS, 31, 64])
def test_matrix_and_fast_transforms_agree(n: int) -> None:
    """Two independent implementations give the same modes and sites."""
    for basis in bases(n):
        if basis.kind == "dct1" and n == 1:
            continue
        fast, dense = make_lines("scipy", basis), make_lines("matrix", basis)
        for axis in (1, 2):
            given = values(basis, n, False)
            modes = fast.forward(given.copy(), axis)
            assert np.allclose(modes, dense.forward(given.copy(), axis), rtol=0, atol=1e-12)
            sites = fast.backward(modes.copy(), axis), dense.backward(modes.copy(), axis)
            assert np.allclose(*sites, rtol=0, atol=1e-11)


def test_in_place_transforms_are_in_place() -> None:
    """A transform that says so overwrites what it is given, also when that is part of a larger array."""
    for basis in bases(8):
        lines = make_lines("scipy", basis)
        for complex_data in (False, True):
            if not lines.in_place or (basis.half and complex_data):
                continue
            for axis in (0, 1):
                memory = np.zeros((8, 12), values(basis, 0, complex_data).dtype)
                part = memory[:, :8]
                part[...] = values(basis, 0, complex_data)[0]
                for verb in (lines.forward, lines.backward):
                    expected = verb(part.copy(), axis)
                    found = verb(part, axis)
                    assert np.array_equal(found, expected) and np.array_equal(part, expected)


@pytest.mark.parametrize("vertex", [False, True])
@pytest.mark.parametrize("ends", ENDS)
def test_functions_diagonalise_the_stencil(ends, vertex: bool) -> None:
    """ENG-07, ENG-11: every mode is an eigenvector of the matrix of the neighbours, with the symbol as eigenvalue."""
    axis = Axis(9, 0.4, vertex, ends)
    basis = basis_of(axis)
    matrix, symbol = neighbour_matrix(axis, 1.7, 1.7), neighbours(basis, 1.7, 1.7)
    if basis.fourier:
        modes = np.exp(1j * np.outer(np.arange(9) * axis.spacing, basis.wavenumbers()))
    else:
        modes = synthesis(basis)
    assert np.allclose(matrix @ modes, modes * symbol, rtol=0, atol=1e-13)


def test_unequal_weights_of_a_periodic_axis() -> None:
    """An upwind stencil has a complex symbol."""
    axis = Axis(7, 0.4, False, None)
    basis = basis_of(axis)
    modes = np.exp(1j * np.outer(np.arange(7) * axis.spacing, basis.wavenumbers()))
    found = neighbour_matrix(axis, 1.1, 0.3) @ modes
    assert np.allclose(found, modes * neighbours(basis, 1.1, 0.3), rtol=0, atol=1e-13)


def test_zeros_behind_the_sites() -> None:
    """A padded Fourier axis has the modes of the field with zeros behind it."""
    basis = halved(fourier(5, 1.0, 8))
    lines = make_lines("auto", basis)
    given = np.random.default_rng(1).standard_normal((1, 5, 1))
    modes = lines.forward(given.copy(), 1)
    assert np.allclose(modes[0, :, 0], np.fft.rfft(given[0, :, 0], 8))
    assert np.allclose(lines.backward(modes, 1) * basis.scale, given)


def test_choice_by_length() -> None:
    """Small factors and very long lines go to the fast transform, the rest to the matrix."""
    assert not dense_is_faster(fourier(256, 1.0)) and not dense_is_faster(fourier(10007, 1.0))
    assert dense_is_faster(fourier(251, 1.0)) and not dense_is_faster(fourier(251, 1.0, 503))
    # The length behind a transform of type I is twice one more or one less.
    assert dense_is_faster(Basis("dst1", 256, 1.0, 256, 256)) and not dense_is_faster(Basis("dst1", 255, 1.0, 255, 255))
    assert dense_is_faster(Basis("dct1", 258, 1.0, 258, 258)) and not dense_is_faster(Basis("dct1", 257, 1.0, 257, 257))
    assert set(FFTS) == {"auto", "matrix", "scipy"}


def test_numbers() -> None:
    """Factors and lengths of fast transforms."""
    assert [largest_factor(n) for n in (1, 2, 12, 169, 1001, 9973)] == [1, 2, 3, 13, 13, 9973]
    assert [fast_even_length(n) for n in (1, 3, 7, 511, 1021)] == [2, 4, 8, 512, 1024]


def test_refusals() -> None:
    """Robin ends, impossible lengths, unknown names."""
    with pytest.raises(ConfigError, match="Robin"):
        basis_of(Axis(8, 1.0, False, (ROBIN, FREE)))
    with pytest.raises(ConfigError, match="needs 2"):
        basis_of(Axis(1, 1.0, True, (FREE, FREE)))
    with pytest.raises(ConfigError, match="9 sites"):
        fourier(9, 1.0, 8)
    with pytest.raises(ConfigError, match="did you mean 'scipy'"):
        make_lines("scypi", basis_of(Axis(8, 1.0, False, (FIXED, FREE))))
    with pytest.raises(ConfigError, match="cannot pad"):
        make_lines("matrix", fourier(4, 1.0, 8))
