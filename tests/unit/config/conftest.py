"""A configuration that uses every table and every key."""

from __future__ import annotations

import tomllib

import pytest

FULL = """
[lattice]
shape = [16, 8]
lower = [-0.8, 0.0]
upper = [0.8, 0.8]
boundary = { x = ["dirichlet", { type = "robin", value = 1.0, slope = "t" }], y = "periodic" }
block_shape = [4, 4]
curve = "morton"
partition = "cartesian"
[boundary.u]
all = { type = "dirichlet", value = [1, "y"] }
x_lower = "neumann"
[boundary.E]
x = ["dirichlet", "neumann"]
x_upper = { type = "dirichlet", value = 0.5 }
[model]
name = "equations"
order = 4
parameters = { D = 0.1, chi = "1 + x", v = [1, 2.5] }
[model.fields]
u = {}
E = { centring = "face", components = 2, dtype = "float32" }
[model.equations]
"dt(u)" = "D*laplacian(u)"
"dtt(E)" = "laplacian(E)"
[model.derived]
q = "u*u"
[initial]
u = "exp(-x**2)"
"dt(E)" = [0, "x + \\n y"]
E = { kind = "packet", center = [0.5, 0.5], width = [0.1, 0.1], mode = [1, 0], amplitude = 2.0, phase = 0.1 }
[run]
start_time = 0.5
stop_time = 2
integrator = "rk4"
dt = 1e-3
cfl = 0.5
allow_unstable = true
threads = 2
backend = "numpy"
dtype = "float32"
exchange = "blocking"
check_finite_every = 10
seed = 7
check_messages = true
watchdog_s = 60
relaxed_math = true
fresh_memory = "nan"
[solver]
method = "krylov"
rtol = 1e-6
atol = 1e-12
max_iterations = 90
preconditioner = "jacobi"
cycle = "w"
smoother = "chebyshev"
sweeps = [2, 1]
precision = "double"
newton_rtol = 1e-9
newton_iterations = 12
[solver.step]
method = "petsc"
sweeps = [0, 3]
[petsc]
ksp_type = "cg"
step_ksp_max_it = 30
step_ksp_monitor = true
mat_shift = -1.5
[output]
fields = ["u", "q"]
every = "t=0.25"
format = "vtkhdf"
[diagnostics]
every = "5 steps"
format = "csv"
[diagnostics.quantities]
mass = { integral = "u" }
peak = { max = "u" }
low = { min = "u" }
size = { norm2 = "u" }
middle = { mean = "u" }
"""


@pytest.fixture
def full_text() -> str:
    return FULL


@pytest.fixture
def full() -> dict:
    """The full example as a fresh dictionary."""
    return tomllib.loads(FULL)


@pytest.fixture
def small() -> dict:
    """The smallest valid configuration."""
    return {"lattice": {"shape": [8, 8]}, "model": {"name": "diffusion"}, "run": {"steps": 3}}
