"""Raw kernels: own functions on blocks after every step."""

from __future__ import annotations

import numpy as np
import pytest

from hpcsim.api import Lattice, Model, Simulation
from hpcsim.errors import ConfigError
from hpcsim.integrators.raw import RAW_KERNELS, RawKernel


def _halve(u, lo, hi, origin, spacing, t, dt, rate):
    u[0, lo[0] : hi[0]] *= rate


def _difference(u, v, lo, hi, origin, spacing, t, dt):
    for i in range(lo[0], hi[0]):
        v[0, i] = u[0, i + 1] - u[0, i - 1] + 1000.0 * (i + origin[0])


RAW_KERNELS.register("test_halve", RawKernel(_halve, ["u"], parameters=["rate"]))
RAW_KERNELS.register("test_difference", RawKernel(_difference, ["u", "v"], ghost=1))


def _simulation(kernels: list[str], **options: object) -> Simulation:
    model = Model({"dt(u)": "0*u"}, {"u": {}, "v": {}}, {"rate": 0.5}, kernels=kernels)
    lattice = Lattice([12], upper=[12.0], options={"block_shape": [4]})
    return Simulation(lattice, model, {"u": "x**2"}, backend="numpy", integrator="euler", dt=0.1, **options)


def test_it_runs_once_a_step_with_its_parameters() -> None:
    with _simulation(["test_halve"]) as simulation:
        before = np.concatenate([block[0] for block in simulation.values("u")]).copy()
        simulation.run(steps=3)
        after = np.concatenate([block[0] for block in simulation.values("u")])
    np.testing.assert_array_equal(after, before / 8)


def test_ghosts_are_filled_across_blocks_and_the_origin_is_global() -> None:
    with _simulation(["test_difference"]) as simulation:
        simulation.run(steps=1)
        order = np.argsort([block.lo[0] for block in simulation.setting.storage.blocks])
        found = np.concatenate([simulation.values("v")[slot][0] for slot in order])
    u = (np.arange(12) + 0.5) ** 2
    np.testing.assert_allclose(found, np.roll(u, -1) - np.roll(u, 1) + 1000.0 * np.arange(12), rtol=0, atol=1e-12)


def test_unknown_names_are_reported_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r"unknown kernel 'test_halv'; did you mean 'test_halve'"):
        _simulation(["test_halv"])
    with pytest.raises(ConfigError, match="unknown field 'w'"):
        RAW_KERNELS.register("test_bad", RawKernel(_halve, ["w"]))
        _simulation(["test_bad"])
