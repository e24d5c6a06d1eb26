"""Ghost exchange over real ranks (ENG-03): every ghost holds the global id of its periodic image."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from hpcsim.comm.exchange import EXCHANGES, make_exchange
from hpcsim.comm.plan import FieldGeometry, build_plan
from hpcsim.errors import MessageError
from hpcsim.fields.pool import SharedAllocator
from hpcsim.fields.spec import FieldSpec
from hpcsim.fields.state import State
from hpcsim.kernels.numba.move import NumbaMover
from hpcsim.kernels.numpy.move import NumpyMover
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.layout import Layout, make_layout
from hpcsim.lattice.location import owned_extent
from hpcsim.lattice.storage import Storage

STRATEGIES = EXCHANGES.names()
MOVERS = {"numpy": NumpyMover, "numba": NumbaMover}
# Shape, block, periodic axes, ghost width: d = 1..4, primes, mixed ends, blocks that wrap onto themselves.
CASES = [
    ((23,), (6,), (True,), 4),
    ((19,), (4,), (False,), 3),
    ((13, 11), (5, 6), (True, False), 3),
    ((16, 8), (4, 8), (True, True), 4),
    ((8, 7, 6), (4, 4, 3), (True, False, True), 2),
    ((9, 4, 10), (3, 4, 5), (False, False, False), 3),
    ((6, 4, 4, 5), (3, 2, 4, 3), (True, False, True, False), 2),
]
CENTRINGS = ("cell", "vertex", "face", "edge")


def make_case(context, case, *, seed=None, dtype="float64") -> State:
    """Shared registers of this rank: one scalar and one vector field per centring, NaN everywhere."""
    shape, block, periodic, ghost = case
    domain = Domain(shape, (0.0,) * len(shape), (1.0,) * len(shape), periodic)
    blocks = int(np.prod([-(-n // b) for n, b in zip(shape, block, strict=True)]))
    # The same shuffled owners on all ranks; every rank gets at least one block.
    shuffled = np.random.default_rng(seed).permutation(blocks) % context.size if seed is not None else None
    owners = tuple(int(o) for o in shuffled) if shuffled is not None else None
    layout = make_layout(domain, context.size, ghost=ghost, block_shape=block, owners=owners)
    storage = Storage.build(layout, context.rank, ghost, True, np.dtype(dtype).itemsize)
    state = State(storage, layout, context.rank, SharedAllocator(context), fresh="nan")
    state.add("scalar", FieldSpec("scalar", 2, "cell", dtype))
    for centring in CENTRINGS[1:]:
        components = 1 if centring == "vertex" else len(shape)
        state.add(centring, FieldSpec(centring, components, centring, dtype))
    return state


def plan_of(state: State, width: int, corners: bool):
    """Exchange plan over all registers of a state."""
    layout, storage = state.layout, state.storage
    ndim = layout.domain.ndim
    specs = [FieldGeometry(register.spec.components, register.spec.locations(ndim)) for register in state]
    itemsize = storage.itemsize
    return build_plan(
        layout,
        state.rank,
        lambda rank: Storage.build(layout, rank, storage.ghost, True, itemsize),
        specs,
        width,
        corners,
    )


def site_ids(layout: Layout, location, axes: list[np.ndarray]) -> np.ndarray:
    """Global id of each site of a box of (wrapped) indices, and -1 outside a bounded end."""
    extents = owned_extent(layout.domain, location)
    number, outside = np.zeros((1,) * len(axes)), np.zeros((1,) * len(axes), bool)
    for axis, index in enumerate(axes):
        n = extents[axis]
        wrapped = index % n if layout.domain.periodic[axis] else index
        shape = [-1 if a == axis else 1 for a in range(len(axes))]
        number = number * n + wrapped.reshape(shape)
        outside = outside | ((wrapped < 0) | (wrapped >= n)).reshape(shape)
    return np.where(outside, -1.0, number)


def fill_interior(state: State) -> None:
    """Owned sites get their global id, told apart by register and component."""
    layout = state.layout
    for place, register in enumerate(state):
        register.flat.fill(np.nan)
        for block, component in itertools.product(state.storage.blocks, range(register.spec.components)):
            location = register.spec.locations(layout.domain.ndim)[component]
            lo, hi = layout.owned_box(block, location)
            axes = [np.arange(a, b) for a, b in zip(lo, hi, strict=True)]
            mark = 100_000.0 * (place * 8 + component)
            state.interior(register.name, block, component)[...] = site_ids(layout, location, axes) + mark


def expected(state: State, width: int, corners: bool) -> dict[str, np.ndarray]:
    """What each register must hold after the exchange, found from global indices alone."""
    layout, ghost = state.layout, state.storage.ghost
    arrays = {}
    for place, register in enumerate(state):
        array = np.full(register.array.shape, np.nan, register.array.dtype)
        for (slot, block), component in itertools.product(
            enumerate(state.storage.blocks), range(register.spec.components)
        ):
            location = register.spec.locations(layout.domain.ndim)[component]
            lo, hi = layout.owned_box(block, location)
            axes = [np.arange(a - width, b + width) for a, b in zip(lo, hi, strict=True)]
            ids = site_ids(layout, location, axes)
            known = ids >= 0
            if not corners:
                sides = [((i < a) | (i >= b)).astype(int) for i, a, b in zip(axes, lo, hi, strict=True)]
                known &= sum(np.ix_(*sides)) <= 1
            window = tuple(
                slice(a - width - start + ghost, b + width - start + ghost)
                for a, b, start in zip(lo, hi, block.lo, strict=True)
            )
            mark = 100_000.0 * (place * 8 + component)
            array[slot, component][window] = np.where(known, ids + mark, np.nan)
        arrays[register.name] = array
    return arrays


@pytest.mark.parametrize("corners", [True, False])
@pytest.mark.parametrize("case", CASES, ids=str)
def test_ghosts_hold_their_owners_value(context, case, corners: bool) -> None:
    """ENG-03: all widths, strategies and movers, all registers in one message; exact, and twice."""
    seed = 11 if CASES.index(case) % 2 else None
    with make_case(context, case, seed=seed) as state:
        for width in range(1, case[3] + 1):
            plan, want = plan_of(state, width, corners), expected(state, width, corners)
            for strategy, mover in itertools.product(STRATEGIES, MOVERS):
                exchange = make_exchange(strategy, context, plan, MOVERS[mover](), "float64")
                for _ in range(2):
                    fill_interior(state)
                    ghosts = [np.isnan(r.array) & ~np.isnan(want[r.name]) for r in state]
                    assert any(missing.any() for missing in ghosts)
                    exchange.run(list(state))
                    for register in state:
                        message = f"{strategy} {mover} width {width} {register.name}"
                        np.testing.assert_array_equal(register.array, want[register.name], message, strict=True)
                exchange.free()


@pytest.mark.parametrize("strategy", STRATEGIES)
@pytest.mark.parametrize("options", [{"check": True}, {"chunk_bytes": 64}, {"check": True, "chunk_bytes": 24}], ids=str)
def test_checked_and_chunked_messages(context, strategy: str, options) -> None:
    """Messages cut into chunks (2 GiB limit) and sealed ones (F-26) carry the same values, in float32 too."""
    for dtype in ("float64", "float32"):
        with make_case(context, CASES[4], seed=5, dtype=dtype) as state:
            exchange = make_exchange(strategy, context, plan_of(state, 2, True), NumpyMover(), dtype, **options)
            fill_interior(state)
            exchange.run(list(state))
            want = expected(state, 2, True)
            for register in state:
                np.testing.assert_array_equal(register.array, want[register.name], strict=True)
            exchange.free()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_in_place_update_right_after_finish(context, strategy: str) -> None:
    """No rank may see a neighbour's next value: each step overwrites the exchanged register at once, ranks at odds."""
    with make_case(context, CASES[2], seed=3) as state:
        exchange = make_exchange(strategy, context, plan_of(state, 3, True), NumpyMover(), "float64")
        registers = list(state)
        fill_interior(state)
        first = expected(state, 3, True)
        for step in range(200):
            exchange.run(registers)
            for register in registers:
                want = first[register.name] + step
                np.testing.assert_array_equal(register.array, want)
                register.array += 1.0
            if step % (2 + context.rank) == 0:
                sum(range(3000))
        exchange.free()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_ghosts_may_change_right_after_reverse(context, strategy: str) -> None:
    """No rank may take a neighbour's next ghosts: each step overwrites all values at once, ranks at odds."""
    with make_case(context, CASES[2], seed=3) as state:
        exchange = make_exchange(strategy, context, plan_of(state, 3, True), NumpyMover(), "float64")
        registers = list(state)
        counts = []
        for step in range(200):
            for register in registers:
                register.array[...] = 2.0**step
            exchange.reverse(registers)
            counts.append([register.array / 2.0**step for register in registers])
            if step % (2 + context.rank) == 0:
                sum(range(3000))
        for found in counts[1:]:
            for now, first in zip(found, counts[0], strict=True):
                np.testing.assert_array_equal(now, first)
        assert context.any(max(array.max() for array in counts[0]) > 2)
        exchange.free()


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_swapped_registers(context, strategy: str) -> None:
    """Swapping the memory of two registers between exchanges moves the right values."""
    with make_case(context, CASES[3], seed=2) as state:
        state.add("other", FieldSpec("other", 2, "cell"))
        exchange = make_exchange(strategy, context, plan_of(state, 2, True), NumpyMover(), "float64")
        fill_interior(state)
        state.swap("scalar", "other")
        exchange.run(list(state))
        want = expected(state, 2, True)
        np.testing.assert_array_equal(state["other"].array, want["scalar"])
        np.testing.assert_array_equal(state["scalar"].array, want["other"])
        exchange.free()


@pytest.mark.parametrize("name", ["send", "receive"])
def test_flipped_bit_in_a_message_is_caught(context, name: str) -> None:
    """F-26: any bit flipped after sealing, or a message of another step, is found by the rank that receives it."""
    rng = np.random.default_rng(4)
    with make_case(context, CASES[4]) as state:
        exchange = make_exchange("persistent", context, plan_of(state, 2, True), NumpyMover(), "float64", check=True)
        buffers, registers = exchange.buffers, list(state)
        fill_interior(state)
        verb = {"send": "seal", "receive": "verify"}[name]
        original = getattr(buffers, verb)
        for trial in range(40):

            def altered(which: str, sequence: int, trial: int = trial) -> None:
                if name == "send":
                    original(which, sequence)
                parts = {"send": buffers.outgoing, "receive": buffers.incoming}[name]
                if parts:
                    octets = parts[trial % len(parts)].data.view(np.uint8)
                    octets[rng.integers(len(octets))] ^= 1 << int(rng.integers(8))
                if name == "receive":
                    original(which, sequence)

            setattr(buffers, verb, altered)
            caught = False
            try:
                exchange.run(registers)
            except MessageError as error:
                caught = f"to rank {context.rank}" in str(error)
            finally:
                setattr(buffers, verb, original)
            # Where the sender alters one message a step, some ranks receive none that is altered.
            assert context.any(caught) == (context.size > 1)
            assert caught or name == "send" or not buffers.incoming
        exchange.run(registers)
        exchange.sequence += context.rank == 0
        if context.size > 1 and buffers.incoming:
            with pytest.raises(MessageError, match="sequence number"):
                exchange.run(registers)
        exchange.free()


@pytest.mark.parametrize("case", [CASES[2], CASES[4]], ids=str)
def test_reverse_does_not_depend_on_the_map_of_blocks(context, case) -> None:
    """Ghosts added into owners: the bits are the same for every strategy, mover and map of blocks to ranks."""
    reference = reversed_values(context, case, "blocking", NumpyMover(), None, case[3])
    for place, (strategy, seed) in enumerate(itertools.product(STRATEGIES, (1, 7))):
        mover = NumbaMover() if place % 3 else NumpyMover()
        found = reversed_values(context, case, strategy, mover, seed, case[3])
        for name, sites in found.items():
            assert sites == reference[name], (case, strategy, seed, name)


def reversed_values(context, case, strategy: str, mover, seed, width: int) -> dict[str, dict[tuple, float]]:
    """Owned values after one reverse exchange, by (component, site id), gathered from all ranks."""
    found: dict[str, dict[tuple, float]] = {}
    with make_case(context, case, seed=seed) as state:
        fill_fractions(state)
        exchange = make_exchange(strategy, context, plan_of(state, width, True), mover, "float64")
        exchange.reverse(list(state))
        for register in state:
            rows = []
            for block, component in itertools.product(state.storage.blocks, range(register.spec.components)):
                location = register.spec.locations(state.layout.domain.ndim)[component]
                lo, hi = state.layout.owned_box(block, location)
                ids = site_ids(state.layout, location, [np.arange(a, b) for a, b in zip(lo, hi, strict=True)])
                values = state.interior(register.name, block, component)
                rows += [(component, i, v) for i, v in zip(ids.ravel().tolist(), values.ravel().tolist(), strict=True)]
            texts = context.gather_text("\n".join(f"{c} {i:.0f} {v.hex()}" for c, i, v in rows))
            merged = context.bcast_text("\n".join(texts or []))
            lines = (line.split() for line in merged.splitlines())
            found[register.name] = {(int(c), int(i)): float.fromhex(v) for c, i, v in lines}
        exchange.free()
    return found


def fill_fractions(state: State) -> None:
    """Every value of a block, ghosts included, a function of (block, place) whose sums depend on their order."""
    for register in state:
        for slot, block in enumerate(state.storage.blocks):
            rng = np.random.default_rng(block.id)
            register.array[slot] = rng.uniform(-1, 1, register.array[slot].shape)


def test_reverse_is_the_transpose(context) -> None:
    """<reverse(g), u> over owners = <g, exchange(u)> over ghosts, exactly for small integers."""
    with make_case(context, CASES[2], seed=9) as state:
        exchange = make_exchange("overlapped", context, plan_of(state, 3, True), NumbaMover(), "float64")
        registers = list(state)
        rng = np.random.default_rng(context.rank)
        interior_only = {r.name: np.isfinite(expected(state, 0, True)[r.name]) for r in registers}
        filled = {name: np.isfinite(array) for name, array in expected(state, 3, True).items()}
        u, g = {}, {}
        for register in registers:
            u[register.name] = rng.integers(-9, 9, register.array.shape).astype(float)
            g[register.name] = rng.integers(-9, 9, register.array.shape).astype(float)
            register.array[...] = u[register.name]
        exchange.run(registers)
        ghosts = {r.name: filled[r.name] & ~interior_only[r.name] for r in registers}
        right = sum(int((g[r.name] * r.array)[ghosts[r.name]].sum()) for r in registers)
        for register in registers:
            register.array[...] = np.where(ghosts[register.name], g[register.name], 0.0)
        exchange.reverse(registers)
        left = sum(int((u[r.name] * r.array)[interior_only[r.name]].sum()) for r in registers)
        both = context.sum_int(np.array([left, right], np.int64))
        assert both[0] == both[1] and both[1] != 0
        exchange.free()
