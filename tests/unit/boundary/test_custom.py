"""F-24, ENG-05: conditions registered from Python work by name, as layers or as a callback per block."""

from __future__ import annotations

import numpy as np
import pytest

from hpcsim.boundary import BOUNDARIES
from hpcsim.boundary.base import BoundaryCondition, Key, Layer
from hpcsim.errors import ConfigError
from hpcsim.fields.spec import FieldSpec
from tests.unit.boundary.setup import Bench, bounded, noise


class Fading(BoundaryCondition):
    """Ghosts are the nearest layer times a factor per depth."""

    keys = {"factor": Key("number", "factor per layer", 0.5)}

    def layer(self, depth, component, staggered):
        return Layer(source=0, factor=self.options["factor"] ** depth)


class Ramp(BoundaryCondition):
    """Ghosts are set by a callback from position, depth and time."""

    keys = {"value": Key("formula", "unused", 0)}

    def fill_block(self, ghosts, inner, patch, t):
        across = sum(patch.coordinates)
        for depth in range(1, len(ghosts) + 1):
            ghosts[depth - 1] = depth * t + across + inner[depth - 1]


class Nothing(BoundaryCondition):
    """A class without a recipe."""


class TooDeep(BoundaryCondition):
    """Reads a layer that does not exist."""

    def layer(self, depth, component, staggered):
        return Layer(source=depth + 3, factor=1.0)


@pytest.fixture
def registered():
    added = {"fading": Fading, "ramp": Ramp, "nothing": Nothing, "too_deep": TooDeep, "no_class": len}
    for name, kind in added.items():
        BOUNDARIES.register(name, kind)
    yield
    for name in added:
        BOUNDARIES._objects.pop(name)


@pytest.mark.parametrize("centring", ["cell", "vertex"])
def test_a_registered_recipe(registered, centring):
    table = {"u": {"x": {"type": "fading", "factor": "a/4"}}}
    b = Bench(bounded(1), "outflow", table, spec=FieldSpec("u", 1, centring), ghost=2, parameters={"a": 1.0})
    u = b.set(noise()).fill().shell()
    assert u[1] == u[2] / 4 and u[0] == u[2] / 16 and u[-1] == u[-3] / 16


@pytest.mark.parametrize("block_shape", [None, (4, 3)])
@pytest.mark.parametrize("centring", ["cell", "vertex"])
def test_a_registered_callback(registered, centring, block_shape):
    b = Bench(
        bounded(2, (8, 6)), "ramp", spec=FieldSpec("u", 1, centring), ghost=2, block_shape=block_shape
    ).set(noise())  # fmt: skip
    b.fill(10.0)
    assert b.filler.time_dependent
    assert not any(np.isnan(b.shell(block)).any() for block in b.layout.blocks)
    last = max(b.layout.blocks, key=lambda block: block.hi)
    u = b.shell(last)
    y = b.coordinates(last, 0)[1][0]
    expected = 2 * 10.0 + b.domain.upper[0] + y + u[-4, 2:-2]
    assert np.allclose(u[-1, 2:-2], expected, rtol=1e-14)


@pytest.mark.parametrize("width", [1, 2, 3])
def test_a_callback_gets_as_many_layers_as_are_filled(registered, width):
    b = Bench(bounded(1), "ramp", ghost=3, width=width).set(noise()).fill(1.0)
    u = b.shell()
    assert np.isfinite(u[3 - width : 10 + width]).all()
    assert np.isnan(u[: 3 - width]).all() and np.isnan(u[10 + width :]).all()
    assert np.isclose(u[2], 1.0 + b.domain.lower[0] + u[3]) and np.isclose(u[10], 1.0 + b.domain.upper[0] + u[9])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nothing", "Nothing has neither layer"),
        ("too_deep", "ghost layer 1 of TooDeep reads inner layer 4; with 1 ghost layers there are 0 to 0"),
        ("no_class", "no subclass of BoundaryCondition"),
    ],
)
def test_unusable_classes_are_refused(registered, name, message):
    with pytest.raises(ConfigError, match=message):
        Bench(bounded(1), name)


def test_a_taken_name_is_refused():
    with pytest.raises(ConfigError, match="'outflow' is already taken"):
        BOUNDARIES.register("outflow", Fading)
