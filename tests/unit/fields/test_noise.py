"""Registers of noise: the numbers of `random.normal` at every site that is read, however computed (QG-02, PEM)."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hpcsim.errors import HpcsimError
from hpcsim.fields.noise import NoiseRegister
from hpcsim.fields.quantile import normal_quantile
from hpcsim.fields.random import normal
from hpcsim.fields.sites import site_numbers
from hpcsim.fields.spec import FieldSpec
from hpcsim.fields.state import State
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.layout import Layout, make_layout
from hpcsim.lattice.location import owned_extent
from hpcsim.lattice.storage import Storage

SEED, STREAM = 2**40 + 3, 2**32 - 5
GHOST = 2


def domain(shape: tuple[int, ...], periodic: tuple[bool, ...]) -> Domain:
    return Domain(shape, (0.0,) * len(shape), tuple(map(float, shape)), periodic)


def filled(layout: Layout, rank: int, location: tuple[int, ...], reach: int, step: int, **options) -> tuple:
    """Storage and register of a rank after a step."""
    dtype = options.pop("dtype", "float64")
    storage = Storage.build(layout, rank, GHOST, True, np.dtype(dtype).itemsize)
    state = State(storage, layout, rank, fresh="nan")
    register = state.add("noise", FieldSpec("noise", dtype=dtype), saved=False)
    noise = NoiseRegister(register, layout, storage, location, reach, SEED, STREAM, **options)
    noise.fill(step + 1)
    noise.fill(step)
    return storage, register


def expected(layout: Layout, block, location: tuple[int, ...], reach: int, step: int) -> np.ndarray:
    """Numbers of a block with ghosts, site by site from those of the whole lattice; zero where there is no site."""
    shape, periodic = layout.domain.shape, layout.domain.periodic
    extents = owned_extent(layout.domain, location)
    whole = normal(SEED, STREAM, site_numbers(layout.domain, location, ((0,) * len(shape), extents)), step)
    values = np.zeros([n + 2 * reach + 1 for n in block.shape])
    for place in np.ndindex(values.shape):
        index = [i + lo - reach for i, lo in zip(place, block.lo, strict=True)]
        index = [i % n if p else i for i, n, p in zip(index, extents, periodic, strict=True)]
        if all(0 <= i < n for i, n in zip(index, extents, strict=True)):
            values[place] = whole[tuple(index)]
    return values


CASES = [
    ((37,), (True,), (5,)),
    ((37,), (False,), (37,)),
    ((13, 11), (True, False), (5, 4)),
    ((6, 7, 5), (False, True, True), (3, 7, 5)),
    ((3, 4, 2, 5), (True, True, False, True), (3, 2, 2, 3)),
]


@pytest.mark.parametrize("backend", ["numba", "numpy"])
@pytest.mark.parametrize(("shape", "periodic", "blocks"), CASES)
def test_every_site_has_its_own_number(shape, periodic, blocks, backend) -> None:
    """PEM, LAY: blocks of any shape, ghosts across periodic ends, no noise beyond walls, every place in the cell."""
    layout = make_layout(domain(shape, periodic), 1, block_shape=blocks)
    for location in itertools.product((0, 1), repeat=len(shape)):
        for reach in (0, 2):
            storage, register = filled(layout, 0, location, reach, 5, backend=backend)
            for block in storage.blocks:
                wanted = expected(layout, block, location, reach, 5)
                # The plane behind the last cell is a site of the block at a bounded end only.
                ends = [not p and hi == n for p, hi, n in zip(periodic, block.hi, shape, strict=True)]
                counts = [n + 2 * reach + end for n, end in zip(block.shape, ends, strict=True)]
                found = register.array[storage.slot(block.id), 0]
                found = found[tuple(slice(GHOST - reach, GHOST - reach + n) for n in counts)]
                np.testing.assert_array_equal(found, wanted[tuple(map(slice, counts))], strict=True)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize(("shape", "blocks"), [((5000,), (1700,)), ((3, 2500), (3, 2500)), ((300, 7), (100, 7))])
def test_compiled_equals_reference(shape, blocks, dtype) -> None:
    """PET: rows longer and shorter than a batch, one thread, several threads and NumPy give the same bits."""
    layout = make_layout(domain(shape, (True,) * len(shape)), 1, block_shape=blocks)
    options = {"location": (0,) * len(shape), "reach": 1, "step": 2**32 - 2, "dtype": dtype}
    _, reference = filled(layout, 0, backend="numpy", **options)
    for threads in (1, 2, 3):
        _, compiled = filled(layout, 0, backend="numba", threads=threads, **options)
        np.testing.assert_array_equal(compiled.flat, reference.flat, strict=True)
    assert np.isfinite(reference.flat).all()


def test_compiled_tails_equal_reference() -> None:
    """The far tail, which one number in 10^11 reaches, has the bits of the reference too."""
    from hpcsim.fields.noise_loops import _draw_tails

    rng = np.random.default_rng(3)
    small = 2.0 ** -rng.uniform(1, 53, 3000)
    chance = np.concatenate([small, 1.0 - small, [2.0**-53, 1.0 - 2.0**-53, 0.075, 0.925, 1.3e-11, 1.5e-11, 0.5]])
    wanted = normal_quantile(chance)
    # Sites of the centre are left as they are.
    drawn = np.where(np.abs(chance - 0.5) > 0.425, np.nan, wanted)
    outer, work = np.empty(chance.size, np.int64), np.empty((2, chance.size))
    _draw_tails(chance.size, chance, outer, work[0], work[1], drawn)
    np.testing.assert_array_equal(drawn, wanted)
    assert (np.abs(wanted) > 6.7).sum() > 1000


def test_a_step_without_numbers_is_refused() -> None:
    """Steps beyond 2**32 would repeat the numbers of others."""
    layout = make_layout(domain((8,), (True,)), 1)
    storage = Storage.build(layout, 0, 1, False, 8)
    register = State(storage, layout, 0).add("noise", FieldSpec("noise"))
    noise = NoiseRegister(register, layout, storage, (0,), 0, 1, 2)
    for step in (-1, 2**32):
        with pytest.raises(HpcsimError, match="for steps 0 to 4294967295"):
            noise.fill(step)
