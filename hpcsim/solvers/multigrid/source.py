"""Source text of the compiled loops of multigrid, for one number of axes, number type and kind of weights.

The names in the text are fixed; nothing of a user reaches it. One source serves every level: shapes, weights and the
order of the stages come from the tables of `hpcsim.solvers.multigrid.fields`.
"""

from __future__ import annotations

from dataclasses import dataclass

from hpcsim.solvers.multigrid import fields
from hpcsim.solvers.multigrid.transfer import TAPS

_HEADER = '''\
"""Generated multigrid loops."""
import numpy as np
from llvmlite import ir
from numba import njit, prange, types
from numba.core.compiler import Compiler
from numba.extending import intrinsic

T = np.{dtype}
U = np.uint64
OPTIONS = dict(nogil=True, error_model="numpy", fastmath={{"contract", "nsz"}})
SUMS = dict(nogil=True, error_model="numpy", fastmath={{"contract", "nsz", "reassoc"}})
{constants}


class Distinct(Compiler):
    """Tells the optimiser that no two arrays of a call overlap, else it would compare their ranges at every row."""

    def __init__(self, *args, **options):
        super().__init__(*args, **options)
        self.state.flags.noalias = True


@intrinsic
def prefetch(context, array, index):
    """Ask for the cache line of an element; no effect on values, and any index will do."""

    def generate(context, builder, signature, arguments):
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        place = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(8).as_pointer())
        number = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [place.type, number, number, number])
        function = builder.module.declare_intrinsic("llvm.prefetch", [place.type], kind)
        builder.call(function, [place, number(0), number(2), number(1)])
        return context.get_dummy_value()

    return types.void(array, index), generate


@njit(**OPTIONS)
def ahead(array, place, count):
    """Ask for so many elements from a place on."""
    for line in range(0, count, LINE):
        prefetch(array, place + U(line))

'''


@dataclass(frozen=True)
class Form:
    """What a source is made for.

    Attributes
    ----------
    outer : int
        Axes along which rows are stacked, 1 to 3.
    dtype : str
        Type of the levels.
    varying : bool
        Whether weights are arrays.
    parallel : bool
        Whether strips are shared out over threads.
    polynomial : bool
        Whether the polynomial smoother is needed.
    """

    outer: int
    dtype: str
    varying: bool
    parallel: bool
    polynomial: bool = False

    def each(self, pattern: str, joint: str = ", ") -> str:
        """The pattern for every outer axis, ``#`` standing for its number.

        Examples
        --------
        >>> Form(2, "float32", False, False).each("s#")
        's0, s1'
        """
        return joint.join(pattern.replace("#", str(a)) for a in range(self.outer))

    def rows(self, indent: str, first: str, body: str) -> str:
        """Loops over the rows of plane z, ``first`` giving their bounds with ``#`` as number of the axis."""
        text = ""
        for a in range(1, self.outer):
            text += f"{indent}for i{a} in range({first.replace('#', str(a))}):\n"
            indent += "    "
        return text + "".join(f"{indent}{line}\n" if line else "\n" for line in body.strip("\n").split("\n"))


def constants() -> str:
    """Definitions of the places in the tables."""
    lines = [f"{name} = {place}" for name, place in fields.places().items()]
    lines += [f"OP_{name} = {number}" for number, name in enumerate(fields.STAGES)]
    lines += [f"IN_{name} = {getattr(fields, name)}" for name in ("PASS", "COPY", "DIRECT")]
    lines += [f"BY_{name} = {getattr(fields, name)}" for name in ("NESTED", "TABLE", "SAME")]
    lines += [f"SCALE_{name} = {number}" for number, name in enumerate(fields.SCALARS)]
    lines += [
        f"RING = {fields.RING}",
        f"MARGIN = {fields.MARGIN}",
        f"WIDTH = {fields.LEVEL_WIDTH}",
        f"TAPS = {TAPS}",
        "AHEAD = 4",
    ]
    return "\n".join([*lines, "LINE = 64 // np.dtype(T).itemsize"])


def header(form: Form) -> str:
    """Imports and constants."""
    return _HEADER.format(dtype=form.dtype, constants=constants())


def multigrid_source(form: Form) -> str:
    """Text of the module with the entry point ``run``; see `hpcsim.solvers.multigrid.kernels`."""
    from hpcsim.solvers.multigrid.source_driver import driver_text
    from hpcsim.solvers.multigrid.source_natural import natural_text
    from hpcsim.solvers.multigrid.source_smooth import smooth_text
    from hpcsim.solvers.multigrid.source_transfer import transfer_text

    return "\n".join([header(form), smooth_text(form), transfer_text(form), natural_text(form), driver_text(form)])
