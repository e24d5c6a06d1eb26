"""Vector calculus on expressions: gradient, divergence, curl, Laplacian and the dot product."""

from __future__ import annotations

from collections.abc import Sequence

from hpcsim.errors import FormulaError
from hpcsim.symbolic.expr import Derivative, Expr, FluxDerivative, Num, add, mul

AXES = ("x", "y", "z", "w")


class Vector(tuple[Expr, ...]):
    """A vector of expressions, one per component."""

    __slots__ = ()


Value = Expr | Vector


def parts_of(value: Value) -> tuple[Expr, ...]:
    """The components of a value; a scalar has one."""
    return tuple(value) if isinstance(value, Vector) else (value,)


def derivative(value: Value, axis: int, order: int = 1) -> Value:
    """Space derivative of a scalar or, component by component, of a vector."""
    if isinstance(value, Vector):
        return Vector(Derivative(component, axis, order) for component in value)
    return Derivative(value, axis, order)


def laplacian(value: Value, ndim: int) -> Value:
    """Sum of the second derivatives; of a vector, component by component."""
    if isinstance(value, Vector):
        return Vector(_laplacian(component, ndim) for component in value)
    return _laplacian(value, ndim)


def _laplacian(value: Expr, ndim: int) -> Expr:
    return add(*(Derivative(value, axis, 2) for axis in range(ndim)))


def gradient(value: Value, ndim: int) -> Vector:
    """First derivatives of a scalar along every axis.

    Raises
    ------
    FormulaError
        If the argument is a vector.
    """
    if isinstance(value, Vector):
        raise FormulaError("grad() takes a scalar, a vector was given")
    return Vector(Derivative(value, axis, 1) for axis in range(ndim))


def divergence(value: Value, ndim: int) -> Expr:
    """Divergence of a vector in flux form: each component is differenced between the faces of its axis.

    Raises
    ------
    FormulaError
        If the argument is not a vector with one component per axis.
    """
    vector = _vector("div", value, ndim)
    return add(*(FluxDerivative(component, axis) for axis, component in enumerate(vector)))


def curl(value: Value, ndim: int) -> Value:
    """Curl of a three-component vector in d <= 3 (a scalar in 2-D is taken as the component out of the plane).

    Derivatives along axes that the lattice does not have are zero.

    Raises
    ------
    FormulaError
        If the dimension is above 3 or the number of components fits no curl.
    """
    if ndim > 3:
        raise FormulaError("curl() exists in at most 3 dimensions")
    if not isinstance(value, Vector):
        if ndim != 2:
            raise FormulaError("curl() of a scalar exists in 2 dimensions only")
        return Vector((Derivative(value, 1, 1), mul(-1, Derivative(value, 0, 1))))
    if len(value) == 2 and ndim == 2:
        return Derivative(value[1], 0, 1) - Derivative(value[0], 1, 1)
    if len(value) != 3:
        raise FormulaError(f"curl() takes a vector of 3 components, {len(value)} were given")
    return Vector(
        _partial(value[(a + 2) % 3], (a + 1) % 3, ndim) - _partial(value[(a + 1) % 3], (a + 2) % 3, ndim)
        for a in range(3)
    )


def _partial(value: Expr, axis: int, ndim: int) -> Expr:
    return Derivative(value, axis, 1) if axis < ndim else Num(0)


def dot(left: Value, right: Value) -> Expr:
    """Sum of the products of the components.

    Raises
    ------
    FormulaError
        If the arguments are not vectors of one length.
    """
    if not isinstance(left, Vector) or not isinstance(right, Vector) or len(left) != len(right):
        raise FormulaError("dot() takes two vectors of the same number of components")
    return add(*(mul(a, b) for a, b in zip(left, right, strict=True)))


def _vector(name: str, value: Value, ndim: int) -> Sequence[Expr]:
    if not isinstance(value, Vector) or len(value) != ndim:
        given = f"{len(value)} components" if isinstance(value, Vector) else "a scalar"
        raise FormulaError(f"{name}() takes a vector with one component per axis ({ndim}), {given} given")
    return value
