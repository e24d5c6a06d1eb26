"""Layers (style 4.2): every room imports only from the rooms before it; the graph is read from the source by ast."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import hpcsim

PACKAGE = Path(hpcsim.__file__).parent
ROOMS = (
    "errors", "registry", "schedule", "sizes", "timing", "native", "config", "symbolic", "lattice", "comm", "fields",
    "kernels", "boundary", "sweeps", "solvers", "integrators", "amr", "balance", "couplings", "ensemble", "models",
    "diagnostics", "output", "simulation", "machine", "api", "launch", "scaling", "perf", "cli", "__main__",
)  # fmt: skip
# Libraries that only some rooms may name; everything else asks those rooms.
OWNERS = {"mpi4py": {"comm", "output"}, "petsc4py": {"solvers"}, "sympy": set(), "pickle": set()}


def room_of(module: str) -> str:
    """Room of a dotted module name; the package itself, which holds only the version, lies below all rooms."""
    parts = module.split(".")
    if len(parts) == 1:
        return ""
    return parts[1] if parts[1] not in hpcsim.PUBLIC else room_of(hpcsim.PUBLIC[parts[1]].split(":")[0])


def imported(source: str, module: str, is_package: bool) -> list[tuple[int, str]]:
    """Line and dotted name of everything a source text imports, wherever the statement stands."""
    found = []
    base = module.split(".") if is_package else module.split(".")[:-1]
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            start = ".".join(base[: len(base) - node.level + 1]) if node.level else ""
            target = ".".join(filter(None, [start, node.module]))
            # `from hpcsim import x` names a room or a public name; deeper, the module decides the room.
            names = [f"{target}.{alias.name}" for alias in node.names] if target == "hpcsim" else [target]
            found += [(node.lineno, name) for name in names]
    return found


def faults(source: str, module: str, is_package: bool = False) -> list[str]:
    """What a module imports against the order of the rooms."""
    own = room_of(module)
    found = []
    for line, name in imported(source, module, is_package):
        top = name.split(".")[0]
        if top in OWNERS and own not in OWNERS[top]:
            found.append(f"{module}:{line} imports {name}; only {sorted(OWNERS[top]) or 'nobody'} may")
        if top != "hpcsim" or own == "":
            continue
        room = room_of(name)
        if room in ROOMS and ROOMS.index(room) > ROOMS.index(own):
            found.append(f"{module}:{line} ({own}) imports {name} ({room}), which lies above")
    return found


def modules() -> list[tuple[str, Path]]:
    """Dotted name and file of every module of the package."""
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        found.append((".".join(parts[:-1] if parts[-1] == "__init__" else parts), path))
    return found


def test_every_module_lies_in_a_known_room():
    unknown = {name for name, _ in modules() if room_of(name) not in {"", *ROOMS}}
    assert not unknown, f"add the room to ROOMS at its place: {sorted(unknown)}"


def test_no_upward_import():
    wrong = [fault for name, path in modules() for fault in faults(path.read_text(), name, path.stem == "__init__")]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize(
    ("source", "module", "count"),
    [
        ("from hpcsim.fields.state import State", "hpcsim.comm.plan", 1),
        ("def f():\n    import hpcsim.cli.main", "hpcsim.simulation", 1),
        ("from ..cli import main", "hpcsim.comm.plan", 1),
        ("from hpcsim import Simulation", "hpcsim.models.base", 1),
        ("from hpcsim import cli", "hpcsim.models.base", 1),
        ("from mpi4py import MPI", "hpcsim.models.base", 1),
        ("import pickle", "hpcsim.comm.context", 1),
        ("from hpcsim.errors import nearest\nfrom hpcsim import __version__", "hpcsim.comm.plan", 0),
        ("from .context import Context\nfrom mpi4py import MPI", "hpcsim.comm.plan", 0),
        ("TABLE = {'a': 'hpcsim.cli.main:main'}", "hpcsim.comm.plan", 0),
    ],
)
def test_the_check_itself_sees_an_upward_import(source, module, count):
    assert len(faults(source, module)) == count


def test_public_names_point_to_rooms():
    assert all(room_of(target.split(":")[0]) in ROOMS for target in hpcsim.PUBLIC.values())
