"""Steps in the modes of the lattice on any ranks and blocks and across a restart (ENG-08, QG-02; PEM, LAY, ERS).

Transforms of pencils differ by rounding from those of whole lines, so answers agree to a relative 1e-13 (float32: to a
few units of rounding); a restart on the same ranks goes on bit by bit.
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
from hpcsim.simulation.build import Simulation
from hpcsim.simulation.checkpoint import best_config, candidates, restored, save
from hpcsim.solvers.propagate import CompiledPropagate
from tests.ladder.cases import simulate

Fields = dict[str, np.ndarray]

CASES: dict[str, dict[str, Any]] = {
    # A line is held whole by every rank.
    "line": {
        "lattice": {"shape": [37], "upper": [3.7]},
        "model": {
            "fields": {"u": {}},
            "equations": {"dt(u)": "0.01*laplacian(u) - d(u, x) - 0.1*u + 0.3*noise()"},
        },
        "initial": {"u": {"kind": "random"}},
        "run": {"steps": 9, "dt": 0.2},
    },
    # Wide differences between walls and along a ring, a nonlinear rest, two components at different places.
    "plane": {
        "lattice": {"shape": [13, 16], "upper": [6.5, 8], "boundary": {"x": ["dirichlet", "neumann"], "y": "periodic"}},
        "model": {
            "order": 4,
            "fields": {"u": {}, "V": {"centring": "face", "components": 2}},
            "equations": {
                "dt(u)": "0.5*laplacian(u) - u - u**3 + 0.1*noise() + div(0.01*vector(noise(2), noise()))",
                "dt(V)": "0.2*laplacian(V) - V + 0.1*vector(u, u)",
            },
        },
        "initial": {"u": {"kind": "random"}},
        "run": {"steps": 9, "dt": 0.3},
    },
    "box": {
        "lattice": {"shape": [8, 7, 9], "boundary": {"x": "neumann", "y": "dirichlet", "z": ["dirichlet", "neumann"]}},
        "model": {
            "fields": {"u": {"centring": "vertex"}},
            "equations": {"dt(u)": "0.5*laplacian(u) - 0.1*u"},
        },
        "initial": {"u": "x*cos(y)*z/9"},
        "run": {"steps": 9, "dt": 0.5, "dtype": "float32"},
    },
    "four": {
        "lattice": {"shape": [6, 5, 4, 7]},
        "model": {"name": "entanglement_density", "parameters": {"D": 0.5, "gamma": 0.1, "sigma": 0.2}},
        "run": {"steps": 9, "dt": 2.0},
    },
}  # fmt: skip
BLOCKS = {"line": [9], "plane": [5, 6], "box": [3, 7, 4], "four": [3, 5, 2, 4]}


def case(name: str, **lattice: Any) -> dict[str, Any]:
    """A copy of a case with other keys of the lattice."""
    sections = copy.deepcopy(CASES[name])
    sections["run"]["integrator"] = "exponential_modes"
    sections["lattice"] |= lattice
    return sections


def fields(simulation: Simulation) -> Fields:
    """Every component of every field, whole, on all ranks."""
    simulation.settle()
    context, layout = simulation.context, simulation.layout
    found: Fields = {}
    for name, spec in simulation.case.specs.items():
        for component, location in enumerate(spec.locations(layout.domain.ndim)):
            shape = [n + 1 for n in layout.domain.shape]
            part, whole = np.zeros(shape), np.zeros(shape)
            for block in simulation.setting.storage.blocks:
                lo, hi = layout.owned_box(block, location)
                part[tuple(map(slice, lo, hi))] = simulation.state.interior(name, block, component)
            context.comm.Allreduce(part, whole)
            found[f"{name}[{component}]"] = whole
    return found


@functools.cache
def alone(context: Context, name: str) -> Fields:
    """The fields at the end of a run of one process, on all ranks."""
    with simulate(case(name), context) as simulation:
        found = {key: np.zeros_like(values) for key, values in fields(simulation).items()}
    if context.rank == 0:
        with Context.serial() as one, simulate(case(name), one) as simulation:
            simulation.run(steps=9)
            found = fields(simulation)
    for values in found.values():
        context.comm.Bcast(values, 0)
    return found


def assert_agree(name: str, found: Mapping[str, np.ndarray], wanted: Mapping[str, np.ndarray]) -> None:
    """Equal up to rounding, relative to the largest value."""
    tolerance = 3e-7 if CASES[name]["run"].get("dtype") == "float32" else 1e-13
    for key, values in wanted.items():
        size = np.abs(values).max()
        assert size > 1e-3, "nothing to compare"
        assert np.abs(found[key] - values).max() <= tolerance * size, key


@pytest.mark.parametrize("name", CASES)
def test_any_ranks_and_blocks(context: Context, name: str) -> None:
    """PEM, LAY: block shapes, curves and partitions; QG-02: the same realisation of the noise."""
    for lattice in ({}, {"block_shape": BLOCKS[name], "curve": "morton", "partition": "round_robin"}):
        with simulate(case(name, **lattice), context) as simulation:
            simulation.run(steps=9)
            assert_agree(name, fields(simulation), alone(context, name))


@pytest.mark.parametrize("name", CASES)
def test_a_restart_in_the_middle(context: Context, name: str, shared_tmp_path: Path) -> None:
    """ERS, LAY: stopped after 4 of 9 steps; bit by bit with the same blocks, to rounding with others."""
    with simulate(case(name), context) as simulation:
        simulation.run(steps=4)
        save(simulation, shared_tmp_path)
        digests = simulation.run(steps=5).digests()
    names, _ = candidates(shared_tmp_path)
    for change in ((), (f"lattice.block_shape={BLOCKS[name]}",)):
        config = best_config(shared_tmp_path, names, change)
        with restored(shared_tmp_path, context, names, config) as simulation:
            simulation.run(steps=5)
            assert_agree(name, fields(simulation), alone(context, name))
            assert change or simulation.digests() == digests


def test_the_answer_depends_on_every_rank(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    """TEST-OF-TEST: one mode that decays by 1e-11 too fast on the last rank is seen."""
    prepare = CompiledPropagate._prepare

    def wrong(self: CompiledPropagate, dt: float) -> None:
        prepare(self, dt)
        if context.rank == context.size - 1:
            self._decay = self._decay * (1.0 - 1e-11)

    monkeypatch.setattr(CompiledPropagate, "_prepare", wrong)
    with simulate(case("plane"), context) as simulation, pytest.raises(AssertionError):
        assert_agree("plane", fields(simulation.run(steps=9)), alone(context, "plane"))
