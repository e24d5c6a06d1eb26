"""Saving and restoring a simulation from Python, without a run loop."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from hpcsim.comm.context import Context
from hpcsim.config.load import load_text
from hpcsim.config.schema import Config
from hpcsim.errors import ConfigError, DiskError, NoCheckpointError, unknown_name
from hpcsim.lattice.layout import Block
from hpcsim.output.checkpoint.options import CheckpointFacts, CheckpointOptions
from hpcsim.output.checkpoint.store import CheckpointStore
from hpcsim.output.checkpoint.writer import CheckpointWriter
from hpcsim.output.provenance import provenance
from hpcsim.output.snapshot import SnapshotField
from hpcsim.simulation.build import Simulation, assemble
from hpcsim.simulation.case import make_case
from hpcsim.simulation.resume import Resume

FOLDER = "ckpt"


def run_facts(simulation: Simulation, run_id: str) -> CheckpointFacts:
    """What every checkpoint of a run says of it: its name, configuration and versions; collective."""
    config = simulation.case.config
    known = (provenance(simulation.context) or {}).get("versions", {})
    versions = {name: version for name, version in known.items() if version is not None}
    return CheckpointFacts(run_id, config.to_toml(), config.digest(), versions)


def new_run_id(context: Context) -> str:
    """A name for one start of a run, equal on all ranks and different from all others; collective."""
    return context.bcast_text(f"{time.time_ns():x}-{os.getpid():x}")


def saved_fields(simulation: Simulation, source: Any) -> list[SnapshotField]:
    """Every register that a checkpoint holds, for the writer.

    Parameters
    ----------
    simulation : Simulation
        Whose registers.
    source : State or Image
        Where the values are read; ``source.interior(name, block, component)`` gives owned values.
    """

    def components(name: str, count: int, block: Block) -> list[Any]:
        return [source.interior(name, block, component) for component in range(count)]

    specs = {name: simulation.state[name].spec for name in simulation.saved_registers()}
    return [SnapshotField(name, spec, partial(components, name, spec.components)) for name, spec in specs.items()]


def save(simulation: Simulation, directory: str | Path, options: CheckpointOptions | None = None) -> str:
    """Write a checkpoint of the present state; collective.

    Parameters
    ----------
    simulation : Simulation
        What to save.
    directory : path
        Where checkpoints go, below ``ckpt``.
    options : CheckpointOptions, optional
        How; as the defaults of ``[checkpoint]``.

    Returns
    -------
    str
        Its name.

    Raises
    ------
    DiskError
        On every rank, if it could not be written; older checkpoints are then untouched.
    """
    store = CheckpointStore(Path(directory) / FOLDER)
    facts = run_facts(simulation, new_run_id(simulation.context))
    writer = CheckpointWriter(simulation.context, simulation.layout, store, options or CheckpointOptions(), facts)
    simulation.settle()
    fields = saved_fields(simulation, simulation.state)
    report = writer.write(fields, simulation.step, simulation.time, simulation.dt, simulation.kept.save())
    if not report.accepted:
        raise DiskError(f"the checkpoint of step {simulation.step} was not written: {report.problem}")
    return report.name


def candidates(directory: str | Path, wanted: str | None = None) -> tuple[list[str], str]:
    """Checkpoints to try, best first, and what is odd about them (empty if nothing).

    Parameters
    ----------
    directory : path
        Run directory.
    wanted : str, optional
        The only one to try.

    Raises
    ------
    NoCheckpointError
        If there is none.
    ConfigError
        If the wanted one does not exist.
    """
    store = CheckpointStore(Path(directory) / FOLDER)
    names, note = store.candidates()
    if not names:
        raise NoCheckpointError(f"there is no checkpoint in {store.root}; start the run with `hpcsim run`")
    if wanted is None:
        return names, note
    if wanted not in names:
        raise ConfigError(f"checkpoint: {unknown_name('checkpoint', wanted, names)}")
    return [wanted], ""


def best_config(directory: str | Path, names: Sequence[str], overrides: Sequence[str] = ()) -> Config:
    """The configuration of the first of some checkpoints whose manifest can be read.

    Parameters
    ----------
    directory : path
        Run directory.
    names : sequence of str
        Checkpoints, best first.
    overrides : sequence of str
        Keys to change, as on the command line.

    Raises
    ------
    NoCheckpointError
        If no manifest can be read, with the reasons.
    ConfigError
        With every fault of the overrides.
    """
    store = CheckpointStore(Path(directory) / FOLDER)
    reasons = []
    for name in names:
        try:
            manifest = store.read_manifest(name)
        except DiskError as error:
            reasons.append(f"{name}: {error}")
            continue
        place = Path(manifest.state["case"]["directory"])
        return load_text(manifest.config, f"the configuration in {name}", place, overrides)
    raise NoCheckpointError("no checkpoint is good:\n  " + "\n  ".join(reasons))


def restored(directory: str | Path, context: Context, names: Sequence[str], config: Config) -> Simulation:
    """A simulation from the first good one of some checkpoints; collective.

    Parameters
    ----------
    directory : path
        Run directory.
    context : Context
        The ranks, any number of them.
    names : sequence of str
        Checkpoints to try, best first.
    config : Config
        Configuration to go on with.

    Raises
    ------
    NoCheckpointError
        If none is good.
    ConfigError
        If something is configured differently that may not change.
    """

    def say(line: str) -> None:
        if context.rank == 0:
            print(f"hpcsim: {line}", flush=True)

    resume = Resume(CheckpointStore(Path(directory) / FOLDER), names, config, say)
    return assemble(make_case(config), context, restore=resume)
