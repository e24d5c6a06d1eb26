"""``hpcsim run``: runs a case from its TOML file."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import Any

from hpcsim.cli.case import add_case_arguments, load_case, naming_file, use_plugins
from hpcsim.errors import ConfigError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the verb."""
    add_case_arguments(parser)
    parser.add_argument("--output-dir", type=Path, metavar="DIR", help="run directory (default: runs/CASE)")
    parser.add_argument("--log-ranks", default="0", metavar="LIST", help="ranks that print: '0', '0,3', '0-7', 'all'")
    parser.add_argument("--quiet", action="store_true", help="print no progress, only warnings and errors")


def run(args: argparse.Namespace) -> int:
    """Run the case; the exit code is 0 only if ``run.json`` says that it finished."""
    began = time.monotonic()
    config = load_case(args)
    from hpcsim.machine.threads import set_threads

    set_threads(config.run.threads)
    from hpcsim.comm.context import Context

    with Context.launch(config.run.threads) as context:
        use_plugins(args)
        root = args.output_dir or Path("runs") / Path(args.case).stem
        _run_in(context, config, root, args, began)
    return 0


def _run_in(context: Any, config: Any, root: Path, args: argparse.Namespace, began: float) -> None:
    from hpcsim.comm.watchdog import Watchdog
    from hpcsim.output.directory import RunDirectory
    from hpcsim.output.lock import lock_directory
    from hpcsim.output.log import Log, parse_ranks
    from hpcsim.simulation.build import assemble
    from hpcsim.simulation.case import make_case

    directory = RunDirectory(root)
    if directory.config.resolve() == Path(args.case).resolve():
        raise ConfigError(f"--output-dir {root}: the run keeps its own config.toml there; choose another directory")
    ranks = frozenset[int]() if args.quiet else parse_ranks(args.log_ranks, context.size)
    context.same(config.digest().encode(), "configuration")
    context.same(os.fsencode(directory.root), "run directory")
    # Faults that show at once come before the directory is touched, the lock before the kernels are compiled.
    with naming_file(args):
        case = make_case(config)
    directory.create(context)
    warnings = list(context.warnings)
    lock = lock_directory(context, directory.lock, warnings.append)
    try:
        with Watchdog(context, config.run.watchdog_s, directory.watchdog) as watchdog:
            with naming_file(args), watchdog.pause():
                simulation = assemble(case, context)
            earlier = directory.set_aside(context)
            log = Log(context.rank, directory.logs, ranks)
            if earlier is not None:
                log.info(f"results of an earlier run moved to {earlier}")
            for warning in warnings:
                log.warn(warning)
            _run_logged(simulation, directory, log, watchdog, args, began)
    finally:
        lock.release()
    simulation.free()


def _run_logged(
    simulation: Any, directory: Any, log: Any, watchdog: Any, args: argparse.Namespace, began: float
) -> None:
    from hpcsim.comm.abort import describe
    from hpcsim.kernels.bandwidth import triad_bandwidth
    from hpcsim.simulation.runner import Runner

    try:
        _announce(simulation, directory, log)
        run = simulation.case.config.run
        bandwidth = None if args.quiet else triad_bandwidth(run.threads) * simulation.context.size
        record = Runner(simulation, directory, log, bandwidth, args.quiet).run(began, watchdog)
        _summarise(record, directory, log)
    except BaseException as error:
        log.note(describe(error))
        raise
    finally:
        log.close()


def _announce(simulation: Any, directory: Any, log: Any) -> None:
    case, context = simulation.case, simulation.context
    nodes = len(set(context.hosts))
    blocks = len(simulation.layout.blocks)
    shape = " x ".join(map(str, case.domain.shape))
    log.info(
        f"{case.model.name}: {shape} cells, order {case.config.model.order}, {case.scheme.name}, "
        f"dt = {simulation.dt:.6g} (limit {simulation.limit:.6g})"
    )
    log.info(
        f"{context.size} rank(s) on {nodes} node(s), {case.config.run.threads} thread(s) each, {blocks} block(s), "
        f"exchange {case.config.run.exchange}, backend {case.config.run.backend}"
    )
    at_zero = [name for name in case.specs if not {name, f"dt({name})"} & set(case.initial)]
    if at_zero:
        log.info(f"no initial values given: {', '.join(at_zero)} start{'s' if len(at_zero) == 1 else ''} at zero")
    log.note(f"run directory {directory.root}")


def _summarise(record: dict[str, Any], directory: Any, log: Any) -> None:
    if not record:
        return
    bytes_per_s = record["cells_per_s"] * record["bytes_per_cell_step"]
    log.info(
        f"finished: {record['steps']} steps to t = {record['time']:.6g} in {record['wall_s']:.1f} s "
        f"(steps {record['steps_wall_s']:.1f} s, compile {record['compile_s']:.1f} s), "
        f"{record['cells_per_s'] / 1e6:.4g} Mcells/s, {bytes_per_s / 1e9:.3g} GB/s"
    )
    for name, digest in record["digest"].items():
        log.info(f"digest {name} {digest}")
    log.info(f"results in {directory.root}")
