"""All faults at once, in the order of the file, with suggestions, and never anything but a ConfigError."""

from __future__ import annotations

import copy
import random
import time

import pytest

from hpcsim.config import from_mapping
from hpcsim.errors import ConfigError

FREE = {"parameters", "derived", "quantities"}
"""Tables whose names are the user's own and are not used elsewhere in the example."""

OPTIONS = {"slope", "value", "center", "width", "mode", "amplitude", "phase"}


def key_paths(level: object, above: tuple = ()) -> list[tuple]:
    if not isinstance(level, dict):
        return []
    return [p for name, below in level.items() for p in [(*above, name), *key_paths(below, (*above, name))]]


def misspell(name: str, rng: random.Random) -> str:
    """One slip of the finger, inside the letters of the name."""
    letters = [n for n, c in enumerate(name) if c.isalpha()]
    n = rng.choice(letters)
    kind = rng.choice(["double", "drop", "swap", "replace"])
    if kind == "drop" and len(name) > 3:
        return name[:n] + name[n + 1 :]
    if kind == "swap" and len(name) > 3 and n + 1 < len(name) and name[n] != name[n + 1]:
        return name[:n] + name[n + 1] + name[n] + name[n + 2 :]
    if kind == "replace" and len(name) > 3:
        return name[:n] + "q" + name[n + 1 :]
    return name[:n] + name[n] + name[n:]


def renamed(document: dict, path: tuple, name: str) -> dict:
    document = copy.deepcopy(document)
    level = document
    for part in path[:-1]:
        level = level[part]
    items = [(name if k == path[-1] else k, v) for k, v in level.items()]
    level.clear()
    level.update(items)
    return document


def test_every_misspelt_key_is_caught(full):
    """F-32: mutated keys caught, 100 %."""
    rng = random.Random(1)
    paths = [p for p in key_paths(full) if not (len(p) > 2 and p[-2] in FREE)]
    # Options are known to their condition or kind alone, which refuses unknown ones when it is built.
    paths = [p for p in paths if p[-1] not in OPTIONS]
    # So are options of PETSc, to PETSc.
    paths = [p for p in paths if p[0] != "petsc" or len(p) == 1]
    assert len(paths) > 60
    for path in paths:
        for _ in range(4):
            wrong = misspell(path[-1], rng)
            if wrong == path[-1] or path[:2] == ("model", "equations") and wrong in ("dtt(u)", "dt(E)"):
                continue  # no slip, or another equation
            try:
                from_mapping(renamed(full, path, wrong))
                pytest.fail(f"{path} as {wrong} was accepted")
            except ConfigError as error:
                text = str(error)
            core = path[-1].removeprefix("dtt(").removeprefix("dt(").rstrip(")")
            assert path[0] in text or path[-1] in text, (path, wrong, text)
            assert f"'{core}'" in text or core in text.split("Known: ")[-1] or "left-hand side" in text, (path, wrong)


def test_suggestion_names_the_nearest_key(full):
    """F-32: the nearest valid name."""
    for path in [("run", "stop_time"), ("lattice", "block_shape"), ("output", "fields"), ("boundary", "u", "x_lower")]:
        with pytest.raises(ConfigError) as caught:
            from_mapping(renamed(full, path, path[-1][:-1]))
        assert f"did you mean '{path[-1]}'" in str(caught.value)


def test_key_in_the_wrong_section_is_sent_home(small):
    small["model"]["dt"] = 0.1
    small["seed"] = 3
    with pytest.raises(ConfigError) as caught:
        from_mapping(small)
    text = str(caught.value)
    assert "did you mean run.dt?" in text
    assert "did you mean run.seed?" in text


def test_all_faults_come_at_once_in_the_order_of_the_file(full):
    full["lattice"]["shape"] = [16, -8]
    full["boundary"]["E"]["x_upper"] = {"tpe": "dirichlet"}
    full["model"]["fields"]["E"]["centring"] = "faces"
    full["model"]["equations"]["dt(v)"] = "v"
    full["initial"]["E"]["kind"] = "wave packet"
    full["run"]["steps"] = 5
    full["run"]["threads"] = "two"
    full["output"]["fields"] = ["u", "qq"]
    full["diagnostics"]["quantities"]["mass"] = {"integral": "u", "max": "u"}
    del full["diagnostics"]["every"]
    with pytest.raises(ConfigError) as caught:
        from_mapping(full, where="case.toml")
    places = [problem.where for problem in caught.value.problems]
    assert places == [
        "lattice.shape[1]",
        "boundary.E.x_upper.type",
        "model.fields.E.centring",
        'model.equations."dt(v)"',
        "initial.E.kind",
        "run",
        "run.threads",
        "output.fields[1]",
        "diagnostics.quantities.mass",
    ]
    assert str(caught.value).startswith("case.toml: 9 faults\n")
    assert caught.value.exit_code == 2


@pytest.mark.parametrize(
    ("change", "where", "words"),
    [
        ({"run": {"stop_time": 1, "start_time": 1}}, "run.stop_time", "later than run.start_time"),
        ({"run": {"stop_time": 1, "dt": 1e-300}}, "run.dt", "more than 2^53 steps"),
        ({"model": {}}, "model", "needs the name of a model"),
        ({"model": {"name": "diffusion", "equations": {"dt(u)": "u"}}}, "model.equations", "only read with"),
        ({"model": {"equations": {"dt(u)": "u"}}}, "model", "needs a table [model.fields]"),
        ({"model": {"fields": {"u": {}}, "equations": {"u": "1*u"}}}, "model.equations.u", "left-hand side"),
        ({"model": {"fields": {"u": {}}, "equations": {"dt(u)": 3}}}, 'model.equations."dt(u)"', "write it in quotes"),
        (
            {"model": {"fields": {"u": {}}, "equations": {"dt(u)": "u", "dtt(u)": "u"}}},
            'model.equations."dtt(u)"',
            "there is also an equation",
        ),
        ({"model": {"fields": {"x": {}}, "equations": {"dt(x)": "1*x"}}}, "model.fields.x", "coordinate"),
        (
            {"model": {"fields": {"u": {}}, "parameters": {"u": 1}, "equations": {"dt(u)": "u"}}},
            "model.parameters.u",
            "already a name in model.fields",
        ),
        (
            {"model": {"fields": {"u": {"centring": "edge"}}, "equations": {"dt(u)": "u"}}},
            "model.fields.u.centring",
            "needs components = 2",
        ),
        ({"boundary": {"u": {"x": "dirichlet"}}}, "boundary.u.x", "axis x of the lattice is periodic"),
        ({"boundary": {"u": {"z_lower": "dirichlet"}}}, "boundary.u.z_lower", "no axis z"),
        ({"boundary": {"u": {"all": "dirichlet"}}}, "boundary.u.all", "all axes"),
        (
            {"lattice": {"shape": [8, 8], "boundary": "open"}, "boundary": {"u": {"x": "periodic"}}},
            "boundary.u.x",
            "set lattice.boundary",
        ),
        ({"boundary": {"u": {"x": {"type": "open", "tyype": 1}}}}, "boundary.u.x", "did you mean 'type'"),
        ({"initial": {"dtt(u)": 1}}, 'initial."dtt(u)"', "neither the name of a field"),
        ({"lattice": {}}, "lattice.shape", "required, but missing. Number of cells"),
        ({"lattice": 3}, "lattice", "expected a table, got the integer 3"),
        (
            {"model": {"fields": {"u": {}}, "equations": {"dt(u)": "u", "solve(u)": "u"}}},
            'model.equations."solve(u)"',
            "there is also an equation",
        ),
        ({"model": {"fields": {"u": {}}, "equations": {"solve(v)": "u"}}}, 'model.equations."solve(v)"', "field 'v'"),
        ({"solver": {"cycle": "vv"}}, "solver.cycle", "did you mean 'v'"),
        ({"solver": {"metod": "auto"}}, "solver.metod", "did you mean 'method'"),
        ({"solver": {"u": {"metod": "auto"}}}, "solver.u.metod", "did you mean 'method'"),
        ({"solver": {"u": {"rtol": 0}}}, "solver.u.rtol", "must be larger than 0.0"),
        ({"solver": {"rtol": {}}}, "solver.rtol", "expected a number, got a table"),
        ({"solver": {"sweeps": [0, 0]}}, "solver.sweeps", "at least one sweep"),
        ({"solver": {"sweeps": [1]}}, "solver.sweeps", "[before, after]"),
        ({"solver": {"sweeps": [1, -1]}}, "solver.sweeps[1]", "at least 0"),
        ({"solver": {"2": {"rtol": 0.1}}}, "solver", "not the name of a field"),
        ({"petsc": {"-ksp_type": "cg"}}, "petsc.-ksp_type", "write the option without its dash, ksp_type"),
        ({"petsc": {"ksp type": "cg"}}, 'petsc."ksp type"', "not the name of a PETSc option"),
        ({"petsc": {"ksp_type": ["cg"]}}, "petsc.ksp_type", "PETSc reads lists as text"),
        ({"petsc": {"ksp": {"type": "cg"}}}, "petsc.ksp", "expected a number or text, got a table"),
    ],
)
def test_rules_between_keys(small, change, where, words):
    with pytest.raises(ConfigError) as caught:
        from_mapping({**small, **change})
    found = {problem.where: problem.message for problem in caught.value.problems}
    assert words in found.get(where, ""), found


def test_solvers_are_those_of_fields_and_steps(full):
    """F-32: a table for a solver of no field is no table for another one."""
    for name, good in (("u", True), ("E", True), ("step", True), ("v", False), ("steps", False)):
        full["solver"]["step"] = {}
        document = {**full, "solver": {**full["solver"], name: {"rtol": 0.1}}}
        if good:
            assert from_mapping(document).solver.named[name].rtol == 0.1
        else:
            with pytest.raises(ConfigError, match=f"unknown solver '{name}'"):
                from_mapping(document)


@pytest.mark.parametrize(
    "document", [None, 3, [], {1: 2}, {"run": {3: 4}}, {"a\nb": 1}, {"\ud800": 1}, {"run": "\ud800"}]
)
def test_no_configuration_at_all(document):
    with pytest.raises(ConfigError):
        from_mapping(document)


def test_deep_and_circular_mappings_are_refused(small):
    """F-32: deep nesting."""
    deep: dict = {}
    level = deep
    for _ in range(5000):
        level = level.setdefault("a", {})
    circle: dict = {}
    circle["a"] = circle
    for value in (deep, circle, [[[[[[[[[[[[[[1]]]]]]]]]]]]]]):
        with pytest.raises(ConfigError, match="nested deeper"):
            from_mapping({**small, "initial": value})


def test_thousands_of_faults_are_reported_quickly(small):
    """F-32: all faults in under a second, the first 50 in words."""
    small["run"] |= {f"steps{n}": n for n in range(10_000)}
    start = time.process_time()
    with pytest.raises(ConfigError) as caught:
        from_mapping(small)
    assert time.process_time() - start < 1.0
    assert len(caught.value.problems) == 51
    assert str(caught.value).endswith("... and 9950 more faults")


def test_random_values_never_cause_another_exception(full):
    """F-31, F-32: property test over every key."""
    rng = random.Random(2)
    values = [None, True, -1, 0, 1, 2**63, 10**30, 1.5, float("nan"), float("inf"), -0.0, "", "x", "\x00", "é" * 99]
    values += [
        [],
        [1],
        ["x"] * 3,
        [[]],
        {},
        {"a": {}},
        {"type": 3},
        {"kind": []},
        b"x",
        object(),
        "\ud800",
        "x" * 20_000,
    ]
    for path in key_paths(full):
        for value in rng.sample(values, 12):
            document = copy.deepcopy(full)
            level = document
            for part in path[:-1]:
                level = level[part]
            level[path[-1]] = value
            try:
                from_mapping(document).to_toml()
            except ConfigError as error:
                assert str(error).encode()
