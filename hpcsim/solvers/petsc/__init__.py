"""PETSc for hpcsim: library, options, matrices, linear, nonlinear and time-stepping solvers on packed vectors.

Nothing here is imported unless a solver of PETSc is asked for; petsc4py is loaded by `library.load` only.
"""
