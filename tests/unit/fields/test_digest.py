"""Digest of a field: blind to ranks, blocks and order, but not to a single bit (design 3a, TEST-OF-TEST)."""

from __future__ import annotations

import numpy as np
import pytest

from hpcsim.fields.digest import MODULUS, component_key, digest, mix_a
from hpcsim.fields.sites import site_numbers, site_strides
from hpcsim.fields.spec import FieldSpec
from hpcsim.fields.state import State
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.layout import make_layout
from hpcsim.lattice.location import owned_extent
from hpcsim.lattice.storage import Storage

BACKENDS = ["numba", "numpy"]


class Gathered:
    """Stands for the reduction over virtual ranks: the sum of what each rank hands in."""

    def __init__(self) -> None:
        self.parts: list[np.ndarray] = []

    def sum_int(self, values: np.ndarray) -> np.ndarray:
        self.parts.append(values)
        return np.sum(self.parts, axis=0)


def make_domain(shape) -> Domain:
    ndim = len(shape)
    return Domain(shape, (0.0,) * ndim, (1.0,) * ndim, (False,) + (True,) * (ndim - 1))


def digest_of(fields, spec, shape, ranks=1, ghost=1, fresh="zero", backend="numba", **options) -> str:
    """Digest of whole arrays (one per component) cut over virtual ranks."""
    domain = make_domain(shape)
    layout = make_layout(domain, ranks, ghost=ghost, **options)
    context = Gathered()
    for rank in range(ranks):
        state = State(Storage.build(layout, rank, ghost, True, 4), layout, rank, fresh=fresh)
        state.add("u", spec)
        for block in state.storage.blocks:
            for component, location in enumerate(spec.locations(len(shape))):
                lo, hi = layout.owned_box(block, location)
                box = tuple(slice(a, b) for a, b in zip(lo, hi, strict=True))
                state.interior("u", block, component)[...] = fields[component][box]
        found = digest(context, state, "u", backend=backend)
    return found


def random_fields(spec, shape, seed=0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    extents = [owned_extent(make_domain(shape), location) for location in spec.locations(len(shape))]
    return [rng.standard_normal(extent).astype(spec.dtype) for extent in extents]


@pytest.mark.parametrize("shape", [(29,), (13, 10), (7, 8, 5), (4, 5, 3, 4)])
@pytest.mark.parametrize(("centring", "dtype"), [("cell", "float64"), ("vertex", "float32"), ("edge", "float64")])
def test_independent_of_ranks_blocks_ghosts_and_backend(shape, centring, dtype, monkeypatch) -> None:
    """PEM, LAY, NAN: one value for every cut, curve, ghost width, fresh memory and both backends."""
    spec = FieldSpec("u", len(shape), centring, dtype)
    fields = random_fields(spec, shape)
    expected = digest_of(fields, spec, shape, backend="numpy")
    assert len(expected) == 32 and 0 <= int(expected, 16) < MODULUS
    blocks = tuple(min(3, n) for n in shape)
    cuts = [
        {}, {"ranks": 2}, {"ranks": 3, "fresh": "nan"}, {"ranks": 2, "ghost": 2, "fresh": "nan"},
        {"block_shape": blocks, "curve": "morton"}, {"block_shape": blocks, "ranks": 3, "partition": "round_robin"},
    ]  # fmt: skip
    for cut in cuts:
        options = {**cut, "ghost": cut.get("ghost", 1) if "block_shape" not in cut else 0}
        assert digest_of(fields, spec, shape, **options) == expected
    monkeypatch.setattr("hpcsim.fields.digest._SLAB", 8)
    assert digest_of(fields, spec, shape, ranks=3, backend="numpy") == expected


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("backend", BACKENDS)
def test_every_flipped_bit_and_swapped_pair_shows(dtype, backend) -> None:
    """TEST-OF-TEST: each bit of a site, and each exchange of two sites with unequal values, gives another digest."""
    spec, shape = FieldSpec("u", dtype=dtype), (4, 6)
    field = random_fields(spec, shape)[0]
    seen = {digest_of([field], spec, shape, backend=backend)}
    bits, words = 8 * field.itemsize, f"uint{8 * field.itemsize}"
    for bit in range(bits):
        changed = field.copy()
        changed.view(words)[2, 3] ^= np.array(1, words) << np.array(bit, words)
        seen.add(digest_of([changed], spec, shape, backend=backend))
    for place in range(1, field.size):
        swapped = field.copy().ravel()
        swapped[[0, place]] = swapped[[place, 0]]
        seen.add(digest_of([swapped.reshape(shape)], spec, shape, backend=backend))
    assert len(seen) == 1 + bits + field.size - 1


def test_sign_of_zero_component_and_place_show() -> None:
    """Bits decide, not values; equal values elsewhere, in another component, centring or type are another field."""
    shape, zero = (4, 6), np.zeros((4, 6))
    one = zero.copy()
    one[1, 2] = 1.0
    spec = FieldSpec("u", 2)
    found = [
        digest_of([zero, zero], spec, shape), digest_of([-zero, zero], spec, shape),
        digest_of([one, zero], spec, shape), digest_of([zero, one], spec, shape),
        digest_of([one.T.reshape(4, 6), zero], spec, shape),
        digest_of([zero], FieldSpec("u"), shape), digest_of([zero], FieldSpec("u", dtype="float32"), shape),
        digest_of([np.zeros((5, 6))], FieldSpec("u", centring="vertex"), shape),
    ]  # fmt: skip
    assert len(set(found)) == len(found)
    keys = {component_key(level, place, c, size) for level in (0, 1) for place in ((0, 1), (1, 0)) for c in (0, 1)
            for size in (4, 8)}  # fmt: skip
    assert len(keys) == 16
    assert digest_of([one, zero], FieldSpec("other", 2), shape) == found[2]


def test_digest_is_the_stated_sum() -> None:
    """The value is the sum mod 2**128 of the mix of each site, here from Python integers; it is a fixed function."""
    shape = (3, 4)
    field = random_fields(FieldSpec("u"), shape)[0]
    mask = 2**64 - 1

    def finish(x: int, shifts: tuple[int, int, int], factors: tuple[int, int]) -> int:
        x = (x ^ x >> shifts[0]) * factors[0] & mask
        x = (x ^ x >> shifts[1]) * factors[1] & mask
        return x ^ x >> shifts[2]

    split = ((30, 27, 31), (0xBF58476D1CE4E5B9, 0x94D049BB133111EB))
    murmur = ((33, 33, 33), (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53))
    key = 0
    for part in (8, 0, 2, 0, 0, 0):
        key = finish(key + 0x9E3779B97F4A7C15 + part & mask, *split)
    total = 0
    for number, bits in enumerate(field.ravel().view(np.uint64).tolist()):
        place = finish(number * 0x9E3779B97F4A7C15 + key & mask, *split)
        high = finish(bits ^ place, *murmur)
        low = finish(place + (high << 32 | high >> 32) & mask, *split)
        total += (high << 64) + low
    assert digest_of([field], FieldSpec("u"), shape) == f"{total % 2**128:032x}"


def test_mix_spreads_every_bit() -> None:
    """A flipped input bit turns about half of the output bits: the mean over all pairs of bits is 1/2 within z = 5."""
    x = np.random.default_rng(5).integers(0, 2**64, 2000, dtype=np.uint64)
    flips = [mix_a(x) ^ mix_a(x ^ np.uint64(1 << bit)) for bit in range(64)]
    rates = np.array([[np.mean(flip >> np.uint64(k) & np.uint64(1)) for k in range(64)] for flip in flips])
    assert np.abs(rates - 0.5).max() * 2 * np.sqrt(x.size) < 5.5
    assert abs(rates.mean() - 0.5) < 0.002


@pytest.mark.parametrize("location", [(0, 0, 0), (1, 0, 1), (1, 1, 1)])
def test_site_numbers_count_owned_sites_once(location) -> None:
    """Numbers run over 0..n-1 in row-major order; a finer level doubles the cells of each axis, not the end plane."""
    domain = Domain((4, 5, 3), (0.0,) * 3, (1.0,) * 3, (False, True, False))
    extent = owned_extent(domain, location)
    whole = site_numbers(domain, location, ((0, 0, 0), extent))
    np.testing.assert_array_equal(whole.ravel(), np.arange(np.prod(extent), dtype=np.uint64))
    np.testing.assert_array_equal(site_numbers(domain, location, ((1, 2, 0), (3, 4, 3))), whole[1:3, 2:4, :3])
    last = 12 + location[2]
    assert site_strides(domain, location, level=2) == (20 * last, last, 1)
