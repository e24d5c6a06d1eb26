"""Distributed Fourier, sine and cosine transforms, and what follows from them.

From below: `basis` (the functions along one axis), `fast` and `dense` (local transforms of lines), `stages` (who holds
what between the axes), `transform` (all axes, all ranks). On these stand the direct solver of star operators with
constant weights, spectral derivatives, power spectra and correlations, and convolutions with Green's functions.
"""
