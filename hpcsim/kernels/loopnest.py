"""The loop nest: what a compiled kernel does at every site of a box, independent of any backend."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from hpcsim.errors import FormulaError
from hpcsim.symbolic.expr import (
    Access,
    Call,
    Coordinate,
    Expr,
    Num,
    Pow,
    SiteIndex,
    Symbol,
    Temp,
    add,
    mul,
    transform,
)
from hpcsim.symbolic.functions import FUNCTIONS
from hpcsim.symbolic.operators import AXES
from hpcsim.symbolic.simplify import hoist_scalars, normal_form
from hpcsim.symbolic.stencil import flops, reads_of


@dataclass(frozen=True)
class Assignment:
    """``target = value`` at every site; the target is a register at offset 0, or a local variable."""

    target: Access | Temp
    value: Expr


@dataclass(frozen=True)
class LoopNest:
    """Assignments carried out, in order, at every site of a list of boxes.

    Attributes
    ----------
    ndim : int
        Number of nested loops.
    dtype : str
        Type of every register and of the arithmetic.
    assignments : tuple of Assignment
        In order of execution; values refer to scalars by position.
    registers : tuple of (str, int)
        Name and number of components of each array argument, in order.
    scalars : tuple of Expr
        What each scalar argument stands for; evaluated by the caller in double precision.
    relaxed_math : bool
        Whether the compiler may reorder and contract arithmetic (outside the same-answer promise).
    """

    ndim: int
    dtype: str
    assignments: tuple[Assignment, ...]
    registers: tuple[tuple[str, int], ...]
    scalars: tuple[Expr, ...]
    relaxed_math: bool = False

    @property
    def reads(self) -> dict[tuple[str, int], frozenset[tuple[int, ...]]]:
        """Offsets read of each (register, component)."""
        return reads_of(*(assignment.value for assignment in self.assignments))

    @property
    def writes(self) -> frozenset[tuple[str, int]]:
        """(register, component) pairs written."""
        targets = [a.target for a in self.assignments if isinstance(a.target, Access)]
        return frozenset((target.register, target.component) for target in targets)

    @property
    def uses_index(self) -> bool:
        """Whether any value depends on the position of the site."""
        return any(isinstance(node, SiteIndex) for node in self._value_nodes())

    @property
    def exact(self) -> bool:
        """Whether every backend gives the same bits (no libm function inside)."""
        return not any(_uses_libm(node) for node in self._value_nodes())

    @property
    def bytes_per_site(self) -> int:
        """Bytes that must move per site: every register component read or written, once each way."""
        size = 4 if self.dtype == "float32" else 8
        return size * (len(self.reads) + len(self.writes))

    @property
    def flops_per_site(self) -> int:
        """Additions, multiplications and divisions per site; a transcendental function counts as 20."""
        return sum(flops(a.value) for a in self.assignments)

    def reach(self, register: str) -> tuple[int, ...]:
        """Largest offset read of a register on each axis."""
        offsets = [o for (name, _), group in self.reads.items() if name == register for o in group]
        return tuple(max((abs(o[axis]) for o in offsets), default=0) for axis in range(self.ndim))

    def _value_nodes(self) -> Iterable[Expr]:
        for assignment in self.assignments:
            yield from assignment.value.walk()


def _uses_libm(node: Expr) -> bool:
    if isinstance(node, Pow):
        return not (isinstance(node.exponent, Num) and isinstance(node.exponent.value, int))
    return isinstance(node, Call) and not FUNCTIONS[node.function].exact


def make_nest(
    ndim: int,
    dtype: str,
    assignments: Sequence[Assignment],
    components: Mapping[str, int],
    spacings: Sequence[str],
    relaxed_math: bool = False,
) -> LoopNest:
    """Bring assignments into normal form and number their registers and scalars.

    Parameters
    ----------
    ndim : int
        Axes of the lattice.
    dtype : {"float64", "float32"}
        Type of the arithmetic.
    assignments : sequence of Assignment
        Values may hold accesses, symbols, coordinates and numbers.
    components : mapping of str to int
        Number of components of each register.
    spacings : sequence of str
        Symbol of the spacing of each axis.
    relaxed_math : bool
        Let the compiler reorder arithmetic.

    Raises
    ------
    FormulaError
        If an assignment reads, away from its own site, a register written by an earlier one.
    """
    values = [normal_form(_with_indices(a.value, spacings)) for a in assignments]
    values, scalars = hoist_scalars(values)
    ready = tuple(Assignment(a.target, value) for a, value in zip(assignments, values, strict=True))
    _refuse_hazards(ready)
    names: list[str] = []
    for assignment in ready:
        accesses = [n for n in assignment.value.walk() if isinstance(n, Access)]
        accesses += [assignment.target] if isinstance(assignment.target, Access) else []
        names += [a.register for a in accesses]
    registers = tuple((name, components.get(name, 1)) for name in dict.fromkeys(names))
    return LoopNest(ndim, dtype, ready, registers, tuple(scalars), relaxed_math)


def _with_indices(expr: Expr, spacings: Sequence[str]) -> Expr:
    def visit(node: Expr) -> Expr | None:
        if not isinstance(node, Coordinate):
            return None
        index = SiteIndex(node.axis, node.offset, node.staggered)
        return add(lower_symbol(node.axis), mul(Symbol(spacings[node.axis]), index))

    return transform(expr, visit)


def lower_symbol(axis: int) -> Symbol:
    """The symbol of the lower end of an axis."""
    return Symbol(f"lower_{AXES[axis]}")


def _refuse_hazards(assignments: Sequence[Assignment]) -> None:
    written: set[tuple[str, int]] = set()
    for assignment in assignments:
        if isinstance(assignment.target, Access):
            written.add((assignment.target.register, assignment.target.component))
    for assignment in assignments:
        for node in assignment.value.walk():
            if isinstance(node, Access) and any(node.offset) and (node.register, node.component) in written:
                raise FormulaError(f"register '{node.register}' is written and read at neighbouring sites in one sweep")
