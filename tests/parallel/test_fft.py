"""Transforms and what stands on them over real ranks (ENG-09, ENG-11, ENG-17, KG-15): the answers of one process."""

from __future__ import annotations

import numpy as np
import pytest

from hpcsim.comm.context import Context
from hpcsim.comm.redistribute import Redistribution
from hpcsim.errors import ConfigError
from hpcsim.lattice.box import extent
from hpcsim.solvers.fft import transform as transforms
from hpcsim.solvers.fft.basis import fourier
from hpcsim.solvers.fft.convolution import Convolution, OffsetKernel
from hpcsim.solvers.fft.correlation import Correlation
from hpcsim.solvers.fft.derivative import SpectralDerivative
from hpcsim.solvers.fft.direct import DirectSolver
from hpcsim.solvers.fft.direct_sum import DirectSum
from hpcsim.solvers.fft.greens import make_green
from hpcsim.solvers.fft.separation import obstacle
from hpcsim.solvers.fft.spectrum import PowerSpectrum
from hpcsim.solvers.fft.transform import Transform
from hpcsim.solvers.grid import Axis, laplacian
from tests.unit.solvers.fft.cases import ENDS, FIXED, FREE, inside, random_star


def whole(context, values: np.ndarray, box, shape) -> np.ndarray:
    """The field of all ranks, on each of them."""
    found = np.full(shape, np.nan, values.dtype)
    everything = ((0,) * len(shape), tuple(shape))
    Redistribution(context, [box], [everything], values.dtype).run([np.ascontiguousarray(values)], [found])
    return found


def random_axes(rng, ndim: int, trial: int):
    """Axes of all kinds; every third case is padded."""
    counts = rng.integers(2, 14, ndim).tolist()
    if trial % 3 == 2:
        return [fourier(n, 0.3, n + 3) for n in counts]
    return [Axis(n, 0.3, bool(rng.integers(2)), ENDS[rng.integers(5)]) for n in counts]


@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_transforms_are_those_of_one_process(context, ndim: int) -> None:
    """ENG-09: slabs, pencils and idle ranks give the modes of one process, with one thread or two."""
    rng = np.random.default_rng(ndim)
    for trial in range(9):
        axes, dtype = random_axes(rng, ndim, trial), "complex128" if trial % 5 == 4 else "float64"
        one = Transform(Context.serial(), axes, dtype=dtype)
        own = Transform(context, axes, 1 + trial % 2, dtype)
        field = rng.standard_normal(own.shape).astype(dtype)
        expected = one.forward(field)
        part = field[inside(own.box)].copy()
        spectrum = own.forward(part)
        assert np.allclose(spectrum, expected[inside(own.spectral_box)], rtol=0, atol=1e-12)
        assert np.allclose(own.backward(spectrum), part, rtol=0, atol=1e-13)
        found = whole(context, spectrum, own.spectral_box, own.modes)
        assert np.allclose(found, expected, rtol=0, atol=1e-12)
        own.free()


@pytest.mark.parallel((2, 3, 4))
def test_pencils(context, monkeypatch) -> None:
    """ENG-09: cuts of two axes at once, which few ranks would not choose, move everything to its place."""
    shapes = [((6, 7, 8), (2, 1)), ((6, 7, 8), (1, 2)), ((6, 7, 8), (2, 2)), ((4, 5, 3, 6), (1, 2, 2)),
              ((4, 5, 3, 6), (2, 1, 2)), ((9, 8), (3,))]  # fmt: skip
    for shape, grid in shapes:
        if np.prod(grid) > context.size:
            continue
        monkeypatch.setattr(transforms, "choose_grid", lambda sites, modes, ranks, grid=grid: grid)
        axes = [Axis(n, 0.3, False, ENDS[place % 5]) for place, n in enumerate(shape)]
        own = Transform(context, axes)
        monkeypatch.undo()
        field = np.random.default_rng(1).standard_normal(shape)
        spectrum = own.forward(field[inside(own.box)])
        expected = Transform(Context.serial(), axes).forward(field)
        assert np.allclose(whole(context, spectrum, own.spectral_box, own.modes), expected, rtol=0, atol=1e-12)
        assert np.allclose(own.backward(spectrum), field[inside(own.box)], rtol=0, atol=1e-13)


@pytest.mark.parametrize("seed", range(4))
def test_direct_solver(context, seed: int) -> None:
    """ENG-11: random operators, null spaces among them, have the solution of one process."""
    rng = np.random.default_rng(seed)
    for trial in range(12):
        star = random_star(rng)
        if obstacle(star):
            continue
        f, expected = rng.standard_normal(star.shape), np.empty(star.shape)
        DirectSolver(Context.serial(), star).solve(f, expected)
        own = DirectSolver(context, star, 1 + trial % 2)
        u = np.empty(extent(own.box))
        outcome = own.solve(f[inside(own.box)].copy(), u)
        assert outcome.converged
        tolerance = 1e-10 * np.abs(expected).max()
        assert np.allclose(u, expected[inside(own.box)], rtol=0, atol=tolerance)
        assert np.allclose(whole(context, u, own.box, star.shape), expected, rtol=0, atol=tolerance)
        own.free()


@pytest.mark.parametrize("mode", ["periodic", "padded"])
@pytest.mark.parametrize("shape", [(12, 10, 14), (7, 5, 9), (9,), (3, 8)])
def test_convolution_against_double_sums(context, shape, mode: str) -> None:
    """ENG-09: random fields, an even kernel and one without symmetry, against the sum over all pairs."""
    spacing, ndim = (0.4, 0.7, 0.5)[: len(shape)], len(shape)
    field = np.random.default_rng(9).standard_normal(shape)
    kernels = [
        make_green("coulomb", 3) if ndim == 3 else make_green("gaussian", ndim, length=0.8),
        OffsetKernel(lambda *x: np.exp(-sum(a * a for a in x)) * (1.0 + x[0])),
    ]
    convolution = Convolution(context, shape, spacing, kernels, mode)
    results = [np.empty(extent(convolution.box)) for _ in kernels]
    convolution.apply(field[inside(convolution.box)].copy(), *results)
    for kernel, result in zip(kernels, results, strict=True):
        direct = DirectSum(context, shape, spacing, kernel, mode)
        expected = np.empty(extent(direct.box))
        direct.apply(field[inside(direct.box)].copy(), expected)
        found, total = whole(context, result, convolution.box, shape), whole(context, expected, direct.box, shape)
        assert np.abs(found - total).max() < 1e-12 * np.abs(total).max()
        direct.free()
    convolution.free()


def test_static_source(context) -> None:
    """KG-15: the potential of a Gaussian in free space, at 0, 1 and 5 sigma, on any number of ranks."""
    n, h = 28, 0.5
    x = (np.arange(n) - n // 2) * h
    source = (2 * np.pi) ** -1.5 * np.exp(-sum(part**2 for part in np.ix_(x, x, x)) / 2)
    convolution = Convolution(context, (n,) * 3, (h,) * 3, make_green("coulomb", 3), "truncated")
    result = np.empty(extent(convolution.box))
    convolution.apply(source[inside(convolution.box)].copy(), result)
    found = 4 * np.pi * whole(context, result, convolution.box, (n,) * 3)[[14, 16, 24], 14, 14]
    assert np.abs(found - [0.797884561, 0.682689492, 0.199999885]).max() < 1e-8


def test_spectra_and_correlations_are_the_same_on_any_rank_count(context) -> None:
    """ENG-17: shells hold the same numbers as in one process, and the same ones on every rank."""
    shape, h = (12, 10, 9), 0.5
    axes = [Axis(n, h, False, None) for n in shape]
    field = np.random.default_rng(3).standard_normal(shape)
    for make in (
        lambda ranks: PowerSpectrum(ranks, axes),
        lambda ranks: Correlation(ranks, shape, (h,) * 3, (True, False, True)),
        lambda ranks: PowerSpectrum(ranks, axes[:1]),
    ):
        alone, own = make(Context.serial()), make(context)
        given = field if len(extent(own.box)) == 3 else field[:, 0, 0].copy()
        expected, found = alone.measure(given), own.measure(given[inside(own.box)].copy())
        assert np.array_equal(found.count, expected.count) and np.array_equal(found.edges, expected.edges)
        assert np.array_equal(found.distance, expected.distance, equal_nan=True)
        assert np.allclose(found.mean, expected.mean, rtol=1e-13, atol=1e-15, equal_nan=True)
        assert np.array_equal(context.max(np.nan_to_num(found.mean)), np.nan_to_num(found.mean))
        own.free()


def test_derivative(context) -> None:
    """ENG-07: a wave between walls and periodic planes has the Laplacian it should, on every rank."""
    n, h = 16, 1.0 / 16
    x, y = (np.arange(n) + 0.5) * h, np.arange(n) * h
    u = np.sin(np.pi * x)[:, None, None] * np.cos(2 * np.pi * y)[:, None] * np.sin(4 * np.pi * y)
    axes = [Axis(n, h, False, (FIXED, FIXED)), Axis(n, h, False, None), Axis(n, h, False, None)]
    operator = SpectralDerivative(context, axes, {(2, 0, 0): 1.0, (0, 2, 0): 1.0, (0, 0, 2): 1.0}, threads=2)
    part = u[inside(operator.box)].copy()
    operator.apply(part, part)
    assert np.allclose(part, -21.0 * np.pi**2 * u[inside(operator.box)], rtol=0, atol=1e-10)
    operator.free()


@pytest.mark.parallel((2, 3, 4))
def test_faults_are_the_same_on_all_ranks(context) -> None:
    """A kernel that only one rank can see to be wrong, and a line too long to be held by all, fail everywhere."""
    bad = make_green("formula", 2, formula="sqrt(1 - r)")
    with pytest.raises(ConfigError, match="not finite"):
        Convolution(context, (12, 12), (0.1, 0.1), bad, "padded")
    singular = make_green("formula", 2, formula="1/r**2")
    with pytest.raises(ConfigError, match="no integral"):
        Convolution(context, (12, 12), (0.1, 0.1), singular, "periodic")
    wall = (FREE, FREE)
    with pytest.raises(ConfigError, match="cannot be cut"):
        Transform(context, [Axis(2**24, 1.0, False, wall)])
    helmholtz = laplacian((Axis(8, 1.0, False, None),) * 2, 1.0, 2.0 * (1.0 - np.cos(2.0 * np.pi / 8)))
    with pytest.raises(ConfigError, match="eigenvalue of zero"):
        DirectSolver(context, helmholtz)
