"""The PETSc library of a run: loaded when first needed, started on our ranks, asked what it can do."""

from __future__ import annotations

import ctypes
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from hpcsim.errors import ConfigError, ConvergenceError, HpcsimError, MemoryBudgetError, unknown_name

if TYPE_CHECKING:
    from hpcsim.comm.context import Context

INSTALL = (
    "install petsc4py: 'apt-get install python3-petsc4py-real' on Debian and Ubuntu, 'conda install -c conda-forge "
    "petsc4py', or 'pip install hpcsim[petsc]' (builds PETSc); without it choose the solvers multigrid, fft or krylov"
)
# Signals are handled by the run; a file of options in the home directory would change results unseen.
_ARGUMENTS = ("hpcsim", "-no_signal_handler", "-skip_petscrc")
_UNKNOWN_TYPE = re.compile(r"\b(KSP|PC|SNES|TS) type (\S+)")
# Error codes of petscerror.h.
_MEMORY = frozenset({55})
_NUMERIC = frozenset({71, 72, 81, 82, 91})
_REQUEST = frozenset({56, 57, 58, 60, 62, 63, 75, 84, 86, 92, 95})


def load() -> Any:
    """The package petsc4py, not yet started.

    Raises
    ------
    ConfigError
        If it is not installed, or does not fit the other packages; says what to install.
    """
    try:
        return import_module("petsc4py")
    except (ImportError, ValueError) as error:
        raise ConfigError(f"PETSc is not available ({error}); {INSTALL}") from error


class Library:
    """PETSc, started for the ranks of a context; creation is collective.

    PETSc starts once per process and ends with it. It gets a communicator of its own, so that it may outlive the
    context; every object is made on the communicator of the context.

    Parameters
    ----------
    context : Context
        The ranks.

    Attributes
    ----------
    petsc : module
        ``petsc4py.PETSc``.
    comm : object
        Communicator on which objects are made.

    Raises
    ------
    ConfigError
        If petsc4py is missing or its numbers are not float64.

    Examples
    --------
    >>> from hpcsim.comm.context import Context
    >>> with Library(Context.serial()) as library:  # doctest: +SKIP
    ...     library.version
    '3.18.5'
    """

    def __init__(self, context: Context) -> None:
        package = load()
        self.context = context
        self.petsc = _start(package, context)
        self.comm: Any = context.comm if self._parallel else self.petsc.COMM_SELF
        self._symbols = ctypes.CDLL(self.petsc.__file__)
        self.check_numbers(np.float64)

    @property
    def _parallel(self) -> bool:
        """Whether the communicator is one of MPI."""
        return hasattr(self.context.comm, "Dup")

    @property
    def version(self) -> str:
        """Version of PETSc."""
        return ".".join(str(part) for part in self.petsc.Sys.getVersion())

    @property
    def index_type(self) -> np.dtype[Any]:
        """Integers that PETSc was built with."""
        return np.dtype(self.petsc.IntType)

    def has(self, package: str) -> bool:
        """Whether PETSc was built with a package: ``"hypre"``, ``"mumps"``, ``"superlu_dist"``, ``"spai"``."""
        return bool(self.petsc.Sys.hasExternalPackage(package))

    def describe(self) -> str:
        """Version, numbers and solver packages in one line."""
        packages = [name for name in ("hypre", "mumps", "superlu_dist", "spai", "ptscotch") if self.has(name)]
        numbers = f"{np.dtype(self.petsc.ScalarType)}, {self.index_type}"
        return f"PETSc {self.version} ({numbers}) with {', '.join(packages) if packages else 'no packages'}"

    def check_numbers(self, dtype: DTypeLike) -> None:
        """Check that vectors of this type can be handed over as they are.

        Raises
        ------
        ConfigError
            If PETSc was built for other numbers; says which build would do.
        """
        wanted, built = np.dtype(dtype), np.dtype(self.petsc.ScalarType)
        if wanted == built:
            return
        kinds = {"f": "real", "c": "complex"}
        text = f"PETSc {self.version} was built for {built} ({kinds.get(built.kind, built.kind)}), not for {wanted}"
        if wanted.kind == "c" and built.kind == "f":
            text += "; write the equation for the real and imaginary part, or install python3-petsc4py-complex"
        elif built.kind == "c":
            text += "; install python3-petsc4py-real, or set PETSC_ARCH or PETSC_DIR to the real build"
        else:
            text += "; use that precision, or a build of PETSc with this one"
        raise ConfigError(text)

    def indices(self, numbers: Any) -> Any:
        """Integers as PETSc takes them.

        Raises
        ------
        ConfigError
            If one is too large for the integers PETSc was built with.
        """
        values = np.asarray(numbers)
        largest = np.iinfo(self.index_type).max
        if values.size and int(values.max()) > largest:
            raise ConfigError(
                f"a matrix needs the number {int(values.max())}; this PETSc has {self.index_type} integers (up to "
                f"{largest}): use a build with 64-bit indices, more ranks, or the solver multigrid"
            )
        return np.ascontiguousarray(values, self.index_type)

    @contextmanager
    def errors(self, what: str) -> Iterator[None]:
        """Turn errors of PETSc within the block into ours.

        Parameters
        ----------
        what : str
            What was under way, for the message.

        Raises
        ------
        ConfigError
            If PETSc does not know or support what was asked for.
        ConvergenceError
            If it met numbers it cannot work with.
        MemoryBudgetError
            If there was no memory.
        HpcsimError
            For anything else.
        """
        try:
            yield
        except self.petsc.Error as error:
            raise self._translated(error, what) from error

    def _translated(self, error: Any, what: str) -> HpcsimError:
        """Our error for one of PETSc: the last lines of its traceback, which name the cause."""
        lines = [line.split("] ", 1)[-1].strip() for line in str(error).splitlines()[1:]]
        causes = [line for line in lines if line and "() at " not in line]
        where = next((line.split("()", 1)[0] for line in reversed(lines) if "() at " in line), "PETSc")
        unknown = _UNKNOWN_TYPE.search(" ".join(causes))
        if unknown is not None:
            kind, given = unknown.groups()
            names = [name for key, name in vars(getattr(self.petsc, kind).Type).items() if key.isupper()]
            return ConfigError(f"{what}: {unknown_name(f'{kind} type', given.rstrip('.'), set(names))}")
        text = f"{what}: {where}: {'; '.join(causes) if causes else str(error)}"
        if error.ierr in _MEMORY:
            return MemoryBudgetError(text)
        if error.ierr in _NUMERIC:
            return ConvergenceError(text)
        return ConfigError(text) if error.ierr in _REQUEST else HpcsimError(text)

    def used(self, option: str) -> bool:
        """Whether PETSc has asked for an option of its database since it was put there, on this rank."""
        options = self.petsc.Options()
        if hasattr(options, "used"):
            return bool(options.used(option))
        # petsc4py before 3.19 lacks the verb, its extension is linked to the library that has it.
        answer = ctypes.c_int(0)
        code = self._symbols.PetscOptionsUsed(None, option.encode(), ctypes.byref(answer))
        if code:
            raise HpcsimError(f"PETSc could not say whether the option {option} was used (code {code})")
        return bool(answer.value)

    def collect(self) -> None:
        """Destroy what Python dropped without destroying it; collective, so never left to the garbage collector."""
        collect = getattr(self.petsc, "garbage_cleanup", None)
        if collect is not None:
            collect(self.comm)

    def __enter__(self) -> Library:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        if error is None:
            self.collect()


def _start(package: Any, context: Context) -> Any:
    """Start PETSc if it is not running, without the arguments of the process."""
    try:
        module = import_module("petsc4py.lib").ImportPETSc()
    except (ImportError, ValueError) as error:
        raise ConfigError(f"PETSc is not available ({error}); {INSTALL}") from error
    if not module.Sys.isInitialized():
        package.init(list(_ARGUMENTS), comm=_world(context))
    return module


def _world(context: Context) -> Any:
    """The communicator PETSc keeps to the end of the process, None where there is no MPI yet."""
    if hasattr(context.comm, "Dup"):
        return context.comm.Dup()
    # A serial context in a process that runs MPI must not wait for the other ranks.
    mpi = sys.modules.get("mpi4py.MPI")
    return mpi.COMM_SELF if mpi is not None and mpi.Is_initialized() else None
