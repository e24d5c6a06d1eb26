"""F-12: what may change in a restart, and what is refused."""

from __future__ import annotations

import pytest

from hpcsim.config.load import from_mapping
from hpcsim.config.schema import Config
from hpcsim.errors import ConfigError
from hpcsim.simulation.changes import MAY_CHANGE, check_changes, differences

BASE = {
    "lattice": {"shape": [8, 8]},
    "model": {"name": "diffusion", "parameters": {"D": 0.1}},
    "initial": {"u": "x"},
    "run": {"steps": 10},
}


def changed(**sections):
    """The base with some keys of some sections changed, resolved."""
    document = {name: {**BASE.get(name, {}), **sections.get(name, {})} for name in {*BASE, *sections}}
    return from_mapping(document).to_mapping()


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("run", "steps", 20), ("run", "threads", 2), ("run", "exchange", "blocking"),
        ("lattice", "block_shape", [4, 4]), ("output", "every", "5 steps"), ("checkpoint", "keep", 3),
        ("run", "watchdog_s", 5.0), ("solver", "rtol", 1e-6), ("solver", "step", {"cycle": "w"}),
        ("petsc", "ksp_type", "cg"),
    ],
)  # fmt: skip
def test_harmless_changes_are_told(section, key, value):
    lines = check_changes(changed(), changed(**{section: {key: value}}), "step-00000010")
    assert len(lines) == 1
    assert lines[0].startswith((f"{section}.{key} changed from ", f"{section}.{key}.cycle changed from "))


@pytest.mark.parametrize(
    ("section", "key", "value"),
    [
        ("lattice", "shape", [8, 9]), ("model", "parameters", {"D": 0.2}), ("initial", "u", "y"), ("run", "dt", 0.01),
        ("run", "cfl", 0.5), ("run", "dtype", "float32"), ("run", "seed", 1), ("lattice", "boundary", "neumann"),
    ],
)  # fmt: skip
def test_changes_of_the_physics_are_refused(section, key, value):
    with pytest.raises(ConfigError, match=rf"{section}\.{key}.*step-00000010.*may not change"):
        check_changes(changed(), changed(**{section: {key: value}}), "step-00000010")


def test_all_refusals_come_at_once():
    with pytest.raises(ConfigError) as caught:
        check_changes(changed(), changed(run={"dt": 0.01, "seed": 3}), "step-00000010")
    assert len(caught.value.problems) == 2


def test_every_key_that_may_change_exists():
    sections = Config.model_fields
    for name in MAY_CHANGE:
        section, _, key = name.partition(".")
        assert section in sections, name
        assert not key or key in sections[section].annotation.model_fields, name


def test_keys_that_are_left_out_are_differences():
    assert differences({"run": {"steps": 1}}, {"run": {}}) == {"run.steps": (1, None)}
