"""The whole-config check: all faults at once, and what a case knows before it has memory."""

from __future__ import annotations

import pytest

from hpcsim.config import from_mapping
from hpcsim.errors import ConfigError
from hpcsim.simulation.case import Case, make_case, spacing_symbols

HEAT = {
    "lattice": {"shape": [16, 12], "upper": [4.0, 3.0]},
    "model": {"fields": {"u": {}}, "parameters": {"D": 0.1}, "equations": {"dt(u)": "D*laplacian(u)"}},
    "run": {"steps": 1},
}


def _case(**sections: dict[str, object]) -> Case:
    mapping = {name: {**HEAT.get(name, {}), **sections.get(name, {})} for name in {*HEAT, *sections}}
    return make_case(from_mapping(mapping))


def _faults(**sections: dict[str, object]) -> str:
    with pytest.raises(ConfigError) as caught:
        _case(**sections)
    return str(caught.value)


def test_faults_of_different_sections_are_reported_together() -> None:
    text = _faults(
        run={"steps": 1, "exchange": "overlaped", "integrator": "rk5"},
        output={"format": "vtk"},
        diagnostics={"quantities": {"mass": {"integral": "uu"}}},
    )
    assert "run.exchange: unknown exchange 'overlaped'; did you mean 'overlapped'?" in text
    assert "run.integrator: unknown integrator 'rk5'; did you mean 'rk4'?" in text
    assert "output.format" in text


def test_a_quantity_with_an_unknown_name_names_the_place() -> None:
    assert "diagnostics.quantities.mass: unknown name 'uu'; did you mean 'u'?" in _faults(
        diagnostics={"quantities": {"mass": {"integral": "uu"}}}
    )


def test_a_parameter_that_depends_on_itself_is_refused() -> None:
    model = {"parameters": {"D": "E + 1", "E": "D + 1"}}
    assert "in a circle: D, E" in _faults(model=model)


def test_leapfrog_refuses_first_order_equations() -> None:
    text = _faults(run={"steps": 1, "integrator": "leapfrog"})
    assert "leapfrog needs dtt() equations, but dt(u) is of first order; use rk4" in text


def test_space_derivatives_of_a_rate_need_a_periodic_lattice() -> None:
    wave = {"equations": {"dtt(u)": "laplacian(u) + 0.1*laplacian(dt(u))"}, "parameters": {}}
    assert _case(model=wave, run={"steps": 1, "integrator": "rk4"}).scheme.name == "rk4"
    text = _faults(model=wave, run={"steps": 1, "integrator": "rk4"}, lattice={"boundary": "neumann"})
    assert "space derivatives of dt(u) need a lattice that is periodic" in text


def test_fields_of_two_number_types_are_refused() -> None:
    fields = {"u": {}, "v": {"dtype": "float32"}}
    assert "one dtype (u: float64, v: float32)" in _faults(model={"fields": fields})


def test_ghost_width_follows_equations_quantities_and_outputs() -> None:
    assert _case().ghost == 1
    assert _case(model={"order": 6}).ghost == 3
    wide = {"quantities": {"q": {"integral": "d(d(u, x), y)"}}}
    assert _case(diagnostics=wide).ghost == 1
    assert _case(model={"equations": {"dt(u)": "0*u"}}, diagnostics=wide).ghost == 1
    assert _case(model={"equations": {"dt(u)": "0*u"}}).ghost == 0


def test_axes_of_equal_spacing_share_a_symbol() -> None:
    assert spacing_symbols(_case().domain) == ("h_x", "h_x")
    assert spacing_symbols(_case(lattice={"upper": [4.0, 4.0]}).domain) == ("h_x", "h_y")
