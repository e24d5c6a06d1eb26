"""The expression tree: small immutable nodes that equations, stencils and kernels are made of.

Sums and products keep the order in which they were written, and are evaluated from left to right; nothing here
reorders floating-point operations behind the author's back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from fractions import Fraction
from typing import Any

Number = int | float | Fraction


class Expr:
    """Base of all nodes: value equality, a cached hash and the arithmetic operators."""

    __slots__ = ("_hash", "_values")
    _fields: tuple[str, ...] = ()

    def __init__(self, *values: Any) -> None:
        object.__setattr__(self, "_values", values)
        object.__setattr__(self, "_hash", hash((type(self).__name__, values)))

    def __getattr__(self, name: str) -> Any:
        try:
            return self._values[self._fields.index(name)]
        except ValueError:
            raise AttributeError(name) from None

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError("expressions are immutable")

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._values

    def __hash__(self) -> int:
        return int(self._hash)

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        return type(self) is type(other) and self._hash == other._hash and self._values == other._values

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(map(repr, self._values))})"

    # -- arithmetic, so that Python code can build expressions as they are written on paper
    def __add__(self, other: Expr | Number) -> Expr:
        return add(self, other)

    def __radd__(self, other: Number) -> Expr:
        return add(other, self)

    def __sub__(self, other: Expr | Number) -> Expr:
        return add(self, mul(-1, other))

    def __rsub__(self, other: Number) -> Expr:
        return add(other, mul(-1, self))

    def __mul__(self, other: Expr | Number) -> Expr:
        return mul(self, other)

    def __rmul__(self, other: Number) -> Expr:
        return mul(other, self)

    def __truediv__(self, other: Expr | Number) -> Expr:
        return mul(self, power(other, -1))

    def __rtruediv__(self, other: Number) -> Expr:
        return mul(other, power(self, -1))

    def __pow__(self, exponent: Expr | Number) -> Expr:
        return power(self, exponent)

    def __neg__(self) -> Expr:
        return mul(-1, self)

    @property
    def children(self) -> tuple[Expr, ...]:
        """Direct sub-expressions."""
        return ()

    def rebuild(self, children: tuple[Expr, ...]) -> Expr:
        """The same node over other sub-expressions."""
        return self

    def walk(self) -> Iterator[Expr]:
        """Every node of the tree, parents before children."""
        stack: list[Expr] = [self]
        while stack:
            node = stack.pop()
            yield node
            stack.extend(reversed(node.children))


class Num(Expr):
    """A number: an int, an exact Fraction or a finite float."""

    __slots__ = ()
    _fields = ("value",)


class Symbol(Expr):
    """A quantity that is the same at every site of a step: a parameter, ``t``, ``dt``, a spacing."""

    __slots__ = ()
    _fields = ("name",)


class Coordinate(Expr):
    """A space coordinate, continuous or (after discretisation) at a site: ``axis, offset, staggered``."""

    __slots__ = ()
    _fields = ("axis", "offset", "staggered")


class FieldValue(Expr):
    """One component of a field in a continuous equation."""

    __slots__ = ()
    _fields = ("name", "component")


class Rate(Expr):
    """The time derivative of a component of a field, on the right-hand side of a second-order equation."""

    __slots__ = ()
    _fields = ("name", "component")


class Static(Expr):
    """A parameter given as an expression of space alone; it is tabulated once where it is needed."""

    __slots__ = ()
    _fields = ("name",)


class Noise(Expr):
    """White noise, independent at every site and in every step: ``stream, component``."""

    __slots__ = ()
    _fields = ("stream", "component")


class Access(Expr):
    """A register read or written at an offset (in sites) from the site of the loop."""

    __slots__ = ()
    _fields = ("register", "component", "offset")


class SiteIndex(Expr):
    """The global index of the site, plus an offset, plus one half on a centred axis: ``axis, offset, staggered``."""

    __slots__ = ()
    _fields = ("axis", "offset", "staggered")


class Temp(Expr):
    """A value kept in a local variable of the loop body."""

    __slots__ = ()
    _fields = ("index",)


class Scalar(Expr):
    """A scalar argument of a kernel, by position."""

    __slots__ = ()
    _fields = ("index",)


class _Nary(Expr):
    __slots__ = ()
    _fields = ("args",)

    @property
    def children(self) -> tuple[Expr, ...]:
        return self._values[0]


class Add(_Nary):
    """A sum, evaluated from left to right."""

    __slots__ = ()

    def rebuild(self, children: tuple[Expr, ...]) -> Expr:
        return add(*children)


class Mul(_Nary):
    """A product, evaluated from left to right."""

    __slots__ = ()

    def rebuild(self, children: tuple[Expr, ...]) -> Expr:
        return mul(*children)


class Pow(Expr):
    """A power; integer exponents become multiplications, an exponent -1 a division."""

    __slots__ = ()
    _fields = ("base", "exponent")

    @property
    def children(self) -> tuple[Expr, ...]:
        return (self.base, self.exponent)

    def rebuild(self, children: tuple[Expr, ...]) -> Expr:
        return power(*children)


class Call(Expr):
    """A function of the allow-list."""

    __slots__ = ()
    _fields = ("function", "args")

    @property
    def children(self) -> tuple[Expr, ...]:
        return self._values[1]

    def rebuild(self, children: tuple[Expr, ...]) -> Expr:
        return Call(self.function, children)


class Compare(Expr):
    """A comparison ``<``, ``<=``, ``>``, ``>=``, ``==``, ``!=``, or ``and``/``or`` of two of them."""

    __slots__ = ()
    _fields = ("operator", "left", "right")

    @property
    def children(self) -> tuple[Expr, ...]:
        return (self.left, self.right)

    def rebuild(self, children: tuple[Expr, ...]) -> Expr:
        return Compare(self.operator, *children)


class Where(Expr):
    """``where(condition, a, b)``: a where the condition holds, else b."""

    __slots__ = ()
    _fields = ("condition", "a", "b")

    @property
    def children(self) -> tuple[Expr, ...]:
        return self._values

    def rebuild(self, children: tuple[Expr, ...]) -> Expr:
        return Where(*children)


class Derivative(Expr):
    """A space derivative of first or second order along one axis."""

    __slots__ = ()
    _fields = ("operand", "axis", "order")

    @property
    def children(self) -> tuple[Expr, ...]:
        return (self.operand,)

    def rebuild(self, children: tuple[Expr, ...]) -> Expr:
        return Derivative(children[0], self.axis, self.order)


class FluxDerivative(Expr):
    """The derivative of a flux along its own axis, kept apart so that the flux is evaluated on faces."""

    __slots__ = ()
    _fields = ("operand", "axis")

    @property
    def children(self) -> tuple[Expr, ...]:
        return (self.operand,)

    def rebuild(self, children: tuple[Expr, ...]) -> Expr:
        return FluxDerivative(children[0], self.axis)


def as_expr(value: Expr | Number) -> Expr:
    """A number as a node; nodes pass through."""
    return value if isinstance(value, Expr) else Num(value)


ZERO, ONE = Num(0), Num(1)


def add(*terms: Expr | Number) -> Expr:
    """Sum with nested sums flattened, numbers folded together at the place of the first, zeros dropped."""
    flat: list[Expr] = []
    number: Number = 0
    place: int | None = None
    for term in terms:
        node = as_expr(term)
        for part in node.args if isinstance(node, Add) else (node,):
            if isinstance(part, Num):
                number = number + part.value
                place = len(flat) if place is None else place
            else:
                flat.append(part)
    if place is not None and number != 0:
        flat.insert(place, Num(number))
    if not flat:
        return Num(number)
    return flat[0] if len(flat) == 1 else Add(tuple(flat))


def mul(*factors: Expr | Number) -> Expr:
    """Product with nested products flattened and numbers folded to the front; a zero factor gives zero."""
    flat: list[Expr] = []
    number: Number = 1
    for factor in factors:
        node = as_expr(factor)
        for part in node.args if isinstance(node, Mul) else (node,):
            if isinstance(part, Num):
                number = number * part.value
            else:
                flat.append(part)
    if number == 0:
        return ZERO
    if number != 1 or not flat:
        flat.insert(0, Num(number))
    return flat[0] if len(flat) == 1 else Mul(tuple(flat))


def power(base: Expr | Number, exponent: Expr | Number) -> Expr:
    """Power with trivial exponents and exact integer powers of numbers folded."""
    b, e = as_expr(base), as_expr(exponent)
    if isinstance(e, Num):
        if isinstance(e.value, (float, Fraction)) and e.value == int(e.value):
            e = Num(int(e.value))
        if e.value == 1:
            return b
        if e.value == 0:
            return ONE
        if isinstance(b, Num) and b.value != 0:
            return Num(_number_power(b.value, e.value))
        if isinstance(b, Pow) and isinstance(b.exponent, Num) and _integers(b.exponent.value, e.value):
            return power(b.base, b.exponent.value * e.value)
    return Pow(b, e)


def _integers(*values: Number) -> bool:
    return all(isinstance(value, int) for value in values)


def _number_power(base: Number, exponent: Number) -> Number:
    if isinstance(exponent, int) and not isinstance(base, float):
        return Fraction(base) ** exponent
    return float(base) ** float(exponent)


def call(function: str, *args: Expr | Number) -> Expr:
    """A call of an allow-listed function."""
    return Call(function, tuple(as_expr(a) for a in args))


def where(condition: Expr, a: Expr | Number, b: Expr | Number) -> Expr:
    """Choice between two values by a condition."""
    return Where(condition, as_expr(a), as_expr(b))


def transform(expr: Expr, visit: Callable[[Expr], Expr | None]) -> Expr:
    """Rebuild a tree; where ``visit`` returns a node it replaces the sub-tree, where it returns None go deeper."""
    replaced = visit(expr)
    if replaced is not None:
        return replaced
    children = expr.children
    if not children:
        return expr
    return expr.rebuild(tuple(transform(child, visit) for child in children))
