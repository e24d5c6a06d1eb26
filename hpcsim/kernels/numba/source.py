"""Source text of a loop nest for Numba: one function for a box, one driver over the list of boxes."""

from __future__ import annotations

from hpcsim.kernels.loopnest import LoopNest
from hpcsim.kernels.printer import Printer

_HEADER = '''\
"""Generated kernel; edit the equations, not this file."""
import math

import numpy as np
from numba import njit, prange
from numba.core.compiler import Compiler

F = np.{dtype}
U = np.uint64
OPTIONS = dict(nogil=True, error_model="numpy", fastmath={fastmath})


class Distinct(Compiler):
    """Tells the optimiser that no two arrays of a call overlap, else it would compare their ranges at every row."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.state.flags.noalias = True


@njit(inline="always", **OPTIONS)
def _power(x, n):
    r = x
    for _ in range(n - 1):
        r = r * x
    return r


@njit(inline="always", **OPTIONS)
def _min(x, y):
    return x if (x < y or x != x) else y


@njit(inline="always", **OPTIONS)
def _max(x, y):
    return x if (x > y or x != x) else y


@njit(inline="always", **OPTIONS)
def _sign(x):
    return x if x != x else F(x > F(0.0)) - F(x < F(0.0))

'''


def kernel_source(nest: LoopNest, parallel: bool) -> str:
    """Module text with the entry point ``run``.

    Parameters
    ----------
    nest : LoopNest
        What to do at every site.
    parallel : bool
        Whether the boxes are shared out over threads.

    Returns
    -------
    str
        Python source that needs NumPy and Numba only. Signature of the entry point:
        ``run(boxes, starts, copies, origins, pitch, sites, scalars, a0, a1, ...)``, where ``starts`` and ``copies``
        are those of `hpcsim.kernels.copies.Copies`.
    """
    printer = Printer(nest)
    lines = [_HEADER.format(dtype=nest.dtype, fastmath=nest.relaxed_math), ""]
    lines += _box_function(nest, printer)
    lines += _driver(nest, parallel)
    return "\n".join(lines) + "\n"


def _arrays(nest: LoopNest) -> str:
    return ", ".join(f"a{i}" for i in range(len(nest.registers)))


def _box_function(nest: LoopNest, printer: Printer) -> list[str]:
    """Box n of the launch: the ghost copies before it, then its sites."""
    last = nest.ndim - 1
    lines = [
        "@njit(pipeline_class=Distinct, **OPTIONS)",
        f"def box(n, boxes, starts, copies, origins, pitch, sites, scalars, {_arrays(nest)}):",
        "    slot = boxes[n, 0]",
    ]
    lines += [f"    s{i} = scalars[{i}]" for i in range(len(nest.scalars))]
    lines += [f"    p{axis} = U(pitch[{axis}])" for axis in range(last)]
    lines += _ghost_copies(nest)
    lines += [f"    l{axis}, h{axis} = boxes[n, {1 + 2 * axis}], boxes[n, {2 + 2 * axis}]" for axis in range(last + 1)]
    for count, c in printer.bases:
        lines.append(f"    b{count}_{c} = U((slot * {count} + {c}) * sites)")
    indent = "    "
    for axis in range(last):
        lines.append(f"{indent}for i{axis} in range(l{axis}, h{axis}):")
        indent += "    "
        if nest.uses_index:
            lines.append(f"{indent}g{axis} = i{axis} + origins[slot, {axis}]")
    row = " + ".join([*(f"U(i{axis}) * p{axis}" for axis in range(last)), f"U(l{last})"])
    lines.append(f"{indent}row = {row}")
    lines += [f"{indent}r{count}_{c} = b{count}_{c} + row" for count, c in printer.bases]
    lines.append(f"{indent}for k in range(h{last} - l{last}):")
    indent += "    "
    lines += [f"{indent}q{count}_{c} = r{count}_{c} + U(k)" for count, c in printer.bases]
    if nest.uses_index:
        lines.append(f"{indent}g{last} = l{last} + k + origins[slot, {last}]")
    lines += [indent + statement for statement in printer.statements()]
    return [*lines, "", ""]


def _ghost_copies(nest: LoopNest) -> list[str]:
    """Loops over the copies before a box; a function of their own would cost compile time."""
    ghosted = [i for i, (name, _) in enumerate(nest.registers) if any(nest.reach(name))]
    if not ghosted:
        return []
    last = nest.ndim - 1
    lines = ["    for m in range(starts[n], starts[n + 1]):"]
    for position in ghosted:
        indent = " " * 12
        lines.append(f"        if copies[m, 0] == {position}:")
        for axis in range(last):
            lines.append(f"{indent}for i{axis} in range(copies[m, {3 + axis}]):")
            indent += "    "
        step = "".join(f" + U(i{axis}) * p{axis}" for axis in range(last))
        lines += [f"{indent}q0 = U(copies[m, 1]){step}", f"{indent}q1 = U(copies[m, 2]){step}"]
        lines.append(f"{indent}for k in range(copies[m, {3 + last}]):")
        lines.append(f"{indent}    a{position}[q1 + U(k)] = a{position}[q0 + U(k)]")
    return lines


def _driver(nest: LoopNest, parallel: bool) -> list[str]:
    common = f"boxes, starts, copies, origins, pitch, sites, scalars, {_arrays(nest)}"
    return [
        f"@njit(parallel={parallel}, **OPTIONS)",
        f"def run({common}):",
        f"    for n in {'prange' if parallel else 'range'}(boxes.shape[0]):",
        f"        box(n, {common})",
    ]
