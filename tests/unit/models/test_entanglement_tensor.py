"""The model entanglement_tensor as text: components, kernels, density, what is refused (QG-03, QG-04, F-32)."""

from __future__ import annotations

from typing import Any

import pytest

from hpcsim.errors import ConfigError
from hpcsim.models.base import Model, ParameterInfo
from hpcsim.models.build import build_model
from hpcsim.models.entanglement_tensor import COMPONENTS
from hpcsim.symbolic.expr import FieldValue


def make(ndim: int = 3, **parameters: Any) -> Model:
    return build_model("entanglement_tensor", ndim, parameters=parameters)


def refused(ndim: int = 3, **parameters: Any) -> dict[str, str]:
    """Key to message."""
    with pytest.raises(ConfigError) as error:
        make(ndim, **parameters)
    return {problem.where: problem.message for problem in error.value.problems}


def test_ten_components_have_names() -> None:
    """QG-04: the upper triangle row by row; E_tt, E_tx, ... stand for one component each."""
    assert COMPONENTS == ("tt", "tx", "ty", "tz", "xx", "xy", "xz", "yy", "yz", "zz")
    model = make()
    assert model.fields["E"].components == len(COMPONENTS)
    names = model.system(3).names()
    for place, name in enumerate(COMPONENTS):
        assert names.resolve(f"E_{name}") == FieldValue("E", place)


def test_kernels_are_the_radial_part_times_directions() -> None:
    """QG-03, QG-04: g*n_m*n_n with n = (1, x/r, ...), by name or as a formula; missing axes have none."""
    by_name = make(kernel="yukawa", length=2.0).convolutions["E"]["kernel"]
    assert by_name[0] == {"name": "yukawa", "length": "length"}
    assert by_name[5] == {"name": "yukawa", "length": "length", "times": "x/r*y/r"}
    assert make(kernel="coulomb").convolutions["E"]["kernel"][1] == {"name": "coulomb", "times": "x/r"}
    flat = make(2, kernel="exp(-r/length) + 1").convolutions["E"]["kernel"]
    assert flat[0] == "(exp(-r/length) + 1)" and flat[1] == "(exp(-r/length) + 1)*x/r"
    assert [name for name, kernel in zip(COMPONENTS, flat, strict=True) if kernel == "0"] == ["tz", "xz", "yz", "zz"]
    assert "mode" not in make().convolutions["E"] and make(space="periodic").convolutions["E"]["mode"] == "periodic"


def test_the_density_is_given_or_evolves() -> None:
    """QG-01, QG-03: without diffusion, decay and noise there is no equation, and nothing is integrated."""
    assert not make().equations and not make().system(3).orders
    assert make(D=0.5, gamma=0.1).equations == {"dt(rho)": "D*laplacian(rho) - gamma*rho"}
    assert make(sigma=0.1).system(3).orders == {"rho": 1}
    assert make(coupling="1 + x").parameters["coupling"] == "1 + x"


def test_wrong_parameters_are_named_with_what_is_allowed() -> None:
    """F-32: choices have a nearest name; four axes would need another tensor."""
    assert "did you mean 'yukawa'" in refused(kernel="yukava")["model.parameters.kernel"]
    assert "made for 3" in refused(2, kernel="yukawa")["model.parameters.kernel"]
    assert "did you mean 'periodic'" in refused(space="peridic")["model.parameters.space"]
    assert "open, periodic" in refused(space=1.0)["model.parameters.space"]
    assert "a number > 0" in refused(length=0.0)["model.parameters.length"]
    assert "backward heat equation" in refused(D=-1.0)["model.parameters.D"]
    assert "1 to 3 axes" in refused(4)["model.name"]


def test_choices_of_a_parameter() -> None:
    """F-32: with a formula beside them any other text is one; without, nothing else is allowed."""
    closed = ParameterInfo("a", "1", "", choices=("a", "b"))
    assert closed.allowed() == "a, b" and closed.check("b", "p", 1) == "b"
    for value in ("c", 1.0, "1", None, ["a"]):
        with pytest.raises(ConfigError, match="^p: "):
            closed.check(value, "p", 1)
    open_ = ParameterInfo("a", "1", "", choices=("a", "b"), formula=True)
    assert open_.allowed() == "a, b or a formula"
    assert (open_.check("b", "p", 1), open_.check("x + 1", "p", 1), open_.check("2*3", "p", 1)) == ("b", "x + 1", 6.0)
