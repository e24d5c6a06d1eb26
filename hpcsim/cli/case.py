"""Arguments and steps shared by the verbs that read a case file."""

from __future__ import annotations

import argparse
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from hpcsim.errors import ConfigError

if TYPE_CHECKING:
    from hpcsim.config.schema import Config


def add_case_arguments(parser: argparse.ArgumentParser) -> None:
    """The case file, overrides and plug-ins."""
    parser.add_argument("case", metavar="CASE", help="TOML file of the case")
    add_change_arguments(parser)


def add_change_arguments(parser: argparse.ArgumentParser) -> None:
    """Overrides, plug-ins and, after ``--``, options of PETSc."""
    parser.set_defaults(petsc=())
    parser.epilog = "Words after -- are options of PETSc, e.g. -- -phi_ksp_type cg -ksp_monitor; see [petsc]."
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", dest="overrides",
        help="change a key, e.g. --set lattice.shape=[64,64,64]; may be given several times",
    )  # fmt: skip
    parser.add_argument(
        "--plugin", action="append", default=[], type=Path, metavar="FILE.py",
        help="Python file that registers own models, boundary conditions, ... (code that you choose to run)",
    )  # fmt: skip


def load_case(args: argparse.Namespace) -> Config:
    """The configuration of the case file with the overrides.

    Raises
    ------
    ConfigError
        With every fault of the file and the overrides.
    """
    from hpcsim.config.load import load

    return load(args.case, changes(args))


def changes(args: argparse.Namespace) -> list[str]:
    """Overrides of the command line: those of ``--set``, then the options of PETSc after ``--``.

    Raises
    ------
    ConfigError
        If a word after ``--`` is no option and no value of one.
    """
    from hpcsim.config.overrides import petsc_overrides

    return [*args.overrides, *petsc_overrides(args.petsc)]


@contextmanager
def naming_file(args: argparse.Namespace) -> Iterator[None]:
    """Let faults of the case that show only after its file was read begin with the file, like those of the file.

    Raises
    ------
    ConfigError
        In place of one raised inside.
    """
    from hpcsim.config.load import marked
    from hpcsim.config.problems import ConfigFileError

    try:
        yield
    except ConfigFileError:
        raise
    except ConfigError as error:
        raise ConfigFileError(args.case, marked(dict.fromkeys(error.problems), changes(args))) from None


def use_plugins(args: argparse.Namespace) -> None:
    """Import the plug-in files of the command line, in order.

    Raises
    ------
    ConfigError
        If a file does not exist or is no Python file.
    """
    for number, path in enumerate(args.plugin):
        if path.suffix != ".py" or not path.is_file():
            raise ConfigError(f"--plugin {path}: a Python file is needed")
        name = f"hpcsim_plugin_{number}"
        specification = importlib.util.spec_from_file_location(name, path)
        assert specification is not None and specification.loader is not None
        module = importlib.util.module_from_spec(specification)
        sys.modules[name] = module
        specification.loader.exec_module(module)
