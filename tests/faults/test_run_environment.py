"""Odd surroundings: no home, no temporary directory, other locales, names that are no text (F-48)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.commandline import PLAIN, hpcsim, record, write_case
from tests.faults.driver import ROOT

OLD_LOCALE = {"LC_ALL": "POSIX", "LANG": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}


@pytest.mark.parametrize(
    "environment",
    [
        {"HOME": "/nonexistent", "XDG_CACHE_HOME": "", "HPCSIM_CACHE_DIR": ""},
        {"HOME": "/proc/self", "HPCSIM_CACHE_DIR": "/proc/self/x", "TMPDIR": "/nonexistent", "MPLCONFIGDIR": ""},
        OLD_LOCALE,
        {"TZ": "Nowhere/None", "COLUMNS": "1", "TERM": "", "PYTHONHASHSEED": "7", "USER": "", "LOGNAME": ""},
    ],
    ids=["no home", "nothing writable", "old locale", "odd values"],
)
def test_run_and_plot_in_poor_surroundings(environment: dict[str, str], tmp_path: Path) -> None:
    """F-48: a run and its pictures need none of what is usually there."""
    output = tmp_path / "out"
    outcome = hpcsim(0, "run", write_case(tmp_path), "--output-dir", output, environment=environment)
    assert outcome.code == 0 and not outcome.err and record(output)["finished"], outcome
    if "TMPDIR" in environment or environment is OLD_LOCALE:
        plotted = hpcsim(0, "plot", output, environment=environment)
        assert plotted.code == 0 and (output / "figures/u-000060.png").read_bytes().startswith(b"\x89PNG"), plotted


def test_run_without_home_at_all(tmp_path: Path) -> None:
    """F-48: HOME is not set and the user has no entry of its own."""
    environment = {name: value for name, value in os.environ.items() if name != "HOME" and "XDG" not in name}
    words = ["run", str(write_case(tmp_path)), "--output-dir", str(tmp_path / "out"), "--quiet"]
    environment["PYTHONPATH"] = str(ROOT)
    done = subprocess.run([sys.executable, "-m", "hpcsim", *words], env=environment, capture_output=True, timeout=60)
    assert done.returncode == 0 and not done.stderr, done


@pytest.mark.parametrize("locale", [{}, OLD_LOCALE], ids=["usual locale", "old locale"])
@pytest.mark.parametrize("name", ["a dir/dír ü 空".encode(), b"lat\xe9 in"], ids=["spaces and unicode", "no text"])
def test_paths_with_any_characters(name: bytes, locale: dict[str, str], tmp_path: Path) -> None:
    """F-48: blanks, letters of other scripts and bytes that are no text in the names of case and directory."""
    directory = Path(os.fsdecode(os.fsencode(tmp_path) + b"/" + name))
    directory.mkdir(parents=True)
    case = write_case(directory, name=os.fsdecode(b"c\xc3\xa4se one.toml"))
    output = directory / "out put"
    for _ in range(2):
        outcome = hpcsim(0, "run", case, "--output-dir", output, environment=locale)
        assert outcome.code == 0 and not outcome.err and record(output)["finished"], outcome
    same = hpcsim(0, "compare", output, output / "earlier-1", environment=locale)
    assert same.code == 0, same
    missing = hpcsim(0, "run", directory / "none.toml", environment=locale)
    assert missing.code == 2 and "there is no file" in missing.err and "Traceback" not in missing.err


def test_default_directory_and_relative_names(tmp_path: Path) -> None:
    """The run directory is runs/CASE below the working directory, wherever the case lies."""
    (tmp_path / "cases").mkdir()
    write_case(tmp_path / "cases", PLAIN, "first.case.toml")
    program = "import os, sys; os.chdir(sys.argv.pop(1)); from hpcsim.cli.main import main; sys.exit(main())"
    words = [str(tmp_path), "run", "cases/first.case.toml", "--quiet"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", program, *words], env=environment, capture_output=True, timeout=60)
    assert done.returncode == 0 and record(tmp_path / "runs/first.case")["finished"], done
