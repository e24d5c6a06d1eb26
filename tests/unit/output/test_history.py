"""Time series: strictly monotone in step, every row on disk at once, cut where a run goes on (F-05, F-46)."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from hpcsim.errors import ConfigError, DiskError, HpcsimError
from hpcsim.output import history_hdf5
from hpcsim.output.history import open_history, read_history
from hpcsim.output.writers import HISTORIES

ROOT = Path(__file__).parents[3]
FORMATS = HISTORIES.names()
COLUMNS = ("energy", "max, of u")


def path_of(folder: Path, format: str) -> Path:
    return folder / ("history.csv" if format == "csv" else "history.h5")


def fill(path: Path, format: str, steps, keep_through: int = -1, columns=COLUMNS) -> None:
    history = open_history(format, path, columns, keep_through)
    for step in steps:
        history.append(step, 0.1 * step, {name: step / 3 + n for n, name in enumerate(columns)})
    history.close()


@pytest.mark.parametrize("format", FORMATS)
def test_every_digit_comes_back(tmp_path, format):
    path = path_of(tmp_path, format)
    fill(path, format, range(0, 50, 5))
    for source in (path, tmp_path):
        table = read_history(source)
        assert list(table) == ["step", "time", *COLUMNS] and table["step"].dtype == np.int64
        assert list(table["step"]) == list(range(0, 50, 5))
        assert np.array_equal(table["max, of u"], table["step"] / 3 + 1)
        assert np.array_equal(table["time"], 0.1 * table["step"])


@pytest.mark.parametrize("format", FORMATS)
def test_special_values(tmp_path, format):
    history = open_history(format, path_of(tmp_path, format), ("q",))
    given = [np.inf, -np.inf, np.nan, -0.0, 5e-324, np.float32(0.1)]
    for step, value in enumerate(given):
        history.append(step, 0.0, {"q": value})
    history.close()
    assert np.array_equal(read_history(tmp_path)["q"], np.array(given, float), equal_nan=True)


@pytest.mark.parametrize("format", FORMATS)
def test_a_row_is_there_before_the_file_is_closed(tmp_path, format):
    path = path_of(tmp_path, format)
    history = open_history(format, path, COLUMNS)
    assert len(read_history(path)["step"]) == 0
    for step in (1, 2, 30):
        history.append(step, 0.0, dict.fromkeys(COLUMNS, 1.0))
        assert read_history(path)["step"][-1] == step


@pytest.mark.parametrize("format", FORMATS)
def test_steps_must_rise(tmp_path, format):
    history = open_history(format, path_of(tmp_path, format), ())
    history.append(5, 0.0, {})
    for step in (5, 4):
        with pytest.raises(HpcsimError, match=f"step {step} after step 5"):
            history.append(step, 0.0, {})
    history.close()
    assert list(read_history(tmp_path)["step"]) == [5]


@pytest.mark.parametrize("format", FORMATS)
def test_going_on_moves_later_rows_aside(tmp_path, format):
    """F-46: no row twice, none lost."""
    path = path_of(tmp_path, format)
    fill(path, format, range(10))
    fill(path, format, range(7, 12), keep_through=6)
    assert list(read_history(path)["step"]) == list(range(12))
    moved = path.with_name(f"history.after-6{path.suffix}")
    assert list(read_history(moved)["step"]) == [7, 8, 9]
    fill(path, format, range(7, 8), keep_through=6)
    assert list(read_history(path)["step"]) == list(range(8))
    assert list(read_history(path.with_name(f"history.after-6-2{path.suffix}"))["step"]) == list(range(7, 12))
    before = len(list(tmp_path.iterdir()))
    fill(path, format, [8], keep_through=7)
    assert list(read_history(path)["step"]) == list(range(9)) and len(list(tmp_path.iterdir())) == before


@pytest.mark.parametrize("format", FORMATS)
def test_a_new_run_moves_all_rows_aside(tmp_path, format):
    path = path_of(tmp_path, format)
    fill(path, format, range(3))
    fill(path, format, range(2), columns=("other",))
    assert list(read_history(path)) == ["step", "time", "other"]
    assert list(read_history(path.with_name(f"history.old{path.suffix}"))["step"]) == [0, 1, 2]


@pytest.mark.parametrize("format", FORMATS)
def test_going_on_with_other_columns_is_refused(tmp_path, format):
    path = path_of(tmp_path, format)
    fill(path, format, range(3))
    with pytest.raises(ConfigError, match=r"has the columns energy.*the run has other"):
        open_history(format, path, ("other",), 1)
    with pytest.raises(ConfigError, match="used twice"):
        open_history(format, path, ("a", "a"))
    assert list(read_history(path)["step"]) == [0, 1, 2]


def test_half_a_line_is_left_out(tmp_path):
    """A kill in the middle of a row of text."""
    path = path_of(tmp_path, "csv")
    fill(path, "csv", range(3))
    path.write_text(path.read_text() + "3,0.3,1.")
    assert list(read_history(path)["step"]) == [0, 1, 2]
    fill(path, "csv", [3], keep_through=5)
    assert list(read_history(path)["step"]) == [0, 1, 2, 3]


def test_the_table_grows(tmp_path, monkeypatch):
    monkeypatch.setattr(history_hdf5, "ROWS", 2)
    fill(tmp_path / "history.h5", "hdf5", range(9))
    assert list(read_history(tmp_path)["step"]) == list(range(9))
    with h5py.File(tmp_path / "history.h5", "r") as handle:
        assert handle["table"].shape == (9,)
    assert [p.name for p in tmp_path.iterdir()] == ["history.h5"]


@pytest.mark.parametrize("format", FORMATS)
def test_a_killed_writer_leaves_a_readable_file(tmp_path, format):
    """F-03: no handle is closed, no buffer flushed."""
    path = path_of(tmp_path, format)
    code = (
        "import os, sys, pathlib; from hpcsim.output.history import open_history\n"
        "h = open_history(sys.argv[1], pathlib.Path(sys.argv[2]), ('q',))\n"
        "for n in range(20): h.append(n, 0.0, {'q': 1.0 * n})\n"
        "os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, format, str(path)], cwd=ROOT, timeout=60, capture_output=True)
    assert done.returncode == -9, done.stderr
    assert list(read_history(path)["step"]) == list(range(20))
    fill(path, format, [15], keep_through=14, columns=("q",))
    assert list(read_history(path)["step"]) == list(range(16))


def test_a_full_disk_leaves_whole_rows(tmp_path, monkeypatch):
    """F-05: half a row is taken back."""
    path = path_of(tmp_path, "csv")
    history = open_history("csv", path, ("q",))
    history.append(1, 0.0, {"q": 1.0})
    real = os.pwrite

    def half(handle, data, offset):
        real(handle, data[: len(data) // 2], offset)
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "pwrite", half)
    with pytest.raises(DiskError, match="No space"):
        history.append(2, 0.0, {"q": 2.0})
    monkeypatch.undo()
    assert path.read_text() == "step,time,q\n1,0.0,1.0\n"
    history.append(3, 0.0, {"q": 3.0})
    history.close()
    assert list(read_history(path)["step"]) == [1, 3] and path.read_text().count("\n") == 3


def test_what_is_no_series_is_refused(tmp_path):
    with pytest.raises(DiskError, match="no time series"):
        read_history(tmp_path)
    (tmp_path / "a.csv").write_text("step,time\nx,y\n")
    with pytest.raises(DiskError, match="no time series"):
        read_history(tmp_path / "a.csv")
    with pytest.raises(ConfigError, match="did you mean 'csv'"):
        open_history("cvs", tmp_path / "b", ())
