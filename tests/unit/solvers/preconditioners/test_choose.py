"""The factory: preconditioner by symbolic type, with the reason, always overridable (issue C 3, features 000-B5d)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hpcsim.errors import ConfigError
from hpcsim.solvers.petsc.ksp import KspSolver
from hpcsim.solvers.petsc.options import OptionBook, SolverOptions
from hpcsim.solvers.petsc.system import System
from hpcsim.solvers.preconditioners.block_jacobi import BlockJacobi
from hpcsim.solvers.preconditioners.choose import SMALL, choose
from hpcsim.solvers.rows import Rows


def system(kind, size=SMALL + 10, block_size=1, **known) -> System:
    """A diagonal matrix: its symbolic type is what decides."""
    rows = Rows.of(np.arange(size + 1), np.arange(size), np.ones(size), block_size=block_size)
    return System(size, size, block_size, rows, kind=kind, **known)


@pytest.mark.parametrize(
    ("kind", "block_size", "name", "reason"),
    [
        ("elliptic", 1, "gamg", "elliptic operator: elliptic operators need a coarse correction"),
        ("coupled", 2, "field_split", "coupled operator: second differences of several coupled unknowns"),
        ("coupled", 1, "additive_schwarz", r"coupled operator: .*not field_split: .*at least two unknowns"),
        ("hyperbolic", 2, "block_jacobi", "hyperbolic operator: couplings of first order"),
        ("general", 1, "approximate_inverse", "general operator: nothing is known"),
        ("pointwise", 2, "point_block_jacobi", "pointwise operator: no site couples"),
        ("of a new type", 1, "approximate_inverse", "nothing is known"),
    ],
)
def test_type_of_the_operator_decides(library, kind, block_size, name, reason):
    """Features 000-B5d: the table, and the reason in words."""
    found = choose(library, system(kind, block_size=block_size))
    assert found.name == name
    with pytest.raises(AssertionError, match=reason):
        raise AssertionError(found.reason)


def test_native_multigrid_is_preferred(library):
    """Issue C 3: elliptic operators that the native cycle covers get it, small or not, with a matrix or without."""
    cycle = np.copyto
    for size in (10, SMALL + 10):
        assert choose(library, system("elliptic", size, multigrid=cycle)).name == "native_multigrid"
    free = System(SMALL + 10, SMALL + 10, apply=np.copyto, kind="elliptic", multigrid=cycle)
    assert choose(library, free).name == "native_multigrid"


def test_small_systems_are_solved_directly(library):
    """Issue C 3: MUMPS or SuperLU_DIST for small problems."""
    found = choose(library, system("general", SMALL))
    assert (found.name, found.reason) == ("direct", f"only {SMALL} unknowns")
    assert choose(library, system("general", SMALL + 1)).name != "direct"
    assert choose(library, system("pointwise", 10)).name == "point_block_jacobi"


def test_only_an_action_leaves_nothing_to_look_at(library):
    """Issue C 1: without entries there is no preconditioner, and the reason says so."""
    found = choose(library, System(50, 50, apply=np.copyto, kind="elliptic"))
    assert found.name == "none" and "only its action is known" in found.reason


def test_missing_packages_are_passed_over(library, monkeypatch):
    """Features 000-B5c: without hypre the Neumann series steps in."""
    monkeypatch.setattr(library, "has", lambda package: False)
    found = choose(library, system("general"))
    assert found.name == "approximate_inverse" and found.preconditioner.kind(library) == "python"


def test_choice_can_be_overridden(library):
    """Features 000-B5d: by name, by object, by an option of PETSc; the option wins."""
    whole = system("elliptic")
    assert choose(library, whole, "jacobi").reason == "asked for"
    mine = BlockJacobi(levels=3)
    assert choose(library, whole, mine).preconditioner is mine
    found = choose(library, whole, mine, pc_type="asm")
    assert (found.name, found.reason) == ("additive_schwarz", "asked for by the option pc_type")
    assert choose(library, whole, "gamg", pc_type="sor").preconditioner.pc_type == "sor"
    with pytest.raises(ConfigError, match="did you mean 'jacobi'"):
        choose(library, whole, "jakobi")
    with pytest.raises(ConfigError, match="preconditioner field_split: .*at least two"):
        choose(library, whole, "field_split")


def test_types_that_petsc_alone_knows_work(library, context):
    """Need 25: any type of PETSc, set up by its own options."""
    whole = replace(system("elliptic", 60), symmetric=True)
    pairs = [("pc_type", "sor"), ("pc_sor_its", "2")]
    with KspSolver(library, whole, SolverOptions(library, "phi", OptionBook(pairs, ["phi"]))) as solver:
        assert solver.method == "PETSc cg with sor"
        assert solver.solve(np.ones(60), np.zeros(60)).converged


def test_choice_is_told_by_the_solver(library):
    """Issue C 3: the reason can be printed."""
    with KspSolver(library, system("hyperbolic"), SolverOptions(library, "phi")) as solver:
        assert solver.choice.name == "block_jacobi" and solver.choice.reason.startswith("hyperbolic operator")
