"""What a boundary condition is: for every ghost layer of a wall an inner layer, a factor and a wall value.

Layers are counted from the wall. Ghost layers have depth 1, 2, ... outwards. Inner layers have numbers 0, 1, ...
inwards: on a centred axis layer 0 is the last cell, half a spacing from the wall, and the mirror image of depth k is
layer k - 1; on a staggered axis layer 0 is the plane of the wall itself and the mirror image of depth k is layer k.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from hpcsim.errors import ConfigError, Problem
from hpcsim.symbolic.expr import ZERO, Expr

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from hpcsim.lattice.domain import Domain

SIDES = ("lower", "upper")


@dataclass(frozen=True)
class Key:
    """One key of a condition's table in the configuration.

    Attributes
    ----------
    kind : {"formula", "number", "whole", "choice"}
        ``formula``: a number, or text in the coordinates, ``t`` and the parameters, or a list of these with one entry
        per component. ``number``: a number, or text in the parameters that are numbers. ``whole``: a whole number.
        ``choice``: one of `choices`.
    help : str
        One line for the reference, with the unit.
    default : object
        Value when the key is left out; None makes the key required, unless it is optional.
    optional : bool
        Whether the condition itself chooses a value when the key is left out.
    least : float
        Smallest allowed number.
    choices : tuple of str
        Allowed texts.
    """

    kind: str
    help: str
    default: Any = None
    optional: bool = False
    least: float = -math.inf
    choices: tuple[str, ...] = ()

    @property
    def required(self) -> bool:
        """Whether the key must be given."""
        return self.default is None and not self.optional


@dataclass(frozen=True)
class Wall:
    """The place of one condition: a field at one end of one axis.

    Attributes
    ----------
    domain : Domain
        The lattice.
    field : str
        Name of the field.
    components : int
        Components of the field.
    axis, side : int
        Which axis; 0 for its lower and 1 for its upper end.
    where : str
        Key of the configuration the condition came from, for messages.
    """

    domain: Domain
    field: str
    components: int
    axis: int
    side: int
    where: str = ""

    @property
    def spacing(self) -> float:
        """Distance between layers."""
        return self.domain.spacing[self.axis]

    @property
    def position(self) -> float:
        """Coordinate of the wall along its axis."""
        return self.domain.coordinate(self.axis, self.side * self.domain.shape[self.axis], True)

    def distance(self, depth: int, staggered: bool) -> float:
        """Distance between a ghost layer and its mirror image."""
        return (2 * depth if staggered else 2 * depth - 1) * self.spacing


class Layer(NamedTuple):
    """Recipe of one ghost layer: ``factor * inner[source] + weight * value + inner[plus]``.

    Attributes
    ----------
    source : int
        Number of the inner layer that is read.
    factor : float
        What it is multiplied by.
    weight : float
        What the wall value is multiplied by.
    plus : int or None
        Number of an inner layer that is added as it is.
    """

    source: int
    factor: float
    weight: float = 0.0
    plus: int | None = None


class Damping(NamedTuple):
    """An absorbing layer.

    Attributes
    ----------
    rate : str
        Damping rate per time, a formula of the coordinates.
    reference : Expr
        State that an equation of first order relaxes to.
    """

    rate: str
    reference: Expr


@dataclass(frozen=True)
class Patch:
    """The part of a wall that one block fills, as a callback sees it.

    Attributes
    ----------
    wall : Wall
        Which wall.
    component : int
        Which component of the field.
    staggered : bool
        Whether inner layer 0 is the plane of the wall.
    coordinates : tuple of ndarray
        Position of the sites per axis, each of a shape that broadcasts against a layer; along the axis of the wall
        the position of the wall. On a periodic axis positions are wrapped into the domain.
    """

    wall: Wall
    component: int
    staggered: bool
    coordinates: tuple[NDArray[np.float64], ...] = field(repr=False)


class BoundaryCondition:
    """One condition at one wall of one field; subclasses say how ghosts follow from inner layers.

    Parameters
    ----------
    wall : Wall
        Where it holds.
    options : mapping
        Value of every key of `keys`: a tuple of expressions (one per component) for a formula, else a plain value.
    """

    keys: ClassVar[Mapping[str, Key]] = {}
    """The keys of the condition's table, besides ``type``."""
    periodic: ClassVar[bool] = False
    """Whether the axis closes on itself; then there is no wall and nothing else is asked."""
    value_key: ClassVar[str] = "value"
    """Which key holds the wall value."""

    def __init__(self, wall: Wall, options: Mapping[str, Any]) -> None:
        self.wall = wall
        self.options = options

    def layer(self, depth: int, component: int, staggered: bool) -> Layer:
        """Recipe of a ghost layer.

        Parameters
        ----------
        depth : int
            Number of the ghost layer, from 1.
        component : int
            Component of the field.
        staggered : bool
            Whether the component is staggered along the axis of the wall.

        Returns
        -------
        Layer
            Its layer numbers run from 0 to ``depth - 1`` (centred) or ``depth`` (staggered).

        Raises
        ------
        ConfigError
            If the condition has no solution there.
        """
        raise NotImplementedError(f"{type(self).__name__} has neither layer() nor fill_block()")

    def plane(self, component: int, staggered: bool) -> float | None:
        """Factor of the wall value that fixes the plane of the wall itself, or None if the equation moves it.

        Only asked for a staggered axis; a centred one has no sites on the wall.
        """
        return None

    def fixes_boundary(self, component: int, staggered: bool) -> bool:
        """Whether the sites on the wall are set by the condition and must not be updated."""
        return staggered and self.plane(component, staggered) is not None

    def value(self, component: int) -> Expr:
        """The wall value of a component, a formula of the coordinates and ``t``."""
        values = self.options.get(self.value_key)
        return values[component] if isinstance(values, tuple) else ZERO

    def damping(self, component: int = 0) -> Damping | None:
        """The absorbing layer in front of the wall, if there is one."""
        return None

    def fill_block(self, ghosts: NDArray[Any], inner: NDArray[Any], patch: Patch, t: float) -> None:
        """Set the ghosts of one block and component directly; overriding it replaces `layer` and `plane`.

        Parameters
        ----------
        ghosts : ndarray, shape (width, ...)
            View of the ghost layers to set, ``ghosts[0]`` nearest to the wall. The other axes are those of the field
            without the axis of the wall.
        inner : ndarray, shape (layers, ...)
            View of the inner layers, ``inner[0]`` nearest to the wall.
        patch : Patch
            Place and coordinates.
        t : float
            Time of the values.
        """
        raise NotImplementedError(f"{type(self).__name__} has neither layer() nor fill_block()")

    @property
    def has_callback(self) -> bool:
        """Whether `fill_block` is overridden."""
        return type(self).fill_block is not BoundaryCondition.fill_block

    def refuse(self, message: str) -> ConfigError:
        """An error that names the place of the condition in the configuration."""
        return ConfigError([Problem(self.wall.where, message)])


def make_layers(condition: BoundaryCondition, ghost: int, component: int, staggered: bool) -> list[Layer]:
    """Recipes of all ghost layers of a wall, checked.

    Raises
    ------
    ConfigError
        If the condition has no solution, or a recipe reads a layer that is not there.
    """
    deepest = ghost if staggered else ghost - 1
    layers = [condition.layer(depth, component, staggered) for depth in range(1, ghost + 1)]
    for depth, layer in enumerate(layers, 1):
        for number in (layer.source, layer.plus):
            if number is not None and not 0 <= number <= deepest:
                raise condition.refuse(
                    f"ghost layer {depth} of {type(condition).__name__} reads inner layer {number}; "
                    f"with {ghost} ghost layers there are 0 to {deepest}"
                )
    return layers
