"""Which linear solver suits a problem, with the reason."""

from __future__ import annotations

from importlib.util import find_spec
from typing import NamedTuple

from hpcsim.errors import ConfigError, Problem, unknown_name
from hpcsim.solvers.fft.cost import direct_is_faster
from hpcsim.solvers.linear import LINEAR_SOLVERS
from hpcsim.solvers.linear.base import Equations
from hpcsim.solvers.linear.constants import skew_and_free
from hpcsim.solvers.linear.grid import grid_axes, make_star

AUTO = "auto"


class Choice(NamedTuple):
    """A solver and why it is taken.

    Attributes
    ----------
    method : str
        Name in the table of solvers.
    reason : str
        In words.
    """

    method: str
    reason: str


def choose(equations: Equations) -> Choice:
    """The solver that the options name, or the one that suits the form of the operator.

    Raises
    ------
    ConfigError
        If the options name a solver that does not exist, or options of PETSc are given for one that is not PETSc's.
    """
    asked, linear = equations.options.method, equations.operator.linear
    if asked != AUTO:
        if asked not in LINEAR_SOLVERS:
            raise ConfigError(unknown_name("solver", asked, [AUTO, *LINEAR_SOLVERS]))
        if asked != "petsc":
            _refuse_options(equations, asked)
        return Choice(asked, "asked for")
    if equations.session.mentions(equations.operator.problem.name):
        return Choice("petsc", "options of PETSc are given")
    if equations.options.preconditioner != AUTO:
        return Choice("petsc", "a preconditioner is asked for")
    if linear.pointwise and equations.operator.unknowns.together:
        return Choice("pointwise", "no site couples to another")
    axes = grid_axes(equations)
    if axes is not None and linear.constant:
        direct, reason = direct_is_faster(make_star(equations, axes), equations.operator.setting.context.size)
        if direct:
            return Choice("fft", reason)
    if axes is not None and linear.kind == "elliptic" and not skew_and_free(equations):
        return Choice("multigrid", "elliptic, one unknown per site, next neighbours only")
    if find_spec("petsc4py") is not None:
        return Choice("petsc", f"{linear.kind} operator with {linear.size} unknowns per site")
    return Choice("krylov", f"{linear.kind} operator, and petsc4py is not installed")


def _refuse_options(equations: Equations, asked: str) -> None:
    """Options of PETSc for a solver that is not PETSc's would have no effect."""
    name, session = equations.operator.problem.name, equations.session
    left = [option for option in session.mentions(name) if session.alone or option.startswith(f"{name}_")]
    if left:
        raise ConfigError(
            [
                Problem(
                    f"petsc.{left[0]}",
                    f"no effect: '{name}' is solved by {asked}; set solver.{name}.method = \"petsc\"",
                )
            ]
        )
