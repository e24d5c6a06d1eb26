"""Convolutions in a run: stages, order, looks, restarts, places, what is refused (QG-03, QG-04, KG-15, ENG-09)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpcsim.api import Lattice, Model
from hpcsim.api import Simulation as PublicSimulation
from hpcsim.comm.context import Context
from hpcsim.config import Config, from_mapping
from hpcsim.errors import ConfigError
from hpcsim.integrators.groups import dependent_groups
from hpcsim.simulation.build import Simulation, build
from hpcsim.simulation.case import Case, make_case
from hpcsim.simulation.inspect import describe
from hpcsim.simulation.layout import case_layout
from hpcsim.simulation.memory import predict
from hpcsim.solvers.convolve import CompiledConvolve

# Zero at every site but the origin, in 64 bits; the spacing is 1.
IDENTITY = "exp(-1e6*r**2)"
HEAT = {"dt(u)": "0.1*laplacian(u)"}
SPLIT = {"dt(u)": "0.1*laplacian(v)"}
# Embedded pairs take every step and make the next one as large as they may.
FREE = {"rtol": 1.0, "atol": 1e9, "dt": 2e-4}
SAME = {"v": {"source": "u", "kernel": IDENTITY}}


def config(equations: dict[str, str], integrals: dict[str, Any], fields: str = "u v", **sections: Any) -> Config:
    """A periodic rectangle with some scalar fields; a section given as None is left out."""
    document: dict[str, Any] = {
        "lattice": {"shape": [16, 12], "boundary": "periodic"},
        "model": {"fields": {name: {} for name in fields.split()}, "equations": equations, "convolutions": integrals},
        "initial": {"u": "sin(2*pi*x/16)*cos(2*pi*y/12) + 0.1*x"},
        "run": {"steps": 6, "dt": 0.5, "backend": "numpy"},
    }
    for name, section in sections.items():
        document.setdefault(name, {}).update(section)
    return from_mapping(document)


@pytest.fixture
def ran() -> Iterator[Any]:
    """Runs cases to their end, and gives back what they hold after the test."""
    with ExitStack() as stack:

        def run(case: Config) -> Simulation:
            simulation = stack.enter_context(build(case, Context.serial()))
            simulation.advance(case.run.steps or 0)
            simulation.settle()
            return simulation

        yield run


def faults(case: Config) -> dict[str, str]:
    """Key to message."""
    with pytest.raises(ConfigError) as error:
        make_case(case)
    return {problem.where: problem.message for problem in error.value.problems}


@pytest.mark.parametrize("integrator", ["euler", "ssprk3", "rk4", "lsrk54", "bs32"])
def test_every_stage_sees_the_convolved_field(ran: Any, integrator: str) -> None:
    """QG-03: with a kernel that is the identity every Runge-Kutta scheme gives what it gives with u itself."""
    run = {"integrator": integrator, **(FREE if integrator == "bs32" else {})}
    plain = ran(config(HEAT, {}, "u", run=run))
    split = ran(config(SPLIT, SAME, run=run))
    assert split.step == 6
    assert np.abs(plain["u"] - split["u"]).max() <= 1e-14
    assert np.abs(plain["u"] - split["v"]).max() <= 1e-14


@pytest.mark.parametrize("integrator", ["leapfrog", "kick_drift_kick"])
def test_second_order_schemes_see_it(ran: Any, integrator: str) -> None:
    """The same for dtt equations, whose first level is made at the start."""
    run = {"integrator": integrator}
    plain = ran(config({"dtt(u)": "laplacian(u)"}, {}, "u", run=run))
    split = ran(config({"dtt(u)": "laplacian(v)"}, SAME, run=run))
    assert np.abs(plain["u"] - split["u"]).max() <= 1e-13


def test_exponential_modes_and_imex_take_it_explicitly(ran: Any) -> None:
    """A term with a convolution is part of the rest, which is of the order that the rest has."""
    for integrator, tolerance in (("exponential_modes", 1e-14), ("imex_ark3", 1e-12)):
        run = {"integrator": integrator, **FREE}
        solver = {"solver": {"rtol": 1e-13}} if integrator == "imex_ark3" else {}
        local = {"dt(u)": "0.1*laplacian(u) - 0.2*u*u"}
        plain = ran(config(local, {}, "u", run=run, **solver))
        split = ran(config({"dt(u)": "0.1*laplacian(u) - 0.2*v*v"}, SAME, run=run, **solver))
        assert np.abs(plain["u"] - split["u"]).max() <= tolerance, integrator


def test_the_sum_is_that_over_all_pairs(ran: Any) -> None:
    """ENG-09: components with kernels of their own, one without any evenness, against the double sum in both modes."""
    integrals = {
        "source": "u**2 + d(u, x)",
        "kernel": ["exp(-r)", "x*exp(-r/2) + y", {"name": "gaussian", "length": "2*l", "times": "x*y/r**2"}, "0"],
    }
    for mode in ("padded", "periodic"):
        fields = {"u": {}, "v": {"components": 4}}
        case = config(
            HEAT, {"v": {**integrals, "mode": mode}}, lattice={"shape": [7, 6], "upper": [3.5, 6.0]},
            model={"fields": fields, "parameters": {"l": 0.7}},
        )  # fmt: skip
        simulation = ran(case)
        u, (h, k) = simulation["u"], case_spacing(case)
        slope = (np.roll(u, -1, 0) - np.roll(u, 1, 0)) / (2 * h)
        source = (u**2 + slope) * h * k
        got = simulation.values("v")[0]
        for component, kernel in enumerate((_first, _second, _third)):
            wanted = double_sum(source, kernel, (h, k), mode == "periodic")
            assert np.abs(got[component] - wanted).max() <= 1e-12 * np.abs(wanted).max(), (mode, component)
        assert not got[3].any()


def case_spacing(case: Config) -> tuple[float, float]:
    """Spacing along x and y."""
    h, k = make_case(case).domain.spacing
    return h, k


def _first(x: float, y: float) -> float:
    return float(np.exp(-np.hypot(x, y)))


def _second(x: float, y: float) -> float:
    return float(x * np.exp(-np.hypot(x, y) / 2) + y)


def _third(x: float, y: float) -> float:
    r = np.hypot(x, y)
    return 0.0 if r == 0 else float(np.exp(-0.5 * (r / 1.4) ** 2) / (2 * np.pi * 1.4**2) * x * y / r**2)


def double_sum(source: np.ndarray, kernel: Any, spacing: tuple[float, float], wraps: bool) -> np.ndarray:
    """The sum over all pairs of sites; offsets to the nearest image, half of the lattice counting as below."""
    found = np.zeros_like(source)
    counts = source.shape
    for i in np.ndindex(counts):
        for j in np.ndindex(counts):
            steps = [a - b for a, b in zip(i, j, strict=True)]
            if wraps:
                steps = [(s + n // 2) % n - n // 2 for s, n in zip(steps, counts, strict=True)]
            found[i] += kernel(*(s * h for s, h in zip(steps, spacing, strict=True))) * source[j]
    return found


def test_order_follows_what_each_reads(ran: Any) -> None:
    """KG-15: convolutions and constraints among each other, whatever the order of the text."""
    equations = {**HEAT, "solve(b)": "b - 2*a", "solve(e)": "e - c - u"}
    integrals = {"c": {"source": "b + 1", "kernel": IDENTITY}, "a": {"source": "3*u", "kernel": IDENTITY}}
    case = config(equations, integrals, "u a b c e")
    assert [group.name for group in dependent_groups(make_case(case).discrete)] == ["a", "b", "c", "e"]
    simulation = ran(case)
    u = simulation["u"]
    assert np.abs(simulation["c"] - (6 * u + 1)).max() <= 1e-13
    assert np.abs(simulation["e"] - (7 * u + 1)).max() <= 1e-13


def test_what_nothing_moves_is_found_once(ran: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """KG-15: a source at rest is convolved at the start; one that time enters, before every stage that reads it."""
    calls = []
    run = CompiledConvolve.run

    def counted(self: CompiledConvolve, t: float, dt: float) -> None:
        calls.append(t)
        run(self, t, dt)

    monkeypatch.setattr(CompiledConvolve, "run", counted)
    scheme = {"run": {"integrator": "rk4", "steps": 2}}
    still = {"v": {"source": "x*y", "kernel": "exp(-r)"}}
    ran(config({"dt(u)": "-v"}, still, **scheme)).quantities()
    assert calls == [0.0]
    calls.clear()
    timed = ran(config({"dt(u)": "-v"}, {"v": {"source": "cos(t)*x", "kernel": IDENTITY}}, **scheme))
    # At the start, before four stages of two steps, and for the look at the end.
    assert calls == [0.0, 0.0, 0.25, 0.25, 0.5, 0.5, 0.75, 0.75, 1.0, 1.0]
    x = np.arange(16)[:, None] + 0.5
    assert np.abs(timed["v"] - np.cos(1.0) * x).max() <= 1e-13


@pytest.mark.parametrize("table", ["equations", "convolutions"])
def test_the_step_size_sees_what_follows_from_the_initial_values(ran: Any, table: str) -> None:
    """ENG-08: a coefficient by a constraint or a convolution bounds the step as the same values given by hand do."""
    given = {
        "equations": {"solve(v)": "v - 1 - u**2"},
        "convolutions": {"v": {"source": "1 + u**2", "kernel": IDENTITY}},
    }
    equations = {"dt(u)": "v*laplacian(u)"}
    own = {**equations, **given["equations"]} if table == "equations" else equations
    integrals = given["convolutions"] if table == "convolutions" else {}
    run = {"dt": None, "integrator": "rk4", "steps": 0}
    found = ran(config(own, integrals, run=run))
    values = "1 + (sin(2*pi*x/16)*cos(2*pi*y/12) + 0.1*x)**2"
    wanted = ran(config(equations, {}, run=run, initial={"v": values}))
    assert found.limit < 0.3
    assert found.limit == pytest.approx(wanted.limit, rel=1e-12)


def test_fields_that_no_stage_reads_are_found_for_looks(ran: Any) -> None:
    """QG-03: an output or a diagnostic shows the convolution of the fields of the same time."""
    simulation = ran(config(HEAT, {"v": {"source": "2*u", "kernel": IDENTITY}}))
    assert not any(getattr(stage, "name", "") == "v" for stage in simulation.case.scheme.stages)
    assert np.abs(simulation["v"] - 2 * simulation["u"]).max() <= 1e-14


def test_a_run_without_equations_ends_at_its_start(ran: Any) -> None:
    """KG-15: nothing is integrated, and the field is there."""
    case = config({}, {"v": {"source": "u", "kernel": IDENTITY}}, run={"steps": 0, "dt": None})
    simulation = ran(case)
    assert (simulation.step, simulation.case.scheme.name) == (0, "stationary")
    assert np.abs(simulation["v"] - simulation["u"]).max() <= 1e-14


@pytest.mark.parametrize("dtype", ["float64", "float32"])
@pytest.mark.parametrize("centring", ["cell", "vertex", "face"])
@pytest.mark.parametrize("boundary", ["periodic", "outflow"])
def test_components_live_where_they_live(ran: Any, centring: str, boundary: str, dtype: str) -> None:
    """QG-04: sources are taken where a component lives, on free walls too; float32 is rounded once."""
    fields = {"u": {}, "v": {"components": 2, "centring": centring}}
    integrals = {"v": {"source": "vector(x + u*0, 10*y)", "kernel": IDENTITY}}
    simulation = ran(
        config(HEAT, integrals, lattice={"boundary": boundary}, model={"fields": fields}, run={"dtype": dtype})
    )
    for axis, values in enumerate(simulation.values("v")[0]):
        # A face component is looked at along its own axis.
        staggered = centring != "cell"
        count = (16, 12)[axis] + (staggered and boundary == "outflow")
        places = np.arange(count) + (0.0 if staggered else 0.5)
        wanted = (1, 10)[axis] * places.reshape((-1, 1) if axis == 0 else (1, -1))
        assert values.dtype == dtype and values.shape[axis] == count
        assert np.abs(values - wanted).max() <= (1e-11 if dtype == "float64" else 1e-5) * np.abs(wanted).max()


def test_one_transform_serves_all_components_of_a_source(ran: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """QG-04: ten components of one source cost one forward transform; another source costs its own."""
    from hpcsim.solvers.fft.transform import Transform

    simulation = ran(
        config(
            HEAT,
            {"v": {"source": ["u", "2*u", "u"], "kernel": ["exp(-r)", "r", "x"]}},
            model={"fields": {"u": {}, "v": {"components": 3}}},
        )
    )
    calls = {"inward": 0, "outward": 0}
    for name in calls:
        own = getattr(Transform, name)

        def counted(self: Transform, *given: Any, name: str = name, own: Any = own) -> Any:
            calls[name] += 1
            return own(self, *given)

        monkeypatch.setattr(Transform, name, counted)
    simulation.program.constraints[0].run(0.0, 0.1)
    assert calls == {"inward": 2, "outward": 3}


def test_stages_share_the_kernels(ran: Any) -> None:
    """PERF-05: four stages of RK4 and the looks read registers of their own, but have one kernel."""
    simulation = ran(config(SPLIT, SAME, run={"integrator": "rk4"}))
    assert len(simulation.solves.made) > 2
    assert len(simulation.solves._convolutions._made) == 1
    record = simulation.solves.record()["v"]
    assert (record["reason"], record["solves"]) == ("1 source(s), 1 component(s) padded", 1 + 6 * 4 + 1)


def test_restart_goes_on_with_the_same_bits(tmp_path: Path) -> None:
    """ERS: a run with convolutions that is cut in two gives the digests of the whole run."""
    integrals = {"v": {"source": "u", "kernel": "exp(-r)"}, "q": {"source": "x", "kernel": "exp(-r)"}}
    case = config({"dt(u)": "0.1*laplacian(u) - 0.01*v + 0.001*q"}, integrals, "u v q")
    with build(case, Context.serial()) as whole:
        whole.advance(6)
        digests = whole.digests()
    with build(case, Context.serial()) as first:
        first.advance(3)
        saved = PublicSimulation.__new__(PublicSimulation)
        saved._take(first)
        saved.save(tmp_path)
    with PublicSimulation.restore(tmp_path) as second:
        second.advance(3)
        assert second.digests() == digests


def test_the_python_interface_says_the_same(ran: Any) -> None:
    """QG-03: fields need no declaration of their own."""
    model = Model(HEAT, convolutions=SAME)
    with PublicSimulation(
        Lattice([16, 12]), model, initial={"u": "x"}, integrator="rk4", dt=0.5, backend="numpy"
    ) as simulation:
        simulation.run(steps=2)
        assert np.abs(simulation["v"] - simulation["u"]).max() <= 1e-14
    texts = describe(make_case(config(SPLIT, SAME)), ["equation", "nest"])
    assert "v[0] = integral of (u) with the kernel exp(" in texts and "v by convolution: 1 source(s)" in texts


def test_the_configuration_survives_a_round_trip() -> None:
    """F-32: text, tables and lists of kernels are written as they were read."""
    from hpcsim.config.load import load_text

    kernels = ["exp(-r)", {"name": "gaussian", "length": 1.0, "times": "x/r", "origin": 0.0}]
    fields = {"u": {}, "v": {"components": 2}}
    case = config(HEAT, {"v": {"source": ["u", "2*u"], "kernel": kernels, "mode": "padded"}}, model={"fields": fields})
    again = load_text(case.to_toml(), "text", Path())
    assert again == case and again.to_mapping()["model"]["convolutions"]["v"]["kernel"][1] == kernels[1]


REFUSED = {
    "a name that is near": ({"v": {"source": "u", "kernel": "gausian"}}, "v.kernel", "did you mean 'gaussian'?"),
    "a parameter that is near": (
        {"v": {"source": "u", "kernel": {"name": "gaussian", "lenght": 1.0}}}, "v.kernel", "did you mean 'length'?",
    ),
    "a parameter that is missing": ({"v": {"source": "u", "kernel": "gaussian"}}, "v.kernel", "'length' is needed"),
    "another number of axes": ({"v": {"source": "u", "kernel": "coulomb"}}, "v.kernel", "it is made for 3"),
    "no integral": ({"v": {"source": "u", "kernel": "1/r**2"}}, "v.kernel", "no integral there"),
    "no such mode": ({"v": {"source": "u", "kernel": "r", "mode": "peroidic"}}, "v.mode", "did you mean 'periodic'?"),
    "no truncated transform": (
        {"v": {"source": "u", "kernel": "r", "mode": "truncated"}}, "v.mode", "take 'padded'",
    ),
    "itself": ({"v": {"source": "u + v", "kernel": "r"}}, "v", "depends on itself; a convolution must follow"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_refused(name: str) -> None:
    """F-32: at its key, with the nearest name, before the run."""
    integrals, where, message = REFUSED[name]
    assert message in faults(config(HEAT, integrals))[f"model.convolutions.{where}"]


def test_a_fault_of_one_of_several_kernels_has_its_number() -> None:
    """F-32: the list is numbered as it is written."""
    case = config(
        HEAT, {"v": {"source": "u", "kernel": ["r", "gausian"]}}, model={"fields": {"u": {}, "v": {"components": 2}}}
    )
    assert faults(case).keys() == {"model.convolutions.v.kernel[1]"}


def test_circles_are_refused_in_words() -> None:
    """A convolution cannot be solved together with what needs it, constraint or convolution."""
    equations = {**HEAT, "solve(a)": "a - v"}
    found = faults(config(equations, {"v": {"source": "a", "kernel": "r"}}, "u v a"))
    assert "depends on itself through a;" in found["model.convolutions.v"]
    both = {"v": {"source": "q", "kernel": "r"}, "q": {"source": "v", "kernel": "r"}}
    assert faults(config(HEAT, both, "u v q")).keys() == {"model.convolutions.v", "model.convolutions.q"}


def test_implicit_steps_refuse_what_they_would_have_to_solve_for(ran: Any) -> None:
    """ENG-08: a convolution of evolving fields inside an implicit step; one that time alone moves is taken."""
    run = {"integrator": "backward_euler"}
    for integrator in ("backward_euler", "crank_nicolson"):
        found = faults(config(SPLIT, SAME, run={"integrator": integrator}))
        assert "an implicit step reads 'v', a convolution" in found["run.integrator"]
    chain = {**HEAT, "dt(u)": "q", "solve(q)": "q - laplacian(v)"}
    assert "reads 'v'" in faults(config(chain, SAME, "u v q", run=run))["run.integrator"]
    timed = {"v": {"source": "t + 0*x", "kernel": IDENTITY}}
    simulation = ran(config({"dt(u)": "-0.5*u + v"}, timed, run=run, solver={"rtol": 1e-13}))
    plain = ran(config({"dt(u)": "-0.5*u + t"}, {}, "u", run=run, solver={"rtol": 1e-13}))
    assert np.abs(simulation["u"] - plain["u"]).max() <= 1e-12


def test_walls_that_would_fix_the_values_are_refused() -> None:
    """QG-04: an integral gives the values on walls; ghosts may follow from any condition."""
    fields = {"u": {}, "v": {"centring": "vertex"}}
    case = config(HEAT, SAME, lattice={"boundary": "dirichlet"}, model={"fields": fields})
    assert any("follow from its convolution" in message for message in faults(case).values())
    make_case(config(HEAT, SAME, lattice={"boundary": "dirichlet"}))
    found = faults(config(HEAT, {"v": {**SAME["v"], "mode": "periodic"}}, lattice={"boundary": {"x": "outflow"}}))
    assert "periodic along every axis" in found["model.convolutions.v.mode"]


def test_values_at_the_start_would_be_lost() -> None:
    """F-32: an initial value of a convolved field has no meaning."""
    assert "follow from its convolution" in faults(config(HEAT, SAME, initial={"v": 1.0}))["initial.v"]


def test_a_kernel_that_is_not_finite_somewhere_is_refused() -> None:
    """F-32: seen when it is sampled; every rank raises."""
    case = config(HEAT, {"v": {"source": "u", "kernel": "1/(r - 3)"}})
    with pytest.raises(ConfigError, match="not finite at the offset"), build(case, Context.serial()):
        pass


def test_named_models_have_no_such_table() -> None:
    """F-32: the table belongs to models written as equations."""
    with pytest.raises(ConfigError, match=r"model.convolutions: only read with name = \"equations\""):
        from_mapping(
            {
                "lattice": {"shape": [8]},
                "model": {"name": "diffusion", "convolutions": {"v": {"source": "u", "kernel": "r"}}},
                "run": {"steps": 1},
            }
        )


def test_memory_is_foreseen() -> None:
    """F-05: the work memory of the transforms is part of the budget, more for a kernel without evenness."""

    def need(kernel: str) -> dict[str, int]:
        case: Case = make_case(config(HEAT, {"v": {"source": "u", "kernel": kernel}}))
        rows = predict(case, case_layout(case, 1), process=0).rows
        return {row.kind: row.nbytes for row in rows if row.owner in ("convolution of v", "kernels of v")}

    even, odd = need("exp(-r)"), need("x*exp(-r)")
    sites = 16 * 12
    # Two-dimensional, padded: 2 of lines, 2 of source and result, and 1 or 4 of modes.
    assert even == {"solver": 8 * sites * 5, "passing": 8 * sites}
    assert odd == {"solver": 8 * sites * 8, "passing": 8 * sites * 8}
