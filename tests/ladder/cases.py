"""The cases of the same-answer ladder: small, and between them every dimension, scheme, centring and kind of wall."""

from __future__ import annotations

import copy
from typing import Any

from hpcsim.comm.context import Context
from hpcsim.config.load import from_mapping
from hpcsim.fields.digest import digest
from hpcsim.simulation.build import Simulation, build

CASES: dict[str, dict[str, Any]] = {
    # Three dimensions, a mass that varies in space, damping, leapfrog.
    "waves": {
        "lattice": {"shape": [12, 10, 9], "upper": [6.0, 5.0, 4.5]},
        "model": {
            "name": "klein_gordon",
            "order": 4,
            "parameters": {"chi": "0.2 + 0.8*exp(-((x - 3)/2)**2)", "damping": 0.01},
        },
        "initial": {"E": "exp(-((x - 2)**2 + (y - 2.5)**2 + (z - 2)**2)/0.5)", "dt(E)": "sin(2*pi*y/5)"},
        "run": {"steps": 10},
    },
    # Two coupled fields, RK4, one periodic and one bounded axis with different conditions at its ends.
    "reaction": {
        "lattice": {
            "shape": [16, 13],
            "upper": [4.0, 3.25],
            "boundary": {"x": [{"type": "dirichlet", "value": 0.3}, "neumann"], "y": "periodic"},
        },
        "boundary": {"v": {"x_upper": {"type": "robin", "alpha": 1.0, "beta": 0.5, "gamma": 0.2}}},
        "model": {
            "name": "equations",
            "order": 2,
            "fields": {"u": {}, "v": {}},
            "parameters": {"D": 0.02, "F": 0.04, "k": 0.06},
            "equations": {
                "dt(u)": "D*laplacian(u) - u*v**2 + F*(1 - u)",
                "dt(v)": "D/2*laplacian(v) + u*v**2 - (F + k)*v",
            },
        },
        "initial": {"u": {"kind": "random", "mean": 0.6}, "v": "0.5 + 0.3*sin(3*x)*cos(2*pi*y/3.25)"},
        "diagnostics": {
            "quantities": {"peak": {"max": "u*v"}, "norm": {"norm2": "u - v"}, "mass": {"integral": "u + v"}},
        },
        "run": {"steps": 8, "integrator": "rk4"},
    },
    # A staggered vector pair (edges and faces) in three dimensions, mixed walls, two registers; the reference backend.
    "maxwell": {
        "lattice": {
            "shape": [8, 6, 7],
            "upper": [4.0, 3.0, 3.5],
            "boundary": {"x": "periodic", "y": "dirichlet", "z": "neumann"},
        },
        "model": {
            "name": "equations",
            "fields": {"E": {"centring": "edge", "components": 3}, "B": {"centring": "face", "components": 3}},
            "parameters": {"eps": "1 + 0.5*cos(2*pi*x/4)"},
            "equations": {"dt(E)": "curl(B)/eps", "dt(B)": "-curl(E)"},
        },
        "initial": {"E": {"kind": "random"}, "B": 0.0},
        "diagnostics": {"quantities": {"energy": {"integral": "dot(B, B)"}}},
        "run": {"steps": 2, "integrator": "lsrk54", "backend": "numpy"},
    },
    # The same in two dimensions, compiled: a vector on edges and a scalar, between walls.
    "staggered": {
        "lattice": {
            "shape": [11, 14],
            "upper": [5.5, 7.0],
            "boundary": {"x": "neumann", "y": ["dirichlet", "neumann"]},
        },
        "model": {
            "name": "equations",
            "order": 4,
            "fields": {"E": {"centring": "edge", "components": 2}, "B": {}},
            "equations": {"dt(E)": "curl(B)", "dt(B)": "d(E_x, y) - d(E_y, x)"},
        },
        "initial": {"B": "exp(-((x - 2)**2 + (y - 3)**2))", "E": {"kind": "random"}},
        "run": {"steps": 6, "integrator": "ssprk3"},
    },
    # Four dimensions, advection in flux form through a face-centred flow, single precision.
    "four": {
        "lattice": {"shape": [8, 6, 5, 7]},
        "model": {
            "name": "equations",
            "fields": {"u": {}},
            "parameters": {"flow": ["0.3 + 0.1*sin(y)", 0.2, -0.1, 0.4], "D": 0.1},
            "equations": {"dt(u)": "div(D*grad(u) - u*flow)"},
        },
        "initial": {"u": "1 + 0.5*cos(2*pi*x/8)*sin(2*pi*w/7)"},
        "diagnostics": {"quantities": {"content": {"integral": "u"}}},
        "run": {"steps": 5, "integrator": "ssprk3", "dtype": "float32"},
    },
    # One dimension, adaptive steps from an exact reduction, a wall value that depends on time, vertices on the wall.
    "adaptive": {
        "lattice": {
            "shape": [37],
            "upper": [3.7],
            "boundary": {"x": [{"type": "dirichlet", "value": "sin(3*t)"}, "neumann"]},
        },
        "model": {
            "name": "equations",
            "fields": {"u": {"centring": "vertex"}},
            "equations": {"dt(u)": "laplacian(u) - d(u**2, x)/2"},
        },
        "initial": {"u": "0.3*sin(pi*x/1.85)"},
        "diagnostics": {"quantities": {"size": {"norm2": "u"}}},
        "run": {"steps": 12, "integrator": "bs32", "rtol": 1e-4, "atol": 1e-6},
    },
}


def case(name: str, **changes: Any) -> dict[str, Any]:
    """A copy of a case; changes are named ``section__key``."""
    sections = copy.deepcopy(CASES[name])
    for key, value in changes.items():
        section, _, entry = key.partition("__")
        sections[section][entry] = value
    return sections


def simulate(sections: dict[str, Any], context: Context, owners: tuple[int, ...] | None = None) -> Simulation:
    """A simulation ready to run."""
    return build(from_mapping(sections), context, owners)


def outcome(simulation: Simulation) -> dict[str, Any]:
    """Everything that must be the same: step, time, dt, quantities, and every register that carries state."""
    quantities = {name: value.hex() for name, value in simulation.quantities().items()}
    digests = simulation.digests()
    for register in simulation.state:
        if register.saved and register.name not in digests:
            digests[register.name] = digest(simulation.context, simulation.state, register.name)
    return {
        "step": simulation.step,
        "time": simulation.time.hex(),
        "dt": simulation.dt.hex(),
        "limit": simulation.limit.hex(),
        "quantities": quantities,
        "digests": digests,
    }


def answer(sections: dict[str, Any], context: Context, owners: tuple[int, ...] | None = None) -> dict[str, Any]:
    """Run a case to its end."""
    with simulate(sections, context, owners) as simulation:
        simulation.run(steps=sections["run"]["steps"])
        return outcome(simulation)
