"""Generated source: fixed text, no word of the user in it, the same under every hash seed (HASH)."""

from __future__ import annotations

import ast
import hashlib
import os
import random
import re
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import pytest

from hpcsim.kernels.loopnest import Assignment, make_nest
from hpcsim.kernels.numba.source import kernel_source
from hpcsim.kernels.printer import Printer
from hpcsim.symbolic.expr import Access, Compare, Coordinate, Expr, Num, Symbol, Temp, call, power, where
from tests.unit.symbolic.random_expr import random_expression

ROOT = Path(__file__).parents[3]
u = Access("u", 0, (0, 0))
east, north = Access("u", 0, (1, 0)), Access("u", 0, (0, -2))
v1 = Access("v", 1, (0, 0))
out = Access("out", 0, (0, 0))
a, dt = Symbol("a"), Symbol("dt")


def printed(value: Expr) -> str:
    nest = make_nest(2, "float64", [Assignment(out, value)], {"v": 2}, ("h_x", "h_y"))
    return Printer(nest).statements()[-1].partition(" = ")[2]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (u + east + north, "(a0[q1_0] + a0[q1_0 + U(1) * p0] + a0[q1_0 - U(2)])"),
        (u - 2 * east, "(a0[q1_0] + (F(-2.0) * a0[q1_0 + U(1) * p0]))"),
        (u - v1, "(a0[q1_0] - a1[q2_1])"),
        (a * (u + v1), "(s0 * (a0[q1_0] + a1[q2_1]))"),
        (u / v1 * a, "(s0 * a0[q1_0] / a1[q2_1])"),
        (u**3, "(a0[q1_0] * a0[q1_0] * a0[q1_0])"),
        (u**7, "_power(a0[q1_0], 7)"),
        (u**-2, "(F(1.0) / (a0[q1_0] * a0[q1_0]))"),
        (power(u, Fraction(1, 2)), "(a0[q1_0] ** F(0.5))"),
        (call("max", u, v1), "_max(a0[q1_0], a1[q2_1])"),
        (where(Compare("and", Compare("<", u, v1), Compare(">=", u, Num(0))), u, 1),
         "(a0[q1_0] if ((a0[q1_0] < a1[q2_1]) and (a0[q1_0] >= F(0.0))) else F(1.0))"),
        (Coordinate(1, -1, 0) * u, "(((s0 * (F(g1 + -1) + F(0.5))) + s1) * a0[q1_0])"),
        (Fraction(1, 3) * u, "(F(0.3333333333333333) * a0[q1_0])"),
    ],
)  # fmt: skip
def test_text(value: Expr, text: str) -> None:
    """Parentheses fix the order of operations; numbers are written so that they read back exactly."""
    assert printed(value) == text


def whole_source(parallel: bool = False, dtype: str = "float64") -> str:
    rng = random.Random(5)  # noqa: S311
    values = [random_expression(rng, 4, 3, exact=False) for _ in range(6)]
    assignments = [Assignment(Temp(0), values[0]), Assignment(Access("o0", 0, (0, 0, 0)), Temp(0) * a)]
    assignments += [Assignment(Access("out", i, (0, 0, 0)), value) for i, value in enumerate(values[1:])]
    nest = make_nest(3, dtype, assignments, {"r0": 2, "r1": 2, "out": 5}, ("h_x",) * 3)
    return kernel_source(nest, parallel)


def test_no_text_of_the_user_reaches_the_compiler() -> None:
    """F-34: every name in a generated module is ours."""
    register, symbol = Access("evil__import__", 0, (0,)), Symbol("os_system")
    nest = make_nest(1, "float64", [Assignment(Access("target", 0, (0,)), symbol * register)], {}, ("h_x",))
    source = kernel_source(nest, False)
    assert not re.search("evil|os_system|target", source)
    functions = [
        n for n in ast.parse(whole_source()).body if isinstance(n, ast.FunctionDef) and n.name in ("box", "run")
    ]
    names = {n.id for function in functions for n in ast.walk(function) if isinstance(n, ast.Name)}
    ours = re.compile(
        r"[asblhgipqrv]\d+(_\d+)?|F|U|OPTIONS|_power|_min|_max|_sign|np|math|njit|prange|range|abs|box"
        r"|boxes|starts|copies|Distinct|origins|pitch|sites|scalars|slot|row|[kmn]"
    )
    words = {name for name in names if not ours.fullmatch(name)}
    assert len(functions) == 2
    assert len(words) <= 1, words  # at most the class of the compiler, which the header defines
    assert all(f"class {word}(" in source for word in words)


def test_parallel_and_dtype_are_part_of_the_text() -> None:
    """F-39: what changes the machine code changes the key."""
    texts = {whole_source(), whole_source(True), whole_source(dtype="float32"), whole_source(True, "float32")}
    assert len(texts) == 4
    assert "prange(boxes.shape[0])" in whole_source(True)


SOURCES = """
import hashlib, sys
from tests.unit.kernels.test_printer import model_sources, whole_source
print(hashlib.sha256((whole_source() + model_sources()).encode()).hexdigest())
"""
MODELS = [
    {
        "equations": {"dt(u)": "div((k + u**2)*grad(u)) - dot(V, grad(u)) + f", "dt(v)": "u - v*k + sin(t)*x"},
        "fields": {"u": {}, "v": {}, "V": {"centring": "face", "components": 2}},
        "parameters": {"k": "1 + 0.1*x", "b": 2.0, "f": "exp(-b*x*y)"},
        "derived": {"flux": "k*grad(u)"},
        "order": 4,
    },
    {"name": "klein_gordon", "parameters": {"chi": "0.2 + x", "damping": 0.1}},
]


def model_sources() -> str:
    """Kernel sources of whole models with every kind of parameter, in the order in which they are compiled."""
    from hpcsim.api import Lattice, Model, Simulation
    from hpcsim.simulation.build import case_nests

    texts = []
    for options, integrator in zip(MODELS, ("bs32", "leapfrog"), strict=True):
        simulation = Simulation(
            Lattice([8, 6], upper=[4.0, 2.0]), Model(**options), backend="numpy", integrator=integrator, dt=0.01,
            quantities={"total": {"integral": "u*x" if integrator == "bs32" else "E"}},
        )  # fmt: skip
        texts += [kernel_source(nest, False) for nest in case_nests(simulation.case, simulation.setting)]
    return "".join(texts)


def hash_with_seed(seed: int) -> str:
    environment = {**os.environ, "PYTHONHASHSEED": str(seed)}
    command = [sys.executable, "-c", SOURCES]
    return subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, check=True).stdout


def test_one_source_for_every_hash_seed() -> None:
    """HASH: three seeds here, all 24 in the nightly form."""
    found = {hash_with_seed(seed) for seed in (0, 1, 23)}
    assert len(found) == 1
    assert found == {hashlib.sha256((whole_source() + model_sources()).encode()).hexdigest() + "\n"}


@pytest.mark.nightly
def test_one_source_for_24_hash_seeds() -> None:
    """HASH: PYTHONHASHSEED 0..23."""
    assert len({hash_with_seed(seed) for seed in range(24)}) == 1
