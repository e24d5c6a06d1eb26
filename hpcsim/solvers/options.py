"""What a solver is asked for, from the section ``[solver]``."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from hpcsim.config.schema import Config
from hpcsim.config.sections.solver import STEP
from hpcsim.errors import Problem, unknown_name
from hpcsim.solvers.preconditioners import PRECONDITIONERS

PetscOption = tuple[str, str]
"""Name without dash and prefix, and its value as text; empty for an option that needs no value."""


@dataclass(frozen=True)
class SolverOptions:
    """What one solver is asked for; the keys are those of ``[solver]``.

    Attributes
    ----------
    method : str
        Who solves, or ``"auto"``.
    rtol, atol : float
        A linear solve ends when the norm of the residual is at most ``max(rtol*|b|, atol)``, b the right side.
    max_iterations : int
        Most iterations of a linear solve.
    preconditioner : str
        Name, or ``"auto"``.
    cycle, smoother : str
        Of multigrid.
    sweeps : tuple of int
        Sweeps of the smoother before and after the coarser grid.
    precision : str
        ``"mixed"`` or ``"double"``.
    newton_rtol : float
        A nonlinear solve ends when the norm of the residual is below ``max(newton_rtol*first, atol)``.
    newton_iterations : int
        Most Newton steps.
    petsc : tuple of (str, str)
        Options for PETSc objects of this solver, without its prefix.
    """

    method: str = "auto"
    rtol: float = 1e-8
    atol: float = 0.0
    max_iterations: int = 500
    preconditioner: str = "auto"
    cycle: str = "v"
    smoother: str = "red_black"
    sweeps: tuple[int, int] = (1, 1)
    precision: str = "mixed"
    newton_rtol: float = 1e-8
    newton_iterations: int = 30


def solver_options(config: Config, name: str) -> SolverOptions:
    """Options of one solver of a case.

    Parameters
    ----------
    config : Config
        The case.
    name : str
        The solver: the field of a constraint, or ``"step"``.

    Examples
    --------
    >>> from hpcsim.config.load import from_mapping
    >>> case = {"lattice": {"shape": [8]}, "model": {"name": "diffusion"}, "run": {"steps": 1}}
    >>> options = solver_options(from_mapping(case | {"solver": {"rtol": 1e-6, "step": {"cycle": "w"}}}), "step")
    >>> options.rtol, options.cycle
    (1e-06, 'w')
    """
    keys = config.solver.of(name)
    return SolverOptions(**dict(keys))


def unknown_solvers(config: Config, names: Iterable[str]) -> list[Problem]:
    """Faults of the sections ``[solver]`` and ``[petsc]``: what they say of solvers that the case does not have.

    Parameters
    ----------
    config : Config
        The case.
    names : iterable of str
        All solvers of the case.
    """
    known = sorted(names)
    found = []
    for name in config.solver.named:
        if name in known:
            continue
        why = unknown_name("solver", name, known) if known else "this case has nothing to solve; remove the table"
        if name == STEP:
            why = "the integrator of this case solves nothing; remove the table, or choose an implicit integrator"
        found.append(Problem(f"solver.{name}", why))
    found += _preconditioners(config)
    if config.petsc and not known:
        found.append(Problem("petsc", "this case has nothing to solve, so these options have no effect; remove them"))
    return found


def _preconditioners(config: Config) -> list[Problem]:
    """Preconditioners that do not exist, or that their solver has no use for."""
    asked = {"solver": config.solver.of("")}
    for name, table in config.solver.named.items():
        if "preconditioner" in table.model_fields_set:
            asked[f"solver.{name}"] = config.solver.of(name)
    found = []
    for where, keys in asked.items():
        name, method = keys.preconditioner, keys.method
        if name == "auto" or (method, name) == ("krylov", "jacobi"):
            continue
        if name not in PRECONDITIONERS:
            why = unknown_name("preconditioner", name, ["auto", *PRECONDITIONERS])
        elif method not in ("auto", "petsc"):
            own = "has no preconditioner but jacobi" if method == "krylov" else "takes no preconditioner"
            why = f'method = "{method}" {own}; for {name} take method = "petsc"'
        else:
            continue
        found.append(Problem(f"{where}.preconditioner", why))
    return found
