"""The contract of a backend, run over all of them: same bits as the reference, or a stated bound (JIT)."""

from __future__ import annotations

import random
from itertools import product

import numpy as np
import pytest

from hpcsim.kernels.backend import BACKENDS
from hpcsim.kernels.loopnest import Assignment, LoopNest, make_nest
from hpcsim.kernels.tiles import BlockBox, box_table, interior_and_strips
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.layout import make_layout
from hpcsim.lattice.storage import Storage
from hpcsim.symbolic.expr import Access, Expr, Symbol, Temp, call, power
from hpcsim.symbolic.functions import FUNCTIONS
from tests.unit.symbolic.random_expr import EXACT, random_expression

SHAPES = {1: ((23,), (8,)), 2: ((9, 11), (5, 4)), 3: ((6, 5, 7), (3, 5, 4)), 4: ((4, 3, 5, 4), (2, 3, 5, 2))}
GHOST = 2
COMPONENTS = {"r0": 2, "r1": 2, "out": 8}
# Largest distance of a compiled function of the C library from NumPy's, in units of the last place.
FUNCTION_ULPS = 4
RUNS = [("numba", 1), ("numba", 2), ("numpy", 1)]


def storage_of(ndim: int, dtype: str) -> Storage:
    """Two to six blocks of unequal size on one rank."""
    shape, block = SHAPES[ndim]
    domain = Domain(shape, (0.0,) * ndim, (1.0,) * ndim, (True,) * ndim)
    layout = make_layout(domain, 1, ghost=GHOST, block_shape=block)
    return Storage.build(layout, 0, GHOST, False, np.dtype(dtype).itemsize)


def owned(storage: Storage) -> list[BlockBox]:
    return [
        BlockBox(slot, (GHOST,) * len(block.lo), tuple(GHOST + n for n in block.shape))
        for slot, block in enumerate(storage.blocks)
    ]


def data_for(nest: LoopNest, storage: Storage, low: float = -2.0, high: float = 2.0) -> list[np.ndarray]:
    rng = np.random.default_rng(7)
    sizes = [len(storage.blocks) * count * storage.sites for _, count in nest.registers]
    return [rng.uniform(low, high, size).astype(nest.dtype) for size in sizes]


def launch(name: str, threads: int, nest: LoopNest, storage: Storage, low: float = -2.0, parts: str = "all") -> list:
    """Registers after one launch over all owned sites, or over interior and strips one after the other."""
    registers = data_for(nest, storage, low, 2.0 if low < 0 else 0.95)
    kernel = BACKENDS.get(name)(storage, threads).compile(nest)
    scalars = np.random.default_rng(8).uniform(0.3, 1.7, len(nest.scalars)).astype(nest.dtype)
    boxes = owned(storage)
    if parts == "all":
        kernel(registers, box_table(boxes, nest.ndim, threads), scalars)
    else:
        split = [interior_and_strips(box, (2,) * nest.ndim) for box in boxes]
        kernel(registers, box_table([inner for inner, _ in split], nest.ndim, threads), scalars)
        kernel(registers, box_table([s for _, strips in split for s in strips], nest.ndim), scalars)
    return registers


def random_nest(seed: int, ndim: int, dtype: str) -> LoopNest:
    """Eight random assignments that use temporaries, coordinates, choices, powers and exact functions."""
    rng = random.Random(seed)  # noqa: S311
    zero = (0,) * ndim
    assignments = [Assignment(Temp(0), random_expression(rng, 3, ndim, reach=2))]
    for component in range(8):
        value: Expr = random_expression(rng, 3, ndim, reach=2)
        value = value + Temp(0) if component % 3 == 0 else value
        assignments.append(Assignment(Access("out", component, zero), value))
    return make_nest(ndim, dtype, assignments, COMPONENTS, ("h_x",) * ndim)


def bits(array: np.ndarray) -> np.ndarray:
    """Values as integers; a zero counts the same with either sign, since min and max may return either."""
    return (array + 0.0).view(np.int64 if array.dtype == np.float64 else np.int32)


def same(left: list[np.ndarray], right: list[np.ndarray]) -> bool:
    def equal(a: np.ndarray, b: np.ndarray) -> bool:
        return bool(np.all((bits(a) == bits(b)) | (np.isnan(a) & np.isnan(b))))

    return all(equal(a, b) for a, b in zip(left, right, strict=True))


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_exact_nests_agree_to_the_bit(ndim: int, dtype: str) -> None:
    """JIT: identical where no function of the C library is inside; several blocks, every dimension, both types."""
    nest, storage = random_nest(ndim, ndim, dtype), storage_of(ndim, dtype)
    assert nest.exact
    reference = launch("numpy", 1, nest, storage)
    untouched = data_for(nest, storage)
    assert not same(reference, untouched)
    # The parallel form takes long to compile, so one number type stands for both.
    for name, threads in RUNS[: 2 if dtype == "float64" else 1]:
        for parts in ("all", "split"):
            assert same(launch(name, threads, nest, storage, parts=parts), reference), (name, threads, parts)
    assert same(launch("numpy", 1, nest, storage, parts="split"), reference)
    # Nothing outside the owned sites is written.
    for before, after in zip(untouched, reference, strict=True):
        assert np.count_nonzero(bits(before) != bits(after)) <= 8 * sum(np.prod(b.shape) for b in storage.blocks)


@pytest.mark.nightly
@pytest.mark.parametrize("seed", range(100, 120))
@pytest.mark.parametrize(("ndim", "dtype"), list(product([1, 2, 3, 4], ["float64", "float32"])))
def test_more_exact_nests(seed: int, ndim: int, dtype: str) -> None:
    """JIT: many random nests."""
    nest, storage = random_nest(seed, ndim, dtype), storage_of(ndim, dtype)
    reference = launch("numpy", 1, nest, storage)
    assert same(launch("numba", 1, nest, storage), reference)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_functions_agree_within_a_stated_bound(dtype: str) -> None:
    """JIT: each function of the allow-list within 4 units of the last place; the exact ones to the bit."""
    storage = storage_of(1, dtype)
    x, y = Access("r0", 0, (0,)), Access("r0", 1, (1,))
    values = {name: call(name, *(x, y)[: function.arity]) for name, function in FUNCTIONS.items()}
    values |= {"root": power(x, 0.3), "general": power(x, y), "parameter": power(x, Symbol("a"))}
    components = {"r0": 2, "out": len(values)}
    targets = [Assignment(Access("out", i, (0,)), value) for i, value in enumerate(values.values())]
    nest = make_nest(1, dtype, targets, components, ("h_x",))
    assert not nest.exact
    wanted, got = (launch(name, 1, nest, storage, low=0.05) for name in ("numpy", "numba"))
    index = [name for name, _ in nest.registers].index("out")
    shape = (len(storage.blocks), len(values), -1)
    for i, name in enumerate(values):
        a, b = (bits(r[index].reshape(shape)[:, i]).astype(np.int64) for r in (wanted, got))
        assert np.abs(a - b).max() <= (0 if name in EXACT else FUNCTION_ULPS), name


def test_special_values() -> None:
    """NaN goes through min, max, sign and comparisons the same way on all backends."""
    storage = storage_of(1, "float64")
    x, y = Access("r0", 0, (0,)), Access("r0", 1, (0,))
    forms = [call("min", x, y), call("max", x, y), call("sign", x), call("abs", x), x / y, call("floor", x)]
    targets = [Assignment(Access("out", i, (0,)), value) for i, value in enumerate(forms)]
    nest = make_nest(1, "float64", targets, {"r0": 2, "out": 8}, ("h_x",))
    special = np.array([np.nan, np.inf, -np.inf, 0.0, -0.0, 1.5, -2.5])
    results = []
    for name, threads in RUNS:
        registers = data_for(nest, storage)
        index = [register for register, _ in nest.registers].index("r0")
        inputs = registers[index].reshape(len(storage.blocks), 2, -1)
        inputs[:, 0], inputs[:, 1] = np.resize(special, inputs.shape[-1]), np.resize(special[:-1], inputs.shape[-1])
        kernel = BACKENDS.get(name)(storage, threads).compile(nest)
        kernel(registers, box_table(owned(storage), 1, threads), np.zeros(0))
        results.append(registers)
    for other in results[:-1]:
        assert same(other, results[-1])


def test_a_backend_compiles_a_nest_once() -> None:
    for name, threads in RUNS:
        backend = BACKENDS.get(name)(storage_of(1, "float64"), threads)
        nest = random_nest(1, 1, "float64")
        assert backend.compile(nest) is backend.compile(random_nest(1, 1, "float64"))
        assert backend.compile(nest).nest == nest
        assert backend.compile_seconds >= 0.0
        assert backend.name == name


def test_no_boxes_is_no_work() -> None:
    storage, nest = storage_of(2, "float64"), random_nest(2, 2, "float64")
    for name, threads in RUNS:
        registers = data_for(nest, storage)
        kernel = BACKENDS.get(name)(storage, threads).compile(nest)
        kernel(registers, box_table([], 2, threads), np.zeros(len(nest.scalars)))
        assert same(registers, data_for(nest, storage))
