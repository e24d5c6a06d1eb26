"""Small problems on real blocks for the tests of solvers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from hpcsim.comm.context import Context
from hpcsim.config.load import from_mapping
from hpcsim.simulation.build import Simulation, build
from hpcsim.solvers.linear.base import Equations
from hpcsim.solvers.operator import Operator
from hpcsim.solvers.options import SolverOptions
from hpcsim.solvers.petsc.session import Session
from hpcsim.sweeps.sweep import Solve
from hpcsim.symbolic.system import build_system

WALLS: dict[str, Any] = {
    "dirichlet": {"type": "dirichlet", "value": "1 + x"},
    "neumann": "neumann",
    "robin": {"type": "robin", "alpha": 1.0, "beta": 0.5, "gamma": "2 + y"},
    "periodic": "periodic",
    "mixed": {"x": ["dirichlet", "neumann"], "y": "periodic"},
    "odd": {"type": "reflecting", "parity": "odd"},
}


@dataclass
class Trial:
    """An operator with what its solvers are given.

    Attributes
    ----------
    simulation : Simulation
        Owns the memory; its fields are the unknowns and ``f``.
    operator : Operator
        Coefficients are evaluated.
    equations : Equations
        For a linear solver.
    """

    simulation: Simulation
    operator: Operator
    equations: Equations

    def right_side(self) -> np.ndarray:
        """Right side of the linear problem, boundary values included; the unknowns are zero afterwards."""
        self.operator.set(self.operator.vector())
        return -self.operator.residual(0.0, 1.0, self.operator.vector())


@contextmanager
def trial(
    residuals: dict[str, str],
    boundary: Any = "dirichlet",
    shape: tuple[int, ...] = (12, 10),
    centring: str = "cell",
    order: int = 2,
    parameters: dict[str, Any] | None = None,
    context: Context | None = None,
    block: tuple[int, ...] | None = None,
    **options: Any,
) -> Iterator[Trial]:
    """Residual formulas of some fields, and of a given field ``f``, on a unit box."""
    names = [*residuals, "f"]
    lattice: dict[str, Any] = {"shape": list(shape), "upper": [1.0] * len(shape), "boundary": boundary}
    if block is not None:
        lattice["block_shape"] = list(block)
    config = from_mapping({
        "lattice": lattice,
        "model": {
            "name": "equations", "order": order, "parameters": parameters or {},
            "fields": {name: {"centring": centring} for name in names},
            # The evolution is never run; it makes the blocks wide enough for the stencil.
            "equations": {f"dt({name})": text for name, text in residuals.items()},
        },
        "initial": {"f": "sin(3*x) + x*x"},
        "run": {"steps": 1, "dt": 1e-9, "backend": "numpy", "allow_unstable": True},
    })  # fmt: skip
    with build(config, context or Context.serial()) as simulation:
        places = simulation.case.system.locations
        system = build_system(len(shape), places, parameters or {}, {f"solve({n})": t for n, t in residuals.items()})
        discretizer = simulation.case.discrete.discretizer
        values = tuple(discretizer(c.residual, places[c.field][c.component]) for c in system.constraints)
        problem = Solve("test", 0.0, tuple((c.field, c.component) for c in system.constraints), values)
        directions = simulation.setting.ghosts.homogeneous()
        operator = Operator(problem, simulation.setting, directions)
        operator.prepare(0.0, 1.0)
        session = Session(simulation.context, {}, ["test"])
        equations = Equations(operator, directions.conditions, SolverOptions(**options), session, 0.0, 1.0)
        yield Trial(simulation, operator, equations)
        directions.free()
