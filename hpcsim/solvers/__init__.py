"""Elliptic and implicit problems: operators from equations, multigrid, transforms, PETSc."""
