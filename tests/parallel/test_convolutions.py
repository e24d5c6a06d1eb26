"""Convolutions on any ranks, blocks and threads and across a restart (QG-03, QG-04, ENG-09, KG-15; PEM, LAY, ERS).

Transforms of pencils may differ by rounding from those of whole lines, so answers agree to a relative 1e-13 (float32:
to a few units of rounding); a restart on the same ranks goes on bit by bit.
"""

from __future__ import annotations

import copy
import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hpcsim.comm.context import Context
from hpcsim.errors import ConfigError
from hpcsim.simulation.checkpoint import best_config, candidates, restored, save
from hpcsim.solvers.fft.transform import Transform
from tests.ladder.cases import simulate
from tests.parallel.test_modes import Fields, fields

STEPS = 5
CASES: dict[str, dict[str, Any]] = {
    # A line is held whole by every rank.
    "line": {
        "lattice": {"shape": [37], "upper": [3.7]},
        "model": {
            "fields": {"u": {}, "v": {}},
            "equations": {"dt(u)": "0.01*laplacian(u) - 0.5*v"},
            "convolutions": {"v": {"source": "u - d(u, x)", "kernel": "x*exp(-r) + 0.2"}},
        },
        "initial": {"u": {"kind": "random"}},
        "run": {"dt": 0.1, "integrator": "rk4"},
    },
    # Two sources, components at different places, on free walls too; a constraint between two convolutions.
    "plane": {
        "lattice": {"shape": [13, 16], "upper": [6.5, 8], "boundary": {"x": "neumann", "y": "periodic"}},
        "model": {
            "fields": {"u": {}, "p": {}, "V": {"centring": "face", "components": 2}, "q": {"centring": "vertex"}},
            "equations": {"dt(u)": "0.1*laplacian(u) - 0.1*p - 0.1*div(V)", "solve(p)": "p - 2*q*u"},
            "convolutions": {
                "V": {"source": ["p + t", "d(u, y)"], "kernel": ["exp(-2*r)", {"name": "gaussian", "length": 0.5}]},
                "q": {"source": "u**2", "kernel": "logarithm"},
            },
        },
        "initial": {"u": {"kind": "random"}},
        "run": {"dt": 0.1, "integrator": "ssprk3"},
    },
    # Ten components in open space, some by a truncated transform.
    "tensor": {
        "lattice": {"shape": [9, 8, 7], "boundary": "outflow"},
        "model": {
            "name": "entanglement_tensor",
            "parameters": {"kernel": "yukawa", "length": 2.0, "D": 0.1, "sigma": 0.2},
        },
        "initial": {"rho": {"kind": "random", "mean": 1.0}},
        "run": {"dt": 0.2, "integrator": "euler"},
    },
    # Nothing is integrated.
    "still": {
        "lattice": {"shape": [6, 5, 8], "boundary": "outflow"},
        "model": {
            "fields": {"Phi": {}},
            "convolutions": {"Phi": {"source": "x*exp(-(y - 2)**2)*cos(z)", "kernel": "coulomb"}},
        },
        "initial": {},
        "run": {},
    },
    "four": {
        "lattice": {"shape": [6, 5, 4, 7]},
        "model": {
            "fields": {"u": {}, "v": {}},
            "equations": {"dt(u)": "0.1*laplacian(u) - 0.1*v"},
            "convolutions": {"v": {"source": "u", "kernel": "exp(-r)", "mode": "periodic"}},
        },
        "initial": {"u": {"kind": "random"}},
        "run": {"dt": 0.2, "dtype": "float32"},
    },
}
BLOCKS = {"line": [9], "plane": [5, 6], "tensor": [3, 7, 4], "still": [3, 5, 3], "four": [3, 5, 2, 4]}
RUNS = [name for name in CASES if name != "still"]


def case(name: str, threads: int = 1, **lattice: Any) -> dict[str, Any]:
    """A copy of a case with other keys of the lattice."""
    sections = copy.deepcopy(CASES[name])
    sections["run"] |= {"steps": STEPS if name in RUNS else 0, "threads": threads}
    sections["lattice"] |= lattice
    return sections


@functools.cache
def alone(context: Context, name: str) -> Fields:
    """The fields at the end of a run of one process, on all ranks."""
    with simulate(case(name), context) as simulation:
        found = {key: np.zeros_like(values) for key, values in fields(simulation).items()}
    if context.rank == 0:
        with Context.serial() as one, simulate(case(name), one) as simulation:
            found = fields(simulation.run(steps=simulation.case.config.run.steps))
    for values in found.values():
        context.comm.Bcast(values, 0)
    return found


def assert_agree(name: str, found: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]) -> None:
    """Equal up to rounding, relative to the largest value."""
    tolerance = 3e-7 if CASES[name]["run"].get("dtype") == "float32" else 1e-13
    assert found.keys() == wanted.keys()
    for key, values in wanted.items():
        size = np.abs(values).max()
        assert size > 1e-3, f"nothing to compare in {key}"
        assert np.abs(found[key] - values).max() <= tolerance * size, key


@pytest.mark.parametrize("name", CASES)
def test_any_ranks_and_blocks(context: Context, name: str) -> None:
    """PEM, LAY, PET: block shapes, curves, partitions and threads; QG-04: every component is the same sum."""
    for changes in ({}, {"block_shape": BLOCKS[name], "curve": "morton", "partition": "round_robin", "threads": 2}):
        with simulate(case(name, **changes), context) as simulation:
            assert_agree(name, fields(simulation.run(steps=simulation.case.config.run.steps)), alone(context, name))


@pytest.mark.parametrize("name", RUNS)
def test_a_restart_in_the_middle(context: Context, name: str, shared_tmp_path: Path) -> None:
    """ERS, LAY: stopped after 2 of 5 steps; bit by bit with the same blocks, to rounding with others."""
    with simulate(case(name), context) as simulation:
        simulation.run(steps=2)
        save(simulation, shared_tmp_path)
        digests = simulation.run(steps=STEPS - 2).digests()
    names, _ = candidates(shared_tmp_path)
    for change in ((), (f"lattice.block_shape={BLOCKS[name]}",)):
        config = best_config(shared_tmp_path, names, change)
        with restored(shared_tmp_path, context, names, config) as simulation:
            simulation.run(steps=STEPS - 2)
            assert_agree(name, fields(simulation), alone(context, name))
            assert change or simulation.digests() == digests


def test_a_faulty_kernel_ends_every_rank(context: Context) -> None:
    """F-32: one offset alone is not finite; ranks that did not sample it raise too."""
    sections = case("line")
    sections["model"]["convolutions"]["v"]["kernel"] = "1/(x - 3)"
    sections["lattice"] |= {"shape": [10, 12], "upper": [10.0, 12.0]}
    with pytest.raises(ConfigError, match="kernel of a convolution is not finite"):
        simulate(sections, context)


def test_the_answer_depends_on_every_rank(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """TEST-OF-TEST: modes that are off by 1e-11 on the last rank are seen."""
    outward = Transform.outward

    def wrong(self: Transform, result: np.ndarray) -> np.ndarray:
        if context.rank == context.size - 1:
            self.lines[...] *= 1.0 - 1e-11
        return outward(self, result)

    monkeypatch.setattr(Transform, "outward", wrong)
    with simulate(case("tensor"), context) as simulation, pytest.raises(AssertionError):
        assert_agree("tensor", fields(simulation.run(steps=STEPS)), alone(context, "tensor"))
