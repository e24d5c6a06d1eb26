"""Temporary arrays of the backend ``numpy``, counted from the expressions that it evaluates."""

from __future__ import annotations

from hpcsim.kernels.loopnest import LoopNest
from hpcsim.symbolic.expr import Access, Expr, Temp


def working_arrays(nest: LoopNest) -> int:
    """Most arrays of the size of a box that one evaluation of a nest holds at once, named ones included.

    Parameters
    ----------
    nest : LoopNest
        What is evaluated.
    """
    named = most = 0
    for assignment in nest.assignments:
        peak, result, _ = _live(assignment.value)
        most = max(most, named + max(peak, result))
        if isinstance(assignment.target, Temp):
            named += result
    return most


def _live(expr: Expr) -> tuple[int, int, bool]:
    """Most temporary arrays at once, whether the result is one of them (0 or 1), and whether it is an array at all."""
    if isinstance(expr, Access | Temp):
        return 0, 0, True
    peak = held = 0
    array = False
    for number, part in enumerate(expr.children):
        inner, result, is_array = _live(part)
        peak = max(peak, held + inner)
        array |= is_array
        if number == 0 and len(expr.children) > 1:
            held = result
            continue
        # An operation holds what was there, its operand and its result.
        peak = max(peak, held + result + array)
        held = int(array)
    return peak, held, array
