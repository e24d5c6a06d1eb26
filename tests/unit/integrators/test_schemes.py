"""Structure of the schemes: registers, stages, swaps, and what they refuse."""

from __future__ import annotations

import pytest

from hpcsim.cli.list import describe
from hpcsim.errors import FormulaError
from hpcsim.integrators import INTEGRATORS
from hpcsim.integrators.explicit import RungeKutta, lsrk54
from hpcsim.integrators.implicit import ImplicitScheme
from hpcsim.integrators.leapfrog import split_rate
from hpcsim.integrators.scheme import Scheme
from hpcsim.kernels.loopnest import make_nest
from hpcsim.sweeps.compiled import ghost_registers
from hpcsim.sweeps.sweep import Solve
from hpcsim.symbolic.expr import ZERO, Access, Temp, mul
from tests.unit.integrators.setup import SPACINGS, discrete, scheme_of

HEAT = {"dt(u)": "laplacian(u)"}
WAVE = {"dtt(E)": "laplacian(E)"}
MIXED = {"dt(u)": "laplacian(u) + E", "dtt(E)": "laplacian(E) - u - 0.1*dt(E)"}
YEE = {"dt(E)": "curl(B)", "dt(B)": "-curl(E)"}
IMPLICIT = [name for name in INTEGRATORS.names() if isinstance(INTEGRATORS.get(name), ImplicitScheme)]
RUNGE_KUTTA = [name for name in INTEGRATORS.names() if isinstance(INTEGRATORS.get(name), RungeKutta)]


def registers(scheme: Scheme) -> set[str]:
    """Every register the stages read or write."""
    found = set()
    for stage in (*scheme.start, *scheme.stages):
        found |= {n.register for value in stage.values for n in value.walk() if isinstance(n, Access)}
        for sweep in stage.sweeps:
            found |= {a.target.register for a in sweep.assignments if isinstance(a.target, Access)}
    return found


@pytest.mark.parametrize("name", [*RUNGE_KUTTA, *IMPLICIT, "imex_ark3"])
@pytest.mark.parametrize("equations", [HEAT, MIXED], ids=["heat", "mixed"])
def test_registers_are_declared_and_used(name: str, equations: dict[str, str]) -> None:
    """What a scheme declares is what its stages touch, no more and no less."""
    scheme = scheme_of(name, equations)
    fields = {left[left.find("(") + 1 : -1] for left in equations}
    assert registers(scheme) == fields | set(scheme.extra)
    assert set(scheme.extra.values()) <= fields
    assert scheme.saved <= set(scheme.extra)
    # Only what a step reads before it writes it carries state.
    state = fields | ({"E@rate"} if "dtt(E)" in equations else set())
    before = {f"{register}@prev" for register in state} if name == "bdf2" else set()
    assert scheme.saved == state - fields | before
    assert read_before_written(scheme) == state | before


def read_before_written(scheme: Scheme) -> set[str]:
    """Registers whose value comes from the step before."""
    found: set[str] = set()
    written: set[str] = set()
    for stage in scheme.stages:
        guessed = set()
        for sweep in stage.sweeps:
            for a in sweep.assignments:
                found |= {n.register for n in a.value.walk() if isinstance(n, Access)} - written
                guessed |= {a.target.register} if isinstance(a.target, Access) else set()
            written |= guessed
        if isinstance(stage, Solve):
            # An unknown without a guess starts as it is.
            unknowns = {register for register, _ in stage.unknowns}
            found |= unknowns - guessed - written
            written |= unknowns
        found |= {n.register for value in stage.values for n in value.walk() if isinstance(n, Access)} - written
    return found


def test_two_registers_are_enough_for_low_storage() -> None:
    """lsrk54 keeps the field and one register more: 2N storage."""
    assert registers(scheme_of("lsrk54", HEAT)) == {"u", "u@d"}
    assert registers(scheme_of("lsrk54", WAVE)) == {"E", "E@d", "E@rate", "E@rate@d"}
    # The first stage starts from nothing: the register is not read before it is written.
    first = scheme_of("lsrk54", HEAT).stages[0].sweeps[0]
    assert all(n.register != "u@d" for a in first.assignments for n in a.value.walk() if isinstance(n, Access))


@pytest.mark.parametrize("name", [*RUNGE_KUTTA, *IMPLICIT, "imex_ark3"])
@pytest.mark.parametrize(
    ("equations", "options"), [(HEAT, {}), (MIXED, {}), (YEE, {"ndim": 3, "E": "edge", "B": "face"})]
)
def test_no_stage_reads_what_it_has_changed(name: str, equations: dict[str, str], options: dict) -> None:
    """Every stage of every scheme is free of hazards, also on staggered fields; wrong orders would be refused."""
    scheme = scheme_of(name, equations, **options)
    ndim = options.get("ndim", 1)
    sources = {**{name: name for name in registers(scheme) if "@" not in name}, **scheme.extra}
    components = dict.fromkeys(sources, 3 if ndim == 3 else 1)
    looks_around = 0
    for stage in (*scheme.start, *scheme.stages):
        nests = [make_nest(ndim, "float64", s.assignments, components, SPACINGS[:ndim]) for s in stage.sweeps]
        around = ghost_registers(nests, sources)
        looks_around += bool(around)
        # An explicit stage differences its input, what goes before and after a solve stays at its site.
        assert around or name not in RUNGE_KUTTA
        assert not (isinstance(stage, Solve) and around)
    assert looks_around == (name in ("crank_nicolson", "imex_ark3")) or name in RUNGE_KUTTA


@pytest.mark.parametrize("name", RUNGE_KUTTA)
def test_tables_are_consistent(name: str) -> None:
    """Abscissae are the sums of the weights, and the result is a consistent step: exact for u' = 1 and u' = t."""
    table: RungeKutta = INTEGRATORS.get(name)
    for degree in range(min(table.order, 2)):
        values = {"u": 0.0, **dict.fromkeys(table.registers, 0.0)}
        for stage in table.stages:
            # The input of a stage is the solution of u' = 1 at its abscissa.
            if degree == 0:
                assert values[stage.reads] == pytest.approx(float(stage.time), abs=1e-14)
            k = float(stage.time) ** degree
            for target, combination in stage.updates:
                sources = {**values, "k": k}
                values[target] = sum(float(c) * sources[source] for source, c in combination.items())
        assert values[table.result] == pytest.approx(1 / (degree + 1), abs=1e-14)
        if table.error:
            assert values[table.error] == pytest.approx(0.0, abs=1e-14)


def test_the_combinations_of_low_storage_update_the_input_last() -> None:
    """Neighbours still read the stage's input while slopes are formed."""
    scheme = scheme_of("lsrk54", YEE, ndim=3, E="edge", B="face")
    for stage in scheme.stages:
        targets = [a.target.register for s in stage.sweeps for a in s.assignments if not isinstance(a.target, Temp)]
        late = [name in ("E", "B") for name in targets]
        assert late == sorted(late)
        assert any(late)
    assert lsrk54.separate


def test_leapfrog_is_in_place() -> None:
    """The new level overwrites the one before the last, and the two swap: two registers, one sweep, one pass."""
    scheme = scheme_of("leapfrog", WAVE)
    assert registers(scheme) == {"E", "E@prev"}
    assert scheme.swaps == (("E", "E@prev"),)
    assert scheme.saved == {"E@prev"}
    assert scheme.rates == {"E": "E@prev"}
    ((sweep,),) = (stage.sweeps for stage in scheme.stages)
    assert [a.target for a in sweep.assignments] == [Access("E@prev", 0, (0,))]


def test_kick_drift_kick_has_no_swap_and_two_kicks() -> None:
    scheme = scheme_of("kick_drift_kick", WAVE)
    targets = [[a.target.register for s in stage.sweeps for a in s.assignments] for stage in scheme.stages]
    assert targets == [["E@rate", "E"], ["E@rate"]]
    assert [stage.time for stage in scheme.stages] == [0.0, 1.0]
    assert scheme.swaps == ()


def test_splitting_off_the_damping() -> None:
    system = discrete({"dtt(E)": "laplacian(E) - a*dt(E) - 3*E*dt(E)"}, parameters={"a": 0.5})
    rest, slope = split_rate(system, system.system.equations[0])
    rate = Access("E@rate", 0, (0,))
    assert rate not in set(rest.walk())
    assert rate not in set(slope.walk())
    undamped = discrete(WAVE)
    assert split_rate(undamped, undamped.system.equations[0])[1] == ZERO
    assert mul(slope, 1) == slope


@pytest.mark.parametrize(
    ("name", "equations", "words"),
    [
        ("leapfrog", HEAT, "dtt.*rk4"),
        ("kick_drift_kick", MIXED, "dtt.*rk4"),
        ("exponential_euler", WAVE, "second order"),
        ("leapfrog", {"dtt(E)": "laplacian(E) - dt(E)**2"}, "linear"),
        ("leapfrog", {"dtt(E)": "laplacian(E) - dt(F)", "dtt(F)": "laplacian(F)"}, "own dt"),
        ("leapfrog", {"dtt(E)": "laplacian(E) + laplacian(dt(E))"}, "space derivatives"),
        ("kick_drift_kick", {"dtt(E)": "laplacian(dt(E))"}, "space derivatives"),
    ],
)
def test_refusals_name_another_integrator(name: str, equations: dict[str, str], words: str) -> None:
    with pytest.raises(FormulaError, match=words):
        scheme_of(name, equations)


def test_every_scheme_has_an_order_and_a_summary() -> None:
    for name in INTEGRATORS.names():
        equations = WAVE if name in ("leapfrog", "kick_drift_kick") else HEAT
        scheme = scheme_of(name, equations)
        assert scheme.name == name
        assert scheme.order in (1, 2, 3, 4)
        assert len(describe(INTEGRATORS)[name].split()) > 3
