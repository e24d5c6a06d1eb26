"""ENG-05, ENG-02: fills do not depend on blocks or movers; time, components, fixed planes."""

from __future__ import annotations

import numpy as np
import pytest

from hpcsim.boundary import BOUNDARIES
from hpcsim.errors import ConfigError
from hpcsim.fields.spec import FieldSpec
from hpcsim.kernels.numba.move import NumbaMover
from tests.unit.boundary.setup import Bench, bounded, noise

TABLES = {
    "dirichlet": {"type": "dirichlet", "value": "sin(3*x) + t*cos(2*y)"},
    "neumann": {"type": "neumann", "value": "x*y + t"},
    "robin": {"type": "robin", "alpha": 1.5, "beta": 0.25, "gamma": "1 + x - t*y"},
    "sponge": {"type": "sponge", "width": 3, "wall": "neumann"},
    "reflecting": {"type": "reflecting", "parity": "odd"},
    "outflow": "outflow",
    "periodic": "periodic",
}
CENTRINGS = [("cell", 1), ("vertex", 1), ("face", None), ("edge", None)]


def bench(name, ndim, centring="cell", components=1, dtype="float64", **options):
    spec = FieldSpec("u", components or ndim, centring, dtype)
    domain = bounded(ndim, (8, 9, 6, 4), (name == "periodic",) * ndim)
    table = TABLES[name]
    if ndim == 1 and isinstance(table, dict):
        table = {key: v.replace("y", "x") if key in ("value", "gamma") else v for key, v in table.items()}
    return Bench(domain, table, spec=spec, ghost=2, **options).set(noise())


@pytest.mark.parametrize(("centring", "components"), CENTRINGS)
@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
@pytest.mark.parametrize("name", BOUNDARIES.names())
@pytest.mark.parametrize("corners", [True, False])
def test_several_blocks_equal_one_block(name, ndim, centring, components, corners):
    """The shell of every block holds, bit for bit, what the undivided lattice holds at the same places."""
    whole = bench(name, ndim, centring, components, corners=corners).fill(0.7)
    cut = {1: (3,), 2: (3, 3), 3: (3, 3, 2), 4: (3, 9, 6, 2)}[ndim]
    parts = bench(name, ndim, centring, components, corners=corners, block_shape=cut).fill(0.7)
    assert len(parts.layout.blocks) > 2
    compared = 0
    for block in parts.layout.blocks:
        for component in range(whole.spec.components):
            shell = parts.shell(block, component)
            inside = tuple(slice(lo, lo + n) for lo, n in zip(block.lo, shell.shape, strict=True))
            expected = whole.shell(component=component)[inside]
            if corners:
                assert np.array_equal(shell, expected)
            else:
                both = np.isfinite(shell) & np.isfinite(expected)
                assert np.array_equal(shell[both], expected[both])
                assert np.isfinite(shell[parts_faces(shell.shape)]).all()
            compared += shell.size
    assert compared > 0


def parts_faces(shape, ghost=2):
    outside = sum(
        ((index < ghost) | (index >= n - ghost)).astype(int) for index, n in zip(np.indices(shape), shape, strict=True)
    )
    return outside <= 1


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("centring", ["cell", "vertex"])
@pytest.mark.parametrize("name", BOUNDARIES.names())
def test_movers_agree_to_the_bit(name, centring, dtype):
    one = bench(name, 3, centring, dtype=dtype, block_shape=(4, 3, 3)).fill(0.3)
    other = bench(name, 3, centring, dtype=dtype, block_shape=(4, 3, 3), mover=NumbaMover(1)).fill(0.3)
    assert one.u.flat.dtype == np.dtype(dtype)
    assert np.array_equal(one.u.flat, other.u.flat, equal_nan=True)


@pytest.mark.parametrize("centring", ["cell", "vertex"])
@pytest.mark.parametrize("value", ["a*t", "a*t*(x + y)", "x + y", 3.0])
def test_values_follow_time_only_if_they_depend_on_it(value, centring):
    table = {"u": {"all": {"type": "dirichlet", "value": value}}}
    b = Bench(bounded(2), "outflow", table, spec=FieldSpec("u", 1, centring), parameters={"a": 2.0}).set(noise())
    first = b.fill(1.0).shell().copy()
    second = b.fill(2.0).shell().copy()
    moving = "t" in str(value)
    assert b.filler.time_dependent is moving
    assert np.array_equal(first, second) is not moving
    again = b.fill(1.0).shell()
    assert np.array_equal(first, again)


def test_parameters_may_be_formulas_and_vectors():
    parameters = {"a": 2.0, "twice": "2*chi", "V": ["chi", 1.0], "chi": "a*x", "bad": "u"}
    table = {"u": {"y_lower": {"type": "dirichlet", "value": "twice + dot(V, V)*0"}}}
    b = Bench(bounded(2), "outflow", table, parameters=parameters).set(lambda _, w: 0 * w[0]).fill()
    x = b.coordinates(b.layout.blocks[0], 0)[0][:, 0]
    assert np.allclose(b.shell()[1:-1, 0], 2 * 4 * x, rtol=1e-15)


@pytest.mark.parametrize("block_shape", [None, (2, 3), (4, 3)])
def test_fixed_planes_hold_the_value_in_all_blocks_that_see_them(block_shape):
    """A block whose ghosts reach the wall's plane sees the value of this fill, not that of the last exchange."""
    table = {"u": {"x_lower": {"type": "dirichlet", "value": "1 + t"}, "y_upper": {"type": "dirichlet", "value": 9}}}
    b = Bench(
        bounded(2, (8, 9)), "neumann", table, spec=FieldSpec("u", 1, "vertex"), ghost=2, block_shape=block_shape
    ).set(noise())  # fmt: skip
    assert b.filler.fixed_planes("u") == ((True, False), (False, True))
    b.fill(0.0).fill(4.0)
    seen = 0
    for block in b.layout.blocks:
        plane = 2 - block.lo[0]
        if plane >= 0:
            rows = b.shell(block)[plane, 2:-2]
            expected = np.full(rows.shape, 5.0)
            expected[-1] = 9.0 if block.hi[1] == 9 else 5.0
            assert np.array_equal(rows, expected)
            seen += 1
    assert seen == {None: 1, (2, 3): 6, (4, 3): 3}[block_shape]


@pytest.mark.parametrize("corners", [True, False])
def test_fewer_layers_than_the_storage_has(corners):
    """With width 1 of 2 the inner ghost layer is that of a full fill and the outer one is left alone."""
    full = bench("dirichlet", 2, "vertex", block_shape=(4, 3), corners=corners).fill(0.7)
    thin = bench("dirichlet", 2, "vertex", block_shape=(4, 3), corners=corners, width=1).fill(0.7)
    for block in full.layout.blocks:
        expected, shell = full.shell(block), thin.shell(block)
        near = (slice(1, -1), slice(1, -1))
        assert np.array_equal(shell[near], expected[near], equal_nan=True)
        assert np.isnan(shell[[0, -1], :]).all() and np.isnan(shell[:, [0, -1]]).all()


def test_planes_can_be_set_before_the_exchange():
    b = Bench(bounded(1), {"type": "dirichlet", "value": "t"}, spec=FieldSpec("u", 1, "vertex")).set(noise())
    b.filler.fix_planes([b.u], 3.0)
    assert b.shell()[1] == 3.0 and b.shell()[-2] == 3.0 and np.isnan(b.shell()[0])


def test_reflecting_vectors():
    """A vector loses the sign of its normal component, an axial vector that of the others."""
    for parity, normal, tangential in (("auto", -1, 1), ("vector", -1, 1), ("axial", 1, -1)):
        table = {"type": "reflecting", "parity": parity}
        b = Bench(bounded(2), table, spec=FieldSpec("V", 2)).set(lambda _, w: 1 + w[0] * 0).fill()
        for component in (0, 1):
            shell = b.shell(component=component)
            assert (shell[0, 1:-1] == (normal if component == 0 else tangential)).all()
            assert (shell[1:-1, -1] == (normal if component == 1 else tangential)).all()


@pytest.mark.parametrize(("parity", "fixed"), [("odd", True), ("even", False)])
def test_an_odd_mirror_keeps_its_plane_at_zero(parity, fixed):
    table = {"type": "reflecting", "parity": parity}
    b = Bench(bounded(1), table, spec=FieldSpec("u", 1, "vertex")).set(lambda _, w: 1 + 0 * w[0]).fill()
    assert b.filler.fixed_planes("u") == ((fixed, fixed),)
    assert b.shell()[1] == b.shell()[-2] == (0.0 if fixed else 1.0)
    assert b.shell()[0] == b.shell()[-1] == (-1.0 if fixed else 1.0)


def test_conditions_per_component_and_side():
    fields = {
        "V": {"all": "outflow", "x": {"type": "dirichlet", "value": [1, 2]}},
        "V_y": {"x_upper": {"type": "neumann", "value": 3}},
    }
    b = Bench(bounded(2), "reflecting", fields, spec=FieldSpec("V", 2)).set(lambda _, w: 0 * w[0]).fill()
    dx = b.domain.spacing[0]
    assert (b.shell(component=0)[[0, -1], 1:-1] == 2.0).all()
    assert (b.shell(component=1)[0, 1:-1] == 4.0).all()
    assert np.allclose(b.shell(component=1)[-1, 1:-1], 3 * dx, rtol=1e-15)
    assert (b.shell(component=1)[1:-1, 0] == 0.0).all()


@pytest.mark.parametrize("value", ["1/x", "log(x - 5)", "log(a)"])
def test_values_that_are_no_numbers_are_refused(value):
    from hpcsim.lattice.domain import Domain

    table = {"u": {"x_lower": {"type": "dirichlet", "value": value}}}
    with pytest.raises(ConfigError, match=r"boundary\.u\.x_lower: the value .*not a finite number"):
        Bench(Domain((4,), (0,), (1,), (False,)), "outflow", table, parameters={"a": -1.0})
