"""Stencils to compiled functions, one protocol over several backends."""
