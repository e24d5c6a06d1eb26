"""Every page of the documentation is true: its blocks run, its links and names exist, its tables match the code."""

from __future__ import annotations

import ast
import importlib
import json
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

import hpcsim
from hpcsim import errors
from hpcsim.cli.list import KINDS
from hpcsim.cli.main import VERBS, main
from hpcsim.cli.reference import pages
from hpcsim.config.reference import markdown
from hpcsim.symbolic.functions import FUNCTIONS
from hpcsim.symbolic.names import OPERATORS
from tests.examples.page import FILE, blocks, commands, is_case

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", *DOCS.rglob("*.md")])
RUNNABLE = [page for page in PAGES if any(kind in ("python", "console") for kind, _ in blocks(page.read_text()))]
# Ranks may outnumber the processors where tests run.
LAUNCH = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
    "OMPI_MCA_mpi_yield_when_idle": "1",
    "OMPI_MCA_hwloc_base_binding_policy": "none",
    "OMP_NUM_THREADS": "1",
    "MPLBACKEND": "Agg",
}


def identify(page: Path) -> str:
    """Test id of a page."""
    return str(page.relative_to(ROOT))


def environment() -> dict[str, str]:
    """Environment in which a page runs: this interpreter's command first, ranks allowed to share processors."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return {**LAUNCH, **os.environ, "PATH": path, "PYTHONPATH": str(ROOT)}


def words(text: str) -> set[str]:
    """Everything in single back quotes."""
    return set(re.findall(r"(?<!`)`([^`\n]+)`(?!`)", text))


def section(page: str, heading: str) -> str:
    """Text of a page below a heading, down to the next one."""
    text = (DOCS / page).read_text()
    return re.split(r"^#+ ", text.split(f"# {heading}\n", 1)[1], maxsplit=1, flags=re.MULTILINE)[0]


@pytest.mark.parametrize("page", RUNNABLE, ids=identify)
def test_the_blocks_of_a_page_run(page: Path, tmp_path: Path) -> None:
    """Python and console blocks, in order, in an empty directory that has only the cases of the package."""
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    driver = Path(__file__).with_name("page.py")
    done = subprocess.run(
        [sys.executable, driver, page], cwd=tmp_path, env=environment(), capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]


def test_the_driver_itself_can_fail(tmp_path: Path) -> None:
    driver = Path(__file__).with_name("page.py")
    for number, block in enumerate(("```python\nassert False\n```", "```console\n$ exit 3\n```")):
        page = tmp_path / f"{number}.md"
        page.write_text(f"# Page\n\n{block}\n")
        assert subprocess.run([sys.executable, driver, page], cwd=tmp_path, capture_output=True).returncode == 1


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_toml_blocks_are_read_and_whole_cases_are_used(page: Path) -> None:
    text = page.read_text()
    used = " ".join(command for command, _ in commands(text))
    for language, content in blocks(text):
        if language == "toml":
            tomllib.loads(content)
            named = FILE.match(content)
            if is_case(content):
                assert named and named[1] in used, "a whole case has a name in its first line and a console line"


def anchors(page: Path) -> set[str]:
    """Anchors of the headings of a page, as the usual viewers make them."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)]+)\)", page.read_text().replace("\n", " ")):
        if target.startswith("https://"):
            continue
        name, _, anchor = target.partition("#")
        place = (page.parent / name).resolve() if name else page
        assert place.exists(), target
        assert not anchor or anchor in anchors(place), target


@pytest.mark.parametrize("page", PAGES, ids=identify)
def test_files_and_objects_that_are_named_exist(page: Path) -> None:
    text = page.read_text()
    for name in re.findall(r"(?<![\w/.-])((?:hpcsim|tests|configs|scripts|docs)/[\w./-]*\w)", text):
        assert (ROOT / name).exists(), name
    for name in re.findall(r"(?<![\w/.])hpcsim(?:\.[A-Za-z_]\w*)+(?![\w:])", text):
        assert resolves(name), name


def resolves(dotted: str) -> bool:
    """Whether a dotted name is a module of the package or an attribute of one."""
    parts = dotted.split(".")
    for count in range(len(parts), 0, -1):
        try:
            value = importlib.import_module(".".join(parts[:count]))
        except ModuleNotFoundError:
            continue
        return all((value := getattr(value, name, None)) is not None for name in parts[count:])
    return False


def test_the_checks_of_names_can_fail() -> None:
    assert resolves("hpcsim.simulation.build.build")
    assert not resolves("hpcsim.simulation.build.destroy") and not resolves("hpcsim.nothing")


def test_every_page_can_be_reached_from_the_readme() -> None:
    linked = set(re.findall(r"\]\((docs/[\w./-]+\.md)", (ROOT / "README.md").read_text()))
    assert {str(page.relative_to(ROOT)) for page in DOCS.rglob("*.md")} == linked


def test_pictures_that_are_shown_exist_and_none_is_left_over() -> None:
    shown = {Path(name).name for page in PAGES for name in re.findall(r"!\[[^\]]*\]\(([^)]+)\)", page.read_text())}
    assert shown == {path.name for path in (DOCS / "images").iterdir()}


@pytest.mark.parametrize("name", pages())
def test_generated_reference_is_up_to_date(name: str) -> None:
    """After a change of keys, options or signatures: hpcsim reference --output docs/reference."""
    assert (DOCS / "reference" / name).read_text() == pages()[name]


def test_the_reference_verb_writes_these_pages(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["reference", "--output", str(tmp_path / "new")]) == 0
    assert {path.name: path.read_text() for path in (tmp_path / "new").iterdir()} == pages()


def test_every_verb_and_no_other_is_on_the_page() -> None:
    there = {verb for verb, (module, _) in VERBS.items() if importlib.util.find_spec(module)}
    table = set(re.findall(r"^\| `(\w+)", section("command-line.md", "Verbs"), re.MULTILINE))
    assert table == there


def test_every_option_of_run_is_on_the_page() -> None:
    from hpcsim.cli import run
    from hpcsim.cli.main import verb_parser

    options = {name for action in verb_parser("run", run)._actions for name in action.option_strings}
    text = section("command-line.md", "Verbs")
    assert not {name for name in options - {"-h", "--help"} if name not in text}


def test_every_exit_code_is_on_the_page() -> None:
    from hpcsim.cli.start import STOPPED
    from hpcsim.comm.watchdog import EXIT_CODE

    listed = {int(code) for code in re.findall(r"^\| (\d+) \|", section("command-line.md", "Exit codes"), re.MULTILINE)}
    kinds = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, Exception)]
    raised = {kind.exit_code for kind in kinds}
    assert listed == raised | {0, 1, STOPPED, EXIT_CODE, 130}


def test_every_key_of_the_record_is_on_the_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    case = tmp_path / "case.toml"
    case.write_text('[lattice]\nshape = [8]\n[model]\nname = "diffusion"\n[run]\nsteps = 2\nbackend = "numpy"\n')
    assert main(["run", str(case), "--quiet", "--output-dir", str(tmp_path / "run")]) == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert set(record) - {"format"} <= words(section("command-line.md", "run.json"))
    files = {path.name for path in (tmp_path / "run").iterdir()}
    told = " ".join(words(section("command-line.md", "The run directory")))
    assert not {name for name in files if name not in told}


def test_every_function_of_formulas_is_on_the_page() -> None:
    told = " ".join(words(section("configuration.md", "Formulas")))
    known = {*FUNCTIONS, *OPERATORS} - {"dt"}
    assert not {name for name in known if not re.search(rf"\b{name}\b", told)}


def test_every_listing_that_is_mentioned_exists() -> None:
    mentioned = {kind for page in PAGES for kind in re.findall(r"hpcsim list ([a-z]+)", page.read_text())}
    mentioned |= set(re.findall(r"hpcsim list ([a-z]+)", markdown()))
    assert mentioned and not {kind for kind in mentioned if kind not in KINDS}


def test_every_integrator_and_boundary_condition_is_in_the_numerics() -> None:
    told = words((DOCS / "numerics.md").read_text())
    assert set(KINDS.get("integrators").names()) <= told
    assert {*KINDS.get("boundaries").names()} - {"periodic"} <= {word.split(",")[0] for word in told}


def test_messages_of_the_troubleshooting_page_are_those_of_the_code() -> None:
    source = "".join(path.read_text() for path in sorted((ROOT / "hpcsim").rglob("*.py")))
    # Texts that go over several lines, and the values in them.
    source = re.sub(r'"\s*\n\s*f?"', "", source)
    source = re.sub(r"\{[^{}]*\}", "*", source)
    page = (DOCS / "troubleshooting.md").read_text().split("## The run ends early")[0]
    quoted = [m for row in re.findall(r"^\| (`.*?) \|", page, re.MULTILINE) for m in re.findall(r"`([^`]+)`", row)]
    assert len(quoted) > 10
    assert not [text for text in quoted if any(part not in source for part in text.split("..."))]


def public(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.ClassDef]:
    """Public functions and classes of a module, and the public methods of those classes."""
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield node
            for member in node.body if isinstance(node, ast.ClassDef) else ():
                if isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
                    yield member


def test_everything_public_has_a_docstring() -> None:
    """All but methods that override a documented one, which have the docstring of their base."""
    missing = []
    documented = set()
    trees = {path: ast.parse(path.read_text()) for path in sorted((ROOT / "hpcsim").rglob("*.py"))}
    for tree in trees.values():
        documented |= {node.name for node in public(tree) if ast.get_docstring(node)}
    for path, tree in trees.items():
        missing += [f"{path.name}: {node.name}" for node in public(tree) if node.name not in documented]
    assert not missing
    for name in hpcsim.PUBLIC:
        assert getattr(hpcsim, name).__doc__
