"""Transforms over all axes in one process, and the boxes of many virtual ranks (ENG-09)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import scipy.fft

from hpcsim.comm.context import Context
from hpcsim.errors import ConfigError
from hpcsim.lattice.box import extent, volume
from hpcsim.solvers.fft import holding, plane, stage
from hpcsim.solvers.fft.basis import Basis, fourier, unchanged
from hpcsim.solvers.fft.decomposition import boxes_at, choose_grid, shape_at
from hpcsim.solvers.fft.transform import Transform
from hpcsim.solvers.fft.workers import Workers
from hpcsim.solvers.grid import Axis
from tests.unit.solvers.fft.cases import ENDS


def reference(field: np.ndarray, bases) -> np.ndarray:
    """All axes by SciPy, one after the other."""
    for axis in range(field.ndim - 1, -1, -1):
        basis = bases[axis]
        if basis.fourier:
            field = (scipy.fft.rfft if basis.half else scipy.fft.fft)(field, basis.length, axis)
        elif basis.kind != "none":
            field = getattr(scipy.fft, basis.kind[:3])(field, int(basis.kind[3]), axis=axis)
    return field


def random_axes(rng, ndim: int, trial: int) -> list[Axis | Basis]:
    """Axes of all kinds; every fourth case is padded."""
    counts = rng.integers(2, 12, ndim).tolist()
    if trial % 4 == 3:
        return [fourier(n, 0.3, n + 3) for n in counts]
    axes = [Axis(n, 0.3, bool(rng.integers(2)), ENDS[rng.integers(5)]) for n in counts]
    return [unchanged(counts[0], 0.3), *axes[1:]] if trial % 4 == 2 else list(axes)


@pytest.mark.parametrize("planes", [True, False])
@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_against_scipy(ndim: int, planes: bool, monkeypatch) -> None:
    """ENG-09: modes of random fields, there and back, in small pieces, with planes in one go or axis by axis."""
    if not planes:
        monkeypatch.setattr(holding, "PLANE_BYTES", 0)
    for module in (stage, plane):
        monkeypatch.setattr(module, "CHUNK_BYTES", 512)
    rng = np.random.default_rng(ndim)
    for trial in range(16):
        axes = random_axes(rng, ndim, trial)
        complex_field = trial % 5 == 4
        transform = Transform(Context.serial(), axes, 1 + trial % 2, "complex128" if complex_field else "float64")
        field = rng.standard_normal(transform.shape) + (
            1j * rng.standard_normal(transform.shape) if complex_field else 0
        )
        kept = field.copy()
        spectrum = transform.forward(field)
        assert np.allclose(spectrum, reference(field, transform.bases), rtol=0, atol=1e-10)
        assert spectrum.dtype == transform.spectral_type
        held = spectrum.copy()
        assert np.allclose(transform.backward(spectrum), field, rtol=0, atol=1e-12)
        result = np.empty_like(field)
        transform.through(field, result, lambda modes, columns: None)
        assert np.allclose(result * transform.scale, field, rtol=0, atol=1e-12)
        assert np.array_equal(field, kept) and np.array_equal(spectrum, held)
        transform.free()


def test_threads_change_no_bit() -> None:
    """The same modes with one and three threads."""
    axes = [Axis(24, 1.0, False, ENDS[1]), Axis(20, 1.0, False, None), Axis(36, 1.0, False, ENDS[2])]
    field = np.random.default_rng(5).standard_normal((24, 20, 36))
    one, three = (Transform(Context.serial(), axes, threads) for threads in (1, 3))
    assert np.array_equal(one.forward(field), three.forward(field))
    assert np.array_equal(one.backward(one.forward(field)), three.backward(three.forward(field)))
    three.free()


def test_a_task_that_fails_is_heard_of() -> None:
    """An error in a thread reaches the caller after all threads have ended."""
    workers, done = Workers(3), []

    def task(item: int) -> None:
        if item == 5:
            raise ZeroDivisionError("five")
        done.append(item)

    with pytest.raises(ZeroDivisionError, match="five"):
        workers.run(task, list(range(40)))
    workers.run(done.append, list(range(100, 140)))
    assert set(range(100, 140)) <= set(done)
    workers.free()
    workers.free()


@pytest.mark.parametrize("ranks", [1, 2, 3, 5, 8, 24, 100])
@pytest.mark.parametrize(
    ("sites", "modes"),
    [((16, 12), (16, 7)), ((9, 10, 11), (9, 10, 6)), ((5, 6, 4, 7), (10, 12, 8, 8)), ((3, 40, 2), (3, 40, 2))],
)
def test_every_rank_count_covers_the_lattice_at_every_moment(sites, modes, ranks: int) -> None:
    """ENG-09: slabs, pencils and idle ranks: boxes are disjoint, cover all, and leave the axis of the moment whole."""
    grid = choose_grid(sites, modes, ranks)
    assert math.prod(grid) <= ranks
    for axis in range(len(sites)):
        shape = shape_at(sites, modes, axis)
        counts = np.zeros(shape, int)
        for box in boxes_at(shape, grid, axis, ranks):
            if volume(box):
                assert extent(box)[axis] == shape[axis]
            counts[tuple(slice(a, b) for a, b in zip(*box, strict=True))] += 1
        assert (counts == 1).all()


def test_slabs_first_pencils_when_needed() -> None:
    """One cut moves the data once; more ranks than planes need two."""
    assert choose_grid((64, 64, 64), (64, 64, 33), 16) == (16, 1)
    assert sorted(choose_grid((16, 16, 16), (16, 16, 9), 128)) == [8, 16]
    assert choose_grid((7,), (4,), 9) == ()


def test_refusals() -> None:
    """Wrong shapes and numbers of axes."""
    transform = Transform(Context.serial(), [Axis(4, 1.0, False, None)] * 2)
    with pytest.raises(ValueError, match=r"\(4, 4\) is needed"):
        transform.forward(np.zeros((4, 5)))
    with pytest.raises(ValueError, match="C order"):
        transform.backward(np.zeros((4, 3), complex), np.zeros((4, 4)).T)
    with pytest.raises(ConfigError, match="0 axes"):
        Transform(Context.serial(), [])
