"""The reference page and the JSON schema cover every key."""

from __future__ import annotations

import json
import warnings

import pytest

from hpcsim.config.reference import json_schema, json_text, markdown, range_words, tables, type_words
from hpcsim.config.sections.run import Run
from hpcsim.config.values import Real, Value


@pytest.mark.parametrize(("heading", "section"), tables().items())
def test_every_key_has_a_row_with_help(heading, section):
    page = markdown()
    body = page[page.index(f"## `{heading}`") :].split("\n## ")[0]
    for name, field in section.model_fields.items():
        assert f"| `{name}` |" in body
        assert field.description, (heading, name)
        assert field.description in body.replace("\\|", "|")


def test_row_has_type_default_unit_and_range():
    page = markdown()
    assert "| `watchdog_s` | number | `300.0` | s | > 0.0, <= 10000000.0 |" in page
    assert "| `threads` | integer | `1` |  | >= 1, <= 4096 |" in page
    assert '| `curve` | text | `"hilbert"` |' in page
    assert '| `dtype` | "float64", "float32" | `"float64"` |' in page
    assert "| `shape` | list of integer | required |" in page


def test_options_of_petsc_are_told():
    body = markdown().split("## `[petsc]`")[1]
    assert json_schema()["properties"]["petsc"]["description"] in body
    assert "`--`" in body


def test_words_for_types_and_ranges():
    assert type_words(Value) == "number or text or list of number or text"
    assert type_words(Real) == "number"
    assert range_words(Value) == "not empty, at most 4096 entries"


def test_json_schema_has_every_section_and_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        schema = json_schema()
    sections = {"lattice", "boundary", "model", "initial", "run", "output", "diagnostics", "checkpoint", "memory"}
    assert set(schema["properties"]) == sections | {"solver", "petsc"}
    assert schema["$defs"]["Solver"]["additionalProperties"] == {"$ref": "#/$defs/NamedSolver"}
    assert set(schema["$defs"]["Run"]["properties"]) == set(Run.model_fields)
    assert schema["$defs"]["Run"]["additionalProperties"] is False
    assert schema["$defs"]["Run"]["properties"]["watchdog_s"]["unit"] == "s"
    assert json.loads(json_text()) == schema
