"""The command line: verbs, help, version, errors and exit codes (users needs 8 and 15)."""

from __future__ import annotations

import sys
import types
from importlib import import_module

import pytest

import hpcsim
from hpcsim.cli import main as command
from hpcsim.errors import BlowUpError, LaunchError


@pytest.fixture
def verb(monkeypatch):
    """Install a verb `probe` whose run does what the test says."""

    def install(run):
        module = types.ModuleType("probe_verb")
        module.add_arguments = lambda parser: parser.add_argument("--rate", type=float, default=1.0)
        module.run = run
        monkeypatch.setitem(sys.modules, "probe_verb", module)
        monkeypatch.setitem(command.VERBS, "probe", ("probe_verb", "a verb for tests"))

    return install


def test_help_names_every_verb(capsys):
    assert command.main(["--help"]) == 0
    text = capsys.readouterr().out
    assert all(f"\n  {name} " in text for name in command.VERBS)


def test_no_arguments_is_help_and_an_error(capsys):
    assert command.main([]) == 2
    assert "usage: hpcsim VERB" in capsys.readouterr().out


def test_version(capsys):
    assert command.main(["--version"]) == 0
    assert capsys.readouterr().out == f"hpcsim {hpcsim.__version__}\n"


def test_unknown_verb_names_the_nearest(capsys):
    assert command.main(["chekc", "case.toml"]) == 2
    message = capsys.readouterr().err
    assert "unknown verb 'chekc'; did you mean 'check'?" in message


def test_unknown_option_before_the_verb(capsys):
    assert command.main(["--versoin"]) == 2
    assert "did you mean '--version'?" in capsys.readouterr().err


@pytest.mark.parametrize(("error", "code"), [(BlowUpError("E is NaN"), 5), (LaunchError("4 singletons"), 3)])
def test_an_error_is_a_message_and_its_exit_code_without_traceback(verb, capsys, error, code):
    def run(args):
        raise error

    verb(run)
    assert command.main(["probe"]) == code
    captured = capsys.readouterr()
    assert captured.err == f"hpcsim: {error}\n"
    assert captured.out == ""


@pytest.mark.parametrize(("rank", "waits"), [("0", []), ("3", [command._TURN_S])])
def test_other_ranks_let_the_first_print_its_error(monkeypatch, capsys, rank, waits):
    slept = []
    monkeypatch.setenv("OMPI_COMM_WORLD_RANK", rank)
    monkeypatch.setattr(command.time, "sleep", slept.append)
    assert command.main(["nonsense"]) == 2
    assert slept == waits
    assert "unknown verb" in capsys.readouterr().err


def test_a_fault_of_the_program_keeps_its_traceback_and_has_its_own_code(verb, capsys):
    verb(lambda args: 1 / 0)
    assert command.main(["probe"]) == 70
    message = capsys.readouterr().err
    assert message.startswith("Traceback") and message.endswith("ZeroDivisionError: division by zero\n")


def test_interrupt(verb, capsys):
    def run(args):
        raise KeyboardInterrupt

    verb(run)
    assert command.main(["probe"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_arguments_and_exit_code_of_a_verb(verb):
    verb(lambda args: int(args.rate))
    assert command.main(["probe", "--rate", "7"]) == 7


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--rat", "7"], "unknown option '--rat'; did you mean '--rate'? Known: --help, --rate, -h"),
        (["--rat=7"], "unknown option '--rat'; did you mean '--rate'?"),
        (["--rate", "fast"], "argument --rate: invalid float value: 'fast'"),
        (["--rate"], "argument --rate: expected one argument"),
        (["more"], "one argument too many: 'more'"),
    ],
)
def test_refused_arguments_are_errors_with_the_usage(verb, capsys, arguments, said):
    verb(lambda args: 0)
    assert command.main(["probe", *arguments]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"hpcsim: {said}") and "usage: hpcsim probe [-h] [--rate RATE]" in message


@pytest.mark.parametrize("name", command.VERBS)
def test_every_verb_of_the_table_is_one(name):
    module = import_module(command.VERBS[name][0])
    assert callable(module.run)
    assert command.verb_parser(name, module).format_help().startswith(f"usage: hpcsim {name}")


def test_public_names_are_lazy_and_unknown_ones_are_refused():
    assert set(hpcsim.PUBLIC) <= set(dir(hpcsim))
    with pytest.raises(AttributeError, match="no attribute 'Simulatoin'; public names: Config"):
        _ = hpcsim.Simulatoin


@pytest.mark.parametrize("name", hpcsim.PUBLIC)
def test_every_public_name_loads(name):
    assert getattr(hpcsim, name) is getattr(hpcsim, name)
