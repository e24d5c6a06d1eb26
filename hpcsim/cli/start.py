"""Starting a run, afresh or from a checkpoint: what the verbs ``run`` and ``restart`` share."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcsim.cli.case import naming_file
from hpcsim.cli.signals import StopSignals
from hpcsim.comm.abort import describe
from hpcsim.comm.context import Context
from hpcsim.comm.watchdog import Watchdog
from hpcsim.config.schema import Config
from hpcsim.errors import DiskError
from hpcsim.kernels.bandwidth import triad_bandwidth
from hpcsim.machine.walltime import parse_walltime, time_limit
from hpcsim.output.checkpoint.store import CheckpointStore
from hpcsim.output.directory import RunDirectory
from hpcsim.output.lock import lock_directory
from hpcsim.output.log import Log, parse_ranks
from hpcsim.output.record import read_record
from hpcsim.simulation.build import Simulation, assemble
from hpcsim.simulation.case import Case, make_case
from hpcsim.simulation.checkpoint import new_run_id
from hpcsim.simulation.resume import Resume
from hpcsim.simulation.runner import STOP_FILE, Means, Runner, at_end
from hpcsim.simulation.turns import StopSources

STOPPED = 75
"""Exit code of a run that was stopped before its end and can go on."""


@dataclass(frozen=True)
class Start:
    """How a run starts.

    Attributes
    ----------
    root : Path
        Run directory.
    config : Config
        What is run.
    candidates : tuple of str
        Checkpoints to go on from, best first; empty to start afresh.
    note : str
        What is odd about the checkpoints, empty if nothing.
    """

    root: Path
    config: Config
    candidates: tuple[str, ...] = ()
    note: str = ""


def execute(context: Context, start: Start, args: argparse.Namespace, began: float) -> int:
    """Run the case in its directory; collective.

    Returns
    -------
    int
        0 if the run finished, 75 if it was stopped and saved.

    Raises
    ------
    DiskError
        If it was stopped and its state could not be saved.
    """
    directory = RunDirectory(start.root)
    config = start.config
    walltime = parse_walltime(args.walltime) if args.walltime is not None else None
    ranks = frozenset[int]() if args.quiet else parse_ranks(args.log_ranks, context.size)
    context.same(config.digest().encode(), "configuration")
    context.same(os.fsencode(directory.root), "run directory")
    context.same("\n".join(start.candidates).encode(), "checkpoints of the run directory")
    # Faults that show at once come before the directory is touched, the lock before the kernels are compiled.
    with naming_file(args):
        case = make_case(config)
    directory.create(context)
    warnings = [*context.warnings, *filter(None, [start.note])]
    lock = lock_directory(context, directory.lock, warnings.append)
    try:
        with Watchdog(context, config.run.watchdog_s, directory.watchdog) as watchdog:
            with naming_file(args), watchdog.pause():
                simulation, resume = _assemble(case, context, start, directory, warnings)
            if resume is not None and at_end(simulation) and _finished(context, directory):
                Log(context.rank, None, ranks).info(
                    f"nothing to do: step {simulation.step} is the end of the run; extend run.steps or run.stop_time"
                )
                simulation.free()
                return 0
            log = _open_log(context, directory, ranks, resume, warnings)
            means = Means(
                directory=directory,
                log=log,
                watchdog=watchdog,
                stops=_stop_sources(args.signals, directory, walltime, began),
                began=began,
                bandwidth=None if args.quiet else triad_bandwidth(config.run.threads) * context.size,
                quiet=args.quiet,
                run_id=new_run_id(context),
                resume=resume,
                earlier=_earlier_starts(directory, resume),
            )
            code = _run_logged(simulation, means)
    finally:
        lock.release()
    simulation.free()
    for owner, nbytes in simulation.pool.leaks():
        print(f"hpcsim: rank {context.rank}: {nbytes} bytes of {owner} were not given back", file=sys.stderr)
    return code


def _assemble(
    case: Case, context: Context, start: Start, directory: RunDirectory, warnings: list[str]
) -> tuple[Simulation, Resume | None]:
    """The simulation, and from which checkpoint it was restored."""
    if not start.candidates:
        return assemble(case, context), None
    resume = Resume(CheckpointStore(directory.checkpoints), start.candidates, case.config, warnings.append)
    return assemble(case, context, restore=resume), resume


def _open_log(
    context: Context, directory: RunDirectory, ranks: frozenset[int], resume: Resume | None, warnings: Sequence[str]
) -> Log:
    """The log of this start, once results that are in the way have been moved; collective."""
    if resume is None:
        earlier = directory.set_aside(context)
        moved = f"results of an earlier run moved to {earlier}" if earlier is not None else ""
    else:
        if context.rank == 0:
            directory.status.unlink(missing_ok=True)
            CheckpointStore(directory.checkpoints).set_current(resume.name)
        later = directory.set_aside_after(context, resume.step, resume.snapshots_through)
        moved = f"results later than the checkpoint moved to {later}" if later else ""
    log = Log(context.rank, directory.logs, ranks)
    if resume is not None:
        log.info(f"goes on from {resume.name} at step {resume.step}")
        for line in resume.changes:
            log.info(line)
    if moved:
        log.info(moved)
    for warning in warnings:
        log.warn(warning)
    return log


def _finished(context: Context, directory: RunDirectory) -> bool:
    """Whether the record says that the run did all it was to do; collective."""
    finished = False
    if context.rank == 0:
        try:
            finished = bool(read_record(directory.record).get("finished"))
        except DiskError:
            finished = False
    return context.any(finished)


def _earlier_starts(directory: RunDirectory, resume: Resume | None) -> tuple[dict[str, Any], ...]:
    """The starts before this one, from the record of the run; none if it begins afresh or there is no record."""
    if resume is None:
        return ()
    try:
        starts = read_record(directory.record).get("starts", [])
    except DiskError:
        return ()
    return tuple(start for start in starts if isinstance(start, dict)) if isinstance(starts, list) else ()


def _stop_sources(signals: StopSignals, directory: RunDirectory, walltime: float | None, began: float) -> StopSources:
    return StopSources(
        signal=lambda: signals.number,
        file=directory.stop.exists,
        seconds_left=time_limit(walltime, began, os.environ),
    )


def _run_logged(simulation: Simulation, means: Means) -> int:
    log, directory = means.log, means.directory
    try:
        runner = Runner(simulation, means)
        _announce(simulation, directory, log)
        _summarise(runner.run(), runner, directory, log)
        return _exit_code(runner, directory)
    except BaseException as error:
        log.note(describe(error))
        raise
    finally:
        log.close()


def _exit_code(runner: Runner, directory: RunDirectory) -> int:
    """0 for a run that reached its end, 75 for one that can go on.

    Raises
    ------
    DiskError
        If it was stopped and its state is not safe.
    """
    if not runner.stopped:
        return 0
    if runner.stopped == STOP_FILE and runner.simulation.context.rank == 0:
        directory.stop.unlink(missing_ok=True)
    if not runner.saved and runner.simulation.case.config.checkpoint.enabled:
        raise DiskError(f"the run was stopped at step {runner.simulation.step} but its state could not be saved")
    return STOPPED


def _announce(simulation: Simulation, directory: RunDirectory, log: Log) -> None:
    case, context = simulation.case, simulation.context
    nodes = len(set(context.hosts))
    blocks = len(simulation.layout.blocks)
    shape = " x ".join(map(str, case.domain.shape))
    limit = f"limit {simulation.limit:.6g}" if math.isfinite(simulation.limit) else "no stability limit"
    pace = f", dt = {simulation.dt:.6g} ({limit})" if case.system.equations else ""
    log.info(f"{case.model.name}: {shape} cells, order {case.config.model.order}, {case.scheme.name}{pace}")
    log.info(
        f"{context.size} rank(s) on {nodes} node(s), {case.config.run.threads} thread(s) each, {blocks} block(s), "
        f"exchange {case.config.run.exchange}, backend {case.config.run.backend}"
    )
    for name, solver in simulation.solves.record().items():
        text = f"solver {name}: {solver['solver']} ({solver['reason']})"
        # A direct solver has none.
        log.info(text + (f", {solver['iterations']} iterations at the start" if solver["iterations"] else ""))
    solved = {part.field for part in case.system.following}
    at_zero = [name for name in case.specs if not {name, f"dt({name})"} & set(case.initial) and name not in solved]
    if at_zero and simulation.step == 0:
        log.info(f"no initial values given: {', '.join(at_zero)} start{'s' if len(at_zero) == 1 else ''} at zero")
    log.note(f"run directory {directory.root}")


def _work(record: Mapping[str, Any]) -> str:
    """What a run did and how long it took; the traffic of steps with solves is not known."""
    wall, compiled = f"in {record['wall_s']:.1f} s", f"compile {record['compile_s']:.1f} s"
    if record["integrator"] == "stationary":
        return f"solved {wall} ({compiled})"
    text = (
        f"{record['steps']} steps to t = {record['time']:.6g} {wall} (steps {record['steps_wall_s']:.1f} s, {compiled})"
    )
    text += f", {record['cells_per_s'] / 1e6:.4g} Mcells/s"
    if record["bytes_per_cell_step"]:
        text += f", {record['cells_per_s'] * record['bytes_per_cell_step'] / 1e9:.3g} GB/s"
    return text


def _summarise(record: Mapping[str, Any], runner: Runner, directory: RunDirectory, log: Log) -> None:
    if not record:
        return
    ended = f"stopped ({runner.stopped})" if runner.stopped else "finished"
    log.info(f"{ended}: {_work(record)}")
    for name, solver in record["solvers"].items():
        text = f"solver {name}: {solver['solves']} solve(s) by {solver['solver']}"
        mean = solver["iterations"] / solver["solves"]
        log.info(text + (f", {mean:.3g} iterations each" if mean else ""))
    for name, digest in record["digest"].items():
        log.info(f"digest {name} {digest}")
    saved = record["checkpoints"]
    if saved["accepted"]:
        share = 100.0 * saved["stall_s"] / record["wall_s"]
        log.info(
            f"{saved['accepted']} checkpoint(s), {saved['bytes'] / 2**20:.4g} MiB, steps waited "
            f"{saved['stall_s']:.2f} s ({share:.1f} %); newest {record['checkpoint']}"
        )
    log.info(f"results in {directory.root}")
    if runner.stopped and not runner.saved:
        log.info("the state was not saved; the run can only start again")
    elif runner.stopped:
        log.info(f"go on with: hpcsim restart {directory.root}")
