"""The objects of the Python interface; a script and a TOML file describe the same case with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcsim.comm.context import Context
from hpcsim.config.load import from_mapping, load
from hpcsim.machine.threads import set_threads
from hpcsim.output.open import open
from hpcsim.simulation.build import Simulation as _Simulation
from hpcsim.simulation.build import build
from hpcsim.simulation.checkpoint import best_config, candidates, restored, save

_NO_LIMIT = 2**53

__all__ = ["Lattice", "Model", "Simulation", "load", "open"]


@dataclass(frozen=True)
class Lattice:
    """The domain and its resolution.

    Parameters
    ----------
    shape : sequence of int
        Cells per axis.
    lower, upper : sequence of float, optional
        Ends of the axes; by default 0 and one unit of length per cell.
    boundary : str or mapping
        As the key ``lattice.boundary``.
    options : mapping, optional
        Other keys of the section ``[lattice]``: ``block_shape``, ``curve``, ``partition``.
    """

    shape: Sequence[int]
    lower: Sequence[float] | None = None
    upper: Sequence[float] | None = None
    boundary: Any = "periodic"
    options: Mapping[str, Any] | None = None

    def section(self) -> dict[str, Any]:
        """The section ``[lattice]`` of a configuration."""
        section: dict[str, Any] = {"shape": list(self.shape), "boundary": self.boundary, **(self.options or {})}
        if self.lower is not None:
            section["lower"] = list(self.lower)
        if self.upper is not None:
            section["upper"] = list(self.upper)
        return section


@dataclass(frozen=True)
class Model:
    """Equations in text, or the name of a built-in model.

    Parameters
    ----------
    equations : mapping of str to str, optional
        ``"dt(u)"`` or ``"dtt(u)"`` to its right-hand side.
    fields : mapping, optional
        Field name to its options (``centring``, ``components``); by default one cell-centred scalar per equation and
        convolution.
    parameters : mapping, optional
        Numbers, formulas, or lists of them.
    derived : mapping of str to str, optional
        Derived fields.
    convolutions : mapping, optional
        Fields that are integrals of others, as in ``[model.convolutions]``.
    name : str
        A built-in model instead of equations.
    order : int
        Order of the finite differences.
    kernels : sequence of str
        Names of own functions that run after every step (see `hpcsim.integrators.raw`).

    Examples
    --------
    >>> heat = Model({"dt(u)": "D*laplacian(u)"}, parameters={"D": 0.1})
    >>> sorted(heat.section()["fields"])
    ['u']
    """

    equations: Mapping[str, str] | None = None
    fields: Mapping[str, Mapping[str, Any]] | None = None
    parameters: Mapping[str, Any] | None = None
    derived: Mapping[str, str] | None = None
    name: str = "equations"
    order: int = 2
    kernels: Sequence[str] = ()
    convolutions: Mapping[str, Mapping[str, Any]] | None = None

    def section(self) -> dict[str, Any]:
        """The section ``[model]`` of a configuration."""
        section: dict[str, Any] = {"name": self.name, "order": self.order, "parameters": dict(self.parameters or {})}
        if self.name == "equations":
            equations = dict(self.equations or {})
            names = [left[left.find("(") + 1 : left.rfind(")")].strip() for left in equations]
            names += self.convolutions or ()
            section["fields"] = {k: dict(v) for k, v in (self.fields or {name: {} for name in names}).items()}
            section["equations"] = equations
        if self.kernels:
            section["kernels"] = list(self.kernels)
        if self.derived:
            section["derived"] = dict(self.derived)
        if self.convolutions:
            section["convolutions"] = {name: dict(table) for name, table in self.convolutions.items()}
        return section


class Simulation(_Simulation):
    """A lattice, a model and initial values, ready to run.

    Parameters
    ----------
    lattice : Lattice
        The domain.
    model : Model
        The equations.
    initial : mapping, optional
        Field to number, formula or table, as in ``[initial]``.
    boundary : mapping, optional
        Conditions per field, as in ``[boundary.<field>]``.
    quantities : mapping, optional
        As in ``[diagnostics.quantities]``.
    comm : mpi4py communicator, optional
        The ranks; by default all ranks under a launcher, else this process alone.
    solver, petsc : mapping, optional
        As in ``[solver]`` and ``[petsc]``.
    **run
        Keys of the section ``[run]``.

    Examples
    --------
    >>> heat = Model({"dt(u)": "D*laplacian(u)"}, parameters={"D": 1.0})
    >>> simulation = Simulation(Lattice([32], upper=[1.0]), heat, initial={"u": "sin(2*pi*x)"}, backend="numpy")
    >>> simulation.run(until=0.01).step > 0
    True
    """

    def __init__(
        self,
        lattice: Lattice,
        model: Model,
        initial: Mapping[str, Any] | None = None,
        boundary: Mapping[str, Any] | None = None,
        quantities: Mapping[str, Any] | None = None,
        comm: Any = None,
        solver: Mapping[str, Any] | None = None,
        petsc: Mapping[str, Any] | None = None,
        **run: Any,
    ) -> None:
        if "stop_time" not in run and "steps" not in run:
            run["steps"] = _NO_LIMIT
        sections: dict[str, Any] = {
            "lattice": lattice.section(),
            "model": model.section(),
            "initial": dict(initial or {}),
            "run": run,
        }
        if boundary:
            sections["boundary"] = dict(boundary)
        if quantities:
            sections["diagnostics"] = {"quantities": dict(quantities)}
        sections |= {name: dict(table) for name, table in (("solver", solver), ("petsc", petsc)) if table}
        config = from_mapping(sections)
        set_threads(config.run.threads)
        context = Context(comm) if comm is not None else Context.launch(config.run.threads)
        self._take(build(config, context))

    def _take(self, other: _Simulation) -> None:
        # Shared, not copied: the parts of the other one hold on to it, and both must have the same clock.
        self.__dict__ = other.__dict__

    @classmethod
    def restore(cls, directory: str | Path, comm: Any = None, overrides: Sequence[str] = ()) -> Simulation:
        """The simulation of the newest good checkpoint of a directory, on any number of ranks.

        Parameters
        ----------
        directory : path
            Run directory, or where `save` wrote.
        comm : mpi4py communicator, optional
            As for the class.
        overrides : sequence of str
            Keys to change, ``"run.threads=4"``; what may change is in `hpcsim.simulation.changes`.

        Raises
        ------
        NoCheckpointError
            If no checkpoint there is good.
        ConfigError
            If a key is changed that may not be.
        """
        names, _ = candidates(directory)
        config = best_config(directory, names, overrides)
        set_threads(config.run.threads)
        context = Context(comm) if comm is not None else Context.launch(config.run.threads)
        simulation = cls.__new__(cls)
        simulation._take(restored(directory, context, names, config))
        return simulation

    def save(self, directory: str | Path) -> str:
        """Save the whole state as a checkpoint; collective.

        Parameters
        ----------
        directory : path
            Where checkpoints go, below ``ckpt``; two stay.

        Returns
        -------
        str
            Name of the checkpoint.

        Raises
        ------
        DiskError
            On every rank, if it could not be written; older checkpoints are then untouched.

        Examples
        --------
        >>> import tempfile
        >>> heat = Model({"dt(u)": "laplacian(u)"})
        >>> simulation = Simulation(Lattice([32]), heat, initial={"u": "exp(-(x - 16)**2)"}, backend="numpy")
        >>> with tempfile.TemporaryDirectory() as directory:
        ...     simulation.run(steps=5).save(directory)
        ...     Simulation.restore(directory).step
        'step-00000005'
        5
        """
        return save(self, directory)
