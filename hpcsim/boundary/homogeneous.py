"""Boundary conditions without their given values, for directions and corrections of linear solvers."""

from __future__ import annotations

from hpcsim.boundary.base import BoundaryCondition, Layer
from hpcsim.boundary.conditions import Conditions


class Homogeneous(BoundaryCondition):
    """The linear part of another condition: the same recipes with wall values of zero."""

    def __init__(self, whole: BoundaryCondition) -> None:
        super().__init__(whole.wall, {})
        self._whole = whole

    def layer(self, depth: int, component: int, staggered: bool) -> Layer:
        """The recipe without the wall value."""
        return self._whole.layer(depth, component, staggered)._replace(weight=0.0)

    def plane(self, component: int, staggered: bool) -> float | None:
        """Zero where the condition fixes the plane."""
        return None if self._whole.plane(component, staggered) is None else 0.0


def homogeneous(conditions: Conditions) -> Conditions:
    """The linear part of all conditions of a run.

    Raises
    ------
    ConfigError
        If a condition fills ghosts by a function of its own: it has no recipe, and it may not be linear.

    Examples
    --------
    >>> from hpcsim.boundary.conditions import resolve
    >>> from hpcsim.fields.spec import FieldSpec
    >>> from hpcsim.lattice.domain import Domain
    >>> walls = resolve({"type": "dirichlet", "value": 3}, {}, [FieldSpec("u")], Domain((4,), (0,), (1,), (False,)))
    >>> homogeneous(walls).at("u", 0, 0, 0).layer(1, 0, False)
    Layer(source=0, factor=-1.0, weight=0.0, plus=None)
    """
    for condition in conditions.table.values():
        if condition.has_callback:
            kind = type(condition).__name__
            raise condition.refuse(
                f"{kind} fills ghosts by a function of its own; implicit steps and constraints need a linear condition"
            )
    return Conditions({key: Homogeneous(condition) for key, condition in conditions.table.items()})
