"""Equations as data: text to expressions, expressions to stencils. No arrays of the run, no MPI."""
