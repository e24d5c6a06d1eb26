"""Findings about the stack from given facts: every status and remedy of the doctor's report (users needs 8-10)."""

from __future__ import annotations

import pytest

from hpcsim.machine import stack

MPI = {"version": "4.1.2", "vendor": "Open MPI", "library_version": "4.1.4", "libraries": ["/lib/libmpi.so.40"]}
H5PY = {"version": "3.7.0", "hdf5": "1.10.8", "parallel": True, "libraries": ["/lib/libmpi.so.40"]}
PETSC = {
    "version": "3.18.5", "library_version": "3.18.5", "scalar": "float64", "integer": "int32",
    "libraries": ["/lib/libmpi.so.40"], "blas": ["/lib/openblas-serial/libblas.so.3"],
}  # fmt: skip
BROKEN = {"error": "ValueError: numpy.dtype size changed", "absent": False}
ABSENT = {"error": "ModuleNotFoundError: No module named 'x'", "absent": True}


def test_one_mpi_for_all():
    assert stack.check_one_mpi({"mpi": MPI, "h5py": H5PY, "petsc": PETSC}).status == "ok"


def test_two_mpi_libraries_in_one_process_fail():
    other = {**H5PY, "libraries": ["/opt/lib/libmpi.so.12"]}
    finding = stack.check_one_mpi({"mpi": MPI, "h5py": other, "petsc": ABSENT})
    assert finding.status == "fail"
    assert "h5py: /opt/lib/libmpi.so.12" in finding.found
    assert finding.remedy


def test_no_mpi_anywhere_is_fine_for_one_rank():
    facts = {"mpi": BROKEN, "h5py": {**H5PY, "parallel": False, "libraries": []}, "petsc": ABSENT}
    assert stack.check_one_mpi(facts).status == "ok"
    (finding,) = stack.check_mpi(BROKEN, None)
    assert finding.status == "warn"
    assert "one rank works" in finding.remedy


@pytest.mark.parametrize(
    ("launcher", "status"),
    [
        ("mpirun (Open MPI) 4.1.4", "ok"),
        ("mpirun (Open MPI) 5.0.8", "fail"),
        ("HYDRA build details:", "fail"),
        (None, "warn"),
    ],
)
def test_mpirun_of_another_mpi_is_found(launcher, status):
    assert stack.check_mpi(MPI, launcher)[1].status == status


def test_parallel_hdf5_hidden_by_the_serial_one():
    serial = {**H5PY, "parallel": False, "libraries": []}
    assert stack.check_h5py(H5PY, None).found.endswith("parallel")
    assert stack.check_h5py(serial, H5PY).status == "warn"
    assert stack.check_h5py(serial, H5PY).remedy == "export H5PY_ALWAYS_USE_MPI=1"
    assert stack.check_h5py(serial, None).status == "ok"
    assert stack.check_h5py(ABSENT, None).status == "fail"


def test_petsc_is_optional_but_must_not_be_broken():
    assert stack.check_petsc(PETSC).status == "ok"
    assert stack.check_petsc(ABSENT).status == "ok"
    assert stack.check_petsc(BROKEN).status == "fail"
    assert stack.check_petsc({**PETSC, "blas": ["/lib/blas/libblas.so.3"]}).status == "warn"


def test_required_packages():
    facts = dict.fromkeys(("numpy", "scipy", "pydantic", "xxhash"), {"version": "1"})
    assert stack.worst(stack.check_required(facts)) == "ok"
    findings = stack.check_required({**facts, "xxhash": ABSENT})
    assert [f.name for f in findings if f.status == "fail"] == ["xxhash"]


def test_numba_without_a_safe_threading_layer_warns():
    fact = {"version": "0.68.1", "layers": ["omp", "workqueue"], "cpu": "znver4"}
    assert stack.check_numba(fact).status == "ok"
    assert stack.check_numba({**fact, "layers": ["workqueue"]}).status == "warn"
    assert stack.check_numba(BROKEN).status == "fail"
