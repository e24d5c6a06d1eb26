"""Preconditioners by name, one small class each.

A preconditioner is added by one file with a class and one line in `PRECONDITIONERS`; the tests that run over the table
then cover it.
"""

from __future__ import annotations

from hpcsim.registry import Registry

_HERE = "hpcsim.solvers.preconditioners"

PRECONDITIONERS = Registry(
    "preconditioner",
    {
        "none": f"{_HERE}.none:NoPreconditioner",
        "jacobi": f"{_HERE}.jacobi:Jacobi",
        "point_block_jacobi": f"{_HERE}.point_block_jacobi:PointBlockJacobi",
        "block_jacobi": f"{_HERE}.block_jacobi:BlockJacobi",
        "additive_schwarz": f"{_HERE}.additive_schwarz:AdditiveSchwarz",
        "ilu": f"{_HERE}.incomplete:IncompleteLU",
        "icc": f"{_HERE}.incomplete:IncompleteCholesky",
        "gamg": f"{_HERE}.gamg:Gamg",
        "boomeramg": f"{_HERE}.boomeramg:BoomerAmg",
        "geometric": f"{_HERE}.geometric:Geometric",
        "pfmg": f"{_HERE}.pfmg:Pfmg",
        "field_split": f"{_HERE}.field_split:FieldSplit",
        "approximate_inverse": f"{_HERE}.approximate_inverse:ApproximateInverse",
        "direct": f"{_HERE}.direct:Direct",
        "native_multigrid": f"{_HERE}.native_multigrid:NativeMultigrid",
    },
)
