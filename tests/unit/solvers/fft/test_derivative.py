"""Spectral derivatives (ENG-07)."""

from __future__ import annotations

import numpy as np
import pytest

from hpcsim.comm.context import Context
from hpcsim.errors import ConfigError
from hpcsim.solvers.fft.basis import fourier
from hpcsim.solvers.fft.derivative import SpectralDerivative, lower_two_thirds
from hpcsim.solvers.grid import Axis, End


def differentiated(field: np.ndarray, axes, terms, dealias: bool = False) -> np.ndarray:
    """The derivative in one process."""
    operator, result = SpectralDerivative(Context.serial(), axes, terms, dealias), np.empty_like(field)
    operator.apply(field, result)
    operator.free()
    return result


@pytest.mark.parametrize("n", [16, 15])
@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_waves_are_differentiated_exactly(ndim: int, n: int) -> None:
    """ENG-07: on exp(i k x) every mode below the highest, orders 1 to 4, has the factor (i k)^order."""
    counts = [n, 6, 5, 4][:ndim]
    lengths = [2.0, 1.0, 3.0, 0.5][:ndim]
    axes = [Axis(c, length / c, False, None) for c, length in zip(counts, lengths, strict=True)]
    x = np.ix_(*(np.arange(c) * length / c for c, length in zip(counts, lengths, strict=True)))
    for mode in range(-(n // 2) + 1 - n % 2, (n + 1) // 2):
        k = [2 * np.pi * m / length for m, length in zip([mode, 1, -2, 1][:ndim], lengths, strict=True)]
        phase = sum((a * b for a, b in zip(k, x, strict=True)), np.zeros(counts))
        for order in (1, 2, 3, 4):
            orders = (order, *[1] * (ndim - 1))
            factor = np.prod([(1j * a) ** o for a, o in zip(k, orders, strict=True)])
            found = differentiated(np.cos(phase), axes, {orders: 1.0})
            # Rounding enters every mode, and the highest ones are raised most.
            most = np.prod([(np.pi * c / length) ** o for c, length, o in zip(counts, lengths, orders, strict=True)])
            assert np.abs(found - (factor * np.exp(1j * phase)).real).max() <= 1e-14 * most


def test_laplacian_of_fields_between_walls() -> None:
    """Even orders along bounded axes, several terms at once."""
    n, h = 20, 0.05
    x, y = (np.arange(n) + 0.5) * h, np.arange(n + 1) * h
    wall, free = End(1.0, 0.0), End(0.0, 1.0)
    axes = [Axis(n, h, False, (wall, free)), Axis(n + 1, h, True, (free, free))]
    u = np.sin(1.5 * np.pi * x)[:, None] * np.cos(3 * np.pi * y)
    found = differentiated(u, axes, {(2, 0): 1.0, (0, 2): 2.0, (0, 0): -1.0})
    assert np.allclose(found, -(2.25 * np.pi**2 + 18 * np.pi**2 + 1.0) * u, rtol=0, atol=1e-9)


def test_the_highest_mode_has_no_slope() -> None:
    """A zigzag has odd derivatives of zero and even ones that are not."""
    zigzag, axes = (-1.0) ** np.arange(8), [Axis(8, 0.5, False, None)]
    assert np.abs(differentiated(zigzag, axes, {(1,): 1.0})).max() < 1e-14
    assert np.allclose(differentiated(zigzag, axes, {(2,): 1.0}), -((np.pi / 0.5) ** 2) * zigzag)
    # Along an axis with complex modes on both sides its mirror image is itself.
    plane = zigzag[:, None] * np.cos(2 * np.pi * np.arange(6) / 6 + 0.3)
    assert np.abs(differentiated(plane, [*axes, Axis(6, 0.5, False, None)], {(1, 0): 1.0})).max() < 1e-13


@pytest.mark.parametrize("n", [24, 25, 26])
def test_products_of_dealiased_fields_are_right(n: int) -> None:
    """The modes below two thirds of a product of two such fields are those of the product on a finer lattice."""
    rng = np.random.default_rng(n)
    axis = [Axis(n, 1.0 / n, False, None)]
    one, two = (differentiated(rng.standard_normal(n), axis, {(0,): 1.0}, dealias=True) for _ in range(2))
    keep = lower_two_thirds(fourier(n, 1.0 / n))
    found = np.where(keep, np.fft.fft(one * two) / n, 0.0)

    def finer(values: np.ndarray) -> np.ndarray:
        modes, wide = np.fft.fft(values) / n, np.zeros(4 * n, complex)
        for m in range(-(n // 2) + 1, n // 2):
            wide[m] = modes[m]
        return np.fft.ifft(wide * 4 * n).real

    exact = np.fft.fft(finer(one) * finer(two)) / (4 * n)
    expected = np.array([exact[int(m)] for m in np.fft.fftfreq(n, 1.0 / n)])
    assert np.allclose(found[keep], expected[keep], rtol=0, atol=1e-15 * n)
    assert np.count_nonzero(keep) == 2 * ((n - 1) // 3) + 1


def test_orders_that_do_not_exist() -> None:
    """Odd orders between walls, negative ones, too few."""
    walls = [Axis(8, 1.0, False, (End(1.0, 0.0),) * 2), Axis(8, 1.0, False, None)]
    for orders, text in (((1, 0), "axis x"), ((0, -1), "axis y"), ((2,), "2 axes")):
        with pytest.raises(ConfigError, match=text):
            SpectralDerivative(Context.serial(), walls, {orders: 1.0})
