"""Registers, their memory and field declarations (rung NAN)."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest

from hpcsim.errors import ConfigError, HpcsimError
from hpcsim.fields.pool import HeapAllocator, Memory
from hpcsim.fields.spec import FieldSpec
from hpcsim.fields.state import State
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.layout import make_layout
from hpcsim.lattice.storage import Storage


def make_state(shape=(11, 7), ranks=3, rank=1, ghost=2, allocator=None, **options) -> State:
    ndim = len(shape)
    periodic = (False,) + (True,) * (ndim - 1)
    layout = make_layout(Domain(shape, (0.0,) * ndim, (1.0,) * ndim, periodic), ranks, ghost=ghost)
    rank = min(rank, ranks - 1)
    return State(Storage.build(layout, rank, ghost, True, 4), layout, rank, allocator, **options)


class CountingAllocator:
    """Private memory with a made-up peer, and a record of what was freed."""

    def __init__(self) -> None:
        self.freed: list[int] = []

    def allocate(self, count: int, dtype: str, lead: int, owner: str = "") -> Memory:
        memory = HeapAllocator().allocate(count, dtype, lead)
        memory.peers = {7: np.full(3, float(len(self.freed)))}
        number = self.count = getattr(self, "count", -1) + 1

        class Window:
            def free(_) -> None:
                self.freed.append(number)

        memory.window = Window()
        return memory


@pytest.mark.parametrize("shape", [(199,), (11, 199), (7, 6, 199), (5, 4, 6, 199)])
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_first_interior_site_of_every_row_is_aligned(shape, dtype) -> None:
    """Rows start on a 64-byte boundary at the first interior site, for each block and component."""
    for _ in range(5):
        state = make_state(shape, ranks=1)
        register = state.add("u", FieldSpec("u", 2, dtype=dtype))
        storage = state.storage
        assert register.array.shape == (1, 2, *storage.pitch) and register.flat.ndim == 1
        assert np.shares_memory(register.array, register.flat) and register.flat.flags.c_contiguous
        offset = storage.site_offset(storage.blocks[0], storage.blocks[0].lo)
        for component in range(2):
            interior = state.interior("u", storage.blocks[0], component)
            assert interior.ctypes.data == register.flat[component * storage.sites + offset :].ctypes.data
            assert interior.ctypes.data % 64 == 0 and all(stride % 64 == 0 for stride in interior.strides[:-1])


@pytest.mark.parametrize("centring", ["cell", "vertex", "face", "edge"])
def test_interiors_tile_the_owned_sites(centring) -> None:
    """Every owned site of every rank is in one interior view, at the offset that the storage says."""
    count = 0
    for rank in range(3):
        state = make_state(ranks=3, rank=rank)
        register = state.add("f", FieldSpec("f", 2, centring))
        for block in state.storage.blocks:
            for component, location in enumerate(register.spec.locations(2)):
                lo, hi = state.layout.owned_box(block, location)
                view = state.interior("f", block, component)
                view += np.arange(view.size).reshape(view.shape)
                assert view.shape == tuple(np.subtract(hi, lo))
                last = state.storage.site_offset(block, tuple(i - 1 for i in hi))
                slot = (state.storage.slot(block.id) * 2 + component) * state.storage.sites
                assert register.flat[slot + last] == view.size - 1
                count += view.size
    planes = {"cell": (0, 0), "vertex": (1, 1), "face": (1, 0), "edge": (0, 1)}[centring]
    assert count == sum((11 + extra) * 7 for extra in planes)


def test_fresh_memory_zero_or_nan_by_the_first_touch() -> None:
    """NAN: new memory is zero, or NaN in ghosts and padding too; the given hook does the writing."""
    assert not make_state().add("u", FieldSpec("u")).flat.any()
    assert np.isnan(make_state(fresh="nan").add("u", FieldSpec("u", dtype="float32")).flat).all()
    calls = []

    def hook(flat: np.ndarray, value: float) -> None:
        calls.append((flat.size, value))
        flat[:] = value

    state = make_state(fresh="nan", first_touch=hook)
    state.add("u", FieldSpec("u"))
    assert len(calls) == 1 and calls[0][0] == state["u"].flat.size and math.isnan(calls[0][1])
    with pytest.raises(ConfigError, match="did you mean 'zero'"):
        make_state(fresh="zeros")


def test_swap_exchanges_memory_and_peers_but_not_names() -> None:
    """Swap is O(1): arrays, flats, peers and the memory to free change hands; names and flags stay."""
    state = make_state(allocator=CountingAllocator())
    u, prev = state.add("u", FieldSpec("u")), state.add("u@prev", FieldSpec("u@prev"), saved=False, static=True)
    u.flat[:], prev.flat[:] = 1.0, 2.0
    kept = (u.flat, u.array, u.peers, u.memory)
    state.swap("u", "u@prev")
    assert state["u"] is u and (u.name, u.saved, u.static) == ("u", True, False)
    assert all(a is b for a, b in zip(kept, (prev.flat, prev.array, prev.peers, prev.memory), strict=True))
    assert (u.flat == 2).all() and (u.array == 2).all() and np.shares_memory(u.flat, u.array)
    state.add("w", FieldSpec("w", dtype="float32"))
    with pytest.raises(ConfigError, match="cannot be swapped"):
        state.swap("u", "w")


def test_free_is_deterministic() -> None:
    """Leaving the context frees each piece once, newest first; after that nothing can be reached."""
    allocator = CountingAllocator()
    with make_state(allocator=allocator) as state:
        registers = [state.add(name, FieldSpec(name)) for name in "abc"]
        state.swap("a", "c")
    assert allocator.freed == [0, 1, 2]
    assert all(register.flat.size == 0 and not register.peers for register in registers)
    state.free()
    assert len(allocator.freed) == 3 and len(state) == 0
    with pytest.raises(HpcsimError, match="was freed"):
        state.add("d", FieldSpec("d"))


def test_no_collective_free_while_an_exception_passes() -> None:
    """F-20: a rank that raises must not wait in a collective free for ranks that never come."""
    allocator = CountingAllocator()
    with pytest.raises(ZeroDivisionError), make_state(allocator=allocator) as state:
        state.add("u", FieldSpec("u"))
        raise ZeroDivisionError
    assert allocator.freed == [] and len(state) == 0


def test_names_sizes_and_refusals() -> None:
    """Registers keep the order of addition; unknown and taken names are errors that help."""
    state = make_state()
    state.add("u", FieldSpec("u"))
    state.add("velocity", FieldSpec("velocity", 2, dtype="float32"), static=True)
    state.scalars["draws"] = 3
    assert state.names() == ["u", "velocity"] == [register.name for register in state]
    assert "u" in state and "v" not in state
    assert state.nbytes == state.storage.sites * len(state.storage.blocks) * (8 + 2 * 4)
    with pytest.raises(ConfigError, match="did you mean 'velocity'"):
        state["velocty"]
    with pytest.raises(ConfigError, match="exists already"):
        state.add("u", FieldSpec("u"))


def test_field_spec_lists_every_fault() -> None:
    """A declaration with several faults names all of them and the nearest valid names."""
    with pytest.raises(ConfigError) as caught:
        FieldSpec("u", 0, "cel", "float46")
    assert len(caught.value.problems) == 3
    assert "did you mean 'cell'" in str(caught.value) and "did you mean 'float64'" in str(caught.value)
    assert FieldSpec("u", 3).locations(2) == ((0, 0),) * 3


def test_import_needs_no_compiler_and_no_mpi() -> None:
    """Importing the room loads neither numba, mpi4py nor h5py."""
    code = (
        "import sys, hpcsim.fields.state, hpcsim.fields.reduce, hpcsim.fields.digest, hpcsim.fields.random\n"
        "print(*sorted({'numba', 'mpi4py', 'h5py', 'scipy'} & set(sys.modules)))"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    shown = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == ""
