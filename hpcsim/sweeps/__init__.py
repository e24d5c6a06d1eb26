"""Sweeps over all owned sites: what they assign, the ghosts they need, and their compiled form."""
