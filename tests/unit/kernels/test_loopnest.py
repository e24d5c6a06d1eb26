"""Loop nests: what they read and write, what they cost, and the hazards that are refused."""

from __future__ import annotations

from fractions import Fraction

import pytest

from hpcsim.errors import FormulaError
from hpcsim.kernels.loopnest import Assignment, LoopNest, make_nest
from hpcsim.symbolic.expr import Access, Coordinate, Expr, Num, Scalar, SiteIndex, Symbol, Temp, call, power
from hpcsim.symbolic.weights import centred

COMPONENTS = {"u": 1, "v": 1, "V": 2, "out": 2}


def at(register: str, *offset: int, component: int = 0) -> Access:
    return Access(register, component, offset)


def nest(*assignments: tuple[Expr, Expr], ndim: int = 2, dtype: str = "float64") -> LoopNest:
    ready = [Assignment(target, value) for target, value in assignments]  # type: ignore[arg-type]
    return make_nest(ndim, dtype, ready, COMPONENTS, ("h_x",) * ndim)


def test_reads_writes_and_reach() -> None:
    first = (at("out", 0, 0, component=1), at("u", -1, 2) + at("V", 0, 1, component=1))
    made = nest(first, (at("v", 0, 0), at("u", 0, 0)))
    assert made.reads == {("u", 0): frozenset({(-1, 2), (0, 0)}), ("V", 1): frozenset({(0, 1)})}
    assert made.writes == {("out", 1), ("v", 0)}
    assert made.reach("u") == (1, 2)
    assert made.reach("v") == (0, 0)
    assert made.registers == (("u", 1), ("V", 2), ("out", 2), ("v", 1))
    assert made.bytes_per_site == 8 * 4
    assert nest((at("v", 0, 0), at("u", 0, 0)), dtype="float32").bytes_per_site == 8


def test_costs_of_the_wave_equation() -> None:
    """PERF-01: leapfrog with order 2 in 3-D moves 32 bytes per site with a table of chi (3 reads, 1 write)."""
    where = [(a, step) for a in range(3) for step, _ in centred(2, 2) if step]
    shifted = [at("u", *(step if axis == a else 0 for axis in range(3))) for a, step in where]
    u = at("u", 0, 0, 0)
    spring = at("parameter:chi", 0, 0, 0)
    total = shifted[0]
    for term in shifted[1:]:
        total = total + term
    acceleration = Symbol("k") * (total - 6 * u) - spring * u
    made = nest((at("v", 0, 0, 0), 2 * u - at("v", 0, 0, 0) + Symbol("dt") ** 2 * acceleration), ndim=3)
    assert made.bytes_per_site == 32
    assert made.flops_per_site <= 13
    assert len(made.scalars) <= 3


@pytest.mark.parametrize(
    "assignments",
    [
        [(at("u", 0, 0), at("u", 1, 0))],
        [(at("u", 0, 0), at("v", 0, 0)), (at("v", 0, 0), at("u", 0, -1))],
        # Also the other way round: a later write meets an earlier read of a neighbouring site.
        [(at("v", 0, 0), at("u", 0, -1)), (at("u", 0, 0), at("v", 0, 0))],
    ],
)
def test_hazards_are_refused(assignments: list) -> None:
    """A register that is written may be read at its own site only."""
    with pytest.raises(FormulaError, match="written and read at neighbouring sites"):
        nest(*assignments)


def test_what_is_no_hazard() -> None:
    nest((at("u", 0, 0), at("u", 0, 0) + at("v", 1, 0)))
    nest((at("V", 0, 0), at("V", 1, 0, component=1)))


def test_coordinates_become_indices() -> None:
    """A coordinate is lower + h*(index + offset + 1/2): integers from the site, numbers from the caller."""
    made = nest((at("v", 0, 0), Coordinate(1, -1, 0) * at("u", 0, 0)))
    assert made.uses_index
    assert {n for a in made.assignments for n in a.value.walk() if isinstance(n, SiteIndex)} == {SiteIndex(1, -1, 0)}
    assert set(made.scalars) == {Symbol("lower_y"), Symbol("h_x")}
    assert not nest((at("v", 0, 0), at("u", 0, 0))).uses_index


@pytest.mark.parametrize(
    ("value", "exact"),
    [
        (at("u", 0, 0) ** 3 / at("v", 0, 0), True),
        (call("sqrt", call("abs", at("u", 0, 0))), True),
        (call("max", at("u", 0, 0), Num(1)), True),
        (call("exp", at("u", 0, 0)), False),
        (power(at("u", 0, 0), Fraction(1, 2)), False),
        (power(at("u", 0, 0), Symbol("a")), False),
        # A function of parameters alone is a number by the time the kernel runs.
        (call("exp", Symbol("a")) * at("u", 0, 0), True),
    ],
)
def test_which_nests_are_exact(value: Expr, exact: bool) -> None:
    assert nest((at("out", 0, 0), value)).exact is exact


def test_temporaries_and_scalars() -> None:
    made = nest(
        (Temp(0), Symbol("a") * at("u", 1, 0)),
        (at("v", 0, 0), Symbol("a") * Temp(0)),
        (at("out", 0, 0), Symbol("b") * Temp(0) + Symbol("a")),
    )
    assert made.scalars == (Symbol("a"), Symbol("b"))
    assert made.assignments[1].value == Scalar(0) * Temp(0)
    assert made.writes == {("v", 0), ("out", 0)}


def test_shape_and_values_do_not_change_a_nest() -> None:
    """ENG-32: the nest holds structure only; spacings and parameters are arguments."""
    first = nest((at("v", 0, 0), power(Symbol("h_x"), -2) * at("u", 0, 1)))
    assert first == nest((at("v", 0, 0), power(Symbol("h_x"), -2) * at("u", 0, 1)))
    assert hash(first) == hash(nest((at("v", 0, 0), power(Symbol("h_x"), -2) * at("u", 0, 1))))
