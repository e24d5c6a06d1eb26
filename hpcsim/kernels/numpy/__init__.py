"""Reference backend: the same nests by NumPy slicing."""
