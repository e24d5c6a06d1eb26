"""Loop nest to source text: flat arrays, unsigned indices, fixed parentheses.

Names in the text are ours alone (``a0``, ``s0``, ``v0``), so no text of a user ever reaches the compiler. Indices are
unsigned: a signed one would make the compiler emit a wrap-around select at every read, and the loop would not be
vectorised from order 4 on.
"""

from __future__ import annotations

from hpcsim.kernels.loopnest import LoopNest
from hpcsim.symbolic.evaluate import split_quotient
from hpcsim.symbolic.expr import Access, Add, Call, Compare, Expr, Mul, Num, Pow, Scalar, SiteIndex, Temp, Where

_CALLS = {
    "abs": "abs", "min": "_min", "max": "_max", "sign": "_sign", "floor": "np.floor", "ceil": "np.ceil",
    "sqrt": "np.sqrt", "exp": "np.exp", "log": "np.log", "log10": "np.log10", "sin": "np.sin", "cos": "np.cos",
    "tan": "np.tan", "asin": "np.arcsin", "acos": "np.arccos", "atan": "np.arctan", "atan2": "np.arctan2",
    "sinh": "np.sinh", "cosh": "np.cosh", "tanh": "np.tanh", "erf": "math.erf",
}  # fmt: skip


class Printer:
    """Prints the body of one loop nest.

    Parameters
    ----------
    nest : LoopNest
        The nest; its register order fixes the names of the arrays.
    """

    def __init__(self, nest: LoopNest) -> None:
        self._nest = nest
        self._array = {name: f"a{i}" for i, (name, _) in enumerate(nest.registers)}
        self._components = dict(nest.registers)
        self.bases = sorted({self._base_key(*key) for key in (*nest.reads, *nest.writes)})

    def _base_key(self, register: str, component: int) -> tuple[int, int]:
        return self._components[register], component

    def position(self, register: str, component: int) -> str:
        """Name of the flat index of this site in a register component."""
        count, c = self._base_key(register, component)
        return f"q{count}_{c}"

    def statements(self) -> list[str]:
        """One line per assignment of the loop body."""
        lines = []
        for assignment in self._nest.assignments:
            target = assignment.target
            left = f"v{target.index}" if isinstance(target, Temp) else self._access(target)
            lines.append(f"{left} = {self.text(assignment.value)}")
        return lines

    def text(self, expr: Expr) -> str:
        """Expression as source, with every operation in parentheses of its own where order matters."""
        if isinstance(expr, Num):
            return f"F({float(expr.value)!r})"
        if isinstance(expr, Scalar):
            return f"s{expr.index}"
        if isinstance(expr, Temp):
            return f"v{expr.index}"
        if isinstance(expr, Access):
            return self._access(expr)
        if isinstance(expr, SiteIndex):
            half = "" if expr.staggered else " + F(0.5)"
            return f"(F(g{expr.axis} + {expr.offset}){half})"
        if isinstance(expr, Add):
            return self._sum(expr)
        if isinstance(expr, Mul):
            return self._product(expr)
        if isinstance(expr, Pow):
            return self._power(expr)
        if isinstance(expr, Call):
            return f"{_CALLS[expr.function]}({', '.join(self.text(a) for a in expr.args)})"
        if isinstance(expr, Compare):
            return f"({self.text(expr.left)} {expr.operator} {self.text(expr.right)})"
        if isinstance(expr, Where):
            return f"({self.text(expr.a)} if {self.text(expr.condition)} else {self.text(expr.b)})"
        raise TypeError(f"no source form for {type(expr).__name__}")

    def _access(self, expr: Access) -> str:
        index = self.position(expr.register, expr.component)
        for axis, step in enumerate(expr.offset):
            if step:
                stride = "" if axis == self._nest.ndim - 1 else f" * p{axis}"
                index += f" {'+' if step > 0 else '-'} U({abs(step)}){stride}"
        return f"{self._array[expr.register]}[{index}]"

    def _sum(self, expr: Add) -> str:
        text = self.text(expr.args[0])
        for term in expr.args[1:]:
            minus = isinstance(term, Mul) and term.args[0] == Num(-1)
            text += f" - {self.text(Mul(term.args[1:]))}" if minus else f" + {self.text(term)}"
        return f"({text})"

    def _product(self, expr: Mul) -> str:
        if expr.args[0] == Num(-1) and len(expr.args) > 1:
            return f"(-{self.text(Mul(expr.args[1:]))})"
        above, below = split_quotient(expr)
        text = " * ".join(self.text(f) for f in above) or "F(1.0)"
        for factor in below:
            text += f" / {self.text(factor)}"
        return f"({text})" if len(above) + len(below) > 1 else text

    def _power(self, expr: Pow) -> str:
        base = self.text(expr.base)
        if not (isinstance(expr.exponent, Num) and isinstance(expr.exponent.value, int)):
            return f"({base} ** {self.text(expr.exponent)})"
        count = abs(expr.exponent.value)
        product = f"({' * '.join([base] * count)})" if count <= 4 else f"_power({base}, {count})"
        return f"(F(1.0) / {product})" if expr.exponent.value < 0 else product
