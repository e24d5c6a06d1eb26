"""hpcsim doctor: report, JSON, exit code, refusal of a launch that became singletons (users needs 8-10, F-28)."""

from __future__ import annotations

import json

import pytest

from hpcsim.cli import doctor
from hpcsim.cli.main import main
from hpcsim.machine.stack import Finding

LAUNCH_VARIABLES = (
    "OMPI_COMM_WORLD_SIZE",
    "PMI_SIZE",
    "MPI_LOCALNRANKS",
    "SLURM_NTASKS",
    "SLURM_NPROCS",
    "SLURM_STEP_NUM_TASKS",
)


@pytest.fixture
def alone(monkeypatch):
    for name in LAUNCH_VARIABLES:
        monkeypatch.delenv(name, raising=False)


def test_report_of_this_machine(alone, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HPCSIM_CACHE_DIR", str(tmp_path / "cache"))
    code = main(["doctor", "--json"])
    report = json.loads(capsys.readouterr().out)
    names = {finding["name"]: finding for finding in report["findings"]}
    assert {
        "numpy",
        "numba",
        "MPI",
        "HDF5",
        "PETSc",
        "one MPI",
        "threads",
        "kernel cache",
        "directory",
        "launch",
    } <= set(names)
    assert names["numpy"]["status"] == names["numba"]["status"] == names["kernel cache"]["status"] == "ok"
    assert code == (3 if report["status"] == "fail" else 0)


def test_one_fail_decides_the_exit_code_and_remedies_are_printed(monkeypatch, capsys):
    bad = Finding("MPI", "fail", "two libraries", "install one")
    monkeypatch.setattr(doctor, "examine", lambda: [Finding("numpy", "ok", "1"), bad])
    monkeypatch.setattr(doctor, "examine_launch", list)
    assert main(["doctor"]) == 3
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "ok    numpy  1"
    assert lines[2].strip() == "-> install one"
    assert lines[-1] == "1 ok, 0 warn, 1 fail"


def test_a_launch_that_became_singletons_fails(alone, monkeypatch):
    monkeypatch.setenv("SLURM_NTASKS", "4")
    (finding,) = doctor.examine_launch()
    assert finding.status == "fail"
    assert "--mpi=" in finding.remedy


def test_a_plain_pip_environment_passes(alone, monkeypatch, capsys, tmp_path):
    """No MPI library, no PETSc, serial HDF5, no matplotlib: nothing of that is a failure."""
    absent = {"error": "ModuleNotFoundError: No module named 'x'", "absent": True}
    facts = {name: {"version": "1"} for name in doctor.PROBES}
    facts |= dict.fromkeys(("petsc", "matplotlib", "xarray"), absent)
    facts["numba"] |= {"layers": ["omp"], "cpu": "generic"}
    facts["mpi"] = {"error": "RuntimeError: cannot load MPI library", "absent": False}
    facts["h5py"] |= {"hdf5": "1.14", "parallel": False, "libraries": []}
    monkeypatch.setattr(doctor.detect, "run_probes", lambda names, **_: {name: facts[name] for name in names})
    monkeypatch.setenv("HPCSIM_CACHE_DIR", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    assert main(["doctor"]) == 0
    assert "0 fail" in capsys.readouterr().out.splitlines()[-1]
