"""Launches that cannot be what was meant, and ranks that disagree (F-27, F-28, F-29)."""

from __future__ import annotations

import os
import re

import pytest

from hpcsim.comm import launch_check
from hpcsim.errors import LaunchError
from tests.faults.driver import run_ranks


def test_disagreeing_rank_is_named() -> None:
    """F-27: one rank with another configuration is refused by name, once, with exit code 3."""
    outcome = run_ranks(4, "agree", "2")
    assert outcome.code == 3 and outcome.seconds < 10.0
    assert len(re.findall(r"configuration: rank 2 \(on \S+\) of 4 differs", outcome.err)) == 1
    assert "finished" not in outcome.out
    assert run_ranks(3, "agree", "-1").out.count("finished") == 3


@pytest.mark.parametrize(
    "environment",
    [
        {"SLURM_NTASKS": "4"},
        {"SLURM_NTASKS": "4", "SLURM_PROCID": "2", "SLURM_STEP_ID": "0", "SLURM_STEP_NUM_TASKS": "4"},
    ],
    ids=["batch", "srun --mpi=none"],
)
def test_singletons_are_refused(environment: dict[str, str]) -> None:
    """F-28: four tasks that each came up as rank 0 of 1 are refused, with the right --mpi= for this library."""
    outcome = run_ranks(0, "launch", "1", environment=environment)
    assert outcome.code == 3, outcome
    # Without PMI the library may end the process itself, with a message of its own, if it is started.
    assert "MPI was started: False" in outcome.out
    assert "--mpi=pmix" in outcome.err and "--mpi=pmi2" not in outcome.err and "rank 0 of 1" in outcome.err


def test_singletons_in_the_environment_of_another_library() -> None:
    """F-28: MPICH under srun needs pmi2; several tasks announced by any launcher are refused."""
    for variable in ("SLURM_NTASKS", "SLURM_STEP_NUM_TASKS", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE"):
        with pytest.raises(LaunchError, match=f"{variable}=4.*--mpi=pmi2"):
            launch_check.check_singleton({variable: "4"}, 1, lambda: "MPICH Version: 5.0.2")
    launch_check.check_singleton({"SLURM_NTASKS": "4"}, 4, lambda: "")
    launch_check.check_singleton({"SLURM_NTASKS": "4", "OMPI_COMM_WORLD_SIZE": "1"}, 1, lambda: "")
    wired = {"SLURM_NTASKS": "4", "SLURM_PROCID": "0", "SLURM_STEP_ID": "0", "PMIX_RANK": "0"}
    launch_check.check_unwired_step(wired, lambda: "")


def test_plain_start_is_serial_without_mpi() -> None:
    """A start without a launcher is one rank and never loads MPI; mpirun -n 1 in a larger job is allowed."""
    outcome = run_ranks(0, "launch", "1")
    assert outcome.code == 0 and "rank 0 of 1 crowded False mpi4py False" in outcome.out
    assert run_ranks(1, "launch", "1", environment={"SLURM_NTASKS": "4"}).code == 0


def test_too_few_cpus_for_the_threads_are_refused() -> None:
    """F-29: a CPU set smaller than run.threads is refused with the option that widens it, on all ranks at once."""
    cpus = len(os.sched_getaffinity(0))
    outcome = run_ranks(2, "launch", str(cpus + 1))
    assert outcome.code == 3, outcome
    assert outcome.err.count(f"run.threads = {cpus + 1} but") == 1
    assert "--bind-to none" in outcome.err
    assert f"--map-by slot:pe={cpus + 1}" in outcome.err


def test_crowded_node_is_noted() -> None:
    """F-29: more ranks than CPUs, and a missing OMP_NUM_THREADS, are noted and not refused."""
    cpus = len(os.sched_getaffinity(0))
    outcome = run_ranks(cpus + 1, "launch", "1")
    assert outcome.code == 0 and f"note: {cpus + 1} ranks with 1 thread each are bound to the same" in outcome.out
    assert outcome.out.count("crowded True") == cpus + 1


def test_overlapping_cpu_sets() -> None:
    """F-29: ranks bound to one CPU of many are told so; ranks on CPUs of their own are not."""
    both, apart = [frozenset({3})] * 2, [frozenset({0}), frozenset({1})]
    assert "2 ranks" in launch_check.crowding(both, 1) and "fewer ranks" in launch_check.crowding(both, 1)
    assert launch_check.crowding(apart, 1) == ""
    assert "(0)" in launch_check.crowding([frozenset({0}), frozenset({0, 1}), frozenset({0})], 1)
    assert launch_check.crowding([frozenset(range(4))] * 2, 2) == ""
    assert "OMP_NUM_THREADS=8" in launch_check.thread_warnings({"OMP_NUM_THREADS": "8"}, 2)[0]
