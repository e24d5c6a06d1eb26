"""The whole configuration: one frozen object with a section for each table of the file."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from pydantic import PrivateAttr

from hpcsim.config.files import inside
from hpcsim.config.sections.boundary import Condition, FieldBoundary
from hpcsim.config.sections.checkpoint import Checkpoint
from hpcsim.config.sections.initial import InitialTable
from hpcsim.config.sections.lattice import Lattice
from hpcsim.config.sections.memory import Memory
from hpcsim.config.sections.model import Model
from hpcsim.config.sections.output import Diagnostics, Output
from hpcsim.config.sections.run import Run
from hpcsim.config.sections.solver import PetscTable, Solver
from hpcsim.config.toml import write_toml
from hpcsim.config.values import FrozenDict, Section, Table, key


class Config(Section):
    """A checked configuration with all defaults filled in; equal and hashed by content.

    Made by `load` or `from_mapping`, which also check sections against each other.
    """

    lattice: Lattice = key(text="The domain, its resolution and its decomposition.")
    boundary: Table[FieldBoundary] = key(text="Boundary conditions of single fields.", default_factory=FrozenDict)
    model: Model = key(text="What is solved.")
    initial: InitialTable = key(
        text="Fields at the start; a field that is not named starts at zero.", default_factory=FrozenDict
    )
    run: Run = key(text="Length, step size, precision and execution of the run.", default_factory=Run)
    solver: Solver = key(text="How constraints and implicit steps are solved.", default_factory=Solver)
    petsc: PetscTable = key(
        text="Options of PETSc without the dash; with the name of a solver in front, phi_ksp_type, for that one alone.",
        default_factory=FrozenDict,
    )
    output: Output = key(text="Snapshots of fields.", default_factory=Output)
    diagnostics: Diagnostics = key(text="Time series of numbers.", default_factory=Diagnostics)
    checkpoint: Checkpoint = key(text="Saved states from which a run goes on.", default_factory=Checkpoint)
    memory: Memory = key(text="Memory that the run may take.", default_factory=Memory)

    _directory: Path | None = PrivateAttr(default=None)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Config) and self.to_mapping() == other.to_mapping()

    def __hash__(self) -> int:
        return hash(self.digest())

    def to_mapping(self) -> dict[str, Any]:
        """The resolved configuration as plain dictionaries, lists, numbers and texts."""
        mapping: dict[str, Any] = self.model_dump(mode="json", exclude_none=True)
        return mapping

    def digest(self) -> str:
        """SHA-256 of the resolved configuration as canonical JSON, in hexadecimal."""
        text = json.dumps(self.to_mapping(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_toml(self) -> str:
        """The resolved configuration as TOML text that loads back equal."""
        return write_toml(self.to_mapping())

    def condition(self, field: str, axis: int, upper: bool) -> Condition:
        """The boundary condition of a field at one end of an axis, narrowest key first."""
        name = self.lattice.axes[axis]
        general = self.lattice.boundary[name][upper]
        own = self.boundary[field].at(name, upper) if field in self.boundary else None
        return general if general.periodic or own is None else own

    def located(self, directory: Path | None) -> Config:
        """The same configuration, with file names in it taken relative to a directory."""
        copy = self.model_copy()
        copy._directory = directory
        return copy

    @property
    def directory(self) -> Path:
        """Directory that file names in the configuration are relative to."""
        return self._directory or Path.cwd()

    def file(self, name: str) -> Path:
        """Absolute path of a file named in the configuration.

        Raises
        ------
        ConfigError
            If it leaves the directory of the configuration, or is not a regular file.
        """
        return inside(self.directory, name)
