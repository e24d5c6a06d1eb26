"""``hpcsim plot RUN``: pictures of the fields and the time series of a run."""

from __future__ import annotations

import argparse


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the arguments of the verb."""
    parser.add_argument("run", help="run directory or snapshot file")
    parser.add_argument("--field", action="append", default=[], help="field to draw; may be repeated (default: all)")
    parser.add_argument("--step", type=int, action="append", help="step to draw; may be repeated (default: the last)")
    parser.add_argument("--all", action="store_true", help="draw every snapshot")
    parser.add_argument("--axis", choices=list("xyzw"), help="axis across which the lattice is cut (default: z)")
    parser.add_argument("--index", type=int, help="site along that axis (default: its middle)")
    parser.add_argument("--unit", default="", help="unit of length for the labels")
    parser.add_argument("--no-series", action="store_true", help="leave the time series out")
    parser.add_argument("--output", help="directory for the pictures (default: figures in the run directory)")


def run(arguments: argparse.Namespace) -> int:
    """Draw and print the paths of the pictures."""
    from hpcsim.output.plot import plot_run

    made = plot_run(
        arguments.run,
        arguments.field,
        axis=arguments.axis,
        index=arguments.index,
        steps=arguments.step or ("all" if arguments.all else "last"),
        out=arguments.output,
        length_unit=arguments.unit,
        series=not arguments.no_series,
    )
    print("\n".join(str(path) for path in made))
    return 0
