"""Defaults, resolved forms, round trips and the refusals of single values."""

from __future__ import annotations

import copy
import subprocess
import sys
import tomllib
from types import MappingProxyType

import pytest

from hpcsim.config import Config, from_mapping
from hpcsim.config.sections.initial import Start
from hpcsim.errors import ConfigError


def put(document: dict, path: str, value: object) -> dict:
    """A copy of the document with one value set."""
    document = copy.deepcopy(document)
    level = document
    *above, last = path.split(".")
    for name in above:
        level = level.setdefault(name, {})
    level[last] = value
    return document


def refused(document: object) -> dict[str, str]:
    """Message of each fault by its dotted path."""
    with pytest.raises(ConfigError) as caught:
        from_mapping(document)
    return {problem.where: problem.message for problem in caught.value.problems}


def test_defaults_are_filled_in(small):
    config = from_mapping(small)
    assert config.lattice.lower == (0.0, 0.0)
    assert config.lattice.upper == (8.0, 8.0)
    assert config.lattice.periodic == (True, True)
    assert (config.run.cfl, config.run.threads, config.run.backend) == (0.9, 1, "numba")
    assert (config.run.exchange, config.run.check_finite_every, config.run.watchdog_s) == ("auto", 50, 300.0)
    assert (config.output.every, config.output.fields, config.diagnostics.format) == ("end", None, "csv")


def test_resolved_toml_loads_back_equal(full, small):
    for document in (full, small):
        config = from_mapping(document)
        again = from_mapping(tomllib.loads(config.to_toml()))
        assert again == config
        assert again.digest() == config.digest()
        assert again.to_toml() == config.to_toml()


def test_round_trip_keeps_difficult_texts_and_numbers(small):
    texts = ['quote " and \\ backslash', "tab\tand\nline", "umlaut ä, sigma Σ", "0.1"]
    numbers = [5e-324, 1.7976931348623157e308, 0.1, -0.0, 2**63 - 1, -7, 1e22, 1e-7]
    config = from_mapping(put(small, "model.parameters", {"a": texts, "b": numbers}))
    again = from_mapping(tomllib.loads(config.to_toml()))
    assert again == config
    assert [repr(n) for n in again.model.parameters["b"]] == [repr(n) for n in numbers]


def test_read_only_mappings_and_tuples_are_taken(small):
    small["lattice"] = MappingProxyType({"shape": (8, 8), "boundary": MappingProxyType({"x": ("open", "wall")})})
    lattice = from_mapping(MappingProxyType(small)).lattice
    assert [end.type for end in lattice.boundary["x"]] == ["open", "wall"]


def test_digest_sees_every_key_and_no_order(full):
    config = from_mapping(full)
    assert config.digest() == from_mapping(dict(reversed(full.items()))).digest()
    parameters = dict(reversed(full["model"]["parameters"].items()))
    assert config.digest() == from_mapping(put(full, "model.parameters", parameters)).digest()
    assert config.digest() != from_mapping(put(full, "run.seed", 8)).digest()
    assert config.digest() != from_mapping(put(full, "model.parameters.D", 0.1000000000000001)).digest()
    assert len({config, from_mapping(full)}) == 1


def test_spelt_out_defaults_do_not_change_the_digest(small):
    spelt = put(put(small, "lattice.upper", [8, 8]), "lattice.boundary", {"x": "periodic", "y": {"type": "periodic"}})
    assert from_mapping(spelt).digest() == from_mapping(small).digest()


def test_configuration_is_frozen_all_the_way_down(full):
    config = from_mapping(full)
    with pytest.raises(Exception, match="frozen"):
        config.run.steps = 4
    with pytest.raises(TypeError, match="cannot be changed"):
        config.model.parameters["D"] = 2
    with pytest.raises(TypeError, match="cannot be changed"):
        from_mapping({**full, "initial": {}}).initial.update(u=1)
    full["model"]["parameters"]["D"] = 5.0
    assert config.model.parameters["D"] == 0.1
    assert copy.deepcopy(config) == config
    assert copy.deepcopy(config.model.parameters) == config.model.parameters


def test_conditions_narrowest_key_wins(full):
    config = from_mapping(full)
    assert config.condition("u", 0, False).type == "neumann"
    assert config.condition("u", 0, True).options == {"value": (1, "y")}
    assert config.condition("E", 0, False).type == "dirichlet"
    assert config.condition("E", 0, True).options == {"value": 0.5}
    assert config.condition("other", 0, True).options == {"value": 1.0, "slope": "t"}
    assert config.condition("u", 1, True).periodic


def test_named_solvers_take_the_rest_from_the_section(full, small):
    solver = from_mapping(full).solver
    step, u = solver.of("step"), solver.of("u")
    assert (step.method, step.sweeps, step.rtol, step.cycle) == ("petsc", (0, 3), 1e-6, "w")
    assert (u.method, u.sweeps, u.newton_iterations) == ("krylov", (2, 1), 12)
    assert u == solver.of("another") != step
    assert from_mapping(small).solver.of("step").method == "auto"


def test_a_named_solver_is_written_as_it_was_given(small):
    """What is left out follows `[solver]` also after a round trip; a table without keys says nothing."""
    config = from_mapping(put(put(small, "solver.phi", {"rtol": 1e-8}), "solver.step", {}))
    assert config.to_mapping()["solver"]["phi"] == {"rtol": 1e-8}
    assert "[solver.phi]\nrtol = 1e-08\n" in config.to_toml()
    again = from_mapping(put(tomllib.loads(config.to_toml()), "solver.cycle", "w"))
    assert (again.solver.of("phi").cycle, again.solver.of("phi").rtol) == ("w", 1e-8)
    assert config == from_mapping(put(small, "solver.phi.rtol", 1e-8))
    assert config.digest() != from_mapping(small).digest()


def test_options_of_petsc_keep_their_kind(full):
    config = from_mapping(full)
    options = {"ksp_type": "cg", "step_ksp_max_it": 30, "step_ksp_monitor": True, "mat_shift": -1.5}
    assert config.petsc == config.to_mapping()["petsc"] == tomllib.loads(config.to_toml())["petsc"] == options
    with pytest.raises(TypeError, match="cannot be changed"):
        config.petsc["ksp_type"] = "gmres"


def test_left_hand_sides(small):
    """Rates, constraints with their field, and one without."""
    equations = {"dt(u)": "u", "solve(phi)": "laplacian(phi) - u", "0": "laplacian(psi) - phi"}
    model = {"fields": {"u": {}, "phi": {}, "psi": {}}, "equations": equations}
    assert from_mapping({**small, "model": model}).model.equations == equations
    assert set(refused(put({**small, "model": model}, "model.equations.00", "u"))) == {"model.equations.00"}


@pytest.mark.parametrize(
    "given",
    [
        "dirichlet",
        {"type": "dirichlet"},
        {"x": "dirichlet", "y": "dirichlet"},
        {"x": ["dirichlet"] * 2, "y": "dirichlet"},
    ],
)
def test_forms_of_the_lattice_boundary_are_equal(small, given):
    config = from_mapping(put(small, "lattice.boundary", given))
    assert config == from_mapping(put(small, "lattice.boundary", "dirichlet"))
    assert config.lattice.periodic == (False, False)
    assert 'boundary = "dirichlet"' in config.to_toml()


def test_axes_not_named_are_periodic(small):
    assert from_mapping(put(small, "lattice.boundary", {"y": "neumann"})).lattice.periodic == (True, False)


def test_initial_values_have_short_and_long_forms(small):
    bump = {"kind": "gaussian", "center": [0, "pi"], "width": float("inf"), "images": False}
    start = {"u": 1, "v": "x", "dt(v)": ["x", 0], "g": bump, "list": ["x", bump]}
    start["long"] = {"kind": "expression", "value": "x"}
    config = from_mapping(put(small, "initial", start))
    initial = config.initial
    assert initial["u"].options == {"value": 1}
    assert [entry.options["value"] for entry in initial["dt(v)"]] == ["x", 0]
    assert initial["long"] == initial["v"] == initial["list"][0] == Start(kind="expression", value="x")
    assert initial["g"].kind == "gaussian"
    assert initial["g"].options == {"center": (0, "pi"), "width": float("inf"), "images": False}
    assert config.to_mapping()["initial"] == {**start, "long": "x"}
    assert from_mapping(tomllib.loads(config.to_toml())) == config


@pytest.mark.parametrize(
    ("path", "value", "words"),
    [
        ("lattice.shape", 64, "expected a list in brackets, got the integer 64"),
        ("lattice.shape", "64", "expected a list in brackets"),
        ("lattice.shape", [], "at least 1 entries"),
        ("lattice.shape", [8] * 5, "at most 4 entries"),
        ("run.dt", "0.1", "expected a number, got the text '0.1'"),
        ("run.dt", True, "expected a number, got the flag true"),
        ("run.dt", 0, "larger than 0"),
        ("run.threads", 1.0, "expected an integer, got the number 1.0"),
        ("run.threads", True, "expected an integer"),
        ("run.threads", 0, "at least 1, got the integer 0"),
        ("run.seed", -1, "at least 0"),
        ("run.relaxed_math", "yes", "true or false"),
        ("run.relaxed_math", 1, "true or false"),
        ("run.dtype", "float63", "did you mean 'float6"),
        ("run.integrator", "leap frog", "not a name"),
        ("run.steps", -1, "at least 0"),
        ("output.fields", "u", "expected a list in brackets, got the text 'u'"),
        ("output.fields", ["u", "u"], "more than once: u"),
        ("output.every", "20 stps", "did you mean 'steps'"),
        ("output.every", "3 fortnights", "unknown unit 'fortnights'"),
        ("output.every", 20, "text in quotes"),
        ("model.order", 3, "expected one of 2, 4, 6 or 8"),
        ("model.parameters.c", True, "expected a number or text"),
        ("model.parameters.c", [[1]], "expected a number or text"),
        ("model.parameters.c", [], "at least 1"),
        ("model.parameters.c", "x" * 10_001, "10001 characters; at most 10000"),
        ("model.parameters.c", "a\x00b", "control character"),
        ("model.parameters.c", "  ", "empty"),
        ("initial.u", {"value": 1}, "needs a 'kind'"),
        ("initial.u", {"kid": "gaussian"}, "needs a 'kind'"),
        ("initial.u", {"kind": "gaussian", "kinds": 1}, "did you mean 'kind'"),
        ("initial.u", {"kind": "two words"}, "not a name"),
        ("initial.u", {"kind": "gaussian", "width": float("nan")}, "finite number"),
        ("initial.u", ["x", True], "expected a number or text, got the flag true"),
        ("initial.u", [["x"]], "expected a number or text, got a list of 1"),
        ("lattice.lower", [0], "has 1 entries, but lattice.shape has 2 axes"),
        ("lattice.upper", [1, 0], "larger than lattice.lower"),
        ("lattice.upper", [1e308, 1e-200], "too small"),
        ("lattice.lower", [1e17, 0], ""),
        ("lattice.block_shape", [4], "has 1 entries"),
        ("lattice.block_shape", [9, 4], "larger than the lattice"),
        ("lattice.boundary", {"q": "dirichlet"}, "unknown axis 'q'. Known: x, y"),
        ("lattice.boundary", {"z": "dirichlet"}, "unknown axis 'z'"),
        ("lattice.boundary", ["dirichlet", "neumann"], "expected the name of a condition"),
        ("lattice.boundary", {"x": ["dirichlet", "periodic"]}, "periodic at one end only"),
        ("lattice.boundary", {"type": "periodic", "value": 1}, "takes no options"),
        ("lattice.boundary", 3, "the integer 3"),
    ],
)
def test_wrong_values_are_refused_in_words(small, path, value, words):
    """F-32: wrong type, unknown unit, wrong dimension."""
    problems = refused(put(small, path, value))
    assert any(where.startswith(path) or path == "lattice.lower" for where in problems), problems
    assert words in "; ".join(problems.values())


@pytest.mark.parametrize("huge", [-1, 0, float("nan"), float("inf"), 2**63, 10**400, 2**31])
def test_absurd_extents_are_refused(small, huge):
    """F-31: negative, 0, NaN, 1e400, 2^63."""
    assert "lattice.shape[1]" in refused(put(small, "lattice.shape", [8, huge]))
    assert refused(put(small, "lattice.block_shape", [8, huge]))


@pytest.mark.parametrize("huge", [float("nan"), float("inf"), -float("inf"), 2**63, 10**400])
@pytest.mark.parametrize("path", ["run.dt", "run.stop_time", "model.parameters.c", "lattice.upper", "initial.u"])
def test_absurd_numbers_are_refused(small, path, huge):
    """F-31: numbers that are not finite or not countable."""
    value = [huge, 1.0] if path == "lattice.upper" else huge
    assert any(where.startswith(path) for where in refused(put(small, path, value)))


def test_a_fault_is_not_reported_a_second_time_in_other_words(small):
    assert set(refused(put(small, "lattice.shape", [0, -1]))) == {"lattice.shape[0]", "lattice.shape[1]"}


def test_too_many_blocks_or_cells_are_refused_before_anything_is_allocated():
    """F-31: 10^9 blocks."""
    document = {"model": {"name": "diffusion"}, "run": {"steps": 1}}
    blocks = refused({**document, "lattice": {"shape": [1000, 1000, 1000], "block_shape": [1, 1, 1]}})
    assert "1000000000 blocks" in blocks["lattice.block_shape"]
    assert "at most 2^50" in refused({**document, "lattice": {"shape": [2**31 - 1] * 4}})["lattice.shape"]
    from_mapping({**document, "lattice": {"shape": [4096] * 4}})


def test_import_is_light():
    """Importing the configuration loads no array, kernel, MPI or file library."""
    code = "import sys, hpcsim.config; print([m for m in ('numpy', 'numba', 'mpi4py', 'h5py') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30, check=True)
    assert done.stdout.strip() == "[]"


def test_config_is_the_public_type(small):
    assert isinstance(from_mapping(small), Config)
