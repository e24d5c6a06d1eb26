"""Facts about the computer, and findings about threads and directories (users needs 8, 10, 11, 22)."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from hpcsim.machine import detect, placement


def test_probes_answer_and_an_absent_library_is_a_fact():
    facts = detect.run_probes(["numpy", "no_such_library"])
    assert facts["numpy"]["version"] == sys.modules.get("numpy", __import__("numpy")).__version__
    assert facts["no_such_library"]["absent"] is True


def test_a_probe_that_crashes_or_hangs_is_an_answer(monkeypatch, tmp_path):
    script = tmp_path / "python"
    script.write_text("#!/bin/sh\necho broken library >&2\nkill -ABRT $$\n")
    script.chmod(0o755)
    monkeypatch.setattr(detect.sys, "executable", str(script))
    assert detect.run_probes(["numpy"])["numpy"]["error"] == "ended with code -6: broken library"
    script.write_text("#!/bin/sh\nexec sleep 30\n")
    assert detect.run_probes(["numpy"], limit_s=0.2)["numpy"]["error"] == "no answer within 0.2 s"


def test_probes_do_not_join_the_job(monkeypatch):
    """Two processes answering to one rank would break the job (F-28)."""
    seen = {}
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    monkeypatch.setenv("PMIX_RANK", "1")
    monkeypatch.setattr(detect, "_start", lambda name, environment: seen.update(environment))
    monkeypatch.setattr(detect, "_answer", lambda process, limit_s: {})
    detect.run_probes(["mpi"], extra={"H5PY_ALWAYS_USE_MPI": "1"})
    assert seen["H5PY_ALWAYS_USE_MPI"] == "1" and seen["PATH"] == os.environ["PATH"]
    assert not {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK"} & set(seen)


def test_rank_from_the_launcher():
    assert detect.launched_rank({"PMIX_RANK": "3"}) == 3
    assert detect.launched_rank({}) == 0


def test_filesystem_is_that_of_the_deepest_mount():
    if Path("/proc/mounts").exists():
        assert detect.filesystem(Path("/proc/self")) == "proc"


def test_threads_beyond_the_processors_warn():
    assert placement.check_threads({"OMP_NUM_THREADS": "2"}, [0, 1]).status == "ok"
    finding = placement.check_threads({"OMP_NUM_THREADS": "3", "MKL_NUM_THREADS": "1"}, [0, 1])
    assert finding.status == "warn"
    assert finding.remedy.startswith("set OMP_NUM_THREADS to 1..2")


@pytest.mark.parametrize(("kind", "status"), [("ext4", "ok"), ("lustre", "warn"), ("nfs4", "warn")])
def test_kernel_cache_belongs_to_the_node(monkeypatch, tmp_path, kind, status):
    monkeypatch.setattr(placement, "filesystem", lambda path: kind)
    assert placement.check_cache({}, tmp_path / "new").status == status


def test_kernel_cache_must_be_writable(tmp_path):
    (tmp_path / "file").write_text("")
    finding = placement.check_cache({}, tmp_path / "file" / "cache")
    assert finding.status == "fail"
    assert "HPCSIM_CACHE_DIR" in finding.remedy


def test_a_kernel_cache_that_was_asked_for_and_not_used_warns(tmp_path):
    wanted = tmp_path / "shared"
    finding = placement.check_cache({"HPCSIM_CACHE_DIR": str(wanted)}, tmp_path / "own")
    assert finding.status == "warn" and str(wanted) in finding.found and str(tmp_path / "own") in finding.remedy
    assert placement.check_cache({"HPCSIM_CACHE_DIR": str(wanted)}, wanted).status == "ok"


def test_locking(monkeypatch, tmp_path):
    assert placement.check_working_directory(tmp_path).status == "ok"

    def refuse(file, mode):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(detect.fcntl, "flock", refuse)
    finding = placement.check_working_directory(tmp_path)
    assert (finding.status, finding.remedy) == ("warn", "export HDF5_USE_FILE_LOCKING=FALSE")


def test_root_is_warned_only_under_open_mpi(monkeypatch):
    monkeypatch.setattr(placement.os, "geteuid", lambda: 0)
    assert placement.check_root({}, "Open MPI").status == "warn"
    assert placement.check_root({}, "MPICH") is None
    assert (
        placement.check_root({"OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1"}, "Open MPI") is None
    )
