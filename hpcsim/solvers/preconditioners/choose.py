"""Which preconditioner suits a system, with the reason."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from hpcsim.errors import ConfigError
from hpcsim.solvers.preconditioners import PRECONDITIONERS
from hpcsim.solvers.preconditioners.base import Preconditioner

if TYPE_CHECKING:
    from hpcsim.solvers.petsc.library import Library
    from hpcsim.solvers.petsc.system import System

AUTO = "auto"
SMALL = 2000
"""Unknowns up to which a direct solver is the fastest and safest."""

# What is tried in turn for each symbolic type: a preconditioner, and why it suits.
_TABLE: dict[str, tuple[tuple[str, str], ...]] = {
    "pointwise": (("point_block_jacobi", "no site couples to another: the blocks of the sites are the whole matrix"),),
    "elliptic": (
        ("native_multigrid", "elliptic operators need a coarse correction, and the native cycle covers this one"),
        ("gamg", "elliptic operators need a coarse correction; algebraic multigrid finds it for any lattice"),
    ),
    "coupled": (
        ("field_split", "second differences of several coupled unknowns: multigrid for each of them, joined"),
        ("additive_schwarz", "several coupled unknowns per site"),
    ),
    "hyperbolic": (
        ("block_jacobi", "couplings of first order are short compared with the part of a rank"),
    ),
    "general": (("approximate_inverse", "nothing is known that a special method could use"),),
}  # fmt: skip


class Choice(NamedTuple):
    """A preconditioner and why it is taken.

    Attributes
    ----------
    name : str
        Name in the table of preconditioners, or the type of PETSc that was asked for.
    reason : str
        In words.
    preconditioner : Preconditioner
        The object, not yet attached.
    """

    name: str
    reason: str
    preconditioner: Preconditioner


def choose(library: Library, system: System, wanted: str | Preconditioner = AUTO, pc_type: str | None = None) -> Choice:
    """The preconditioner that is asked for, or the one that suits the symbolic type of the operator.

    Elliptic operators get multigrid; systems of coupled unknowns a split by fields or additive Schwarz, hyperbolic ones
    block Jacobi; matrices of which nothing is known an approximate inverse; small systems a direct solver.

    Parameters
    ----------
    library : Library
        PETSc.
    system : System
        What is solved.
    wanted : str or Preconditioner
        A name in the table, an object, or ``"auto"``.
    pc_type : str, optional
        Type of PETSc that the user gave as an option; it wins over everything else.

    Raises
    ------
    ConfigError
        If the name is unknown, or what was asked for cannot be used for this system; says what can.
    """
    if pc_type is not None:
        return _by_type(library, system, pc_type)
    if isinstance(wanted, Preconditioner):
        return _checked(library, system, Choice(type(wanted).__name__, "given as an object", wanted))
    if wanted != AUTO:
        return _checked(library, system, Choice(wanted, "asked for", PRECONDITIONERS.get(wanted)()))
    return _automatic(library, system)


def _automatic(library: Library, system: System) -> Choice:
    """The first one without an obstacle, small systems and systems without entries apart."""
    passed: list[str] = []
    if system.rows is not None and system.size <= SMALL and system.multigrid is None and system.kind != "pointwise":
        return Choice("direct", f"only {system.size} unknowns", PRECONDITIONERS.get("direct")())
    for name, reason in (*_TABLE.get(system.kind, ()), *_TABLE["general"]):
        found: Preconditioner = PRECONDITIONERS.get(name)()
        obstacle = obstacle_of(library, system, found)
        if not obstacle:
            more = f" (not {', '.join(passed)})" if passed else ""
            return Choice(name, f"{system.kind} operator: {reason}{more}", found)
        passed.append(f"{name}: {obstacle}")
    return Choice("none", f"{system.kind} operator (not {', '.join(passed)})", PRECONDITIONERS.get("none")())


def obstacle_of(library: Library, system: System, preconditioner: Preconditioner) -> str:
    """Why a preconditioner cannot be used for a system, empty if it can."""
    if preconditioner.needs_rows and system.rows is None:
        return "it needs the entries of the matrix, and only its action is known"
    return preconditioner.obstacle(library, system)


def _checked(library: Library, system: System, choice: Choice) -> Choice:
    obstacle = obstacle_of(library, system, choice.preconditioner)
    if obstacle:
        raise ConfigError(f"preconditioner {choice.name}: {obstacle}")
    return choice


class GivenType(Preconditioner):
    """A preconditioner of PETSc by its type, set up by options of the user alone.

    Parameters
    ----------
    pc_type : str
        Type in PETSc.
    """

    def __init__(self, pc_type: str) -> None:
        super().__init__()
        self.pc_type = pc_type
        self.needs_rows = pc_type != "none"


def _by_type(library: Library, system: System, pc_type: str) -> Choice:
    """The entry of the table with that type if it can be used, with its defaults; else the bare type."""
    reason = "asked for by the option pc_type"
    for name in PRECONDITIONERS:
        found: Preconditioner = PRECONDITIONERS.get(name)()
        if found.kind(library) == pc_type and not obstacle_of(library, system, found):
            return Choice(name, reason, found)
    return _checked(library, system, Choice(pc_type, reason, GivenType(pc_type)))
