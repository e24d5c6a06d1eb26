"""Text to expressions by an allow-list over the Python syntax tree; nothing in the text is ever executed.

A formula is refused before it is parsed when it is too long, too deep or not plain ASCII; after parsing, every node
must be on the list below. What is not on the list does not exist.
"""

from __future__ import annotations

import ast
import math
import warnings
from collections.abc import Callable

from hpcsim.errors import FormulaError, Problem, unknown_name
from hpcsim.symbolic import operators
from hpcsim.symbolic.expr import ONE, Compare, Expr, Mul, Noise, Num, add, call, mul, power, where
from hpcsim.symbolic.functions import FUNCTIONS
from hpcsim.symbolic.names import OPERATORS, Names, rate_of
from hpcsim.symbolic.operators import AXES, Value, Vector

MAX_LENGTH = 10_000
MAX_DEPTH = 100
MAX_NODES = 2_000
MAX_EXPONENT = 64
MAX_TOWER = 3
MAX_STREAM = 1_000_000

_BINARY = {ast.Mult: "*", ast.Div: "/", ast.Pow: "**"}
_COMPARISONS = {ast.Lt: "<", ast.LtE: "<=", ast.Gt: ">", ast.GtE: ">=", ast.Eq: "==", ast.NotEq: "!="}


def parse(text: str, names: Names, where: str = "") -> Value:
    """Expression of a formula.

    Parameters
    ----------
    text : str
        The formula, e.g. ``"D*laplacian(u) + u*(1 - u)"``.
    names : Names
        The names it may use.
    where : str
        Place of the formula in the configuration, for messages.

    Returns
    -------
    Expr or Vector
        A scalar, or a vector of scalars.

    Raises
    ------
    FormulaError
        If anything in the text is not on the allow-list; the message says what and where.

    Examples
    --------
    >>> parse("2*u + 1", Names(1, fields={"u": 1}))
    Add((Mul((Num(2), FieldValue('u', 0))), Num(1)))
    """
    try:
        return _Parser(names).convert(_syntax_tree(text))
    except FormulaError as error:
        raise FormulaError([Problem(where, f"{p.message} (in '{_shorten(text)}')") for p in error.problems]) from None


def parse_scalar(text: str, names: Names, where: str = "") -> Expr:
    """Expression of a formula that must be a scalar.

    Raises
    ------
    FormulaError
        As `parse`, and if the formula is a vector.
    """
    value = parse(text, names, where)
    if isinstance(value, Vector):
        raise FormulaError([Problem(where, f"a scalar is needed, '{_shorten(text)}' is a vector")])
    return value


def _shorten(text: str) -> str:
    shown = text.encode("ascii", "backslashreplace").decode() if isinstance(text, str) else repr(text)
    return shown if len(shown) <= 80 else shown[:77] + "..."


def _syntax_tree(text: str) -> ast.expr:
    if not isinstance(text, str) or not text.strip():
        raise FormulaError("the formula is empty")
    if len(text) > MAX_LENGTH:
        raise FormulaError(f"the formula has {len(text)} characters, at most {MAX_LENGTH} are allowed")
    if not text.isascii() or "\0" in text:
        raise FormulaError("only plain ASCII characters are allowed in a formula")
    depth = deepest = 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        deepest = max(deepest, depth)
    if deepest > MAX_DEPTH:
        raise FormulaError(f"brackets are nested {deepest} deep, at most {MAX_DEPTH} are allowed")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text.strip(), mode="eval").body
    except SyntaxError as error:
        hint = "; a product needs its sign, as in 2*x" if error.msg.endswith("decimal literal") else ""
        raise FormulaError(f"not a formula: {error.msg} at column {error.offset}{hint}") from None
    except (RecursionError, MemoryError, ValueError):
        raise FormulaError("the formula is nested too deeply") from None
    if sum(1 for _ in ast.walk(tree)) > 2 * MAX_NODES:
        raise FormulaError(f"the formula has more than {MAX_NODES} terms")
    return tree


class _Parser:
    def __init__(self, names: Names) -> None:
        self._names = names
        self._nodes = 0
        self._depth = 0
        self._tower = 0
        self._component: int | None = None
        self._operators: dict[str, Callable[[list[ast.expr]], Value]] = {
            "d": self._derivative,
            "laplacian": lambda a: operators.laplacian(self._one("laplacian", a), names.ndim),
            "grad": lambda a: operators.gradient(self._one("grad", a), names.ndim),
            "div": lambda a: operators.divergence(self._one("div", a), names.ndim),
            "curl": lambda a: operators.curl(self._one("curl", a), names.ndim),
            "dot": lambda a: operators.dot(*self._values("dot", a, 2)),
            "where": self._where,
            "vector": self._vector,
            "dt": self._rate,
            "noise": self._noise,
        }

    def convert(self, node: ast.expr) -> Value:
        """Value of one syntax node, within the limits on size and depth."""
        self._nodes += 1
        self._depth += 1
        if self._nodes > MAX_NODES:
            raise FormulaError(f"the formula has more than {MAX_NODES} terms")
        if self._depth > MAX_DEPTH:
            raise FormulaError(f"the formula is nested more than {MAX_DEPTH} deep")
        try:
            return self._convert(node)
        finally:
            self._depth -= 1

    def _convert(self, node: ast.expr) -> Value:
        if isinstance(node, ast.Constant):
            return _number(node.value)
        if isinstance(node, ast.Name):
            return self._names.resolve(node.id)
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.USub, ast.UAdd)):
            operand = self.convert(node.operand)
            return _scale(-1, operand) if isinstance(node.op, ast.USub) else operand
        if isinstance(node, ast.BinOp) and isinstance(node.op, (ast.Add, ast.Sub)):
            return self._sum(node)
        if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
            return self._binary(_BINARY[type(node.op)], node.left, node.right)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and not node.keywords:
            return self._call(node.func.id, node.args)
        if isinstance(node, (ast.Compare, ast.BoolOp)):
            raise FormulaError("a comparison may only be the condition of where()")
        raise FormulaError(f"{_describe(node)} is not allowed in a formula")

    def _binary(self, operator: str, left: ast.expr, right: ast.expr) -> Value:
        if operator == "**":
            return self._power(left, right)
        a, b = self.convert(left), self.convert(right)
        if operator == "/":
            if isinstance(b, Vector):
                raise FormulaError("a vector cannot be a divisor")
            if isinstance(b, Num) and b.value == 0:
                raise FormulaError("division by zero")
            b = power(b, -1)
        if isinstance(a, Vector) and isinstance(b, Vector):
            raise FormulaError("the product of two vectors is written dot(a, b)")
        return _checked(_scale(b, a) if isinstance(a, Vector) else _scale(a, b))

    def _sum(self, node: ast.BinOp) -> Value:
        # A sum of many terms leans to the left; walking down its spine keeps the nesting limit for real nesting.
        spine: list[tuple[bool, ast.expr]] = []
        left: ast.expr = node
        while isinstance(left, ast.BinOp) and isinstance(left.op, (ast.Add, ast.Sub)):
            spine.append((isinstance(left.op, ast.Sub), left.right))
            left = left.left
        terms = [self.convert(left)]
        for minus, term in reversed(spine):
            value = self.convert(term)
            terms.append(_scale(-1, value) if minus else value)
        return _total(terms)

    def _power(self, left: ast.expr, right: ast.expr) -> Expr:
        self._tower += 1
        if self._tower > MAX_TOWER:
            raise FormulaError(f"powers and exp() are nested more than {MAX_TOWER} deep")
        base, exponent = self._scalar(left), self._scalar(right)
        self._tower -= 1
        if isinstance(exponent, Num) and abs(exponent.value) > MAX_EXPONENT:
            raise FormulaError(f"exponent {float(exponent.value):g} is beyond {MAX_EXPONENT}")
        if any(isinstance(part, ast.BinOp) and isinstance(part.op, ast.Pow) for part in ast.walk(right)):
            raise FormulaError("an exponent may not be a power itself")
        if isinstance(base, Num) and base.value == 0 and isinstance(exponent, Num) and exponent.value < 0:
            raise FormulaError("division by zero")
        return _finite(power, base, exponent)

    def _call(self, name: str, args: list[ast.expr]) -> Value:
        if name in self._operators:
            return self._operators[name](args)
        if name not in FUNCTIONS:
            raise FormulaError(unknown_name("function", name, [*FUNCTIONS, *OPERATORS]))
        self._tower += name == "exp"
        if self._tower > MAX_TOWER:
            raise FormulaError(f"powers and exp() are nested more than {MAX_TOWER} deep")
        values = [self._scalar(a) for a in args]
        self._tower -= name == "exp"
        if name in ("min", "max") and len(values) > 2:
            result = values[0]
            for value in values[1:]:
                result = call(name, result, value)
            return result
        if len(values) != FUNCTIONS[name].arity:
            raise FormulaError(f"{name}() takes {FUNCTIONS[name].arity} argument(s), {len(values)} given")
        return _folded(name, values)

    def _derivative(self, args: list[ast.expr]) -> Value:
        if len(args) < 2:
            raise FormulaError("d() is written d(u, x), d(u, x, 2) or d(u, x, y)")
        value = self.convert(args[0])
        axes = AXES[: self._names.ndim]
        position = 1
        while position < len(args):
            node = args[position]
            if not isinstance(node, ast.Name) or node.id not in axes:
                raise FormulaError(f"d() needs an axis, one of {', '.join(axes)}, as its argument {position + 1}")
            following = args[position + 1] if position + 1 < len(args) else None
            order = following.value if isinstance(following, ast.Constant) else 1
            if type(order) is not int or order not in (1, 2):
                raise FormulaError("the order of a derivative is 1 or 2; nest d() for more")
            value = operators.derivative(value, axes.index(node.id), order)
            position += 2 if isinstance(following, ast.Constant) else 1
        return value

    def _where(self, args: list[ast.expr]) -> Value:
        if len(args) != 3:
            raise FormulaError("where() is written where(condition, a, b)")
        condition = self._condition(args[0])
        a, b = self.convert(args[1]), self.convert(args[2])
        if isinstance(a, Vector) or isinstance(b, Vector):
            raise FormulaError("where() chooses between scalars")
        return where(condition, a, b)

    def _condition(self, node: ast.expr) -> Expr:
        if isinstance(node, ast.BoolOp):
            parts = [self._condition(value) for value in node.values]
            result = parts[0]
            for part in parts[1:]:
                result = Compare("and" if isinstance(node.op, ast.And) else "or", result, part)
            return result
        if not isinstance(node, ast.Compare) or any(type(op) not in _COMPARISONS for op in node.ops):
            raise FormulaError("the condition of where() must be a comparison such as x < 1")
        operands = [self._scalar(operand) for operand in (node.left, *node.comparators)]
        pairs = [
            Compare(_COMPARISONS[type(op)], a, b)
            for op, a, b in zip(node.ops, operands[:-1], operands[1:], strict=True)
        ]
        chain: Expr = pairs[0]
        for pair in pairs[1:]:
            chain = Compare("and", chain, pair)
        return chain

    def _rate(self, args: list[ast.expr]) -> Value:
        if not self._names.rates:
            raise FormulaError("dt() may only occur on the right-hand side of a dtt() equation")
        return rate_of(self._one("dt", args))

    def _vector(self, args: list[ast.expr]) -> Vector:
        outer, components = self._component, []
        for component, node in enumerate(args):
            self._component = component
            components.append(self._scalar(node))
        self._component = outer
        return Vector(components)

    def _noise(self, args: list[ast.expr]) -> Value:
        if not self._names.noise:
            raise FormulaError("noise() may only occur on the right-hand side of a dt() or dtt() equation")
        stream = _stream(args)
        if self._component is not None or self._names.noise == 1:
            return Noise(stream, self._component or 0)
        return Vector(Noise(stream, component) for component in range(self._names.noise))

    def _scalar(self, node: ast.expr) -> Expr:
        value = self.convert(node)
        if isinstance(value, Vector):
            raise FormulaError("a vector stands where a scalar is needed; use V_x, V_y, ... or dot()")
        return value

    def _one(self, name: str, args: list[ast.expr]) -> Value:
        return self._values(name, args, 1)[0]

    def _values(self, name: str, args: list[ast.expr], count: int) -> list[Value]:
        if len(args) != count:
            raise FormulaError(f"{name}() takes {count} argument(s), {len(args)} given")
        return [self.convert(a) for a in args]


def _stream(args: list[ast.expr]) -> int:
    """The number of a noise; the first one if none is given."""
    if not args:
        return 1
    given = args[0].value if len(args) == 1 and isinstance(args[0], ast.Constant) else None
    if type(given) is not int or not 1 <= given <= MAX_STREAM:
        raise FormulaError(f"noise() is the first noise; others are noise(2) to noise({MAX_STREAM})")
    return given


def _number(value: object) -> Expr:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise FormulaError(f"only real numbers are allowed, not {type(value).__name__}")
    if isinstance(value, int) and value.bit_length() > 1023:
        raise FormulaError("the number is too large")
    if not math.isfinite(value):
        raise FormulaError("the number is not finite")
    return Num(value)


def _checked(value: Value) -> Value:
    for part in value if isinstance(value, Vector) else (value,):
        for number in (part, part.args[0] if isinstance(part, Mul) else ONE):
            if isinstance(number, Num) and not math.isfinite(float(number.value)):
                raise FormulaError("a constant in the formula is not finite")
    return value


def _finite(function: Callable[..., Expr], *args: Expr) -> Expr:
    try:
        result = function(*args)
        if isinstance(result, Num) and not (
            not isinstance(result.value, complex) and math.isfinite(float(result.value))
        ):
            raise OverflowError
    except (OverflowError, ZeroDivisionError, ValueError, TypeError):
        raise FormulaError("a constant in the formula is not a finite real number") from None
    return result


def _folded(name: str, values: list[Expr]) -> Expr:
    """A call of numbers alone is computed here, so that a formula never carries a value that is not finite."""
    if not all(isinstance(value, Num) for value in values):
        return call(name, *values)
    numbers = [float(value.value) for value in values]
    return _finite(lambda: Num(float(FUNCTIONS[name].scalar(*numbers))))


def _total(terms: list[Value]) -> Value:
    """Sum of several values, all scalars or all vectors of one length."""
    vectors = [term for term in terms if isinstance(term, Vector)]
    scalars = [term for term in terms if isinstance(term, Expr)]
    if not vectors:
        return _checked(_finite(add, *scalars))
    if scalars:
        raise FormulaError("a vector and a scalar cannot be added")
    if len({len(vector) for vector in vectors}) > 1:
        raise FormulaError(f"vectors of {' and '.join(str(len(v)) for v in vectors)} components cannot be added")
    return _checked(Vector(add(*parts) for parts in zip(*vectors, strict=True)))


def _scale(factor: Value | int, value: Value) -> Value:
    assert not isinstance(factor, Vector)
    if isinstance(value, Vector):
        return Vector(mul(factor, component) for component in value)
    return _finite(mul, Num(factor) if isinstance(factor, int) else factor, value)


_DESCRIPTIONS: dict[type, str] = {
    ast.Attribute: "an attribute ('.')",
    ast.Subscript: "an index ('[]')",
    ast.Lambda: "lambda",
    ast.NamedExpr: "an assignment",
    ast.JoinedStr: "a string",
    ast.Call: "this call",
    ast.IfExp: "if/else (write where(condition, a, b))",
    ast.BinOp: "this operator (use + - * / **)",
    ast.UnaryOp: "this operator (use + - * / **)",
}


def _describe(node: ast.AST) -> str:
    return _DESCRIPTIONS.get(type(node), f"'{type(node).__name__}'")
