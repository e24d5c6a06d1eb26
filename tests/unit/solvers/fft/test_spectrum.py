"""Power spectra and correlations (QG-02, ENG-17)."""

from __future__ import annotations

import numpy as np
import pytest

from hpcsim.comm.context import Context
from hpcsim.errors import ConfigError
from hpcsim.solvers.fft.bins import RadialBins
from hpcsim.solvers.fft.correlation import Correlation
from hpcsim.solvers.fft.spectrum import PowerSpectrum
from hpcsim.solvers.grid import Axis, End


@pytest.mark.parametrize("shape", [(12,), (9, 10), (6, 7, 8), (5, 4, 3, 6)])
def test_parseval(shape) -> None:
    """The power of all modes is the mean square of the field, in all bins together as well."""
    spacing = [0.5, 0.25, 1.0, 2.0][: len(shape)]
    axes = [Axis(n, h, False, None) for n, h in zip(shape, spacing, strict=True)]
    field = np.random.default_rng(1).standard_normal(shape)
    found = PowerSpectrum(Context.serial(), axes, np.array([0.0, 3.0, 100.0])).measure(field)
    assert found.count.sum() == field.size
    total = (found.mean * found.count).sum() / field.size
    assert total == pytest.approx(np.mean(field**2) * np.prod(spacing), rel=1e-13)


def test_against_a_plain_histogram() -> None:
    """Shells hold the modes they say, with both halves of the spectrum."""
    shape, h = (8, 6, 10), 0.5
    field = np.random.default_rng(2).standard_normal(shape)
    spectrum = PowerSpectrum(Context.serial(), [Axis(n, h, False, None) for n in shape])
    found = spectrum.measure(field)
    power = np.abs(np.fft.fftn(field)) ** 2 / field.size * h**3
    k = np.sqrt(sum(part**2 for part in np.ix_(*(2 * np.pi * np.fft.fftfreq(n, h) for n in shape))))
    for number, (lo, hi) in enumerate(zip(found.edges, found.edges[1:], strict=False)):
        inside = (k >= lo) & (k < hi)
        assert found.count[number] == inside.sum()
        assert found.mean[number] == pytest.approx(power[inside].mean(), rel=1e-12)
        assert found.distance[number] == pytest.approx(k[inside].mean(), rel=1e-12)
    assert found.edges[-1] == pytest.approx(np.pi / h + 0.5 * 2 * np.pi / (10 * h))


def test_modes_of_an_ornstein_uhlenbeck_field() -> None:
    """QG-02: modes drawn with variance s^2/(2(D k^2 + g)) are found with it, shell by shell, within 4 sigma."""
    n, h, s, diffusion, rate = 32, 0.5, 0.7, 0.3, 1.1
    k2 = sum(part**2 for part in np.ix_(*[2 * np.pi * np.fft.fftfreq(n, h)] * 2))
    expected = s**2 / (2 * (diffusion * k2 + rate))
    white = np.fft.fft2(np.random.default_rng(3).standard_normal((n, n)))
    field = np.fft.ifft2(white * np.sqrt(expected / h**2)).real
    spectrum = PowerSpectrum(Context.serial(), [Axis(n, h, False, None)] * 2)
    found = spectrum.measure(field)
    k = np.sqrt(k2)
    for number, (lo, hi) in enumerate(zip(found.edges, found.edges[1:], strict=False)):
        inside = (k >= lo) & (k < hi)
        # A squared normal number has a relative variance of 2, and a mode shares its value with its mirror image.
        error = np.sqrt(2.0 * (expected[inside] ** 2).sum()) / inside.sum()
        assert abs(found.mean[number] - expected[inside].mean()) < 4.0 * np.sqrt(2.0) * error


@pytest.mark.parametrize("shape", [(13,), (6, 5), (5, 4, 6)])
def test_correlation_is_the_mean_over_pairs(shape) -> None:
    """All pairs one by one, with periodic, bounded and mixed axes."""
    spacing = (0.5, 0.7, 0.4)[: len(shape)]
    field = np.random.default_rng(4).standard_normal(shape)
    sites = np.array(list(np.ndindex(*shape)))
    for periodic in ([True] * len(shape), [False] * len(shape), [True, False, True][: len(shape)]):
        offsets = sites[:, None] - sites[None]
        for axis, wraps in enumerate(periodic):
            if wraps:
                n = shape[axis]
                offsets[..., axis] = (offsets[..., axis] + n // 2) % n - n // 2
        r = np.sqrt(((offsets * spacing) ** 2).sum(axis=-1))
        products = field.reshape(-1)[:, None] * field.reshape(-1)[None]
        found = Correlation(Context.serial(), shape, spacing, periodic).measure(field)
        for number, (lo, hi) in enumerate(zip(found.edges, found.edges[1:], strict=False)):
            inside = (r >= lo) & (r < hi)
            assert found.count[number] == inside.sum()
            if inside.any():
                assert found.mean[number] == pytest.approx(products[inside].mean(), abs=1e-12)
                assert found.distance[number] == pytest.approx(r[inside].mean(), rel=1e-12)


def test_bins_do_not_depend_on_order() -> None:
    """ENG-17: the same values in any order and any parts give the same bits; empty bins are nan."""
    rng = np.random.default_rng(5)
    r, counts = rng.random(500) * 3, np.ones(500, int)
    values = rng.standard_normal(500) * 10.0 ** rng.integers(-8, 8, 500)
    edges = np.array([0.0, 0.5, 1.0, 2.0, 5.0, 6.0])
    one, two = RadialBins(edges), RadialBins(edges)
    one.add(r, values, counts)
    for part in np.array_split(rng.permutation(500), 7):
        two.add(r[part], values[part], counts[part])
    first, second = one.means(None), two.means(None)
    assert np.array_equal(first.mean, second.mean, equal_nan=True)
    assert np.isnan(first.mean[-1]) and first.count.tolist() == second.count.tolist()


def test_refusals() -> None:
    """Bounded axes have no power spectrum, bins must rise."""
    with pytest.raises(ConfigError, match="periodic"):
        PowerSpectrum(Context.serial(), [Axis(8, 1.0, False, (End(1.0, 0.0),) * 2)])
    for edges in ([0.0], [0.0, 1.0, 1.0]):
        with pytest.raises(ConfigError, match="rising"):
            RadialBins(np.array(edges))
