"""Time stepping by PETSc's TS: each step of the run is integrated in inner steps under error control.

PETSc chooses the inner steps; the run sees only their end, at its own times. They begin anew in every step, so a
restart gives what the whole run gives. The scheme is chosen by an option of PETSc, ``step_ts_type``; by default it is
an additive Runge-Kutta scheme (Giraldo, Kelly and Constantinescu, SIAM J. Sci. Comput. 35 (2013) B1162).
"""

from __future__ import annotations

from hpcsim.errors import FormulaError
from hpcsim.integrators.scheme import Scheme, no_limit
from hpcsim.integrators.splitting import Splitting
from hpcsim.sweeps.discrete import Discrete
from hpcsim.sweeps.evolve import Evolve
from hpcsim.symbolic.noise import reads_noise


def petsc_ts(discrete: Discrete) -> Scheme:
    """PETSc TS within each step: adaptive inner steps, implicit in linear terms with space derivatives.

    Raises
    ------
    FormulaError
        If an equation is of second order, or has noise.
    """
    system, place = discrete.system, discrete.location
    for equation in system.equations:
        if equation.order == 2:
            raise FormulaError(
                f"petsc_ts needs dt() equations, but dtt({equation.field}) is of second order; write it as a system of "
                "first order"
            )
    if any(reads_noise(equation.rhs) for equation in system.equations):
        raise FormulaError("petsc_ts repeats inner steps, so equations may not hold noise(); use crank_nicolson")
    split = Splitting.of(system)
    parts = [(place(equation), *split(equation.rhs)) for equation in system.equations]
    unknowns = tuple((equation.field, equation.component) for equation in system.equations)
    implicit = tuple(discrete.discretizer(stiff, location) for location, stiff, _ in parts)
    explicit = tuple(discrete.discretizer(rest, location) for location, _, rest in parts)
    return Scheme(
        name="petsc_ts",
        order=3,
        extra={},
        saved=frozenset(),
        stages=(Evolve("step", unknowns, implicit, explicit),),
        swaps=(),
        limit=no_limit,
    )
