"""PETSc present, absent and of the wrong kind (F-44; users needs 8, 34)."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from hpcsim.errors import ConfigError, ConvergenceError, HpcsimError, MemoryBudgetError
from hpcsim.solvers.petsc.library import Library

EVERYTHING = """
import importlib, pkgutil, sys
sys.modules["petsc4py"] = None
import hpcsim
for module in pkgutil.walk_packages(hpcsim.__path__, "hpcsim."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
"""


@pytest.mark.parametrize("fault", [ModuleNotFoundError("No module named 'petsc4py'"), ValueError("numpy.dtype size")])
def test_missing_petsc_says_what_to_install(context, monkeypatch, fault):
    """F-44, need 8: no petsc4py, or one built for another NumPy."""

    def absent(name):
        raise fault

    monkeypatch.setattr("hpcsim.solvers.petsc.library.import_module", absent)
    with pytest.raises(ConfigError, match="apt-get install python3-petsc4py-real.*conda.*hpcsim\\[petsc\\]") as told:
        Library(context)
    assert str(fault) in str(told.value)


def test_everything_else_imports_without_petsc():
    """Need 8: PETSc is an extra."""
    subprocess.run([sys.executable, "-c", EVERYTHING], check=True, timeout=120)


def test_petsc_takes_no_arguments_and_no_signals(library):
    """Need 25: options come from us alone; signals stay with the run."""
    code = """
import pathlib, signal, sys
def caught():
    line, = (line for line in pathlib.Path("/proc/self/status").read_text().splitlines() if line.startswith("SigCgt"))
    return {number for number in range(1, 32) if int(line.split()[1], 16) >> number - 1 & 1}
sys.argv = ["x", "-ksp_type", "bicg"]
from hpcsim.comm.context import Context
from hpcsim.solvers.petsc.library import Library
before = caught()
with Library(Context.serial()) as library:
    options = library.petsc.Options().getAll()
    assert "ksp_type" not in options and "skip_petscrc" in options, options
    assert sys.argv == ["x", "-ksp_type", "bicg"]
    # Open MPI takes these four.
    more = caught() - before - {signal.SIGABRT, signal.SIGBUS, signal.SIGFPE, signal.SIGSEGV}
    assert not more, more
print("alive")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stdout) == (0, "alive\n"), done.stderr


def test_wrong_numbers_are_refused(library, monkeypatch):
    """F-44, need 34: a complex field and a real PETSc, and the other way round."""
    with pytest.raises(ConfigError, match="built for float64 .real.*complex128.*python3-petsc4py-complex"):
        library.check_numbers(np.complex128)
    with pytest.raises(ConfigError, match="use that precision"):
        library.check_numbers(np.float32)
    library.check_numbers(np.float64)
    monkeypatch.setattr(library, "petsc", SimpleNamespace(ScalarType=np.complex128, Sys=library.petsc.Sys))
    with pytest.raises(ConfigError, match="complex128 .complex.*python3-petsc4py-real"):
        library.check_numbers(np.float64)


def test_numbers_too_large_for_the_integers_of_petsc(library):
    """F-44: a matrix beyond 2^31 rows needs another build, and is not cut off silently."""
    assert library.indices([3, 2**31 - 1]).dtype == np.int32
    with pytest.raises(ConfigError, match=f"{2**31}.*64-bit indices"):
        library.indices([3, 2**31])


def test_version_and_packages(library):
    """F-44: what PETSc is and can do, for `doctor` and messages."""
    text = library.describe()
    assert library.version in text and "float64" in text
    assert all(library.has(name) == (name in text) for name in ("hypre", "mumps", "superlu_dist"))
    assert not library.has("absent")


@pytest.mark.parametrize(
    ("code", "kind"), [(55, MemoryBudgetError), (71, ConvergenceError), (86, ConfigError), (77, HpcsimError)]
)
def test_errors_of_petsc_become_ours(library, code, kind):
    """F-44: an error of the library has one of our exit codes, the place and the cause."""

    class Failure(library.petsc.Error):
        def __str__(self):
            return f"error code {code}\n[0] KSPSolve() at ./src/a.c:3\n[0] KSPSetUp() at ./src/b.c:9\n[0] Bad thing"

    with pytest.raises(kind, match="^solver phi: KSPSetUp: Bad thing$") as told, library.errors("solver phi"):
        raise Failure(code)
    assert type(told.value) is kind


def test_other_exceptions_pass(library):
    """F-44: an error of a user's function keeps its type and traceback."""
    with pytest.raises(ZeroDivisionError), library.errors("solver phi"):
        1 / 0  # noqa: B018
