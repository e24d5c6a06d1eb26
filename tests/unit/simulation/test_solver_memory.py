"""ENG-29: what solvers will need of memory is in the prediction, register by register, and comes true."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hpcsim.comm.context import Context
from hpcsim.config.load import from_mapping
from hpcsim.simulation.build import build
from hpcsim.simulation.case import make_case
from hpcsim.simulation.solver_memory import likely_method, problems, solver_registers
from hpcsim.symbolic.linearize import linearize

TEXTS = {
    "fft": "laplacian(phi) - rho", "krylov": "div(k*grad(phi)) - rho", "petsc": "laplacian(phi) - rho",
    "pointwise": "2*phi + k*phi - rho",
}  # fmt: skip
PEAK = """
import json, re, sys
from pathlib import Path
from hpcsim.comm.context import Context
from hpcsim.config.load import from_mapping
from hpcsim.simulation.build import assemble
from hpcsim.simulation.case import make_case
from hpcsim.simulation.layout import case_layout
from hpcsim.simulation.memory import predict
case = make_case(from_mapping(json.loads(sys.argv[1])))
need = predict(case, case_layout(case, 1))
assemble(case, Context.serial()).quantities()
# The figure of getrusage would count the process that started this one.
peak = re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())
print(need.peak / (1024 * int(peak[1])))
"""


def config(method: str, n: int) -> Any:
    return from_mapping({
        "lattice": {"shape": [n] * 3, "boundary": "dirichlet"},
        "model": {
            "name": "equations", "fields": {"phi": {}, "rho": {}}, "parameters": {"k": "1 + x"},
            "equations": {"solve(phi)": TEXTS[method]},
        },
        "initial": {"rho": "sin(x)"}, "solver": {"method": method, "rtol": 1e-2},
    })  # fmt: skip


@pytest.mark.parametrize("method", TEXTS)
def test_every_register_of_a_solver_is_foreseen(method: str) -> None:
    """The registers after a run are those that were named before it."""
    case = make_case(config(method, 8))
    foreseen = {array.owner for array in solver_registers(case)}
    with build(case.config, Context.serial()) as simulation:
        made = {name for name in simulation.state.names() if "@phi." in name or name.startswith("phi@")}
    assert foreseen == made


@pytest.mark.parametrize("method", ["fft", "krylov", "petsc"])
def test_peak_is_foreseen(method: str, tmp_path: Path) -> None:
    """The resident set of a run whose kernels are compiled already is about what was predicted; huge pages blur it."""
    document = json.dumps(config(method, 96).to_mapping())
    environment = {**os.environ, "HPCSIM_CACHE_DIR": str(tmp_path), "OMP_NUM_THREADS": "1"}
    # The first process compiles, which takes memory of its own.
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", PEAK, document], env=environment, capture_output=True, text=True, check=True
        )
    assert 0.5 <= float(done.stdout) <= 1.5


@pytest.mark.parametrize(
    ("text", "method"),
    [("laplacian(phi) - rho", "fft"), ("div(k*grad(phi)) - rho", "multigrid"), ("phi - rho", "pointwise"),
     ("laplacian(laplacian(phi)) - rho", "petsc")],
)  # fmt: skip
def test_method_follows_from_the_form(text: str, method: str) -> None:
    """The prediction takes the solver that will be chosen."""
    document = config("fft", 8).to_mapping()
    document["solver"] = {}
    document["model"]["equations"] = {"solve(phi)": text}
    case = make_case(from_mapping(document))
    (problem,) = problems(case)
    assert likely_method(case, problem, linearize(problem.residuals, problem.unknowns)) == method
