"""What flux forms keep, and that no axis is special."""

from __future__ import annotations

import os

import numpy as np
import pytest

from hpcsim.api import Lattice, Model
from hpcsim.comm.launch_check import launched
from tests.convergence.support import ORDERS, noise, put, stiffness, total

FLOW = ["1 + 0.5*sin(x)*cos(2*y)", "0.3*cos(x + y)*cos(t) - 0.6"]
CASES = {
    "advection": ({"velocity": FLOW}, "periodic"),
    "diffusion": ({"D": "0.2 + 0.1*sin(x)*cos(y) + 0.05*u**2"}, "periodic"),
    "diffusion in a box": ({"D": "0.2 + 0.1*sin(x)*cos(y)"}, "neumann"),
}


@pytest.mark.parametrize(
    ("case", "integrator", "order"),
    [
        *(("advection", "rk4", order) for order in ORDERS),
        ("advection", "ssprk3", 4),
        ("advection", "lsrk54", 4),
        ("diffusion", "rk4", 2),
        ("diffusion", "rk4", 4),
        ("diffusion", "euler", 2),
        ("diffusion", "lsrk54", 2),
        ("diffusion in a box", "rk4", 2),
    ],
)
def test_content_stays(start, case, integrator, order):
    """ENG-27 on one level: 500 steps, rough data, coefficients of space, time and the field itself."""
    parameters, boundary = CASES[case]
    simulation = start(
        Lattice([20, 16], upper=[6.283185307179586, 6.283185307179586], boundary=boundary),
        Model(name=case.split()[0], parameters=parameters, order=order),
        integrator=integrator,
        cfl=0.5,
        backend="numpy",
    )
    put(simulation, "u", lambda x, y: 2.0 + 0.2 * noise(3)(x, y))
    before, shape = simulation.quantities()["content"], total(simulation, "u", power=2)
    simulation.run(steps=500)
    assert abs(simulation.quantities()["content"] / before - 1) <= 1e-13
    assert abs(total(simulation, "u", power=2) / shape - 1) > 1e-4


@pytest.fixture
def alone():
    """A communicator of this rank only: whole arrays are compared, on every rank by itself."""
    if not launched(os.environ):
        return None
    from mpi4py import MPI

    return MPI.COMM_SELF


def swapped(text: str) -> str:
    """A formula with x and y exchanged."""
    return text.replace("x", "#").replace("y", "x").replace("#", "y").replace("eyp", "exp")


SYMMETRIC = {
    "advection": ("u", {"velocity": ["1 + 0.3*sin(y)", "-0.4 + 0.2*cos(x)*sin(y)", "0.7"]}),
    "diffusion": ("u", {"D": "0.3 + 0.1*sin(x)*cos(2*y)", "reaction": "u*(1 - u) + 0.1*sin(x - 2*y)"}),
    "klein_gordon": ("E", {"chi": "0.4 + 0.3*sin(x)*cos(2*y)", "damping": 0.05}),
}


@pytest.mark.parametrize("order", [2, 4, 8])
@pytest.mark.parametrize("name", SYMMETRIC)
def test_axes_may_be_swapped(start, alone, name, order):
    """The same problem with x and y exchanged gives the same field with its axes exchanged."""
    field, parameters = SYMMETRIC[name]
    other = {
        key: [swapped(value[i]) for i in (1, 0, 2)] if isinstance(value, list) else swapped(str(value))
        for key, value in parameters.items()
    }
    begin = "1 + 0.5*exp(sin(x) + 0.5*cos(y))*sin(2*y + z)"
    found = []
    for shape, upper, given, initial in (
        ([12, 10, 9], [6.0, 5.5, 5.0], parameters, begin),
        ([10, 12, 9], [5.5, 6.0, 5.0], other, swapped(begin)),
    ):
        simulation = start(
            Lattice(shape, upper=upper),
            Model(name=name, parameters=given, order=order),
            initial={field: initial},
            comm=alone,
            dt=0.02,
            backend="numpy",
        )
        simulation.run(steps=50)
        found.append(simulation[field])
    straight, across = found[0], found[1].transpose(1, 0, 2)
    assert np.abs(straight - across).max() <= 1e-13 * np.abs(straight).max()
    assert np.abs(straight[:10] - straight[:10, :10].transpose(1, 0, 2)).max() > 1e-3


def test_qg_01_decay_of_modes(start):
    """A mode of rho decays as exp(-(D k**2 + gamma) t) with the k of the lattice; a positive D smooths."""
    diffusivity, gamma, n, dx = 0.4, 0.15, 64, 0.25
    for order in ORDERS:
        for mode in (1, 5, 12):
            k = 2 * np.pi * mode / (n * dx)
            simulation = start(
                Lattice([n], upper=[n * dx]),
                Model(name="diffusion", parameters={"D": diffusivity, "decay": gamma}, order=order),
                initial={"u": f"cos({k!r}*x)"},
                dt=0.0005,
                backend="numpy",
            )
            simulation.run(steps=400)
            factor = total(simulation, "u", lambda x, k=k: np.cos(k * x)) / (n / 2)
            expected = np.exp(-(diffusivity * stiffness(order, [k], dx) + gamma) * 0.2)
            assert abs(factor / expected - 1) <= 1e-10
            assert factor < np.exp(-gamma * 0.2)
