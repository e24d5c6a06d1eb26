"""What a field is: its name, components, place on the lattice and number type."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hpcsim.errors import ConfigError, Problem, unknown_name
from hpcsim.lattice.location import CENTRINGS, Location, component_locations

DTYPES = ("float32", "float64")


@dataclass(frozen=True)
class FieldSpec:
    """Declaration of one field.

    Parameters
    ----------
    name : str
        Name of the field in equations, files and messages.
    components : int
        Values per site, at least 1. Face and edge fields have one component per axis.
    centring : {"cell", "vertex", "face", "edge"}
        Where on the lattice the values live.
    dtype : {"float64", "float32"}
        Number type of the values.

    Raises
    ------
    ConfigError
        If a component count, centring or dtype is not one of those allowed.

    Examples
    --------
    >>> FieldSpec("E", components=2, centring="edge").locations(2)
    ((0, 1), (1, 0))
    """

    name: str
    components: int = 1
    centring: str = "cell"
    dtype: str = "float64"

    def __post_init__(self) -> None:
        where = f"field '{self.name}'"
        faults = []
        if not self.name:
            faults.append(Problem("field", "the name is empty"))
        if self.components < 1:
            faults.append(Problem(where, f"components = {self.components}; at least 1 is needed"))
        if self.centring not in CENTRINGS:
            faults.append(Problem(where, unknown_name("centring", self.centring, CENTRINGS)))
        if self.dtype not in DTYPES:
            faults.append(Problem(where, unknown_name("dtype", self.dtype, DTYPES)))
        if faults:
            raise ConfigError(faults)

    @property
    def itemsize(self) -> int:
        """Bytes per value."""
        return np.dtype(self.dtype).itemsize

    def locations(self, ndim: int) -> tuple[Location, ...]:
        """Per component, the place on the lattice: per axis 0 centred, 1 staggered."""
        return component_locations(self.centring, ndim, self.components)

    def same_storage(self, other: FieldSpec) -> bool:
        """Whether a register of one can hold the values of the other (all but the name are equal)."""
        mine = (self.components, self.centring, self.dtype)
        return mine == (other.components, other.centring, other.dtype)
