"""The models heat and poisson: texts, limits of the parameters, quantities (ENG-11, PH-12)."""

from __future__ import annotations

import math
from typing import Any

import pytest

from hpcsim.api import Lattice, Simulation
from hpcsim.api import Model as PublicModel
from hpcsim.errors import ConfigError
from hpcsim.models.base import Model
from hpcsim.models.build import build_model


def make(name: str, ndim: int = 2, **parameters: Any) -> Model:
    return build_model(name, ndim, parameters=parameters)


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({}, "k*laplacian(phi)"),
        ({"source": "x"}, "k*laplacian(phi) - source"),
        ({"shift": 2.0, "source": -1.0}, "k*laplacian(phi) - shift*phi - source"),
        ({"k": "1 + x"}, "div(k*grad(phi))"),
        ({"k": "1 + phi**2", "shift": "exp(phi)"}, "div(k*grad(phi)) - shift*phi"),
    ],
)
def test_poisson_leaves_zero_terms_out(parameters: dict[str, Any], text: str) -> None:
    """ENG-11: one constraint, no time derivative; a coefficient that varies stays inside of the divergence."""
    model = make("poisson", **parameters)
    assert model.equations == {"solve(phi)": text}
    system = model.system(2)
    assert not system.equations and [c.field for c in system.constraints] == ["phi"]
    assert set(model.parameters) == {"k", *(name for name in ("source", "shift") if name in parameters)}


@pytest.mark.parametrize(
    ("parameters", "text"),
    [
        ({}, "(conductivity*laplacian(T))/capacity"),
        ({"source": "exp(-t)"}, "(conductivity*laplacian(T) + source)/capacity"),
        ({"conductivity": "1 + x", "capacity": "2 + y"}, "(div(conductivity*grad(T)))/capacity"),
    ],
)
def test_heat_leaves_zero_terms_out(parameters: dict[str, Any], text: str) -> None:
    """PH-12: conduction over capacity, implicit by itself."""
    model = make("heat", **parameters)
    assert model.equations == {"dt(T)": text}
    assert model.integrator == "crank_nicolson"
    assert set(model.quantities) == {"heat", "hottest"}


@pytest.mark.parametrize(
    ("name", "parameters", "words"),
    [
        ("poisson", {"k": 0.0}, "no unique solution"),
        ("poisson", {"k": -1.0}, "no unique solution"),
        ("heat", {"conductivity": -1.0}, "from hot to cold"),
        ("heat", {"capacity": 0.0}, "capacity"),
        ("heat", {"capacty": 1.0}, "did you mean 'capacity'"),
    ],
)
def test_parameters_without_meaning_are_refused(name: str, parameters: dict[str, Any], words: str) -> None:
    """ENG-11, PH-12: signs that have no solution are refused before anything runs."""
    with pytest.raises(ConfigError, match=words):
        make(name, **parameters)


def test_a_body_that_does_not_conduct() -> None:
    """PH-12: without conduction every site stores what its source gives."""
    run = Simulation(
        Lattice([4, 4]), PublicModel(name="heat", parameters={"conductivity": 0.0, "capacity": 2.0, "source": "x"}),
        dt=0.5, backend="numpy",
    )  # fmt: skip
    run.run(steps=4)
    assert run["T"][:, 0].tolist() == pytest.approx([0.5, 1.5, 2.5, 3.5])
    assert run.quantities()["heat"] == pytest.approx(4 * 16.0)


def test_a_stationary_model_needs_no_end_and_takes_no_integrator() -> None:
    """ENG-11: a run of poisson has neither steps nor a step size."""
    run = Simulation(
        Lattice([8], boundary="dirichlet"), PublicModel(name="poisson", parameters={"source": 1.0}), backend="numpy"
    )
    assert (run.case.scheme.name, run.step, run.limit) == ("stationary", 0, math.inf)
    # phi'' = 1 between earthed walls: the differences are exact for parabolas but for the walls themselves.
    assert run["phi"].tolist() == pytest.approx([(x + 0.5) * (x - 7.5) / 2 - 0.125 for x in range(8)])
    with pytest.raises(ConfigError, match="nothing to integrate"):
        Simulation(Lattice([8]), PublicModel(name="poisson"), integrator="rk4")
