"""Measurements of this machine and of the kernels: ratios to ceilings and plain C loops taken in the same run."""
