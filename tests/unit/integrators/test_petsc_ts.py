"""PETSc TS as an integrator: accuracy by its tolerance, options, restarts, refusals."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hpcsim.comm.context import Context
from hpcsim.config.load import from_mapping
from hpcsim.errors import ConfigError, ConvergenceError
from hpcsim.simulation.build import Simulation, build
from hpcsim.simulation.case import make_case

pytestmark = pytest.mark.usefixtures("real_solvers")
TIME = 0.1


def config(equations: dict[str, str], **sections: Any) -> Any:
    """A line of 32 cells between walls of zero value."""
    document: dict[str, Any] = {
        "lattice": {"shape": [32], "upper": [1.0], "boundary": "dirichlet"},
        "model": {"name": "equations", "fields": {"u": {}}, "equations": equations},
        "initial": {"u": "sin(pi*x)"},
        "run": {"dt": 0.025, "stop_time": TIME, "integrator": "petsc_ts", "backend": "numpy"},
    }
    for name, section in sections.items():
        document.setdefault(name, {}).update(section)
    return from_mapping(document)


def end(case: Any) -> Simulation:
    simulation = build(case, Context.serial())
    return simulation.run(until=TIME)


def exact(rate: float) -> np.ndarray:
    """The only mode of the start, by the symbol of the stencil."""
    symbol = -4.0 * 32**2 * np.sin(np.pi / 64) ** 2 + rate
    return np.exp(symbol * TIME) * np.sin(np.pi * (np.arange(32) + 0.5) / 32)


@pytest.mark.parametrize("rtol", [1e-4, 1e-7])
@pytest.mark.parametrize(("text", "rate"), [("laplacian(u)", 0.0), ("laplacian(u) + 3*u", 3.0)])
def test_error_follows_the_tolerance(text: str, rate: float, rtol: float) -> None:
    """000-B18d: the error at the end is of the size of run.rtol, with and without an explicit part."""
    found = end(config({"dt(u)": text}, run={"rtol": rtol, "atol": 1e-3 * rtol}))["u"]
    error = np.abs(found - exact(rate)).max()
    assert error <= 20 * rtol
    assert error >= 1e-4 * rtol


def test_nonlinear_terms() -> None:
    """A logistic reaction at every site, explicit beside diffusion, against fine Runge-Kutta steps."""
    text = {"dt(u)": "0.01*laplacian(u) + 8*u*(1 - u)"}
    ours = end(config(text, run={"rtol": 1e-8, "atol": 1e-10}))["u"]
    fine = end(config(text, run={"integrator": "rk4", "dt": 1e-3}))["u"]
    assert np.abs(ours - fine).max() <= 1e-6


def test_scheme_is_an_option_of_petsc() -> None:
    """Another type of TS takes other steps to the same end."""
    run = {"rtol": 1e-6, "atol": 1e-9}
    default = end(config({"dt(u)": "laplacian(u)"}, run=run))
    other = end(config({"dt(u)": "laplacian(u)"}, run=run, petsc={"step_ts_type": "cn", "step_ts_adapt_type": "none"}))
    assert default.solves.record()["step"]["iterations"] > other.solves.record()["step"]["iterations"] == 4
    assert np.abs(default["u"] - other["u"]).max() >= 1e-5


def test_two_halves_are_the_whole() -> None:
    """ERS: inner steps begin anew in every step, so a run in two parts has the same bits."""
    case = config({"dt(u)": "laplacian(u) + u*(1 - u)"})
    whole = end(case)
    half = build(case, Context.serial())
    half.advance(2)
    middle = half["u"].copy()
    rest = build(case, Context.serial())
    rest.state.interior("u", rest.layout.blocks[0])[...] = middle
    rest.step, rest.time = half.step, half.time
    rest.advance(2)
    assert (rest["u"] == whole["u"]).all()


@pytest.mark.parametrize(
    ("equations", "said"),
    [({"dtt(u)": "laplacian(u)"}, "second order"), ({"dt(u)": "laplacian(u) + noise()"}, "noise")],
)
def test_refusals(equations: dict[str, str], said: str) -> None:
    """Second-order equations and noise have no place in it."""
    with pytest.raises(ConfigError, match=said):
        make_case(config(equations))


def test_giving_up_is_said() -> None:
    """F-44: too many inner steps end the run with the reason of PETSc."""
    with pytest.raises(ConvergenceError, match=r"step: PETSc .* did not converge"):
        end(config({"dt(u)": "laplacian(u)"}, petsc={"step_ts_max_steps": 1, "step_ts_type": "bdf"}))
