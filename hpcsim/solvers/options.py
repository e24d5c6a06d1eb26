"""What a solver is asked for, from the sections ``[solver]`` and ``[petsc]``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from hpcsim.config.schema import Config
from hpcsim.config.sections.solver import STEP
from hpcsim.errors import Problem, unknown_name

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
        A linear solve ends when the norm of the residual is below ``max(rtol*first, atol)``.
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
    petsc: tuple[PetscOption, ...] = ()


def solver_options(config: Config, name: str, names: Iterable[str]) -> SolverOptions:
    """Options of one solver of a case.

    Parameters
    ----------
    config : Config
        The case.
    name : str
        The solver: the field of a constraint, or ``"step"``.
    names : iterable of str
        All solvers of the case.

    Examples
    --------
    >>> from hpcsim.config.load import from_mapping
    >>> case = {"lattice": {"shape": [8]}, "model": {"name": "diffusion"}, "run": {"steps": 1}}
    >>> case |= {"solver": {"rtol": 1e-6, "step": {"cycle": "w"}}, "petsc": {"ksp_type": "cg", "phi_pc_type": "gamg"}}
    >>> options = solver_options(from_mapping(case), "step", ["step", "phi"])
    >>> options.rtol, options.cycle, options.petsc
    (1e-06, 'w', (('ksp_type', 'cg'),))
    """
    keys = config.solver.of(name)
    return SolverOptions(**dict(keys), petsc=petsc_options(config.petsc, name, names))


def petsc_options(
    table: Mapping[str, bool | int | float | str], name: str, names: Iterable[str]
) -> tuple[PetscOption, ...]:
    """Options of the table ``[petsc]`` that are for one solver.

    Those that begin with its name hold for it alone and come last; those that begin with the name of another solver are
    for that one; all others are for every solver.

    Examples
    --------
    >>> petsc_options({"phi_ksp_rtol": 1e-9, "ksp_monitor": True, "step_pc_type": "ilu"}, "phi", ["phi", "step"])
    (('ksp_monitor', ''), ('ksp_rtol', '1e-09'))
    """
    # Of two names of which one begins with the other the longer one is meant.
    prefixes = sorted((f"{known}_" for known in {*names, name}), key=len, reverse=True)
    general: dict[str, str] = {}
    own: dict[str, str] = {}
    for option, value in table.items():
        prefix = next((prefix for prefix in prefixes if option.startswith(prefix)), "")
        if prefix in ("", f"{name}_"):
            (own if prefix else general)[option.removeprefix(prefix)] = _text(value)
    return tuple({option: value for option, value in general.items() if option not in own}.items()) + tuple(own.items())


def _text(value: bool | int | float | str) -> str:
    if isinstance(value, bool):
        return "" if value else "false"
    return value if isinstance(value, str) else repr(value)


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
    if config.petsc and not known:
        found.append(Problem("petsc", "this case has nothing to solve, so these options have no effect; remove them"))
    return found
