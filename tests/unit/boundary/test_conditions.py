"""F-24: faults in the boundary tables are all reported at once, each with its key and what is allowed."""

from __future__ import annotations

import pytest

from hpcsim.boundary.conditions import periodic_axes, resolve
from hpcsim.errors import ConfigError
from hpcsim.fields.spec import FieldSpec
from hpcsim.lattice.domain import Domain

CLOSED = Domain((8, 8), (0, 0), (8, 8), (True, True))
OPEN = Domain((8, 8), (0, 0), (8, 8), (False, False))
MIXED = Domain((8, 8), (0, 0), (8, 8), (False, True))
FIELDS = [FieldSpec("u"), FieldSpec("V", 2)]


def faults(boundary, fields, domain=OPEN, parameters=None):
    with pytest.raises(ConfigError) as caught:
        resolve(boundary, fields, FIELDS, domain, parameters)
    return [str(problem) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("boundary", "periodic"),
    [
        ("periodic", (True, True)),
        ("outflow", (False, False)),
        ({"type": "dirichlet", "value": 1}, (False, False)),
        ({"y": "outflow"}, (True, False)),
        ({"x": ["outflow", {"type": "neumann", "value": 2}], "y": "periodic"}, (False, True)),
        (["outflow", "neumann"], (False, False)),
        ({}, (True, True)),
    ],
)
def test_periodic_axes(boundary, periodic):
    assert periodic_axes(boundary, 2) == periodic


@pytest.mark.parametrize(
    ("boundary", "message"),
    [
        ("perodic", "lattice.boundary: unknown boundary condition 'perodic'; did you mean 'periodic'"),
        ({"z": "outflow"}, "lattice.boundary.z: unknown axis 'z'.*the lattice has 2 axes"),
        ({"x": ["periodic", "outflow"]}, "lattice.boundary.x: axis x is periodic on one side only"),
        ({"x": ["outflow"]}, "lattice.boundary.x: 1 conditions given"),
        ({"x": {"value": 1}}, "lattice.boundary.x: the key 'type' is missing"),
        ({"x": 3}, "lattice.boundary.x: 3 is no condition"),
    ],
)
def test_faults_of_lattice_boundary(boundary, message):
    with pytest.raises(ConfigError, match=message):
        periodic_axes(boundary, 2)


def test_the_more_special_key_wins():
    fields = {"u": {"all": "neumann", "x": "reflecting", "x_upper": "dirichlet"}, "V_y": {"y_lower": "neumann"}}
    found = resolve("outflow", fields, FIELDS, OPEN)
    names = [type(found.at("u", 0, axis, side)).__name__ for axis in (0, 1) for side in (0, 1)]
    assert names == ["Reflecting", "Dirichlet", "Neumann", "Neumann"]
    assert type(found.at("V", 0, 1, 0)).__name__ == "Outflow"
    assert type(found.at("V", 1, 1, 0)).__name__ == "Neumann"


def test_all_skips_periodic_axes():
    found = resolve({"x": "outflow"}, {"u": {"all": "dirichlet"}}, FIELDS, MIXED)
    assert {key[2] for key in found.table} == {0}


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"x": "dirichelt"}, "boundary.u.x: unknown boundary condition 'dirichelt'; did you mean 'dirichlet'?"),
        ({"z_lower": "outflow"}, "boundary.u.z_lower: unknown side 'z_lower'"),
        ({"x_low": "outflow"}, "did you mean 'x_lower'?"),
        ({"x": "robin"}, "'robin' needs alpha and beta and gamma"),
        (
            {"x": {"type": "robin", "alpha": 1, "beta": 1}},
            "boundary.u.x: 'robin' needs gamma; write { type = \"robin\", gamma = ... }",
        ),
        ({"x": {"type": "dirichlet", "value": "bad"}}, "boundary.u.x.value: unknown name 'bad'"),
        ({"x": {"type": "dirichlet", "value": 0, "valeu": 1}}, "x.valeu: unknown key of 'dirichlet' 'valeu'; did"),
        ({"x": {"type": "dirichlet", "value": "cos(q)"}}, "boundary.u.x.value: unknown name 'q'"),
        ({"x": {"type": "dirichlet", "value": "u"}}, "boundary.u.x.value: unknown name 'u'"),
        ({"x": {"type": "dirichlet", "value": "z"}}, "boundary.u.x.value: unknown name 'z'"),
        ({"x": {"type": "dirichlet", "value": True}}, "boundary.u.x.value: True is neither a number nor the text"),
        ({"x": {"type": "dirichlet", "value": float("nan")}}, "boundary.u.x.value: nan is not a finite number"),
        ({"x": {"type": "dirichlet", "value": [1, 2]}}, "boundary.u.x.value: 2 values for 1 component(s)"),
        ({"x": {"type": "sponge", "width": 2.5}}, "boundary.u.x.width: 2.5 is not a whole number"),
        ({"x": {"type": "sponge", "width": 0}}, "boundary.u.x.width: 0 is too small; at least 1"),
        ({"x": {"type": "sponge"}}, "boundary.u.x: width = 20 cells, but the axis has only 8"),
        ({"x": {"type": "sponge", "width": 4, "speed": "x"}}, "boundary.u.x.speed: unknown name 'x'"),
        ({"x": {"type": "sponge", "width": 4, "speed": "chi"}}, "boundary.u.x.speed: 'chi' varies in space"),
        ({"x": {"type": "sponge", "width": 4, "wall": "robin"}}, "boundary.u.x.wall: unknown choice 'robin'"),
        ({"x": {"type": "reflecting", "parity": "none"}}, "unknown choice 'none'"),
        ({"x": "periodic"}, "boundary.u.x: axis x has walls; an axis is periodic for all fields"),
        ({"x": {"type": "robin", "alpha": 2, "beta": -1, "gamma": 0}}, "boundary.u.x: alpha = 2 and beta = -1 leave"),
        ({"x": {"type": "robin", "alpha": 0, "beta": 0, "gamma": 0}}, "leave ghost layer 1 undetermined"),
        (3, "boundary.u: 3 is not a table of sides"),
    ],
)
def test_faults_of_a_field(table, message):
    found = faults("outflow", {"u": table}, parameters={"chi": "1 + x", "bad": "u + 1"})
    assert len(found) == 1 and message in found[0]


def test_all_faults_are_reported_at_once():
    fields = {"v": {}, "u": {"x": "robni", "all": {"type": "neumann", "vaule": 1}}, "V_x": {"y": {"type": "robin"}}}
    found = faults({"x": "outflow", "y": "outflow", "z": "outflow"}, fields)
    assert [text.split(":")[0] for text in found] == [
        "lattice.boundary.z", "boundary.v", "boundary.u.x", "boundary.u.all.vaule", "boundary.V_x.y",
    ]  # fmt: skip


def test_a_wall_condition_on_a_periodic_axis():
    assert (
        "axis y is periodic, so it has no wall for 'dirichlet'"
        in faults({"x": "outflow"}, {"u": {"y_upper": "dirichlet"}}, MIXED)[0]
    )
    assert "every axis is periodic" in faults("periodic", {"u": {"all": "dirichlet"}}, CLOSED)[0]


def test_a_domain_that_does_not_match():
    assert "axis y is periodic" in faults("outflow", {}, MIXED)[0]
    assert "axis x has walls" in faults("periodic", {}, MIXED)[0]
