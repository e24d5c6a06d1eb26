"""What one library of the stack says about itself: ``python -m hpcsim.machine.probe mpi``.

A broken library may abort its process or hang, so each is asked in a process of its own, which prints one JSON object.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from importlib import import_module, metadata
from importlib.util import find_spec
from typing import Any


def loaded_libraries(*stems: str) -> list[str]:
    """Real paths of the shared libraries mapped into this process whose file name starts with one of the stems."""
    try:
        with open("/proc/self/maps") as maps:
            paths = {line.split(maxsplit=5)[5].strip() for line in maps if "/" in line}
    except OSError:
        return []
    return sorted({os.path.realpath(p) for p in paths if os.path.basename(p).startswith(stems)})


def mpi_libraries() -> list[str]:
    """The MPI libraries mapped into this process."""
    return loaded_libraries("libmpi.so", "libmpich.so", "libmpi.", "libmpi_abi.")


def numpy() -> dict[str, Any]:
    """NumPy by import, since a wrong binary shows only then."""
    return {"version": import_module("numpy").__version__}


def scipy() -> dict[str, Any]:
    """SciPy with the part that is compiled against NumPy."""
    import_module("scipy.linalg")
    return {"version": import_module("scipy").__version__}


def numba() -> dict[str, Any]:
    """Numba and the threading layers that can be loaded."""
    module = import_module("numba")
    layers = []
    for layer, name in (("tbb", "tbbpool"), ("omp", "omppool"), ("workqueue", "workqueue")):
        try:
            import_module(f"numba.np.ufunc.{name}")
        except ImportError:
            continue
        layers.append(layer)
    llvm = import_module("llvmlite.binding")
    return {"version": module.__version__, "layers": layers, "cpu": llvm.get_host_cpu_name()}


def mpi() -> dict[str, Any]:
    """mpi4py and the library it loads, without starting MPI."""
    package = import_module("mpi4py")
    package.rc.initialize = False
    library = import_module("mpi4py.MPI")
    vendor, version = library.get_vendor()
    return {
        "version": package.__version__,
        "vendor": vendor,
        "library_version": ".".join(map(str, version)),
        "libraries": mpi_libraries(),
    }


def h5py() -> dict[str, Any]:
    """h5py, its HDF5, and whether it was built with MPI."""
    module = import_module("h5py")
    parallel = bool(module.get_config().mpi)
    return {
        "version": module.__version__,
        "hdf5": module.version.hdf5_version,
        "parallel": parallel,
        "libraries": mpi_libraries() if parallel else [],
    }


def petsc() -> dict[str, Any]:
    """PETSc through petsc4py, started once as a single process."""
    package = import_module("petsc4py")
    module = import_module("petsc4py.PETSc")
    return {
        "version": package.__version__,
        "library_version": ".".join(map(str, module.Sys.getVersion())),
        "scalar": module.ScalarType.__name__,
        "integer": module.IntType.__name__,
        "libraries": mpi_libraries(),
        "blas": loaded_libraries("libblas", "libopenblas", "libmkl", "libblis"),
    }


def present(package: str) -> dict[str, Any]:
    """Version of a package that needs no import to be judged."""
    if find_spec(package) is None:
        raise ModuleNotFoundError(f"No module named '{package}'", name=package)
    try:
        return {"version": metadata.version(package)}
    except metadata.PackageNotFoundError:
        return {"version": "unknown"}


def main(name: str) -> int:
    """Print the facts of one library as JSON; an error is a fact too."""
    probes: dict[str, Callable[[], dict[str, Any]]] = {
        "numpy": numpy, "scipy": scipy, "numba": numba, "mpi": mpi, "h5py": h5py, "petsc": petsc,
    }  # fmt: skip
    package = {"mpi": "mpi4py", "petsc": "petsc4py"}.get(name, name)
    try:
        facts = probes[name]() if name in probes else present(name)
    except Exception as error:
        absent = isinstance(error, ModuleNotFoundError) and error.name == package
        facts = {"error": f"{type(error).__name__}: {error}".splitlines()[0], "absent": absent}
    print(json.dumps(facts))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
