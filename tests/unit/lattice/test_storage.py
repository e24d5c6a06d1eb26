"""Storage: offsets, pitch and alignment."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hpcsim.errors import LayoutError
from hpcsim.lattice.layout import make_layout
from hpcsim.lattice.storage import Storage
from tests.unit.lattice.virtual import unit_domain


def build(shape, ghost=1, staggered=False, itemsize=8, ranks=1, rank=0, **options):
    layout = make_layout(unit_domain(shape, (False,) * len(shape)), ranks, ghost=ghost, **options)
    return layout, Storage.build(layout, rank, ghost, staggered, itemsize)


@pytest.mark.parametrize(
    ("shape", "block_shape"), [((9,), (4,)), ((7, 9), (4, 5)), ((4, 5, 6), (2, 3, 3)), ((3, 4, 3, 5), (2,) * 4)]
)
@pytest.mark.parametrize("staggered", [False, True])
def test_offsets_are_those_of_the_array(shape, block_shape, staggered):
    layout, storage = build(shape, staggered=staggered, ranks=2, rank=1, block_shape=block_shape)
    components = 3
    array = np.arange(storage.length(components)).reshape(len(storage.blocks), components, *storage.pitch)
    assert storage.blocks == layout.local(1)
    for (slot, block), component in itertools.product(enumerate(storage.blocks), range(components)):
        assert storage.slot(block.id) == slot
        for index in (block.lo, tuple(b - 1 for b in block.hi), tuple(a - 1 for a in block.lo), block.hi):
            local = tuple(i - lo + 1 for i, lo in zip(index, block.lo, strict=True))
            flat = storage.offset(slot, component, components) + storage.site_offset(block, index)
            assert flat == array[(slot, component, *local)]
    assert storage.first_site == storage.site_offset(storage.blocks[0], storage.blocks[0].lo)
    assert storage.strides == tuple(stride // array.itemsize for stride in array.strides[2:])
    assert storage.sites == array[0, 0].size


def test_pitch_is_the_same_on_all_ranks_and_holds_the_largest_block():
    layout = make_layout(
        unit_domain((11, 14), (True, False)), 4, ghost=2, block_shape=(4, 6), owners=[0, 1, 2, 3] * 2 + [0]
    )
    pitches = {Storage.build(layout, rank, 2, True, 8).pitch for rank in range(4)}
    assert pitches == {(4 + 4 + 1, 6 + 4 + 1)}


@pytest.mark.parametrize(
    ("cells", "ghost", "staggered", "itemsize", "pitch"),
    [
        (64, 0, False, 8, 64),
        (64, 1, False, 8, 72),
        (64, 4, False, 8, 72),
        (62, 1, False, 8, 64),
        (62, 1, True, 8, 65),
        (32, 1, False, 8, 34),
        (32, 2, False, 8, 36),
        (510, 1, False, 8, 520),
        (510, 1, False, 4, 512),
        (1022, 1, False, 4, 1040),
        (1020, 2, False, 8, 1032),
    ],
)
def test_last_pitch(cells, ghost, staggered, itemsize, pitch):
    """Rows are whole cache lines where that costs at most a tenth, and never a whole number of pages apart."""
    _, storage = build((4, cells), ghost, staggered, itemsize)
    assert storage.pitch == (4 + 2 * ghost + staggered, pitch)
    assert pitch * itemsize % 4096 != 0


@pytest.mark.parametrize("itemsize", [4, 8])
@pytest.mark.parametrize("ghost", [0, 1, 2, 3, 4])
def test_interior_rows_start_on_cache_lines(ghost, itemsize):
    layout, storage = build((6, 7, 250), ghost, True, itemsize)
    block = layout.blocks[0]
    for component, i, j in itertools.product(range(2), range(6), range(7)):
        element = storage.offset(0, component, 2) + storage.site_offset(block, (i, j, 0))
        assert (storage.lead_bytes + element * itemsize) % 64 == 0


def test_strides_padded_to_four_axes():
    assert build((4, 5))[1].strides4 == (0, 0, 7, 1)
    assert build((4, 5, 6, 7))[1].strides4 == (7 * 8 * 9, 8 * 9, 9, 1)


def test_refusals():
    layout = make_layout(unit_domain((8, 8), (True, True)), 4)
    with pytest.raises(LayoutError, match=r"ghost width 5, but the narrowest block has \(4, 4\) cells"):
        Storage.build(layout, 0, 5, False, 8)
    with pytest.raises(LayoutError, match="values of 3 bytes"):
        Storage.build(layout, 0, 1, False, 3)
    with pytest.raises(LayoutError, match="rank 4 does not exist"):
        Storage.build(layout, 4, 1, False, 8)
    with pytest.raises(LayoutError, match="unknown local block '3'.*Known: 0"):
        Storage.build(layout, 0, 1, False, 8).slot(3)
