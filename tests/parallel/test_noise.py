"""Noise is the same realisation on any ranks, blocks and threads and across a restart (QG-02; PEM, LAY, PET, ERS).

Each answer is compared bit by bit with that of one process that was never stopped.
"""

from __future__ import annotations

import copy
import functools
import json
from pathlib import Path
from typing import Any

import pytest

from hpcsim.comm.context import Context
from hpcsim.comm.exchange import EXCHANGES
from hpcsim.fields.noise import NoiseRegister
from hpcsim.simulation.checkpoint import best_config, candidates, restored, save
from tests.ladder.cases import answer, outcome, simulate

CASES: dict[str, dict[str, Any]] = {
    # Random fluxes of order 4, noise that multiplies a field, a vector on faces between walls, vertices; RK4.
    "plane": {
        "lattice": {"shape": [13, 17], "upper": [6.5, 8.5], "boundary": {"x": "neumann", "y": "periodic"}},
        "model": {
            "order": 4,
            "fields": {"u": {}, "V": {"centring": "face", "components": 2}, "n": {"centring": "vertex"}},
            "parameters": {"s": "0.1 + 0.01*x"},
            "equations": {
                "dt(u)": "0.1*laplacian(u) + s*u*noise() + div(0.05*vector(noise(2), noise()))",
                "dt(V)": "-V + s*noise() + vector(noise(5), 0)",
                "dt(n)": "-n + noise()",
            },
        },
        "initial": {"u": {"kind": "random"}},
        "diagnostics": {"quantities": {"content": {"integral": "u"}, "largest": {"max": "n*u"}}},
        "run": {"steps": 9, "integrator": "rk4", "dt": 0.02, "seed": 99},
    },
    # A random force on waves in three dimensions: two levels in time, the first from the noise of the first step.
    "waves": {
        "lattice": {"shape": [8, 7, 9]},
        "model": {
            "fields": {"E": {}},
            "equations": {"dtt(E)": "laplacian(E) - 0.1*dt(E) + 0.3*noise()"},
        },
        "run": {"steps": 9, "integrator": "leapfrog", "dtype": "float32"},
    },
    "density": {
        "lattice": {"shape": [40, 30]},
        "model": {"name": "entanglement_density", "parameters": {"D": 0.5, "gamma": 0.1, "sigma": 0.2}},
        "run": {"steps": 9, "integrator": "euler", "cfl": 0.2},
    },
}
BLOCKS = {"plane": [[5, 6], [13, 3]], "waves": [[3, 7, 4], [4, 2, 3]], "density": [[9, 8], [40, 5]]}


def case(name: str, **changes: Any) -> dict[str, Any]:
    """A copy of a case; changes are named ``section__key``."""
    sections = copy.deepcopy(CASES[name])
    for key, value in changes.items():
        section, _, entry = key.partition("__")
        sections[section][entry] = value
    return sections


@functools.cache
def alone(context: Context, name: str) -> dict[str, Any]:
    """Answer of one process, on all ranks."""
    text = ""
    if context.rank == 0:
        try:
            with Context.serial() as one:
                text = json.dumps(answer(case(name), one))
        except Exception as error:
            text = json.dumps({"failed": repr(error)})
    found: dict[str, Any] = json.loads(context.bcast_text(text))
    assert "failed" not in found, found
    return found


@pytest.mark.parametrize("name", CASES)
def test_any_ranks_blocks_and_memory(context: Context, name: str) -> None:
    """PEM, LAY, REP, NAN: ranks, block shapes, curves and partitions; fresh memory full of NaN."""
    assert answer(case(name), context) == alone(context, name)
    for block, curve, partition in zip(BLOCKS[name], ("hilbert", "morton"), ("round_robin", "curve"), strict=True):
        sections = case(name, lattice__block_shape=block, run__fresh_memory="nan")
        sections["lattice"] |= {"curve": curve, "partition": partition}
        assert answer(sections, context) == alone(context, name), block


@pytest.mark.parametrize("name", CASES)
def test_any_backend(context: Context, name: str) -> None:
    """PET: NumPy draws the same numbers."""
    assert answer(case(name, run__backend="numpy"), context) == alone(context, name)


def test_any_threads(context: Context) -> None:
    """PET: several threads draw their parts of a register."""
    for threads in (2, 3):
        assert answer(case("density", run__threads=threads), context) == alone(context, "density")


@pytest.mark.parametrize("strategy", EXCHANGES.names())
def test_any_exchange(context: Context, strategy: str) -> None:
    """PEM: noise itself is never exchanged."""
    assert answer(case("plane", run__exchange=strategy), context) == alone(context, "plane")


@pytest.mark.parametrize("name", CASES)
def test_a_restart_in_the_middle(context: Context, name: str, shared_tmp_path: Path) -> None:
    """ERS, ERP, LAY: stopped after 4 of 9 steps, restored with other blocks; no noise is in the files."""
    with simulate(case(name), context) as simulation:
        simulation.run(steps=4)
        assert not any(register.startswith("noise") for register in simulation.saved_registers())
        save(simulation, shared_tmp_path)
    names, _ = candidates(shared_tmp_path)
    config = best_config(shared_tmp_path, names, (f"lattice.block_shape={BLOCKS[name][0]}",))
    with restored(shared_tmp_path, context, names, config) as simulation:
        simulation.run(steps=5)
        assert outcome(simulation) == alone(context, name)


def test_the_answer_depends_on_the_noise(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """TEST-OF-TEST: one step late on the last rank changes the answer."""
    fill = NoiseRegister.fill
    late = int(context.rank == context.size - 1)
    monkeypatch.setattr(NoiseRegister, "fill", lambda self, step: fill(self, step + late))
    assert answer(case("density"), context)["digests"] != alone(context, "density")["digests"]
