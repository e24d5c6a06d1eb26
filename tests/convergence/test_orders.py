"""Orders of convergence of every model, every time scheme and every order in space, on exact solutions."""

from __future__ import annotations

import math

import pytest

from hpcsim.api import Lattice, Model
from hpcsim.errors import ConfigError, HpcsimError
from hpcsim.integrators import INTEGRATORS
from hpcsim.integrators.imex import ImexScheme
from hpcsim.integrators.implicit import ImplicitScheme
from hpcsim.models import MODELS
from tests.convergence.exact import SOLUTIONS, STATIONARY, TURN
from tests.convergence.support import ORDERS, assert_order, pieces, total

GRIDS = {2: (32, 48, 72), 4: (20, 30, 45), 6: (18, 27, 36), 8: (24, 32, 42)}
# Solves to rounding, so that what is measured are the differences and the scheme.
SOLVER = {"method": "krylov", "rtol": 1e-13}


def scheme_of(start, name, integrator):
    """The scheme of a registered integrator for a model, or None if it refuses the model."""
    solution = SOLUTIONS[name]
    try:
        made = start(
            Lattice([12] * solution.ndim, upper=[TURN] * solution.ndim),
            solution.model(2),
            integrator=integrator,
            dt=solution.step(TURN / 12),
            backend="numpy",
            solver=SOLVER,
        )
    except HpcsimError as error:
        text = str(error)
        assert "unstable for these equations at every step size" in text or "needs dt" in text
        return None
    return made.case.scheme


def error_on(start, name, integrator, order, cells, exponent, coarsest, backend="numpy"):
    """Root mean square error; the step falls with a power of the spacing so that space and time converge alike."""
    solution = SOLUTIONS[name]
    dx = TURN / cells
    steps = round(math.ceil(solution.time / solution.step(TURN / coarsest)) * (cells / coarsest) ** exponent)
    simulation = start(
        Lattice([cells] * solution.ndim, upper=[TURN] * solution.ndim),
        solution.model(order),
        initial=solution.initial,
        integrator=integrator,
        dt=solution.time / steps,
        backend=backend,
        solver=SOLVER,
    )
    simulation.control = None
    simulation.run(steps=steps)
    for values, points in pieces(simulation, solution.field):
        values -= solution.exact(*points, simulation.time)
    return dx, math.sqrt(total(simulation, solution.field, power=2) / cells**solution.ndim)


def assert_converges(start, name, integrator, order, backend="numpy"):
    """The error falls as the power `order` of the spacing."""
    scheme = scheme_of(start, name, integrator)
    if scheme is None:
        return
    grids = GRIDS[order]
    exponent = max(order / scheme.order, 2.0 if SOLUTIONS[name].diffusive else 1.0)
    found = [error_on(start, name, integrator, order, n, exponent, grids[0], backend) for n in grids]
    assert_order([dx for dx, _ in found], [error for _, error in found], order)


def cases():
    """Model, scheme and order in space; high orders with solves of many steps are for the night."""
    for name, solution in SOLUTIONS.items():
        for integrator in solution.integrators or INTEGRATORS.names():
            solves = integrator == "petsc_ts" or isinstance(INTEGRATORS.get(integrator), (ImplicitScheme, ImexScheme))
            for order in ORDERS:
                marks = [pytest.mark.nightly] if solves and order > 4 else []
                yield pytest.param(name, integrator, order, marks=marks)


def test_every_model_has_an_exact_solution():
    assert set(SOLUTIONS) | set(STATIONARY) == set(MODELS.names())


@pytest.mark.parametrize(("name", "integrator", "order"), list(cases()))
def test_order_of(start, name, integrator, order):
    assert_converges(start, name, integrator, order)


@pytest.mark.parametrize("name", [name for name, solution in SOLUTIONS.items() if not solution.integrators])
def test_which_schemes_take_which_model(start, name):
    """What `test_order_of` passes over is what has no business there, and nothing more."""
    refused = {integrator for integrator in INTEGRATORS.names() if scheme_of(start, name, integrator) is None}
    second = {"leapfrog", "kick_drift_kick"}
    first = {"euler", "exponential_euler", "exponential_modes", "petsc_ts"}
    expected = {
        "advection": second | {"euler", "exponential_euler"},
        "diffusion": second,
        "klein_gordon": first,
        "equations": first,
    }
    assert refused == expected[name]


@pytest.mark.parametrize(("name", "integrator", "order"), [("diffusion", "rk4", 4), ("klein_gordon", "leapfrog", 4)])
def test_order_of_compiled_kernels(start, name, integrator, order):
    assert_converges(start, name, integrator, order, backend="numba")


def test_a_wrong_sign_is_refused(start):
    """QG-01: a positive D smooths; a negative one is the backward heat equation and is refused by name."""
    with pytest.raises(ConfigError, match="backward heat equation"):
        start(Lattice([8]), Model(name="diffusion", parameters={"D": -0.1}))
