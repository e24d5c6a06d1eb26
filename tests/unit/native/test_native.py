"""Compiled functions from disk: right results, no compiler in later processes, damage repaired (F-38, ENG-32)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from hpcsim.native import function
from hpcsim.native.signature import parse_arguments
from hpcsim.native.store import read_object, write_object

SOURCE = """
from numba import njit

@njit(nogil=True)
def run(values, factor):
    for i in range(values.shape[0]):
        values[i] = values[i] * factor + {offset}
"""
FORMS = ("float64[1]", "float64")

SCRIPT = """
import sys
import numpy as np
from hpcsim.native.function import compilations, native_source
run = native_source({source!r}, "run", {forms!r})
values = np.arange(4.0)
run(values, 2.0)
print(values.tolist(), compilations(), "numba" in sys.modules)
"""


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HPCSIM_CACHE_DIR", str(tmp_path))


def _process(tmp_path: Path, offset: float = 1.0) -> str:
    script = SCRIPT.format(source=SOURCE.format(offset=offset), forms=FORMS)
    environment = {**os.environ, "HPCSIM_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120, check=True
    )
    return done.stdout.strip()


def test_the_second_process_neither_compiles_nor_imports_numba(tmp_path: Path) -> None:
    assert _process(tmp_path) == "[1.0, 3.0, 5.0, 7.0] 1 True"
    assert _process(tmp_path) == "[1.0, 3.0, 5.0, 7.0] 0 False"


def test_another_source_is_another_function(tmp_path: Path) -> None:
    _process(tmp_path)
    assert _process(tmp_path, offset=10.0) == "[10.0, 12.0, 14.0, 16.0] 1 True"


@pytest.mark.parametrize("damage", ["empty", "cut", "flipped", "text"])
def test_a_damaged_file_is_compiled_anew(tmp_path: Path, damage: str) -> None:
    _process(tmp_path)
    (path,) = tmp_path.rglob("*.o")
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[len(content) // 2] ^= 1
    changed = {"empty": b"", "cut": content[: len(content) // 2], "flipped": bytes(flipped), "text": b"not code"}
    path.write_bytes(changed[damage])
    assert _process(tmp_path) == "[1.0, 3.0, 5.0, 7.0] 1 True"
    assert _process(tmp_path) == "[1.0, 3.0, 5.0, 7.0] 0 False"


def test_functions_of_a_module_are_found_by_name() -> None:
    function.native.cache_clear()
    values = np.arange(3.0)
    function.native("tests.unit.native.loops:scale", FORMS)(values, 3.0)
    assert values.tolist() == [0.0, 3.0, 6.0]


def test_strided_views_are_read_in_place() -> None:
    function.native.cache_clear()
    field, out = np.arange(24.0).reshape(4, 6), np.zeros(1)
    function.native("tests.unit.native.loops:total", ("float64[2]~", "float64[1]"))(field[1:3, ::2], out)
    assert out[0] == field[1:3, ::2].sum()


def test_an_array_of_another_kind_is_refused() -> None:
    function.native.cache_clear()
    scale = function.native("tests.unit.native.loops:scale", FORMS)
    with pytest.raises(TypeError, match="float32"):
        scale(np.zeros(3, np.float32), 1.0)
    with pytest.raises(TypeError, match="contiguous"):
        scale(np.zeros(6)[::2], 1.0)
    with pytest.raises(TypeError):
        scale(np.zeros((2, 2)), 1.0)


def test_a_new_array_at_an_old_address_is_seen() -> None:
    function.native.cache_clear()
    scale = function.native("tests.unit.native.loops:scale", FORMS)
    for length in (5, 7, 3):
        values = np.ones(length)
        scale(values, 2.0)
        assert values.tolist() == [2.0] * length
        del values


def test_files_hold_what_was_written(tmp_path: Path) -> None:
    path = tmp_path / "a" / "b.o"
    write_object(path, "entry", b"\x00\n\xff")
    assert read_object(path) == ("entry", b"\x00\n\xff")
    assert read_object(tmp_path / "none.o") is None


def test_argument_forms() -> None:
    number, array, view = parse_arguments(["int64", "float32[1]", "uint64[4]~"])
    assert [len(a.c_types) for a in (number, array, view)] == [1, 2, 9]
    with pytest.raises(ValueError, match="complex"):
        parse_arguments(["complex128[1]"])


def test_a_function_that_allocates_is_refused_when_it_is_compiled() -> None:
    function.native.cache_clear()
    with pytest.raises(ValueError, match="allocate needs NRT_MemInfo_alloc"):
        function.native("tests.unit.native.loops:allocate", ("float64[1]",))
