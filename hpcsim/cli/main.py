"""The ``hpcsim`` command: picks the verb, loads only that verb's module, and turns errors into exit codes."""

from __future__ import annotations

import argparse
import io
import os
import sys
import time
import traceback
from collections.abc import Sequence
from importlib import import_module
from typing import Any, NoReturn

from hpcsim import __version__
from hpcsim.cli.signals import StopSignals
from hpcsim.errors import ConfigError, HpcsimError, unknown_name

_TURN_S = 2.5
# Verbs that end in good order when a signal asks them to.
STOPPABLE = ("run", "restart")

# Verb -> (module, help); the help stands here so that `hpcsim --help` imports no verb.
VERBS = {
    "run": ("hpcsim.cli.run", "run a case from its TOML file"),
    "restart": ("hpcsim.cli.restart", "go on with a run from its newest good checkpoint"),
    "status": ("hpcsim.cli.status", "show step, time to go and last checkpoint of a run"),
    "check": ("hpcsim.cli.check", "report every fault of a case file without running it"),
    "list": ("hpcsim.cli.list", "list models, boundary conditions, integrators and whatever else has a name"),
    "inspect": ("hpcsim.cli.inspect", "show how a case becomes equations, stencils and kernels"),
    "compare": ("hpcsim.cli.compare", "compare two results site by site"),
    "plot": ("hpcsim.cli.plot", "draw a picture of a run"),
    "checkpoint": ("hpcsim.cli.checkpoint", "list, verify, prune or convert the checkpoints of a run"),
    "convert": ("hpcsim.cli.convert", "write snapshots in another format, for viewers or to save space"),
    "doctor": ("hpcsim.cli.doctor", "check that Python, MPI, HDF5, PETSc and the launch fit together"),
    "bench": ("hpcsim.cli.bench", "measure this machine and the kernels against its memory bandwidth"),
    "warmup": ("hpcsim.cli.warmup", "compile the kernels of a case before the job"),
    "reference": ("hpcsim.cli.reference", "print every configuration key with default, unit and range"),
}


class _Parser(argparse.ArgumentParser):
    """A parser whose refusals are errors like all others, so that of many ranks one prints them."""

    def error(self, message: str) -> NoReturn:
        raise ConfigError(f"{message}\n{self.format_usage().rstrip()}")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments after the program name; by default those of the process.

    Returns
    -------
    int
        Exit code: 0, or the `exit_code` of the error (see `hpcsim.errors`).

    Examples
    --------
    >>> main(["--version"])
    hpcsim 0.1.0
    0
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A file name need not be text in this locale; a message must not fail over it.
            stream.reconfigure(errors="backslashreplace")
    signals = StopSignals()
    try:
        return _dispatch(arguments, signals)
    except HpcsimError as error:
        _let_the_first_rank_speak()
        print(f"hpcsim: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        print("hpcsim: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (head, less) has gone; the flush at exit must not complain about it again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except Exception:
        # Python itself would leave with 1, which belongs to `compare`.
        traceback.print_exc()
        return HpcsimError.exit_code
    finally:
        # A process that ends keeps them, so that a late signal does no harm; a caller gets its own back.
        if argv is not None:
            signals.restore()


def _dispatch(arguments: list[str], signals: StopSignals) -> int:
    """Answer --help and --version, or hand the arguments to the verb."""
    if not arguments or arguments[0] in ("-h", "--help", "help"):
        print(overview())
        return 0 if arguments else 2
    verb = arguments[0]
    if verb in ("-V", "--version"):
        print(f"hpcsim {__version__}")
        return 0
    if verb not in VERBS:
        kind = "option" if verb.startswith("-") else "verb"
        raise ConfigError(unknown_name(kind, verb, ("--help", "--version") if kind == "option" else VERBS))
    # Before anything slow is imported, so that a signal that comes early is noted and ends nothing.
    if verb in STOPPABLE:
        signals.install()
    module = import_module(VERBS[verb][0])
    parser = verb_parser(verb, module)
    words = arguments[1:]
    # What follows `--` is for PETSc, where the verb declares so.
    cut = words.index("--") if "--" in words and parser.get_default("petsc") is not None else len(words)
    given, unknown = parser.parse_known_args(words[:cut])
    if unknown:
        parser.error(_unknown_argument(unknown[0], parser))
    given.signals, given.verb, given.raw = signals, verb, words[:cut]
    if cut < len(words):
        given.petsc = tuple(words[cut + 1 :])
    return int(module.run(given) or 0)


def _unknown_argument(name: str, parser: argparse.ArgumentParser) -> str:
    if not name.startswith("-"):
        return f"one argument too many: '{name}'"
    return unknown_name("option", name.partition("=")[0], parser._option_string_actions)


def _let_the_first_rank_speak() -> None:
    """Hold the other ranks back a moment: an error of all is printed once before the launcher ends them."""
    from hpcsim.machine.detect import launched_rank

    if launched_rank(os.environ) > 0:
        sys.stdout.flush()
        time.sleep(_TURN_S)


def verb_parser(verb: str, module: Any) -> argparse.ArgumentParser:
    """Parser of one verb, with the arguments its module declares."""
    parser = _Parser(prog=f"hpcsim {verb}", description=VERBS[verb][1], allow_abbrev=False)
    module.add_arguments(parser)
    return parser


def overview() -> str:
    """Text of ``hpcsim --help``: the verbs with one line each."""
    width = max(map(len, VERBS))
    lines = [f"  {verb:<{width}}  {text}" for verb, (_, text) in VERBS.items()]
    return "\n".join(
        [
            "usage: hpcsim VERB [arguments]   (hpcsim VERB --help tells more)",
            "",
            "Lattice and PDE models written as equations, run on a laptop or a cluster.",
            "",
            *lines,
            "",
            "  --version  print the version",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
