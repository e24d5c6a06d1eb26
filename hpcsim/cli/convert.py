"""``hpcsim convert RUN --to FORMAT``: snapshots in another format, for viewers or to save space."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("source", help="run directory or snapshot file")
    parser.add_argument("--to", required=True, help="format of the new files: vtkhdf (for ParaView) or packed")
    parser.add_argument("--compression", help="codec, as in `hpcsim list codecs` (default: auto for packed, else none)")
    parser.add_argument("--error", type=float, help="largest absolute error that the compression may make")
    parser.add_argument("--ratio", type=float, help="share of the bytes that a lossy codec may use, instead of --error")
    parser.add_argument("--output", help="directory of the new files (default: beside the old ones)")
    parser.add_argument("--overwrite", action="store_true", help="replace files that are there")


def run(arguments: argparse.Namespace) -> int:
    """Convert and print each new file with its size and what the compression gave."""
    from hpcsim.output.compress.options import Compression
    from hpcsim.output.compress.tally import tally_line
    from hpcsim.output.convert import convert
    from hpcsim.output.read import Snapshot, snapshot_step

    codec, lossy = arguments.compression, arguments.error is not None or arguments.ratio is not None
    wanted = Compression(codec or "auto", arguments.error, arguments.ratio) if codec or lossy else None
    made = convert(
        arguments.source, arguments.to, compression=wanted, output=arguments.output, overwrite=arguments.overwrite
    )
    for path in made:
        gained = tally_line(Snapshot(path).compression) if snapshot_step(path) >= 0 else ""
        print(f"{path}  {path.stat().st_size} bytes" + (f"; {gained}" if gained else ""))
    return 0
