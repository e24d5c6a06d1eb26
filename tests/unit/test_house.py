"""House rules a reader relies on: README names exist, nothing is left over, dangerous calls stay where they are."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from hpcsim.cli.main import VERBS

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "hpcsim"
FOLDERS = ("hpcsim", "tests", "scripts", "docs", "configs", "jobs", ".ci")
SUFFIXES = {".py", ".sh", ".md", ".toml", ".cfg", ".txt", ""}
LEFTOVERS = re.compile(r"\b(?:TO" r"DO|FIX" r"ME|X" r"XX|HA" r"CK)\b")
MACHINE_PATHS = re.compile(r"(?<![\w.}$])/(?:wo" r"rk|ro" r"ot|ho" r"me|Us" r"ers)/\w")
# Generated source is executed in the rooms that compile it only.
MAY_EXECUTE = ("kernels/", "native/")
MAY_NAME_WORLD = ("comm/context.py",)


def texts() -> list[Path]:
    """Every text file that is part of the project."""
    inside = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*")]
    found = [path for path in [*inside, *ROOT.glob("*")] if path.is_file() and path.suffix in SUFFIXES]
    return sorted(path for path in found if "__pycache__" not in path.parts)


def hits(pattern: re.Pattern[str], text: str) -> list[str]:
    """Lines in which a pattern occurs."""
    return [line.strip() for line in text.splitlines() if pattern.search(line)]


def calls(source: str, names: set[str]) -> list[int]:
    """Lines that call one of the given built-ins by its bare name."""
    nodes = [n for n in ast.walk(ast.parse(source)) if isinstance(n, ast.Call) and isinstance(n.func, ast.Name)]
    return [node.lineno for node in nodes if node.func.id in names]


def names_world(source: str) -> bool:
    """Whether the code (not a comment or docstring) names the world communicator."""
    nodes = list(ast.walk(ast.parse(source)))
    attributes = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    imported = {alias.name for node in nodes if isinstance(node, ast.ImportFrom) for alias in node.names}
    return "COMM_WORLD" in attributes | imported


def offenders(bad, allowed: tuple[str, ...] = ()) -> list[str]:
    """Modules of the package for which a check on the source holds."""
    paths = {str(path.relative_to(PACKAGE)): path.read_text() for path in sorted(PACKAGE.rglob("*.py"))}
    return [name for name, source in paths.items() if not name.startswith(allowed) and bad(source)]


@pytest.mark.parametrize("pattern", [LEFTOVERS, MACHINE_PATHS], ids=["leftovers", "machine paths"])
def test_no_forbidden_text(pattern):
    found = {str(path.relative_to(ROOT)): hits(pattern, path.read_text()) for path in texts()}
    found = {name: lines for name, lines in found.items() if lines}
    assert not found, found


def test_every_module_says_what_it_is():
    assert not offenders(lambda source: ast.get_docstring(ast.parse(source)) is None)


def test_world_communicator_only_at_launch():
    assert not offenders(names_world, MAY_NAME_WORLD)


def test_nothing_is_executed_but_generated_kernels():
    assert not offenders(lambda source: calls(source, {"eval", "exec", "__import__"}), MAY_EXECUTE)


def test_no_global_statement():
    assert not offenders(lambda source: any(isinstance(node, ast.Global) for node in ast.walk(ast.parse(source))))


def readme_faults(text: str, root: Path) -> list[str]:
    """Paths and verbs a README names that do not exist."""
    links = re.findall(r"\]\(([^)#:]+)\)", text)
    paths = re.findall(r"(?<![\w/.])((?:configs|docs|scripts|tests|jobs|hpcsim)/[\w./-]*\w)", text)
    verbs = re.findall(r"\bhpcsim +([a-z]+)(?= |`|$)", "\n".join(re.findall(r"`+[^`]+`+", text)), re.MULTILINE)
    missing = sorted(name for name in {*links, *paths} if not (root / name).exists())
    return missing + sorted(f"hpcsim {verb}" for verb in set(verbs) - set(VERBS))


def test_names_in_the_readme_exist():
    assert not readme_faults((ROOT / "README.md").read_text(), ROOT)


def test_the_checks_themselves_can_fail():
    assert hits(LEFTOVERS, "x = 1  # TO" + "DO later") and hits(MACHINE_PATHS, "open('/ho" + "me/ada/x')")
    assert not hits(MACHINE_PATHS, "$HERE/work" + "/x and a/root" + "/b")
    assert calls("eval('1')", {"eval"}) and not calls("model.eval('1')", {"eval"})
    assert (
        names_world("from mpi4py.MPI import COMM_WORLD")
        and names_world("MPI.COMM_WORLD")
        and not names_world("# COMM_WORLD")
    )
    text = "[a](absent.md) `scripts/absent.sh` ```\nhpcsim fly now\n```"
    assert readme_faults(text, ROOT) == ["absent.md", "scripts/absent.sh", "hpcsim fly"]
