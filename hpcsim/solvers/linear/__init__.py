"""Linear solvers by name, and the choice among them."""

from __future__ import annotations

from hpcsim.registry import Registry

LINEAR_SOLVERS = Registry(
    "solver",
    {
        "pointwise": "hpcsim.solvers.linear.pointwise:Pointwise",
        "fft": "hpcsim.solvers.linear.transform:TransformSolver",
        "multigrid": "hpcsim.solvers.linear.multigrid:MultigridSolver",
        "krylov": "hpcsim.solvers.linear.krylov:Krylov",
        "petsc": "hpcsim.solvers.linear.petsc:PetscSolver",
    },
)
