"""Constraints in a run: order, stages, looks, restarts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpcsim.api import Simulation as PublicSimulation
from hpcsim.comm.context import Context
from hpcsim.config.load import from_mapping
from hpcsim.integrators.groups import dependent_groups
from hpcsim.simulation.build import Simulation, build
from hpcsim.simulation.case import make_case

HEAT = {"dt(u)": "laplacian(u)"}
SPLIT = {"dt(u)": "laplacian(phi)", "solve(phi)": "phi - u"}


def config(equations: dict[str, str], fields: str = "u phi", **sections: Any) -> Any:
    """A periodic square with some scalar fields."""
    document: dict[str, Any] = {
        "lattice": {"shape": [16, 12], "boundary": "periodic"},
        "model": {"name": "equations", "fields": {name: {} for name in fields.split()}, "equations": equations},
        "initial": {"u": "sin(2*pi*x/16)*cos(2*pi*y/12) + 0.1*x"},
        "run": {"steps": 6, "dt": 0.1, "backend": "numpy"},
    }
    for name, section in sections.items():
        document.setdefault(name, {}).update(section)
    return from_mapping(document)


def ran(case: Any) -> Simulation:
    simulation = build(case, Context.serial())
    simulation.advance(6)
    return simulation


@pytest.mark.parametrize("integrator", ["euler", "ssprk3", "rk4", "lsrk54"])
def test_every_stage_sees_the_solved_field(integrator: str) -> None:
    """With phi = u by a constraint every Runge-Kutta scheme gives what it gives with u itself."""
    run = {"integrator": integrator}
    plain = ran(config(HEAT, "u", run=run))
    split = ran(config(SPLIT, run=run))
    assert np.abs(plain["u"] - split["u"]).max() <= 1e-14


@pytest.mark.parametrize("integrator", ["leapfrog", "kick_drift_kick"])
def test_second_order_schemes_see_it(integrator: str) -> None:
    """The same for dtt equations."""
    run = {"integrator": integrator}
    plain = ran(config({"dtt(u)": "laplacian(u)"}, "u", run=run))
    split = ran(config({"dtt(u)": "laplacian(phi)", "solve(phi)": "phi - u"}, run=run))
    assert np.abs(plain["u"] - split["u"]).max() <= 1e-13


def test_looks_see_the_present_solution() -> None:
    """A field that no equation reads is solved for looks: it belongs to the fields of the same time."""
    simulation = ran(config({**HEAT, "solve(phi)": "2*phi - u"}))
    simulation.settle()
    assert np.abs(simulation["phi"] - simulation["u"] / 2).max() <= 1e-15


def test_steady_constraints_are_solved_once() -> None:
    """KG-15: the potential of a mass at rest is found at the start; steps do not solve it again."""
    simulation = ran(config({**HEAT, "solve(phi)": "laplacian(phi) - phi - sin(2*pi*x/16)"}))
    simulation.quantities()
    assert simulation.solves.record()["phi"]["solves"] == 1


def test_order_follows_what_each_reads() -> None:
    """A constraint comes after those it reads, whatever the order of the text; mutual ones are one system."""

    def names(equations: dict[str, str]) -> list[str]:
        case = make_case(config({**HEAT, **equations}, "u a b c"))
        return [group.name for group in dependent_groups(case.discrete)]

    assert names({"solve(a)": "a - b", "solve(b)": "b - c", "solve(c)": "c - u"}) == ["c", "b", "a"]
    assert names({"solve(a)": "2*a - b - u", "solve(b)": "2*b - a", "solve(c)": "c - a"}) == ["a_b", "c"]


def test_mutual_constraints_are_solved_together() -> None:
    """2a - b = u and 2b - a = 0 have a = 2u/3, b = u/3."""
    simulation = ran(config({**HEAT, "solve(a)": "2*a - b - u", "solve(b)": "2*b - a"}, "u a b"))
    simulation.settle()
    assert np.abs(simulation["a"] - 2 * simulation["u"] / 3).max() <= 1e-14
    assert np.abs(simulation["b"] - simulation["u"] / 3).max() <= 1e-14


@pytest.mark.parametrize("method", ["krylov", "fft", "multigrid"])
def test_restart_goes_on_with_the_same_bits(tmp_path: Path, method: str) -> None:
    """ERS: a run with an elliptic constraint that is cut in two gives the digests of the whole run."""
    equations = {"dt(u)": "0.1*laplacian(u) - d(phi, x)", "solve(phi)": "laplacian(phi) - phi - u"}
    case = config(equations, solver={"method": method})
    whole = ran(case).digests()
    first = build(case, Context.serial())
    first.advance(3)
    saved = PublicSimulation.__new__(PublicSimulation)
    saved._take(first)
    saved.save(tmp_path)
    second = PublicSimulation.restore(tmp_path)
    second.advance(3)
    assert second.digests() == whole


def test_nothing_to_integrate_is_said() -> None:
    """A model without time derivatives takes no integrator."""
    with pytest.raises(Exception, match="nothing to integrate"):
        make_case(config({"solve(phi)": "laplacian(phi) - u"}, run={"integrator": "rk4"}))


def test_end_of_the_run_is_needed_only_for_motion() -> None:
    """Evolution needs stop_time or steps; a stationary problem ends at step 0."""
    document = {
        "lattice": {"shape": [8]}, "run": {},
        "model": {"name": "equations", "fields": {"u": {}}, "equations": {"dt(u)": "laplacian(u)"}},
    }  # fmt: skip
    with pytest.raises(Exception, match="needs stop_time or steps"):
        make_case(from_mapping(document))
    document["model"]["equations"] = {"0": "laplacian(u) - u"}
    make_case(from_mapping(document))
