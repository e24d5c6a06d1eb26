"""Files: limits, encodings, syntax faults, overrides, and names of files inside a configuration."""

from __future__ import annotations

import os
import random
import time
import tomllib
from pathlib import Path

import pytest

from hpcsim.config import from_mapping, load
from hpcsim.config.overrides import apply_overrides, petsc_overrides, read_value
from hpcsim.errors import ConfigError

SMALL = '[lattice]\nshape = [8, 8]\n[model]\nname = "diffusion"\n[run]\nsteps = 3\n'


def write(tmp_path: Path, data: str | bytes) -> Path:
    path = tmp_path / "case.toml"
    path.write_bytes(data.encode() if isinstance(data, str) else data)
    return path


def refusal(path: object, overrides: tuple = ()) -> str:
    start = time.process_time()
    with pytest.raises(ConfigError) as caught:
        load(path, overrides)
    assert time.process_time() - start < 1.0
    return str(caught.value)


def test_full_example_loads(tmp_path, full_text, full):
    assert load(write(tmp_path, full_text)) == from_mapping(full)


@pytest.mark.parametrize("folder", ["plain", "with space", "Größe Σ"])
def test_any_path_works(tmp_path, monkeypatch, folder):
    """F-48: spaces and non-ASCII in the path, no HOME."""
    monkeypatch.delenv("HOME", raising=False)
    (tmp_path / folder).mkdir()
    assert load(write(tmp_path / folder, SMALL)).run.steps == 3


def test_byte_order_mark_and_line_ends_are_no_trouble(tmp_path):
    """F-32: BOM."""
    plain = load(write(tmp_path, SMALL))
    assert load(write(tmp_path, b"\xef\xbb\xbf" + SMALL.encode())) == plain
    assert load(write(tmp_path, SMALL.replace("\n", "\r\n"))) == plain


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_wide_encodings_are_named(tmp_path, encoding):
    """F-32: non-UTF-8."""
    assert "save it as UTF-8" in refusal(write(tmp_path, SMALL.encode(encoding)))


def test_bytes_that_are_not_utf8_are_named_with_their_line(tmp_path):
    """F-32: non-UTF-8."""
    assert "line 3: byte 0xe4 is not UTF-8" in refusal(write(tmp_path, b"[lattice]\nshape = [8]\n# m\xe4rz\n"))


def test_huge_file_is_refused_without_reading(tmp_path):
    """F-32: 100 MB file."""
    path = tmp_path / "case.toml"
    with open(path, "wb") as file:
        file.truncate(100_000_000)
    assert "has 100000000 bytes; a configuration has at most 1000000" in refusal(path)


def test_what_is_no_file_is_refused(tmp_path):
    """F-33: devices, pipes, directories, NUL."""
    os.mkfifo(tmp_path / "pipe")
    write(tmp_path, SMALL)
    assert "device or pipe" in refusal(tmp_path / "pipe")
    assert "device or pipe" in refusal("/dev/zero")
    assert "is a directory" in refusal(tmp_path)
    assert "cannot read" in refusal("a\0b.toml")
    assert "did you mean" in refusal(tmp_path / "cas.toml")
    assert "no file" in refusal(os.fsencode(tmp_path) + b"/\xff\xfe.toml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[run]\nsteps = 1\nsteps = 2\n", "line 3, column 10: this key or table is given twice: steps = 2"),
        ("[run]\n[run]\n", "line 2, column 5: this key or table is given twice"),
        ("[run]\nsteps = \n", "line 2"),
        ("[run]\nsteps = 1 2", "line 2"),
        ("[run", "not valid TOML"),
        ("é = 1", "line 1"),
        ("a = " + "[" * 100_000, "nested too deeply"),
        ("a = " + "{a=" * 100_000, "nested too deeply"),
        ("a." * 100_000 + "a = 1", "more than 16 dots"),
        ("[" + "a . " * 100_000 + "a]", "more than 16 dots"),
        ("x = { " + "a." * 100_000 + "a = 1 }", "more than 16 dots"),
        ("a = " + "9" * 5000, "cannot be read"),
        ("a = 2020-02-31", "line 1"),
        ("steps\x00 = 1", "line 1"),
        ("a = [" + "1," * 300_000 + "]", "more than 20000"),
        ("".join(f"k{n} = 1\n" for n in range(50_000)), "more than 20000"),
        ('a = """' + '\\"""' * 200_000, "TOML"),
        ("a = '" + "x" * 900_000, "TOML"),
    ],
)
def test_syntax_faults_name_their_line_and_end_quickly(tmp_path, text, words):
    """F-32: duplicate keys, deep nesting, bad values; each in under a second."""
    message = refusal(write(tmp_path, text))
    assert words in message
    assert "case.toml" in message


def test_dots_in_formulas_are_not_key_paths(tmp_path):
    formula = " + ".join(["0.5*x"] * 500) + "*1.0.0"
    text = SMALL + f'[initial]\nu = "{formula}"\nv = "{"a." * 40}"  # {"b." * 40}\n'
    assert load(write(tmp_path, text)).initial["u"].options["value"] == formula


def test_random_bytes_never_cause_another_exception(tmp_path, full_text):
    """F-32: fuzz of bytes."""
    rng = random.Random(3)
    data = full_text.encode()
    accepted = 0
    for _ in range(400):
        mutated = bytearray(data)
        for _ in range(rng.randint(1, 4)):
            n = rng.randrange(len(mutated))
            mutated[n : n + rng.randint(0, 3)] = bytes(rng.choices(range(256), k=rng.randint(0, 3)))
        try:
            load(write(tmp_path, bytes(mutated)))
            accepted += 1
        except ConfigError as error:
            assert str(error).encode()
    assert accepted < 200


def test_overrides_are_typed_by_the_schema(tmp_path):
    path = write(tmp_path, SMALL)
    overrides = ["lattice.shape=[4,4,4]", "run.integrator=rk4", "run.dt = 1e-3", "output.fields=[u, v]"]
    overrides += ["initial.dt(u)=sin(x)", 'initial."u"="x"', "model.parameters.c=2", "run.steps=7", "run.steps=9"]
    overrides += ["run.relaxed_math=true", "output.every=20 steps", "lattice.boundary.x=open"]
    config = load(path, overrides)
    assert config.lattice.shape == (4, 4, 4)
    assert (config.run.integrator, config.run.dt, config.run.steps) == ("rk4", 1e-3, 9)
    assert config.output.fields == ("u", "v")
    assert config.output.every == "20 steps"
    assert (config.initial["dt(u)"].options["value"], config.initial["u"].options["value"]) == ("sin(x)", "x")
    assert config.model.parameters == {"c": 2}
    assert config.run.relaxed_math is True
    assert config.lattice.periodic == (False, True, True)
    assert load(path).run.steps == 3


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("run.stepz=3", "did you mean 'steps'"),
        ("run.steps=many", "expected an integer, got the text 'many' (from --set)"),
        ("lattice.shape=[4,x]", "lattice.shape[1]: expected an integer, got the text 'x' (from --set)"),
        ("lattice.shape=1e400", "got the number inf"),
        ("run.steps", "expected section.key=value"),
        ("=3", "expected section.key=value"),
        ("run..steps=3", "expected section.key=value"),
        ("run.steps.more=3", "run.steps is the integer 3, so 'more' cannot be set in it"),
        ("run.integrator=1\n[output]", "run.integrator"),
        ("a.b.c.d.e.f.g.h.i.j=1", "expected section.key=value"),
        ("nowhere.key=1", "unknown key 'nowhere'"),
        ("initial.u=" + "x" * 20_000, "expected section.key=value"),
        ("run.dt=\udcff", "no characters"),
    ],
)
def test_overrides_that_cannot_be_meant_are_errors(tmp_path, override, words):
    """F-32: an unused or wrong override is an error like any other."""
    assert words in refusal(write(tmp_path, SMALL), (override,))


def test_faults_of_file_and_overrides_come_together(tmp_path):
    message = refusal(write(tmp_path, SMALL.replace("steps = 3", "steps = -1")), ("bad", "run.threads=0"))
    assert message.count("\n") == 3
    assert "run.steps: must be at least 0, got the integer -1\n" in message
    assert "run.threads: must be at least 1, got the integer 0 (from --set)" in message


def test_overrides_leave_the_document_alone():
    document = {"run": {"steps": 3}}
    merged, _, problems = apply_overrides(document, ["run.steps=4", "run.dt=1"])
    assert (merged, problems) == ({"run": {"steps": 4, "dt": 1}}, [])
    assert document == {"run": {"steps": 3}}


def test_words_of_petsc_are_options_and_values(tmp_path):
    """As on a command line of PETSc: a dash and a letter begin an option, later words hold, values stay text."""
    path = write(tmp_path, SMALL + '[petsc]\nksp_type = "cg"\nksp_rtol = 1e-3\n')
    line = "-phi_shift -1.5 -ksp_monitor -ksp_type gmres -a true -ksp_type bcgs -v :out.txt:ascii_info -b 1_0 -c"
    words = line.split()
    config = load(path, petsc_overrides(words))
    assert config.petsc == {
        "ksp_type": "bcgs", "ksp_rtol": 1e-3, "phi_shift": "-1.5", "ksp_monitor": True, "a": "true",
        "v": ":out.txt:ascii_info", "b": "1_0", "c": True,
    }  # fmt: skip
    assert load(path, petsc_overrides(["-title", 'a "b"\\ \n c'])).petsc["title"] == 'a "b"\\ \n c'
    assert petsc_overrides([]) == []


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["cg"], "expected an option of PETSc such as -ksp_type, got the text 'cg'"),
        (["-a", "b", "c"], "got the text 'c'"),
        (["-1"], "got the text '-1'"),
        (["--ksp_type", "cg"], "got the text '--ksp_type'"),
    ],
)
def test_words_that_are_no_options(words, said):
    with pytest.raises(ConfigError, match="after --") as caught:
        petsc_overrides(words)
    assert said in str(caught.value)


def test_faults_of_words_say_where_they_come_from(tmp_path):
    message = refusal(write(tmp_path, SMALL), petsc_overrides(["-ksp-type", "cg", "-a", ""]))
    assert message.count("(from the command line)") == 2
    assert "petsc.a: the text is empty" in message


def test_override_values():
    assert read_value(" 0x10 ") == 16
    assert read_value("'3'") == "3"
    assert read_value("[a, 2, true]") == ["a", 2, True]
    assert read_value("[a") == "[a"
    assert read_value("1\nb = 2") == "1\nb = 2"
    assert read_value("exp(-x**2)") == "exp(-x**2)"


@pytest.mark.parametrize(
    "name",
    ["../secret", "/etc/passwd", "a/../../secret", "~/secret", "..", "link", "dirlink/passwd", "a\\..\\b", "folder"]
    + ["pipe", "missing.h5", "a\u0000b", "loop", "x" * 5000, "."],
)
def test_files_stay_inside_the_directory_of_the_configuration(tmp_path, name):
    """F-33: path traversal, links, devices, NUL."""
    base = tmp_path / "case"
    (base / "folder").mkdir(parents=True)
    (tmp_path / "secret").write_text("x")
    (base / "link").symlink_to(tmp_path / "secret")
    (base / "dirlink").symlink_to("/etc")
    (base / "loop").symlink_to(base / "loop")
    os.mkfifo(base / "pipe")
    text = (
        SMALL
        + "[initial]\nu = { kind = 'file', path = \""
        + name.replace("\\", "\\\\").replace("\0", "\\u0000")
        + '" }'
    )
    assert "initial.u.path" in refusal(write(base, text))


def test_files_inside_are_found_from_anywhere(tmp_path, monkeypatch):
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "start.h5").write_bytes(b"x")
    text = SMALL + '[initial]\nu = { kind = "file", path = "data/start.h5:/u" }\n'
    path = write(tmp_path, text)
    monkeypatch.chdir("/")
    config = load(path)
    assert config.directory == tmp_path
    assert config.file(config.initial["u"].path) == (tmp_path / "data" / "start.h5").resolve()
    # An archived configuration is checked again far from its files, and by name only.
    assert from_mapping(tomllib.loads(config.to_toml())) == config
    with pytest.raises(ConfigError, match="may lead out"):
        from_mapping(tomllib.loads(config.to_toml().replace("data/", "../")))
