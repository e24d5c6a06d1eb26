"""Size budget (style 4.3): modules and functions short enough to be read in one sitting."""

from __future__ import annotations

import ast
from pathlib import Path
from statistics import median

import hpcsim

PACKAGE = Path(hpcsim.__file__).parent
MODULE_LINES = 500
FUNCTION_LINES = 60
MEDIAN_LINES = 160


def function_sizes(source: str) -> dict[str, int]:
    """Lines of every function without its docstring."""
    sizes = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0]
            text = (
                isinstance(first, ast.Expr)
                and isinstance(first.value, ast.Constant)
                and isinstance(first.value.value, str)
            )
            documented = first.end_lineno - first.lineno + 1 if text else 0
            sizes[f"{node.name}:{node.lineno}"] = node.end_lineno - node.lineno + 1 - documented
    return sizes


def module_sizes() -> dict[str, int]:
    """Lines of every module."""
    return {str(p.relative_to(PACKAGE)): len(p.read_text().splitlines()) for p in sorted(PACKAGE.rglob("*.py"))}


def test_modules_are_short():
    long = {name: lines for name, lines in module_sizes().items() if lines > MODULE_LINES}
    assert not long, f"over {MODULE_LINES} lines: {long}"


def test_median_module_is_near_120_lines(record_property):
    # A package file that only has a docstring is no module to read.
    sizes = [lines for lines in module_sizes().values() if lines > 10]
    record_property("median_module_lines", median(sizes))
    assert median(sizes) <= MEDIAN_LINES


def test_functions_are_short():
    long = {
        f"{path.relative_to(PACKAGE)}:{name}": lines
        for path in PACKAGE.rglob("*.py")
        for name, lines in function_sizes(path.read_text()).items()
        if lines > FUNCTION_LINES
    }
    assert not long, f"over {FUNCTION_LINES} lines without the docstring: {long}"


def test_the_count_leaves_the_docstring_out():
    source = 'def f():\n    """One.\n\n    Two.\n    """\n    a = 1\n    return a\n'
    assert function_sizes(source) == {"f:1": 3}
