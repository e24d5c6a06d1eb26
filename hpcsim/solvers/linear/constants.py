"""Which unknowns are determined up to a constant only."""

from __future__ import annotations

import numpy as np

from hpcsim.solvers.linear.base import Equations

_ROUNDING = 1e-12


def free_constants(equations: Equations) -> list[int]:
    """Unknowns of a site whose constant the operator maps to zero; collective."""
    operator = equations.operator
    unknowns, context = operator.unknowns, operator.setting.context
    scale = context.max(float(np.abs(operator.diagonal(operator.vector())).max(initial=0.0)))
    free = []
    for column in range(unknowns.block_size):
        constant = operator.vector()
        constant[column :: unknowns.block_size] = 1.0
        image = equations.apply(constant, operator.vector())
        if context.max(float(np.abs(image).max(initial=0.0))) <= _ROUNDING * scale:
            free.append(column)
    return free


def skew_and_free(equations: Equations) -> bool:
    """Whether constants are free and it is not known what right sides have a solution; collective.

    The right side of a singular problem must be orthogonal to the left null space. For a symmetric matrix these are the
    constants, for constant coefficients the shares of sites in integrals; coefficients that vary hide it.
    """
    varying = not equations.operator.linear.constant and not equations.symmetric
    return varying and bool(free_constants(equations))
