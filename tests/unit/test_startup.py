"""Start-up budget (import <= 0.15 s; users need 24, F-41): the command loads nothing it does not use."""

from __future__ import annotations

import subprocess
import sys
import time
from statistics import median

import pytest

HEAVY = ("numpy", "scipy", "numba", "mpi4py", "h5py", "pydantic", "petsc4py", "matplotlib", "xarray", "pandas")
HELP = "from hpcsim.cli.main import main; assert main(['--help']) == 0"
ALL_HELP = """
from importlib import import_module
from hpcsim.cli.main import VERBS, verb_parser
for verb, (module, _) in VERBS.items():
    verb_parser(verb, import_module(module)).format_help()
"""


def loaded(code: str, names: tuple[str, ...]) -> set[str]:
    """Which of the named packages a piece of code loads in a fresh interpreter."""
    code = f"{code}\nimport sys\nprint(*({set(names)!r} & set(sys.modules)), file=sys.stderr)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(answer.stderr.split())


def seconds(code: str) -> float:
    """Median wall time of five fresh interpreters."""
    times = []
    for _ in range(5):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True)
        times.append(time.perf_counter() - start)
    return median(times)


def test_import_takes_at_most_150_ms_above_bare_python():
    assert seconds("import hpcsim") - seconds("pass") <= 0.15


def test_help_takes_less_than_300_ms():
    assert seconds(HELP) < 0.3


@pytest.mark.parametrize("code", ["import hpcsim; dir(hpcsim)", HELP], ids=["import", "help"])
def test_nothing_heavy_is_loaded(code):
    assert loaded(code, HEAVY) == set()


def test_help_of_a_verb_loads_neither_compiler_nor_mpi():
    assert loaded(ALL_HELP, ("numba", "mpi4py", "h5py", "petsc4py", "matplotlib", "xarray")) == set()


def test_the_probe_sees_a_loaded_package():
    assert loaded("import json", ("json", "numba")) == {"json"}
