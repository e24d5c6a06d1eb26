"""Potentials by constraints: the model poisson on manufactured solutions (ENG-11), and a static source (KG-15)."""

from __future__ import annotations

import math
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpcsim.api import Lattice, Model, Simulation
from tests.convergence.support import assert_order, largest, pieces, put, total, value_at

CASE = Path(__file__).parents[2] / "configs" / "klein_gordon_potential.toml"
SIN = "sin(2*pi*x)*cos(4*pi*y)*sin(2*pi*z + 1)"
EXP = "exp(x - y/2 + z/3)"
GROWTH = {"x": 1.0, "y": -0.5, "z": 1 / 3}


def exact_sin(x: Any, y: Any, z: Any) -> Any:
    return np.sin(2 * np.pi * x) * np.cos(4 * np.pi * y) * np.sin(2 * np.pi * z + 1)


def exact_exp(x: Any, y: Any, z: Any) -> Any:
    return np.exp(x - y / 2 + z / 3)


def walls_of(kind: str) -> dict[str, Any]:
    """Values or slopes of exp on the six walls; the formula is evaluated on the wall itself."""
    if kind == "dirichlet":
        return {"all": {"type": "dirichlet", "value": EXP}}
    slopes = {}
    for axis, rate in GROWTH.items():
        for side, sign in (("lower", -1), ("upper", 1)):
            slopes[f"{axis}_{side}"] = {"type": "neumann", "value": f"{sign * rate!r}*{EXP}"}
    return slopes


PROBLEMS: dict[str, tuple[Any, str, dict[str, Any]]] = {
    "periodic": (exact_sin, f"-24*pi**2*{SIN}", {}),
    "dirichlet": (exact_exp, f"{sum(a * a for a in GROWTH.values())!r}*{EXP}", walls_of("dirichlet")),
    "neumann": (exact_exp, f"{sum(a * a for a in GROWTH.values())!r}*{EXP}", walls_of("neumann")),
}


def solved(start: Any, name: str, n: int, parameters: dict[str, Any] | None = None, **solver: Any) -> Simulation:
    """The potential of a problem on n^3 cells of the unit cube."""
    _, source, walls = PROBLEMS[name]
    return start(
        Lattice([n] * 3, upper=[1.0] * 3, boundary=name),
        Model(name="poisson", parameters={"source": source, **(parameters or {})}),
        boundary={"phi": walls} if walls else None,
        solver={"rtol": 1e-10, **solver},
    )


def error(simulation: Simulation, name: str) -> float:
    """Largest error; up to a constant where the potential has a free one."""
    exact = PROBLEMS[name][0]
    if name == "neumann":
        count = math.prod(simulation.case.domain.shape)
        shift = total(simulation, "phi", lambda *x: exact(*x), power=0) / count - total(simulation, "phi") / count
        for values, _ in pieces(simulation, "phi"):
            values += shift
    return largest(simulation, "phi", exact)


@pytest.mark.parametrize("name", PROBLEMS)
def test_eng_11_order_two(start, name: str) -> None:
    """ENG-11: manufactured sine and exponential solutions, by the solver that suits; the free constant is zero."""
    sizes = (16, 32, 64)
    runs = [solved(start, name, n) for n in sizes]
    if name != "dirichlet":
        assert all(abs(total(run, "phi")) / n**3 <= 1e-12 for run, n in zip(runs, sizes, strict=True))
    assert_order([1 / n for n in sizes], [error(run, name) for run in runs], 2)


@pytest.mark.nightly
@pytest.mark.parametrize("name", PROBLEMS)
def test_eng_11_order_two_at_full_size(start, name: str) -> None:
    """ENG-11: n = 32, 64, 128."""
    sizes = (32, 64, 128)
    assert_order([1 / n for n in sizes], [error(solved(start, name, n), name) for n in sizes], 2)


@pytest.mark.parametrize("name", PROBLEMS)
def test_eng_11_cycles_of_multigrid(start, name: str) -> None:
    """ENG-11: at most 12 cycles to 1e-10, growing by at most 2, with the error of the differences."""
    counts = []
    for n in (32, 64):
        run = solved(start, name, n, method="multigrid")
        direct = solved(start, name, n, method="fft")
        record = run.solves.record()["phi"]
        assert record["method"] == "multigrid" and record["reduction"] <= 1e-10
        assert abs(error(run, name) / error(direct, name) - 1) <= 1e-3
        counts.append(record["iterations"])
    assert counts[0] <= 12 and counts[1] <= 12 and counts[1] - counts[0] <= 2


def test_eng_11_heterogeneous_coefficient(start) -> None:
    """ENG-11: div(k*grad(phi)) - shift*phi = source with k that varies, at order two."""
    k, shift = "(1 + 0.5*sin(2*pi*x))", 3.0
    # phi = sin(2 pi (x + y)): k*phi_xx + k_x*phi_x + k*phi_yy - shift*phi.
    wave = "2*pi*(x + y)"
    source = f"-8*pi**2*{k}*sin({wave}) + 2*pi**2*cos(2*pi*x)*cos({wave}) - {shift}*sin({wave})"
    errors, sizes = [], (16, 32, 64)
    for n in sizes:
        run = start(
            Lattice([n, n], upper=[1.0, 1.0]),
            Model(name="poisson", parameters={"k": k, "shift": shift, "source": source}),
            solver={"rtol": 1e-10},
        )
        errors.append(largest(run, "phi", lambda x, y: np.sin(2 * np.pi * (x + y))))
    assert_order([1 / n for n in sizes], errors, 2)


def test_a_stationary_run_takes_no_steps(start) -> None:
    """ENG-11: the potential is there at the start; a source that no potential can balance loses its mean."""
    run = start(
        Lattice([24], upper=[1.0], boundary="neumann"),
        Model(name="poisson", parameters={"source": "cos(pi*x) + 5"}),
    )
    assert (run.step, run.time) == (0, 0.0)
    assert set(run.quantities()) == {"mean", "largest"}
    symbol = (2 * 24 * math.sin(math.pi / 48)) ** 2
    assert largest(run, "phi", lambda x: -np.cos(np.pi * x) / symbol) <= 1e-9
    assert abs(run.quantities()["mean"]) <= 1e-13


def potential(start: Any, n: int, spacing: float, **solver: Any) -> Simulation:
    """The case of the package on n^3 cells, without its wave; for odd n a cell centre lies at the origin."""
    case = tomllib.loads(CASE.read_text())
    model, half = case["model"], n * spacing / 2
    equations = {key: text for key, text in model["equations"].items() if key == "solve(Phi)"}
    assert len(equations) == 1
    return start(
        Lattice([n] * 3, lower=[-half] * 3, upper=[half] * 3, boundary=case["lattice"]["boundary"]),
        Model(equations, fields={"Phi": {}}, parameters=model["parameters"]),
        boundary=case["boundary"],
        solver=solver,
    )


# -Phi/(G M) of a Gaussian of width sigma = 1, erf(r/sqrt(2))/r.
KG_15 = {0.0: 0.797884561, 1.0: 0.682689492, 5.0: 0.199999885}


def depths(run: Simulation) -> list[float]:
    """-Phi/(G M) at the radii of the case, along the x axis."""
    strength = run.case.system.symbols["GM"]
    return [-value_at(run, "Phi", r, 0.0, 0.0) / strength for r in KG_15]


def test_kg_15_potential_of_a_static_source(start) -> None:
    """KG-15: order 2, and 1e-3 at dx = sigma/8; walls at more than 8 sigma have the value of a point mass."""
    errors = []
    for spacing, n in ((1 / 2, 33), (1 / 4, 65), (1 / 8, 135)):
        run = potential(start, n, spacing)
        found = np.array(depths(run)) - np.array(list(KG_15.values()))
        errors.append(np.abs(found).max())
        run.free()
    assert errors[-1] <= 1e-3
    assert_order([1 / 2, 1 / 4, 1 / 8], errors, 2)


def test_kg_15_the_wave_feels_it(start) -> None:
    """KG-15: a wave of one site that only oscillates has the frequency chi*sqrt(1 + 2 Phi) of its place."""
    case = tomllib.loads(CASE.read_text())
    model = case["model"]
    parameters = model["parameters"] | {"c": 1.0, "GM": 0.1}
    # Without differences every site is an oscillator of its own.
    equations = model["equations"] | {"dtt(E)": model["equations"]["dtt(E)"].replace("c**2*laplacian(E)", "0*E")}
    assert equations["dtt(E)"] != model["equations"]["dtt(E)"]
    run = start(
        Lattice([15] * 3, lower=[-7.5] * 3, upper=[7.5] * 3, boundary="dirichlet"),
        Model(equations, fields={"E": {}, "Phi": {}}, parameters=parameters),
        boundary=case["boundary"],
        initial={"E": 1.0},
        integrator="leapfrog",
        dt=0.01,
    )
    assert run.solves.record()["Phi"]["solves"] == 1
    run.run(steps=200)
    expected = []
    for values, _ in pieces(run, "Phi"):
        square = 9.0 * (1 + 2 * values)
        # One period of leapfrog: 4 sin(w dt/2)^2 = dt^2 chi^2.
        expected.append(np.cos(200 * 2 * np.arcsin(0.005 * np.sqrt(square))))
    for (values, _), wanted in zip(pieces(run, "E"), expected, strict=True):
        assert np.abs(values - wanted).max() <= 1e-10
    assert run.solves.record()["Phi"]["solves"] == 1


def test_the_comparison_can_fail(start) -> None:
    """TEST-OF-TEST: an error of the potential of one part in 1e6 is seen by the comparison."""
    run = solved(start, "dirichlet", 16)
    before = error(run, "dirichlet")
    put(run, "phi", lambda *x: exact_exp(*x) * (1 + 1e-6))
    assert error(run, "dirichlet") == pytest.approx(1e-6 * math.exp(1 + 1 / 3), rel=0.2)
    assert before > 1e-6
