"""Case files with faults at the command line: no traceback, within a second, none silent (F-31, 32, 34, 35)."""

from __future__ import annotations

import copy
import json
import random
import subprocess
import sys
import time
import tomllib
from pathlib import Path
from typing import Any

import pytest

from hpcsim.cli.main import main
from hpcsim.config.toml import write_toml
from tests.faults.commandline import PLAIN, write_case
from tests.faults.driver import ROOT
from tests.unit.config.test_faults import key_paths, misspell, renamed

CONFIGS = sorted((ROOT / "configs").glob("*.toml"))
PACKAGE = str(ROOT / "hpcsim")
# Names that are the user's own and that nothing else in the file has to use.
FREE = ("quantities", "derived")
# One value of each kind that no key takes.
NONSENSE: tuple[Any, ...] = ("\0", {"zz": [1]}, [[[]]], "((")


def check(capsys: pytest.CaptureFixture, path: Path, *more: str) -> tuple[int, str]:
    """Exit code and message of ``hpcsim check``, which must come within a second and without a traceback."""
    start = time.perf_counter()
    code = main(["check", str(path), *more])
    seconds = time.perf_counter() - start
    message = capsys.readouterr().err
    assert seconds < 1.0, f"{seconds:.2f} s for {message[:200]}"
    assert "Traceback" not in message and code in (0, 2), message
    assert (code == 2) == message.startswith("hpcsim: ")
    return code, message


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_every_misspelt_key_of_every_config_is_caught(path: Path, tmp_path: Path, capsys) -> None:
    """F-32: keys of sections, tables, conditions, kinds, parameters and fields: 100 %, each named in the message."""
    document = tomllib.loads(path.read_text())
    case = tmp_path / path.name
    case.write_text(write_toml(document))
    for file in path.parent.glob("*.npy"):
        (tmp_path / file.name).symlink_to(file)
    assert check(capsys, case)[0] == 0
    rng = random.Random(path.name)
    missed = []
    for keys in key_paths(document):
        if len(keys) > 2 and keys[-2] in FREE:
            continue
        wrong = misspell(keys[-1], rng)
        siblings = document
        for part in keys[:-1]:
            siblings = siblings[part]
        if wrong in siblings:
            continue
        case.write_text(write_toml(renamed(document, keys, wrong)))
        code, message = check(capsys, case)
        if code != 2 or (wrong not in message and keys[-1] not in message):
            missed.append((keys, wrong, message))
    assert not missed


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.stem)
def test_nonsense_for_every_value_is_refused(path: Path, tmp_path: Path, capsys) -> None:
    """F-32: a wrong type or text at every key of every config is a sentence that names the key's section."""
    document = tomllib.loads(path.read_text())
    case = tmp_path / path.name
    rng = random.Random(path.name)
    for keys in key_paths(document):
        changed = copy.deepcopy(document)
        level = changed
        for part in keys[:-1]:
            level = level[part]
        level[keys[-1]] = rng.choice(NONSENSE)
        if len(keys) > 1:
            case.write_text(write_toml(changed))
        else:
            others = {name: section for name, section in document.items() if name != keys[0]}
            case.write_text(f"{keys[0]} = 3\n" + write_toml(others))
        code, message = check(capsys, case)
        assert code == 2 and str(keys[0]) in message, (keys, level[keys[-1]], message)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"\xef\xbb\xbf" + PLAIN.encode(), ""),
        (PLAIN.replace("\n", "\r\n").encode(), ""),
        (PLAIN.encode("utf-16"), "UTF-16"),
        (PLAIN.encode().replace(b"diffusion", b"diff\xe9sion"), "byte 0xe9 is not UTF-8"),
        (b"", "required, but missing"),
        (b"\0" * 100, "is no text"),
        (b"a = " + b"[" * 50_000, "nested too deeply"),
        (b"a = " + b"{ b = " * 2_000, "nested too deeply"),
        (b"a" + b".a" * 5_000 + b" = 1", "more than 16 dots"),
        (PLAIN.encode() + b"steps = 3\n[run]\nsteps = 4\n", "given twice"),
        (PLAIN.encode().replace(b"steps = 60", b"steps = 60\nsteps = 61"), "given twice"),
        (PLAIN.encode().replace(b"60", b"9" * 5000), "5000 digits"),
        (PLAIN.encode().replace(b"[24, 18]", b"[24, 18"), "line "),
        (PLAIN.encode().replace(b"diffusion", b"diff\x1b[31mred"), "line 6"),
    ],
    ids=["bom", "crlf", "utf-16", "latin", "empty", "zeros", "lists", "tables", "dots", "table twice", "key twice",
         "long number", "open bracket", "control"],
)  # fmt: skip
def test_damaged_files(data: bytes, said: str, tmp_path: Path, capsys) -> None:
    """F-32: byte-order marks pass, everything else that is no case is refused with its place."""
    case = tmp_path / "case.toml"
    case.write_bytes(data)
    code, message = check(capsys, case)
    assert code == (2 if said else 0) and said in message, message
    assert message.isprintable() or "\n" in message and all(line.isprintable() for line in message.splitlines())


def test_huge_file_is_refused_unread(tmp_path: Path, capsys) -> None:
    """F-32: 100 MB, a directory, a pipe and a device."""
    case = tmp_path / "case.toml"
    with case.open("wb") as stream:
        stream.truncate(100_000_000)
    assert check(capsys, case) == (2, f"hpcsim: '{case}' has 100000000 bytes; a configuration has at most 1000000\n")
    assert check(capsys, tmp_path)[0] == 2
    assert check(capsys, Path("/dev/zero"))[0] == 2


ABSURD = [
    'lattice.shape=[1000000000, 1000000000]', "lattice.shape=[2147483647, 2147483647, 2147483647, 2147483647]",
    "lattice.shape=[-4, 4]", "lattice.shape=[0, 4]", "lattice.shape=[9223372036854775808]", "lattice.shape=[1e400, 4]",
    "lattice.shape=[nan, 4]", "lattice.shape=[]", "lattice.shape=[4, 4, 4, 4, 4]", "lattice.upper=[inf, 1.0]",
    "lattice.upper=[1e-320, 1.0]", "lattice.lower=[inf, 0.0]", "lattice.block_shape=[0, 1]",
    "lattice.block_shape=[-1, 1]", "lattice.block_shape=[100000000000000000000, 1]", "run.steps=-1",
    "run.steps=100000000000000000000", "run.dt=0.0", "run.dt=-1.0", "run.dt=nan", "run.dt=inf", "run.cfl=-1.0",
    "run.cfl=1e400", "run.threads=0", "run.threads=1000000000", "run.watchdog_s=-1.0", "run.seed=-1",
    "run.check_finite_every=-3", "model.order=60", "model.order=-2", "model.parameters.D=nan",
    "output.every=1e400 steps", "output.every=-3 steps", "output.every=t=0", "output.every=t=nan",
    "diagnostics.every=0 steps",
]  # fmt: skip


@pytest.mark.parametrize("setting", ABSURD)
def test_absurd_sizes_and_numbers_are_refused(setting: str, tmp_path: Path, capsys) -> None:
    """F-31: refused by check before anything is allocated."""
    code, message = check(capsys, write_case(tmp_path), "--set", setting)
    assert code == 2 and setting.split("=")[0].split(".")[1] in message and "(from --set)" in message, message


def test_largest_allowed_blocks_need_little_memory(tmp_path: Path) -> None:
    """F-31: check of a lattice and block counts at the edge of what is allowed; figures of the process."""
    case = write_case(tmp_path)
    used = {}
    for name, sets in {
        "small": [],
        "cells": ["--set", "lattice.shape=[33554432, 33554432]", "--set", "lattice.upper=[24.0, 18.0]"],
        "blocks": ["--set", "lattice.shape=[1000000000, 1000]", "--set", "lattice.block_shape=[1, 1]"],
        "ranks": ["--ranks", "4000000"],
    }.items():
        start = time.monotonic()
        program = (
            "import resource, sys; from hpcsim.cli.main import main; code = main(sys.argv[1:]);"
            "print('peak', resource.getrusage(resource.RUSAGE_SELF).ru_maxrss); sys.exit(code)"
        )
        words = [sys.executable, "-c", program, "check", str(case), *sets]
        done = subprocess.run(words, capture_output=True, text=True, timeout=60, env={"PYTHONPATH": str(ROOT)})
        used[name] = int(done.stdout.split("peak")[1])
        assert done.returncode == (0 if name in ("small", "cells") else 2), done
        assert time.monotonic() - start < 3.0
    assert max(used.values()) < used["small"] + 50_000, used  # in kB


HOSTILE = [
    "__import__('os').system('touch {mark}')", "open('{mark}', 'w')", "().__class__.__bases__[0]", "x.__class__",
    "exec('x=1')", "eval('1')", "lambda: 1", "[x for x in (1,)]", "f'{{x}}'", "x if x else y", "x := 1", "print(x)",
    "getattr(x, 'real')", "'a'*10", "x; y", "import os", "x[0]", "{{}}", "...", "sin(x=1)", "sin(*x)",
    "1e999*x", "exp(exp(exp(exp(x))))", "9**9**9**9", "x**1000", "9"*400, "(" * 5000 + "x" + ")" * 5000,
    "+".join(["x"] * 20000), "\uff58", "x\u200b", "sin" + "(sin" * 300 + "(x)" + ")" * 300,
]  # fmt: skip
PLACES = {
    "initial": ('u = "sin(2*pi*x/24) + 0.1*y"', "u = {}", "initial.u"),
    "parameter": ("[initial]", "[model.parameters]\nreaction = {}\n[initial]", "model.parameters.reaction"),
    "equation": (
        'name = "diffusion"', 'name = "equations"\nfields.u = {{}}\nequations."dt(u)" = {}', "model.equations",
    ),
    "quantity": ("[output]", "[diagnostics]\nquantities.m = {{ max = {} }}\n[output]", "diagnostics.quantities.m"),
    "boundary": ('"periodic"', '{{ x = {{ type = "dirichlet", value = {} }} }}', "lattice.boundary"),
}  # fmt: skip


@pytest.mark.parametrize("place", PLACES)
def test_hostile_formulas_do_nothing(place: str, tmp_path: Path, capsys, record_property) -> None:
    """F-34, F-35: code and bombs at each place that takes a formula: refused fast, named, and without an effect."""
    old, new, where = PLACES[place]
    mark = tmp_path / "executed"
    events: list[str] = []
    watching = [False]

    def audit(event: str, arguments: tuple) -> None:
        if not watching[0]:
            return
        # Modules of the package that are loaded when they are first needed are no text of a user.
        own = event == "exec" and arguments[0].co_filename.startswith(PACKAGE)
        code = event in ("exec", "os.system", "subprocess.Popen") and not own
        if code or event == "open" and str(mark) == str(arguments[0]):
            events.append(event)

    check(capsys, write_case(tmp_path))
    sys.addaudithook(audit)
    for text in HOSTILE:
        formula = text.format(mark=mark) if "mark" in text or "{{" in text else text
        case = write_case(tmp_path, PLAIN.replace(old, new.format(json.dumps(formula))))
        watching[0] = True
        code, message = check(capsys, case)
        watching[0] = False
        assert code == 2 and where in message, (formula[:60], message)
        assert len(message) < 3000
    assert not events and not mark.exists()
    record_property("tried", len(HOSTILE))


def test_audit_would_notice(tmp_path: Path) -> None:
    """The hook of the test above sees what it looks for."""
    seen: list[str] = []
    sys.addaudithook(lambda event, arguments: seen.append(event) if event == "exec" and not seen else None)
    exec("1")
    assert seen == ["exec"]
