"""What the environment says about how this process was started, and refusals of launches that cannot be meant.

All functions are pure: the environment and the CPU sets are passed in, so every case is tested without a scheduler.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from hpcsim.errors import LaunchError

_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MPI_LOCALNRANKS")
_WIRED = (*_SIZES, "PMIX_RANK", "PMI_RANK", "MPI_LOCALRANKID")


def launched(environment: Mapping[str, str]) -> bool:
    """Whether an MPI launcher (mpirun, mpiexec, srun) started this process.

    Examples
    --------
    >>> launched({"OMPI_COMM_WORLD_SIZE": "2"}), launched({"SLURM_NTASKS": "2"})
    (True, False)
    """
    return any(name in environment for name in _WIRED) or in_slurm_step(environment)


def in_slurm_step(environment: Mapping[str, str]) -> bool:
    """Whether srun started this process (the batch script itself is no step)."""
    step = environment.get("SLURM_STEP_ID", environment.get("SLURM_STEPID", ""))
    return "SLURM_PROCID" in environment and step.isdigit()


def expected_tasks(environment: Mapping[str, str]) -> tuple[int, str]:
    """Number of tasks the environment announces, and the variable that says so; (1, "") if it says nothing.

    Examples
    --------
    >>> expected_tasks({"SLURM_NTASKS": "4"})
    (4, 'SLURM_NTASKS')
    >>> expected_tasks({"SLURM_NTASKS": "4", "OMPI_COMM_WORLD_SIZE": "1"})
    (1, 'OMPI_COMM_WORLD_SIZE')
    """
    for name in (*_SIZES, "SLURM_STEP_NUM_TASKS", "SLURM_NTASKS", "SLURM_NPROCS"):
        text = environment.get(name, "")
        if text.isdigit():
            return int(text), name
    return 1, ""


def slurm_mpi_flag(library: str) -> str:
    """The ``srun --mpi=`` value that suits an MPI library, from its version text.

    Examples
    --------
    >>> slurm_mpi_flag("Open MPI v4.1.4, package: Debian"), slurm_mpi_flag("MPICH Version: 5.0.2")
    ('--mpi=pmix', '--mpi=pmi2')
    """
    if "open mpi" in library.lower():
        return "--mpi=pmix"
    if any(name in library.lower() for name in ("mpich", "intel", "mvapich")):
        return "--mpi=pmi2"
    return "--mpi=pmix (Open MPI) or --mpi=pmi2 (MPICH, Intel MPI)"


def check_singleton(environment: Mapping[str, str], size: int, library: Callable[[], str]) -> None:
    """Refuse a job of several tasks that came up as separate one-process runs.

    Parameters
    ----------
    environment : mapping of str to str
        Environment variables.
    size : int
        Size of the communicator.
    library : callable
        Gives the version text of the MPI library; asked only for the message.

    Raises
    ------
    LaunchError
        If the environment announces more tasks than the communicator holds and that holds one.
    """
    tasks, variable = expected_tasks(environment)
    if size > 1 or tasks <= 1:
        return
    flag = slurm_mpi_flag(library())
    raise LaunchError(
        f"launch: {variable}={tasks} but this process is rank 0 of 1: {tasks} copies of the same run would overwrite "
        f"each other. Start it with 'srun {flag} ...' or 'mpirun -n {tasks} ...'; for one process on purpose use "
        f"'mpirun -n 1 ...' or set {variable}=1."
    )


def check_unwired_step(environment: Mapping[str, str], library: Callable[[], str]) -> None:
    """Refuse an srun step without PMI before MPI starts: the library would abort or make singletons.

    Raises
    ------
    LaunchError
        If srun started several tasks and none of the PMI variables is set (``--mpi=none``).
    """
    if in_slurm_step(environment) and not any(name in environment for name in _WIRED):
        check_singleton(environment, 1, library)


def check_affinity(cpus: int, threads: int) -> None:
    """Refuse more threads than CPUs this process may use: they would run one after the other.

    Raises
    ------
    LaunchError
        With the numbers and the option of mpirun and srun that widens the set.
    """
    if threads > cpus:
        raise LaunchError(
            f"launch: run.threads = {threads} but this process is bound to {cpus} CPU{'s' if cpus != 1 else ''}. Use "
            f"'mpirun --bind-to none' or 'mpirun --map-by slot:pe={threads}', with SLURM "
            f"'srun --cpus-per-task={threads}', or set run.threads = {cpus}."
        )


def crowding(masks: Sequence[frozenset[int]], threads: int) -> str:
    """One sentence if the ranks of a node have more threads than CPUs, or several are bound to the same CPUs; else "".

    Parameters
    ----------
    masks : sequence of frozenset of int
        CPUs that each rank of the node may use.
    threads : int
        Threads of each rank.

    Examples
    --------
    >>> crowding([frozenset({0, 1})] * 2, 1)
    ''
    >>> crowding([frozenset({0}), frozenset({0}), frozenset({1, 2})], 1)
    '2 ranks with 1 thread each are bound to the same 1 CPU (0); use --bind-to none or --bind-to core'
    """
    for mask in sorted(set(masks), key=sorted):
        inside = sum(1 for other in masks if other <= mask)
        if inside * threads > len(mask):
            names = ",".join(str(cpu) for cpu in sorted(mask)[:16]) + (",..." if len(mask) > 16 else "")
            return (
                f"{inside} ranks with {threads} thread{'s' if threads != 1 else ''} each are bound to the same "
                f"{len(mask)} CPU{'s' if len(mask) != 1 else ''} ({names}); use --bind-to none or --bind-to core"
                + (", or fewer ranks a node" if len(set().union(*masks)) < len(masks) * threads else "")
            )
    return ""


def thread_warnings(environment: Mapping[str, str], threads: int) -> list[str]:
    """Thread-count variables that are unset or disagree with ``run.threads`` and would oversubscribe the node.

    Examples
    --------
    >>> thread_warnings({"OMP_NUM_THREADS": "1"}, 1)
    []
    >>> thread_warnings({}, 1)[0].split(";")[0]
    'OMP_NUM_THREADS is not set'
    """
    value = environment.get("OMP_NUM_THREADS")
    if value is None:
        return [f"OMP_NUM_THREADS is not set; libraries may start a thread per CPU in every rank: set it to {threads}"]
    if value.isdigit() and int(value) > threads:
        return [f"OMP_NUM_THREADS={value} is more than run.threads = {threads}: ranks slow each other"]
    return []
