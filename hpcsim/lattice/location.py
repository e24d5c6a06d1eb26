"""Where in a cell a component lives: centred or staggered, axis by axis."""

from __future__ import annotations

from typing import TypeAlias

from hpcsim.errors import ConfigError, unknown_name
from hpcsim.lattice.domain import Domain

Location: TypeAlias = tuple[int, ...]
"""Per axis 0 = at the centre of the cell, 1 = on its lower plane."""

CENTRINGS = ("cell", "vertex", "face", "edge")


def component_locations(centring: str, ndim: int, components: int) -> tuple[Location, ...]:
    """Locations of the components of a field.

    Parameters
    ----------
    centring : str
        ``cell`` (centred on all axes), ``vertex`` (staggered on all), ``face`` (component a staggered along a only)
        or ``edge`` (component a staggered along all axes but a).
    ndim : int
        Number of axes.
    components : int
        Number of components; `ndim` for face and edge.

    Returns
    -------
    tuple of Location
        One per component.

    Raises
    ------
    ConfigError
        If the centring is unknown or the number of components does not suit it.

    Examples
    --------
    >>> component_locations("edge", 3, 3)
    ((0, 1, 1), (1, 0, 1), (1, 1, 0))
    """
    if centring not in CENTRINGS:
        raise ConfigError(unknown_name("centring", centring, CENTRINGS))
    if components < 1:
        raise ConfigError(f"a field has at least 1 component, not {components}")
    if centring in ("cell", "vertex"):
        return ((0 if centring == "cell" else 1,) * ndim,) * components
    if components != ndim:
        raise ConfigError(f"centring '{centring}' needs one component per axis: {ndim}, not {components}")
    own = 1 if centring == "face" else 0
    return tuple(tuple(own if axis == c else 1 - own for axis in range(ndim)) for c in range(ndim))


def owned_extent(domain: Domain, location: Location) -> tuple[int, ...]:
    """Sites per axis of a component over the whole domain, each counted once.

    Parameters
    ----------
    domain : Domain
        The lattice.
    location : Location
        Location of the component.

    Returns
    -------
    tuple of int
        The number of cells, and one more on a bounded axis along which the component is staggered.

    Examples
    --------
    >>> owned_extent(Domain((4, 4), (0, 0), (1, 1), (True, False)), (1, 1))
    (4, 5)
    """
    return tuple(
        n + (1 if staggered and not closed else 0)
        for n, staggered, closed in zip(domain.shape, location, domain.periodic, strict=True)
    )
