"""The ends of an axis as the native solvers know them, from the boundary conditions of a field."""

from __future__ import annotations

from hpcsim.boundary.base import BoundaryCondition, Layer
from hpcsim.boundary.conditions import Conditions
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.location import Location
from hpcsim.solvers.grid import Axis, End

DIRICHLET, NEUMANN = End(1.0, 0.0), End(0.0, 1.0)


def make_axes(
    domain: Domain, location: Location, conditions: Conditions, field: str, component: int
) -> tuple[Axis, ...] | None:
    """The axes of the unknowns of one component.

    None if a condition has no form ``alpha*u + beta*du/dn = 0``.

    Parameters
    ----------
    domain : Domain
        The lattice.
    location : Location
        Where the component lives.
    conditions : Conditions
        Conditions of the run.
    field, component : str, int
        Which component of which field.
    """
    axes = []
    for axis, (cells, spacing) in enumerate(zip(domain.shape, domain.spacing, strict=True)):
        staggered = bool(location[axis])
        if domain.periodic[axis]:
            axes.append(Axis.of_cells(cells, spacing, None, staggered))
            continue
        pair = [end_of(conditions.at(field, component, axis, side), component, staggered) for side in (0, 1)]
        if pair[0] is None or pair[1] is None:
            return None
        axes.append(Axis.of_cells(cells, spacing, (pair[0], pair[1]), staggered))
    return tuple(axes)


def end_of(condition: BoundaryCondition, component: int, staggered: bool) -> End | None:
    """The homogeneous condition with the same ghost of depth 1, or None if there is none."""
    if condition.has_callback:
        return None
    if staggered and condition.plane(component, True) is not None:
        return DIRICHLET
    layer, spacing = condition.layer(1, component, staggered), condition.wall.spacing
    if not staggered:
        if layer.source != 0 or layer.plus is not None:
            return None
        if layer.factor == 1.0:
            return NEUMANN
        # The mean of ghost and image is alpha's value, their difference beta's.
        return (
            DIRICHLET if layer.factor == -1.0 else End(1.0, 0.5 * spacing * (1.0 + layer.factor) / (1.0 - layer.factor))
        )
    if (layer.source, layer.factor, layer.plus) == (1, 1.0, None):
        return NEUMANN
    if layer.source == 0 and layer.plus == 1:
        return End(-0.5 * layer.factor / spacing, 1.0)
    return None


def mirrors(condition: BoundaryCondition, component: int, staggered: bool, reach: int) -> bool:
    """Whether the ghosts down to a depth are mirror images of one sign, as sine and cosine modes have them."""
    if condition.has_callback:
        return False
    if staggered:
        signs: tuple[float, ...] = (1.0,) if condition.plane(component, True) is None else (-1.0,)
    else:
        signs = (1.0, -1.0)
    images = [_image(condition.layer(depth, component, staggered)) for depth in range(1, reach + 1)]
    first = 1 if staggered else 0
    return any(images == [(first + depth, sign) for depth in range(reach)] for sign in signs)


def _image(layer: Layer) -> tuple[int, float]:
    """Inner layer and factor of a ghost; the factor is 0 if it depends on two layers."""
    if layer.plus is None:
        return layer.source, layer.factor
    return layer.plus, 1.0 if layer.factor == 0.0 else 0.0


def keeps_symmetry(condition: BoundaryCondition, component: int, staggered: bool, reach: int) -> bool:
    """Whether a symmetric stencil of this reach stays symmetric when ghosts are put back inside.

    Between cell centres the nearest ghost belongs to the last cell alone. Deeper ghosts must be exact mirror images,
    and on a staggered axis the wall must be fixed.
    """
    layers = [condition.layer(depth, component, staggered) for depth in range(1, reach + 1)]
    if staggered:
        fixed = condition.plane(component, True) is not None
        return fixed and all(layer[:2] == (depth, -1.0) for depth, layer in enumerate(layers, 1))
    first = layers[0]
    mirrored = all(layer[:2] == (depth - 1, first.factor) for depth, layer in enumerate(layers, 1))
    return first.source == 0 and first.plus is None and (reach == 1 or (mirrored and abs(first.factor) == 1.0))
