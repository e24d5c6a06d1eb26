"""Lattice geometry in integers: the domain, its blocks along a curve, who owns them, who neighbours whom."""
