"""Compiled backend: generated Numba kernels and region movers."""
