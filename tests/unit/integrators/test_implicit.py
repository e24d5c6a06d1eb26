"""Implicit schemes: their numbers, order, stability, invariants, rates, walls and step (ENG-08, PH-12)."""

from __future__ import annotations

import cmath
import math
from pathlib import Path

import numpy as np
import pytest

from hpcsim.api import Lattice, Model, Simulation
from hpcsim.errors import ConfigError
from hpcsim.integrators import INTEGRATORS
from hpcsim.integrators.scheme import Spectrum
from tests.unit.integrators.dense import DenseSolve
from tests.unit.integrators.setup import EXACT, final, observed_order, ode, scheme_of

DECAY = {"dt(u)": "-k*u"}
ORDERS = {"backward_euler": 1, "crank_nicolson": 2, "bdf2": 2, "implicit_midpoint": 2}
FACTORS = {
    "crank_nicolson": (0.904761904762, 0.333333333333, -0.666666666667),
    "implicit_midpoint": (0.904761904762, 0.333333333333, -0.666666666667),
    "backward_euler": (0.909090909091, 0.5, 0.0909090909091),
}
AMPLIFIED = [name for name in INTEGRATORS.names() if hasattr(INTEGRATORS.get(name), "amplification")]


@pytest.mark.parametrize("name", sorted(FACTORS))
@pytest.mark.parametrize("place", [0, 1, 2])
def test_growth_factor_on_decay(name: str, place: int) -> None:
    """ENG-08: one step on y' = -lambda y with lambda dt = 0.1, 1, 10, whatever the split into lambda and dt."""
    z = (0.1, 1.0, 10.0)[place]
    for dt in (1.0, 0.01):
        got = final(ode(DECAY, {"u": 1.0}, name, dt, parameters={"k": z / dt}).run(steps=1))
        assert got == pytest.approx(FACTORS[name][place], abs=1e-12)


@pytest.mark.parametrize("z", [0.1, 1.0, 10.0])
def test_steps_of_bdf2(z: float) -> None:
    """ENG-08: the recurrence of two levels, from a level before the first one that backward Euler gives."""
    run = ode(DECAY, {"u": 1.0}, "bdf2", 1.0, parameters={"k": z})
    first = 1 / (1 + 2 * z / 3)
    levels = [1 - 1.5 * (first - 1), 1.0]
    for _ in range(4):
        levels.append((4 * levels[-1] - levels[-2]) / (3 + 2 * z))
        assert final(run.run(steps=1)) == pytest.approx(levels[-1], abs=1e-12)


@pytest.mark.parametrize("name", sorted(ORDERS))
def test_order_on_a_nonlinear_equation_with_explicit_time(name: str) -> None:
    """ENG-08: u' = -u^2/4 + cos(3 t) at the stated order; the places of slopes in the step count."""
    equations = {"dt(u)": "-u*u/4 + cos(3*t)"}
    fine = final(ode(equations, {"u": 1.0}, "rk4", 1 / 1000).run(steps=1000))
    assert observed_order(equations, {"u": 1.0}, name, fine, (100, 200)) == pytest.approx(ORDERS[name], abs=0.15)


@pytest.mark.parametrize("name", sorted(ORDERS))
@pytest.mark.parametrize("damping", [0.0, 0.7])
def test_order_on_second_order_equations(name: str, damping: float) -> None:
    """ENG-08: the eliminated rate has the order of the scheme too, damped or not, from a start with a rate."""
    equations = {"dtt(u)": "-9*u - b*dt(u)"}
    omega = cmath.sqrt(9 - damping**2 / 4)
    root, initial = -damping / 2 + 1j * omega, {"u": 1.0, "dt(u)": 2.0}
    # u = Re(a exp(root t)) with u(0) = 1, u'(0) = 2.
    amplitude = 1 - 1j * (2 + damping / 2) / omega
    exact = {"u": (amplitude * cmath.exp(root)).real, "u@rate": (amplitude * root * cmath.exp(root)).real}
    for register, value in exact.items():
        errors = []
        for count in (160, 320):
            run = ode(equations, initial, name, 1 / count, parameters={"b": damping}).run(steps=count)
            errors.append(abs(final(run, register) - value))
        assert math.log2(errors[0] / errors[1]) == pytest.approx(ORDERS[name], abs=0.1)


@pytest.mark.parametrize("name", sorted(ORDERS))
def test_rates_that_occur_nonlinearly(name: str) -> None:
    """u'' = -u - 0.2 u'^3: Newton's method on the field alone agrees with a fine explicit run."""
    equations, initial = {"dtt(u)": "-u - 0.2*dt(u)**3"}, {"u": 1.0, "dt(u)": 0.5}
    fine = final(ode(equations, initial, "rk4", 1e-3).run(steps=1000))
    got = final(ode(equations, initial, name, 1e-2).run(steps=100))
    assert got == pytest.approx(fine, abs=5e-3 if ORDERS[name] == 1 else 5e-5)


@pytest.mark.parametrize("name", ["crank_nicolson", "implicit_midpoint"])
@pytest.mark.parametrize("dt", [0.1, 3.0, 50.0])
def test_energy_of_an_oscillator_is_kept(name: str, dt: float) -> None:
    """Both are the Cayley transform of a linear system: u'^2 + 4 u^2 stays to rounding, at any step."""
    run = ode({"dtt(u)": "-4*u"}, {"u": 1.0, "dt(u)": 1.0}, name, dt).run(steps=60)
    assert final(run, "u@rate") ** 2 + 4 * final(run) ** 2 == pytest.approx(5.0, rel=1e-11)


def test_energy_falls_where_it_must() -> None:
    """Backward Euler takes 1/(1 + (w dt)^2) of the energy in every step."""
    run = ode({"dtt(u)": "-4*u"}, {"u": 1.0}, "backward_euler", 0.5).run(steps=3)
    assert final(run, "u@rate") ** 2 + 4 * final(run) ** 2 == pytest.approx(4.0 / 2.0**3, rel=1e-12)


def test_midpoint_keeps_the_norm_of_a_closed_system() -> None:
    """i psi_t = -psi_xx/2 + x^2 psi/2 as two real fields: the Cayley transform is unitary."""
    equations = {"dt(a)": "-d(b, x, 2)/2 + (x - 4)**2*b/2", "dt(b)": "d(a, x, 2)/2 - (x - 4)**2*a/2"}
    run = Simulation(
        Lattice([24], upper=[8.0]), Model(equations), initial={"a": "exp(-(x - 3)**2)", "b": "x/9"}, dt=2.0,
        integrator="implicit_midpoint", backend="numpy", solver=EXACT,
    )  # fmt: skip
    before = np.sum(run["a"] ** 2 + run["b"] ** 2)
    run.run(steps=30)
    assert np.sum(run["a"] ** 2 + run["b"] ** 2) == pytest.approx(before, rel=1e-11)


def mode(name: str, dt: float, steps: int, n: int = 16, **options: object) -> tuple[float, float]:
    """Amplitude of the third heat mode of a periodic lattice after some steps, and its z = lambda dt."""
    run = Simulation(
        Lattice([n], upper=[float(n)]), Model({"dt(u)": "d(u, x, 2)"}), initial={"u": f"cos(2*pi*3*x/{n})"}, dt=dt,
        integrator=name, backend="numpy", allow_unstable=True, solver=EXACT, rtol=1.0, atol=1e9, **options,
    ).run(steps=steps)  # fmt: skip
    shape = np.cos(2 * np.pi * 3 * (np.arange(n) + 0.5) / n)
    amplitude = float(run["u"] @ shape / (shape @ shape))
    assert np.allclose(run["u"], amplitude * shape, atol=1e-11)
    return amplitude, -4 * math.sin(math.pi * 3 / n) ** 2 * dt


@pytest.mark.parametrize("name", AMPLIFIED)
def test_growth_of_a_heat_mode(name: str) -> None:
    """ENG-08: every scheme that states its growth factor has it."""
    table = INTEGRATORS.get(name)
    for dt in (0.1, 1.3, 40.0) if scheme_of(name, {"dt(u)": "laplacian(u)"}).unlimited else (0.1, 1.3):
        first, z = mode(name, dt, 1)
        factor = table.amplification(np.array([complex(z)]))[0]
        if name != "bdf2":
            assert first == pytest.approx(factor.real, abs=1e-11) and abs(factor.imag) < 1e-12
        elif abs(factor.imag) < 1e-12:
            # What is left of the other root of two levels dies out.
            later = mode(name, dt, 25)[0] / mode(name, dt, 24)[0]
            assert later == pytest.approx(factor.real, rel=1e-6)


@pytest.mark.parametrize("name", sorted(ORDERS))
def test_no_mode_that_does_not_grow_is_amplified(name: str) -> None:
    """A-stability: the left half plane and the imaginary axis."""
    radius, angle = np.meshgrid(np.logspace(-6, 6, 60), np.linspace(math.pi / 2, math.pi, 25))
    z = radius * np.exp(1j * angle)
    growth = np.abs(INTEGRATORS.get(name).amplification(z))
    assert growth.max() <= 1 + 1e-9
    far = np.abs(INTEGRATORS.get(name).amplification(np.array([-1e12 + 0j])))[0]
    assert far == pytest.approx(0.0, abs=1e-5) if name in ("backward_euler", "bdf2") else far == pytest.approx(1.0)


@pytest.mark.parametrize("name", sorted(ORDERS))
def test_heat_at_a_hundred_times_the_explicit_limit(name: str) -> None:
    """PH-12: bounded from rough data, and the slow mode has the accuracy of the order."""
    n, diffusion = 32, 0.7
    limit = 0.5 / diffusion
    slow = 4 * diffusion * math.sin(math.pi / n) ** 2
    initial = {"u": f"1 + cos(2*pi*x/{n}) + 0.5*where(x < 16, 1, -1)*cos(pi*(x - 0.5))"}
    model = Model({"dt(u)": "D*laplacian(u)"}, parameters={"D": diffusion})

    def at(steps: int) -> Simulation:
        run = Simulation(
            Lattice([n]), model, initial=initial, dt=100 * limit / steps, integrator=name, backend="numpy",
            solver=EXACT,
        )  # fmt: skip
        return run.run(steps=steps)

    for count in (1, 30):
        run = at(1).run(steps=count - 1) if count > 1 else at(1)
        assert np.abs(run["u"]).max() < 3.0
        assert run["u"].mean() == pytest.approx(1.0, abs=1e-11)
    shape = np.cos(2 * np.pi * (np.arange(n) + 0.5) / n)
    first = (np.array(at(1).case.initial["u"].values(at(1).case.domain, (0,), (n,), (0,), 0)) @ shape) / 16
    errors = [abs(at(steps)["u"] @ shape / 16 - first * math.exp(-slow * 100 * limit)) for steps in (40, 80)]
    assert math.log2(errors[0] / errors[1]) > ORDERS[name] - 0.15


@pytest.mark.parametrize(("name", "dt", "tolerance"), [("crank_nicolson", 0.05, 1e-3), ("bdf2", 0.05, 1e-3),
                                                        ("bdf2", 0.5, 1e-3)])  # fmt: skip
def test_heat_behind_a_wall_that_jumps(name: str, dt: float, tolerance: float, real_solvers: None) -> None:
    """PH-12: a half space of silicon whose end is heated at once, at 10 um: erfc(x/sqrt(4 D t)); up to 92 limits."""
    walls = {"x": [{"type": "dirichlet", "value": 1.0}, {"type": "dirichlet", "value": 0.0}]}
    run = Simulation(
        Lattice([200], upper=[200.0], boundary=walls), Model({"dt(u)": "D*laplacian(u)"}, parameters={"D": 91.96812}),
        dt=dt, integrator=name, backend="numpy", solver={"method": "krylov", "rtol": 1e-9},
    )  # fmt: skip
    for time, exact in ((1.0, 0.460917101), (10.0, 0.815632035)):
        u = run.run(until=time)["u"]
        assert run.time == pytest.approx(time, rel=1e-12)
        if dt < 0.1 or time > 1.0:
            assert 0.5 * (u[9] + u[10]) == pytest.approx(exact, abs=tolerance)


@pytest.mark.parametrize("name", sorted(ORDERS))
@pytest.mark.parametrize("centring", ["cell", "vertex"])
def test_walls_whose_values_move(name: str, centring: str) -> None:
    """Values on walls are taken at the time of each slope, so they cost no order; planes on walls are no unknowns."""
    walls = {"x": [{"type": "dirichlet", "value": "sin(2*t)"}, {"type": "robin", "alpha": 1, "beta": 1, "gamma": "t"}]}
    model = Model({"dt(u)": "laplacian(u) - u**3"}, fields={"u": {"centring": centring}})
    ends = []
    for integrator, steps in (("rk4", 256), (name, 20), (name, 40)):
        run = Simulation(
            Lattice([8], upper=[2.0], boundary=walls), model, dt=0.5 / steps, initial={"u": "x"}, integrator=integrator,
            backend="numpy",
        )  # fmt: skip
        ends.append(np.array(run.run(steps=steps)["u"]))
    errors = [np.abs(end - ends[0]).max() for end in ends[1:]]
    assert math.log2(errors[0] / errors[1]) == pytest.approx(ORDERS[name], abs=0.25)


def test_planes_of_walls_are_no_unknowns() -> None:
    """A vertex field with given end values has them, and the heat between them becomes a straight line."""
    walls = {"x": [{"type": "dirichlet", "value": 1.0}, {"type": "dirichlet", "value": 3.0}]}
    model = Model({"dt(u)": "laplacian(u)"}, fields={"u": {"centring": "vertex"}})
    for name in ORDERS:
        run = Simulation(Lattice([8], boundary=walls), model, dt=3.0, integrator=name, backend="numpy")
        assert np.allclose(run.run(steps=80)["u"], 1.0 + np.arange(9) / 4, rtol=0.0, atol=1e-9)


@pytest.mark.parametrize("name", [*sorted(ORDERS), "imex_ark3"])
def test_constraints_are_part_of_the_step(name: str) -> None:
    """A field that follows from the others at every time has the order of the scheme."""
    equations = {"dt(u)": "laplacian(u) - phi*u + cos(9*t)", "solve(phi)": "laplacian(phi)/9 - phi + u**2"}
    ends, phis = [], []
    for integrator, steps in (("rk4", 256), (name, 16), (name, 32)):
        run = Simulation(
            Lattice([4]), Model(equations), initial={"u": "1 + sin(2*pi*x/4)/2"}, integrator=integrator, dt=0.4 / steps,
            backend="numpy", rtol=1.0, atol=1e9, allow_unstable=True,
        )  # fmt: skip
        for n in range(steps):
            run.program.step(n * run.dt, run.dt)
            run.program.accept((n + 1) * run.dt, run.dt)
        run.step, run.time = steps, 0.4
        ends.append(np.array(run["u"]))
        phis.append(np.array(run["phi"]))
    for values in (ends, phis):
        errors = [np.abs(value - values[0]).max() for value in values[1:]]
        assert math.log2(errors[0] / errors[1]) == pytest.approx(ORDERS.get(name, 3), abs=0.25)


def test_rates_with_space_derivatives() -> None:
    """u_tt = u_xx + c (u_t)_xx on a ring: the eliminated rate is differenced like any other."""
    equations = {"dtt(u)": "laplacian(u) + laplacian(dt(u))/2"}
    ends = []
    for name, steps in (("rk4", 400), ("crank_nicolson", 50), ("crank_nicolson", 100)):
        run = Simulation(
            Lattice([8]), Model(equations), initial={"u": "sin(2*pi*x/8)", "dt(u)": "cos(2*pi*x/8)"}, dt=2.0 / steps,
            integrator=name, backend="numpy", solver=EXACT,
        )  # fmt: skip
        ends.append(np.array(run.run(steps=steps)["u"]))
    assert np.abs(ends[1] - ends[0]).max() / np.abs(ends[2] - ends[0]).max() == pytest.approx(4.0, rel=0.05)
    with pytest.raises(ConfigError, match="periodic along every axis"):
        Simulation(Lattice([8], boundary="neumann"), Model(equations), dt=0.1, integrator="crank_nicolson")


@pytest.mark.parametrize("name", sorted(ORDERS))
def test_a_step_size_is_needed(name: str) -> None:
    """The equations set none; the check of a case says so."""
    with pytest.raises(ConfigError, match="stable at every step size.*give a step size") as caught:
        Simulation(Lattice([8]), Model({"dt(u)": "laplacian(u)"}), integrator=name, steps=3)
    assert [problem.where for problem in caught.value.problems] == ["run.dt"]
    spectrum = Spectrum(np.array([-1e9 + 0j]), np.zeros(0, dtype=complex))
    assert scheme_of(name, {"dt(u)": "laplacian(u)"}).limit(spectrum) == math.inf


def test_equations_that_cannot_be_linearised_at_the_start_need_no_limit() -> None:
    """A coefficient of the spectrum that is not finite stops explicit schemes alone."""
    equations = {"dt(u)": "2/(u + t)"}
    run = ode(equations, {"u": 1.0}, "backward_euler", 0.5).run(steps=1)
    # y = 1 + 0.5*2/(y + 0.5)
    assert final(run) == pytest.approx((0.5 + math.sqrt(0.25 + 6.0)) / 2, abs=1e-11)
    assert run.limit == math.inf


@pytest.mark.parametrize("name", sorted(ORDERS))
def test_a_restart_goes_on_bit_by_bit(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """ENG-12: the level before the last and the rates are state; a scheme without limit can be saved."""
    monkeypatch.setattr(DenseSolve, "keep", False)

    def make() -> Simulation:
        return Simulation(
            Lattice([12]), Model({"dtt(u)": "laplacian(u) - u - dt(u)/9", "dt(c)": "laplacian(c) + u"}), dt=0.8,
            initial={"u": "sin(2*pi*x/12)", "dt(u)": "x/12", "c": "x"}, integrator=name, backend="numpy",
        )  # fmt: skip

    whole = make().run(steps=7)
    make().run(steps=3).save(tmp_path)
    again = Simulation.restore(tmp_path)
    assert (again.step, again.limit) == (3, math.inf)
    assert again.run(steps=4).digests() == whole.digests()


def test_solver_tables_without_a_solver_are_faults() -> None:
    """Options that nothing reads are errors: of an explicit scheme, and of a field without a constraint."""
    with pytest.raises(ConfigError, match=r"solver\.step: the integrator of this case solves nothing"):
        ode(DECAY, {"u": 1.0}, "rk4", 0.1, parameters={"k": 1.0}, solver={"step": {"cycle": "w"}})
    with pytest.raises(ConfigError, match=r"solver\.u: unknown solver 'u'.*Known: step"):
        ode(DECAY, {"u": 1.0}, "bdf2", 0.1, parameters={"k": 1.0}, solver={"u": {"cycle": "w"}})
    with pytest.raises(ConfigError, match="petsc: this case has nothing to solve"):
        ode(DECAY, {"u": 1.0}, "rk4", 0.1, parameters={"k": 1.0}, petsc={"ksp_type": "cg"})
