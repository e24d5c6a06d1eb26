"""Constraints beside the evolution equations: which unknown they are for, and what is refused."""

from __future__ import annotations

import pytest

from hpcsim.errors import FormulaError
from hpcsim.symbolic.system import System, build_system

CELL = ((0, 0),)
FIELDS = {"phi": CELL, "rho": CELL, "psi": CELL}


def system(equations: dict[str, str], **parameters: float) -> System:
    """A system of scalar fields in two dimensions."""
    return build_system(2, FIELDS, parameters, equations)


@pytest.mark.parametrize("left", ["solve(phi)", " solve( phi ) ", "0"])
def test_constraint_is_kept_apart(left: str) -> None:
    """A constraint has the unknown it names, or the only field that is differentiated."""
    found = system({"dt(rho)": "laplacian(rho)", left: "laplacian(phi) - 4*rho"})
    assert [c.field for c in found.constraints] == ["phi"]
    assert [e.field for e in found.equations] == ["rho"]


def test_unnamed_constraint_takes_what_named_ones_left() -> None:
    """0 = ... may differentiate fields that have an equation, wherever it stands."""
    found = system({"0": "laplacian(phi) - laplacian(psi)", "solve(psi)": "laplacian(psi) - rho"})
    assert [c.field for c in found.constraints] == ["psi", "phi"]


@pytest.mark.parametrize(
    ("equations", "said"),
    [
        ({"0": "laplacian(phi) + laplacian(psi)"}, 'could be phi or psi; write "solve(field)"'),
        ({"0": "phi - rho"}, "no field without equation is differentiated"),
        ({"solve(ph)": "laplacian(phi)"}, "did you mean 'phi'"),
        ({"solve(phi)": "laplacian(phi)", "dt(phi)": "rho"}, "already has an equation"),
        ({"solve(phi)": "grad(phi)"}, "has 1 component(s), the right side has 2"),
        ({"phi": "rho"}, "dt(field), dtt(field), solve(field) or 0"),
        ({"solve(phi)": "laplacian(phi) - dt(rho)"}, "dt"),
        ({"solve(phi)": "laplacian(rho) - 1"}, "'phi' does not occur in it or in another constraint"),
        ({"solve(phi)": "psi - rho", "solve(psi)": "2*psi"}, "'phi' does not occur in it or in another constraint"),
    ],
)
def test_faults_are_named(equations: dict[str, str], said: str) -> None:
    """Each fault says what is wrong and what to write."""
    with pytest.raises(FormulaError, match=".*") as caught:
        system(equations)
    assert said in str(caught.value)


def test_unknowns_may_occur_in_each_other_s_constraints() -> None:
    """Two constraints together determine two fields, wherever these stand."""
    found = system({"solve(phi)": "laplacian(psi) - rho", "solve(psi)": "laplacian(phi)"})
    assert [c.field for c in found.constraints] == ["phi", "psi"]


def test_solve_is_no_name() -> None:
    """A parameter cannot be called solve."""
    with pytest.raises(FormulaError, match="reserved"):
        system({"solve(phi)": "laplacian(phi)"}, solve=1.0)
