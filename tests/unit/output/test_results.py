"""Reading results back: comparison, lazy datasets, pictures, and their verbs."""

from __future__ import annotations

import argparse
import json
from types import SimpleNamespace

import h5py
import matplotlib.image
import numpy as np
import pytest

from hpcsim.cli import compare as compare_verb
from hpcsim.cli import plot as plot_verb
from hpcsim.comm.context import Context
from hpcsim.errors import ConfigError, DiskError
from hpcsim.fields.spec import FieldSpec
from hpcsim.output import open as opening
from hpcsim.output.compare import Difference, compare_results, ulps
from hpcsim.output.history import open_history
from hpcsim.output.plot import plot_run, take_cut
from hpcsim.output.read import Snapshot
from hpcsim.output.record import RunRecord
from hpcsim.output.snapshot import SnapshotField, write_snapshot
from tests.unit.output import samples

STEPS = (0, 5, 10)


def make_run(root, ndim=2, periodic="mixed", digest="ff", chosen=None):
    """A run directory with three snapshots, a series and a record."""
    lattice = samples.domain(ndim, periodic)
    layout = samples.layout_of(lattice, 1)
    fields = samples.fields(layout, chosen or samples.specs(ndim))
    with Context.serial() as context:
        for step in STEPS:
            facts = {"config": "a = 1", "commit": "abc"}
            write_snapshot(context, layout, fields, step, 0.1 * step, facts, root / "snapshots")
    history = open_history("csv", root / "history.csv", ("energy", "norm"))
    for step in range(4):
        history.append(step, 0.1 * step, {"energy": 1.0 / (step + 1), "norm": step**0.5})
    history.close()
    RunRecord(root / "run.json").finish(digest={"u": digest})
    return root


def change(path, place, index, function):
    """Change one value of a snapshot."""
    with h5py.File(path, "r+") as handle:
        handle[place][index] = function(handle[place][index])


def verb(module, *words) -> int:
    parser = argparse.ArgumentParser()
    module.add_arguments(parser)
    return module.run(parser.parse_args([str(w) for w in words]))


@pytest.mark.parametrize("ndim", [1, 4])
def test_equal_runs_are_identical(tmp_path, capsys, ndim):
    a, b = make_run(tmp_path / "a", ndim), make_run(tmp_path / "b", ndim)
    outcome = compare_results(a, b)
    components = sum(s.components for s in samples.specs(ndim))
    assert outcome.identical and len(outcome.differences) == 3 * components + 4 + 1
    assert verb(compare_verb, a, b) == 0 and capsys.readouterr().out.endswith("identical\n")


@pytest.mark.parametrize("place", ["VTKHDF/CellData/u", "VTKHDF/PointData/p", "hpcsim/staggered/B_y"])
def test_one_bit_is_seen(tmp_path, capsys, place):
    """Test of the test: the smallest change of one value, in any centring."""
    a, b = make_run(tmp_path / "a"), make_run(tmp_path / "b")
    dtype = np.float32 if place.endswith("p") else np.float64
    change(b / "snapshots/step-000005.vtkhdf", place, (3, 2), lambda v: np.nextafter(v, dtype(np.inf)))
    (found,) = [d for d in compare_results(a, b).differences if not d.identical]
    assert (found.where, found.differing, found.max_ulp) == ("step-000005", 1, 1) and 0 < found.max_rel < 1e-6
    assert verb(compare_verb, a, b, "--json") == 1
    assert json.loads(capsys.readouterr().out)["identical"] is False
    assert verb(compare_verb, a, b, "--rtol", "1e-6") == 0
    assert verb(compare_verb, a, b, "--rtol", "1e-18") == 1
    assert "1 ulp" in capsys.readouterr().out


def test_what_is_missing_is_a_difference(tmp_path):
    a, b = make_run(tmp_path / "a"), make_run(tmp_path / "b", digest="00")
    (b / "snapshots/step-000010.vtkhdf").unlink()
    outcome = compare_results(a, b)
    assert outcome.notes == ["snapshot step-000010 is only in the first"] and not outcome.identical
    assert [d.what for d in outcome.differences if not d.identical] == ["digest of u"]
    c = make_run(tmp_path / "c", 2, "none")
    assert any("the lattices differ" in note for note in compare_results(a, c).notes)
    assert any(
        "step 0" in n for n in compare_results(*(a / f"snapshots/step-0000{s}.vtkhdf" for s in ("00", "05"))).notes
    )


def test_a_snapshot_too_few_is_enough(tmp_path):
    a, b = make_run(tmp_path / "a"), make_run(tmp_path / "b")
    (a / "snapshots/step-000010.vtkhdf").unlink()
    outcome = compare_results(a, b)
    assert all(d.identical for d in outcome.differences) and not outcome.identical


def test_nothing_to_compare_is_not_identical(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    assert not compare_results(tmp_path / "a", tmp_path / "b").identical
    with pytest.raises(DiskError, match="there is no"):
        compare_results(tmp_path / "a", tmp_path / "x")
    (tmp_path / "f").touch()
    with pytest.raises(DiskError, match="like with like"):
        compare_results(tmp_path / "a", tmp_path / "f")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_distances(dtype):
    eps = np.finfo(dtype).eps
    a = np.array([1.0, -2.0, 0.0, np.nan, np.inf, 4.0], dtype)
    b = np.array([1.0 + eps, -2.0, -0.0, np.nan, np.inf, 2.0], dtype)
    found = Difference("q")
    found.add(a, b)
    assert (found.differing, found.values, found.max_abs, found.max_rel) == (3, 6, 2.0, 0.5)
    assert found.max_ulp == (1 << (np.finfo(dtype).nmant))
    assert ulps(np.array([-1.0], dtype), np.array([1.0], dtype)) == 2 * int(
        np.array([1.0], dtype).view(f"u{np.dtype(dtype).itemsize}")[0]
    )
    broken = Difference("q")
    broken.add(np.array([np.nan, 1.0], dtype), np.array([1.0, 1.0], dtype))
    assert broken.max_ulp == -1 and broken.max_abs == np.inf and not broken.identical


@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_dataset_has_all_values(tmp_path, ndim):
    lattice, chosen = samples.domain(ndim), samples.specs(ndim)
    data = opening.open(make_run(tmp_path, ndim))
    assert list(data["time"].values) == [0.0, 0.5, 1.0] and list(data["step"].values) == list(STEPS)
    axes = "xyzw"[:ndim]
    assert data["u"].dims == ("time", *axes) and data["v"].dims == ("time", "v_component", *axes)
    for spec in chosen:
        for component in range(spec.components):
            expected = samples.whole(lattice, spec, component)
            staggered = spec.centring in ("face", "edge")
            variable = data[f"{spec.name}_{axes[component]}"] if staggered else data[spec.name]
            got = variable[1, component] if spec.components > 1 and not staggered else variable[1]
            assert got.dtype == expected.dtype and np.array_equal(got.values, expected), spec
    assert data["B_x"].dims == ("time", "x_node", *axes[1:]) and data["B_x"].attrs["location"] == [1] + [0] * (ndim - 1)
    assert np.array_equal(data["x"], lattice.coordinate(0, np.arange(lattice.shape[0]), False))
    assert data["x_node"][0] == lattice.lower[0] and data.attrs["config"] == "a = 1"


def test_dataset_reads_only_what_is_asked_for(tmp_path, monkeypatch):
    run = make_run(tmp_path, 3)
    asked = []
    real = Snapshot.read

    def read(self, name, component=0, box=None):
        values = real(self, name, component, box)
        asked.append((self.step, name, component, values.size))
        return values

    monkeypatch.setattr(Snapshot, "read", read)
    data = opening.open(run)
    part = data["v"].isel(time=-1, v_component=1, y=slice(6, 1, -2))[:, :, 2]
    assert not asked
    expected = samples.whole(samples.domain(3), FieldSpec("v", 3, "cell", "float32"), 1)[:, 6:1:-2, 2]
    assert np.array_equal(part.values, expected)
    assert [(step, name, c) for step, name, c, _ in asked] == [(10, "v", 1)] and asked[0][3] <= 5 * 5
    assert data["u"].sel(x=1.3, y=2.1, z=4.0, method="nearest").shape == (3,)
    assert data["u"].isel(time=slice(0, 0)).values.shape == (0, 5, 8, 6)
    assert data["q"].isel(q_component=[1, 0], time=0).values.shape == (2, 5, 9, 6)
    assert float(data["u"].isel(time=[2, 0]).mean()) == pytest.approx(
        samples.whole(samples.domain(3), FieldSpec("u"), 0).mean()
    )


def test_dataset_without_snapshots(tmp_path):
    with pytest.raises(DiskError, match="no snapshots"):
        opening.open(tmp_path)


@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_pictures(tmp_path, ndim, capsys):
    run = make_run(tmp_path / "run ü", ndim, chosen=[FieldSpec("u"), FieldSpec("B", ndim, "face")])
    made = plot_run(run, length_unit="um")
    assert [p.name for p in made] == ["u-000010.png", "B-000010.png", "history.png"]
    for path in made:
        image = matplotlib.image.imread(path)
        assert min(image.shape[:2]) > 200 and len(np.unique(image)) > 10
    assert {p.suffix for p in (run / "figures").iterdir()} == {".png"}
    assert verb(plot_verb, run, "--field", "u", "--all", "--no-series", "--output", tmp_path / "out") == 0
    lines = capsys.readouterr().out.split("\n")
    assert lines[:-1] == [str(tmp_path / "out" / f"u-0000{s}.png") for s in ("00", "05", "10")]


def test_a_cut_goes_through_the_middle(tmp_path):
    snapshot = Snapshot(make_run(tmp_path, 4) / "snapshots/step-000000.vtkhdf")
    whole = samples.whole(snapshot.domain, FieldSpec("u"), 0)
    cut = take_cut(snapshot, "u", 0, None, None)
    assert cut.axes == (0, 1) and np.array_equal(cut.values, whole[:, :, 1, 2]) and cut.text == "z = 2.75, w = 4.25"
    cut = take_cut(snapshot, "u", 0, "x", 3)
    assert cut.axes == (1, 2) and np.array_equal(cut.values, whole[3, :, :, 2])
    assert np.array_equal(cut.coordinates[0], snapshot.domain.coordinate(1, np.arange(5), False))


def test_a_plane_may_be_cut_to_a_line(tmp_path):
    snapshot = Snapshot(make_run(tmp_path, 2) / "snapshots/step-000000.vtkhdf")
    cut = take_cut(snapshot, "u", 0, "y", 4)
    assert cut.axes == (0,) and np.array_equal(cut.values, samples.whole(snapshot.domain, FieldSpec("u"), 0)[:, 4])


def test_what_cannot_be_drawn_is_refused(tmp_path):
    with pytest.raises(DiskError, match="nothing to draw"):
        plot_run(tmp_path)
    run = make_run(tmp_path / "run")
    for options, text in [
        ({"fields": ["uu"]}, "field 'uu'"),
        ({"axis": "z"}, "axis 'z'"),
        ({"axis": "x", "index": 99}, "index 99"),
        ({"steps": [3]}, "step 3"),
        ({"steps": "first"}, "choice 'first'"),
    ]:
        with pytest.raises(ConfigError, match=text):
            plot_run(run, **options)


def test_fields_without_a_finite_value_are_drawn(tmp_path):
    layout = samples.layout_of(samples.domain(2), 1)
    spec = FieldSpec("u")
    for step, value in enumerate((np.nan, 0.0, np.inf)):
        field = SnapshotField("u", spec, lambda block, value=value: np.full((1, 7, 10), value))
        with Context.serial() as context:
            write_snapshot(context, layout, [field], step, 0.0, {}, tmp_path)
    assert len(plot_run(tmp_path, steps="all")) == 3


def test_verbs_take_what_the_command_line_gives():
    parser = argparse.ArgumentParser()
    plot_verb.add_arguments(parser)
    given = parser.parse_args(["runs/a", "--step", "3", "--step", "5", "--axis", "x"])
    assert SimpleNamespace(**vars(given)).step == [3, 5] and given.field == []
