"""Snapshots on one rank: round trips, what a viewer sees, and what happens when the disk says no (F-05, F-40, F-48)."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pytest

from hpcsim.comm.context import Context
from hpcsim.errors import ConfigError, DiskError
from hpcsim.fields.spec import FieldSpec
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.layout import make_layout
from hpcsim.output.boxes import bars, write_box
from hpcsim.output.read import Snapshot, list_snapshots, slabs
from hpcsim.output.series import write_series
from hpcsim.output.snapshot import write_snapshot
from tests.unit.output import samples

ROOT = Path(__file__).parents[3]
BLOCKS = {1: (3,), 2: (3, 4), 3: (3, 4, 3), 4: (2, 3, 2, 3)}


def write(directory, lattice, chosen, step=100, time=2.5, block_shape=None, metadata=None):
    layout = samples.layout_of(lattice, 1, block_shape)
    facts = metadata if metadata is not None else {"config": "[run]\nsteps = 3\n", "commit": "abc"}
    with Context.serial() as context:
        return write_snapshot(context, layout, samples.fields(layout, chosen), step, time, facts, directory)


@pytest.mark.parametrize(("ndim", "periodic"), samples.CASES)
@pytest.mark.parametrize("several", [False, True], ids=["one block", "uneven blocks"])
def test_round_trip(tmp_path, ndim, periodic, several):
    """All centrings and number types come back bit by bit for 1 to 4 axes."""
    lattice, chosen = samples.domain(ndim, periodic), samples.specs(ndim)
    path = write(tmp_path / "snapshots", lattice, chosen, block_shape=BLOCKS[ndim] if several else None)
    assert path.name == "step-000100.vtkhdf" and list(path.parent.iterdir()) == [path]
    snapshot = Snapshot(path)
    assert (snapshot.step, snapshot.time, snapshot.domain) == (100, 2.5, lattice)
    assert snapshot.config == "[run]\nsteps = 3\n" and snapshot.metadata == {"commit": "abc"}
    assert list(snapshot.fields) == [spec.name for spec in chosen]
    for spec in chosen:
        for component in range(spec.components):
            found, expected = snapshot.read(spec.name, component), samples.whole(lattice, spec, component)
            assert found.dtype == expected.dtype and np.array_equal(found, expected), (spec, component)


@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_a_part_is_read_as_numpy_would_cut_it(tmp_path, ndim):
    lattice, chosen = samples.domain(ndim), samples.specs(ndim)
    snapshot = Snapshot(write(tmp_path, lattice, chosen))
    for box in ([slice(1, 3)] * ndim, [2] + [slice(None)] * (ndim - 1), [slice(0, 0)] * ndim, [-1] * ndim):
        for spec in chosen:
            component = spec.components - 1
            expected = samples.whole(lattice, spec, component)[tuple(box)]
            assert np.array_equal(snapshot.read(spec.name, component, box), expected)


def test_the_image_follows_the_format(tmp_path):
    """Header, array shapes and time are where VTKHDF wants them; the upper periodic plane repeats the lower one."""
    lattice = samples.domain(3)
    with h5py.File(write(tmp_path, lattice, samples.specs(3)), "r") as handle:
        image = handle["VTKHDF"]
        assert image.attrs["Type"] == b"ImageData" and list(image.attrs["Version"]) == [2, 0]
        assert list(image.attrs["WholeExtent"]) == [0, 5, 0, 8, 0, 6]
        assert list(image.attrs["Spacing"]) == list(lattice.spacing) and list(image.attrs["Origin"]) == [0, 1, 2]
        assert image["CellData/u"].shape == (6, 8, 5) and image["CellData/v"].shape == (6, 8, 5, 3)
        assert image["PointData/p"].shape == (7, 9, 6) and image["PointData/q"].shape == (7, 9, 6, 2)
        points = image["PointData/p"][()]
        assert np.array_equal(points[-1], points[0]) and np.array_equal(points[:, :, -1], points[:, :, 0])
        assert not np.array_equal(points[:, -1], points[:, 0])
        assert image["FieldData/TimeValue"][0] == 2.5 and image["FieldData/step"][0] == 100
        assert image["Steps"].attrs["NSteps"] == 1 and image["Steps/Values"][0] == 2.5
        assert image["CellData/u"].chunks is None and image["CellData/u"].id.get_offset() > 0
        assert list(handle["hpcsim/staggered/E_y"].attrs["location"]) == [1, 0, 1]
        shown = image["CellData/E"]
        assert shown.is_virtual and shown.shape == (6, 8, 5, 3)
        assert np.array_equal(shown[..., 1], handle["hpcsim/staggered/E_y"][:6, :8, :5])


@pytest.mark.parametrize(("ndim", "extent"), [(1, [0, 11, 0, 0, 0, 0]), (2, [0, 7, 0, 10, 0, 0])])
def test_fewer_axes_are_padded(tmp_path, ndim, extent):
    with h5py.File(write(tmp_path, samples.domain(ndim), samples.specs(ndim)), "r") as handle:
        assert list(handle["VTKHDF"].attrs["WholeExtent"]) == extent
        assert handle["VTKHDF/CellData/u"].shape == tuple(reversed(samples.SHAPES[ndim]))


def test_four_axes_are_slices_along_w(tmp_path):
    with h5py.File(write(tmp_path, samples.domain(4, "none"), samples.specs(4)), "r") as handle:
        cells, points = handle["VTKHDF/CellData"], handle["VTKHDF/PointData"]
        assert [n for n in cells if n.startswith("u_")] == [f"u_w{w:03d}" for w in range(4)]
        assert [n for n in points if n.startswith("p_")] == [f"p_w{w:03d}" for w in range(5)]
        assert cells["u_w002"].shape == (3, 5, 4) and cells["u_w002"].attrs["w"] == 2


def test_an_array_with_a_component_axis_will_do(tmp_path):
    lattice = samples.domain(2)
    layout = samples.layout_of(lattice, 1)
    data = np.random.default_rng(1).random((3, *lattice.shape))
    field = samples.SnapshotField("v", FieldSpec("v", 3), lambda block: data)
    with Context.serial() as context:
        snapshot = Snapshot(write_snapshot(context, layout, [field], 0, 0.0, {}, tmp_path))
    assert all(np.array_equal(snapshot.read("v", c), data[c]) for c in range(3))


@pytest.mark.parametrize("lo", [(0, 0, 0), (1, 2, 3), (0, 2, 0), (0, 0, 1)])
def test_a_box_goes_to_its_place_and_nowhere_else(tmp_path, lo, monkeypatch):
    """Slabs of any thickness and runs of any length give the same file."""
    extent, ncomp = (6, 7, 19), 2
    whole = np.zeros((*extent, ncomp))
    whole[lo[0] :, lo[1] :, lo[2] :] = np.random.default_rng(2).random(
        (*(n - a for n, a in zip(extent, lo, strict=True)), ncomp)
    )
    monkeypatch.setattr("hpcsim.output.boxes.SLAB_BYTES", 100)
    with open(tmp_path / "f", "w+b") as stream:
        stream.truncate(16 + whole.nbytes)
        box = whole[lo[0] :, lo[1] :, lo[2] :]
        write_box(stream.fileno(), 16, extent, lo, [box[:2], box[2:]])
        found = np.fromfile(tmp_path / "f", offset=16).reshape(19, 7, 6, ncomp)
    assert np.array_equal(found.transpose(2, 1, 0, 3), whole)


def test_blocks_in_a_row_make_a_bar():
    """Every block is in one bar, and a bar is a box."""
    layout = make_layout(samples.domain(3), 3, ghost=1, block_shape=(1, 3, 2), partition="round_robin")
    for rank in range(3):
        groups = bars(layout.local(rank))
        assert sorted(b.id for bar in groups for b in bar) == [b.id for b in layout.local(rank)]
        for bar in groups:
            assert {(b.lo[1:], b.hi[1:]) for b in bar} == {(bar[0].lo[1:], bar[0].hi[1:])}
            assert [b.lo[0] for b in bar[1:]] == [b.hi[0] for b in bar[:-1]]
    assert len(bars(samples.layout_of(samples.domain(3), 1, (2, 3, 2)).blocks)) == 3 * 3


def test_slabs_tile_the_extent():
    mask = np.zeros((5, 6, 7), int)
    for box in slabs(mask.shape, 8, limit=8 * 12):
        mask[box] += 1
        assert mask[box].size <= 12
    assert (mask == 1).all()


def test_paths_with_blanks_and_other_letters(tmp_path):
    """F-48."""
    lattice, folder = samples.domain(2), tmp_path / "läuft mit Blanks ✓" / "snapshots"
    snapshot = Snapshot(write(folder, lattice, samples.specs(2)[:1], metadata={"config": "# ü", "name": "größe"}))
    assert snapshot.config == "# ü" and snapshot.metadata["name"] == "größe"
    assert snapshot.read("u").shape == lattice.shape


def test_locks_of_the_file_system_are_not_needed(tmp_path, monkeypatch):
    """F-40: a file that another handle has locked is still read."""
    import fcntl

    path = write(tmp_path, samples.domain(1), samples.specs(1)[:1])
    with open(path, "r+b") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        assert Snapshot(path).read("u").shape == (11,)


def test_a_later_write_of_the_same_step_replaces_the_file(tmp_path):
    lattice, chosen = samples.domain(1), samples.specs(1)[:1]
    write(tmp_path, lattice, chosen, time=1.0)
    assert Snapshot(write(tmp_path, lattice, chosen, time=2.0)).time == 2.0
    assert [p.name for p in tmp_path.iterdir()] == ["step-000100.vtkhdf"]


def test_errors_of_a_reader_name_the_choice(tmp_path):
    path = write(tmp_path, samples.domain(1), samples.specs(1)[:2])
    with pytest.raises(ConfigError, match="did you mean 'u'|Known: u, v"):
        Snapshot(path).read("uu")
    with pytest.raises(ConfigError, match="components 0 to 2"):
        Snapshot(path).read("v", 3)
    with pytest.raises(DiskError, match="missing.vtkhdf"):
        Snapshot(tmp_path / "missing.vtkhdf")
    (tmp_path / "text.vtkhdf").write_text("no HDF5")
    with pytest.raises(DiskError, match="text.vtkhdf"):
        Snapshot(tmp_path / "text.vtkhdf")
    with h5py.File(tmp_path / "other.h5", "w"):
        pass
    with pytest.raises(DiskError, match="no hpcsim snapshot"):
        Snapshot(tmp_path / "other.h5")


def test_series_shows_all_steps_without_a_copy(tmp_path):
    lattice, chosen = samples.domain(2), samples.specs(2)
    assert write_series(tmp_path) is None
    for step in (0, 10, 2000000):
        write(tmp_path, lattice, chosen, step=step, time=0.1 * step)
    path = write_series(tmp_path)
    assert path is not None and [Snapshot(p).step for p in list_snapshots(tmp_path)] == [0, 10, 2000000]
    assert path.stat().st_size < 200_000
    with h5py.File(path, "r") as handle:
        assert list(handle["VTKHDF/Steps/Values"]) == [0.0, 1.0, 200000.0]
        assert handle["VTKHDF/CellData/u"].shape == (3, 10, 7)
        assert np.array_equal(handle["VTKHDF/CellData/u"][1].T, samples.whole(lattice, chosen[0], 0))
        assert np.array_equal(handle["VTKHDF/CellData/E"][2, ..., 1].T, samples.whole(lattice, chosen[5], 1)[:7, :10])


def in_child(tmp_path, limit: int, code: str) -> subprocess.CompletedProcess:
    """Run code in a process whose files may not grow beyond a limit."""
    text = f"import resource\nresource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))\n" + textwrap.dedent(code)
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TARGET": str(tmp_path)}
    return subprocess.run(
        [sys.executable, "-c", text], env=environment, capture_output=True, text=True, timeout=60, cwd=ROOT
    )


@pytest.mark.parametrize("limit", [1000, 40_000, 300_000])
def test_a_full_disk_keeps_the_old_file(tmp_path, limit):
    """F-05: no space for the values, or not even for the header: DiskError, nothing left over, no crash."""
    write(tmp_path, samples.domain(2), samples.specs(2)[:1], step=7)
    before = (tmp_path / "step-000007.vtkhdf").read_bytes()
    code = """
        import os, pathlib
        import numpy as np
        from hpcsim.comm.context import Context
        from hpcsim.errors import DiskError
        from hpcsim.fields.spec import FieldSpec
        from hpcsim.lattice.domain import Domain
        from hpcsim.lattice.layout import make_layout
        from hpcsim.output.snapshot import SnapshotField, write_snapshot
        layout = make_layout(Domain((200, 200), (0.0, 0.0), (1.0, 1.0), (True, True)), 1)
        field = SnapshotField("u", FieldSpec("u"), lambda block: np.ones((1, 200, 200)))
        try:
            write_snapshot(Context.serial(), layout, [field], 7, 0.0, {}, pathlib.Path(os.environ["TARGET"]))
        except DiskError as error:
            print("refused:", error)
    """
    done = in_child(tmp_path, limit, code)
    assert done.returncode == 0 and done.stdout.startswith("refused: cannot write the snapshot"), done
    assert "step-000007.vtkhdf" in done.stdout and "ulimit" in done.stdout
    assert [p.name for p in tmp_path.iterdir()] == ["step-000007.vtkhdf"]
    assert (tmp_path / "step-000007.vtkhdf").read_bytes() == before


def test_space_lost_between_reservation_and_writing(tmp_path, monkeypatch):
    """F-05: a write that fails in the middle removes the temporary file and keeps the old one."""
    path = write(tmp_path, samples.domain(2), samples.specs(2)[:1], time=1.0)
    calls = []

    def failing(handle, offset, extent, lo, parts):
        calls.append(lo)
        if len(calls) == 3:
            raise OSError(28, "No space left on device")
        write_box(handle, offset, extent, lo, parts)

    monkeypatch.setattr("hpcsim.output.snapshot.write_box", failing)
    with pytest.raises(DiskError, match=r"No space left on device; free some space .* \(on rank 0\)"):
        write(tmp_path, samples.domain(2), samples.specs(2)[:1], time=2.0, block_shape=(3, 4))
    assert [p.name for p in tmp_path.iterdir()] == [path.name] and Snapshot(path).time == 1.0


def test_a_directory_that_is_a_file(tmp_path):
    (tmp_path / "snapshots").write_text("")
    with pytest.raises(DiskError, match="snapshots"):
        write(tmp_path / "snapshots", samples.domain(1), samples.specs(1)[:1])


@pytest.mark.parametrize("code", [13, 30], ids=["EACCES", "EROFS"])
def test_a_read_only_directory(tmp_path, monkeypatch, code):
    """F-07: root ignores permission bits, so the refusal of the system is played."""
    real = os.open

    def refusing(path, flags, *rest, **options):
        if str(path).endswith(".tmp") and flags & os.O_CREAT:
            raise OSError(code, os.strerror(code), path)
        return real(path, flags, *rest, **options)

    monkeypatch.setattr(os, "open", refusing)
    with pytest.raises(DiskError, match="cannot write the snapshot .*step-000100.vtkhdf: .*choose"):
        write(tmp_path, samples.domain(1), samples.specs(1)[:1])
    assert not list(tmp_path.iterdir())


def test_a_large_config_and_many_fields_fit_the_reservation(tmp_path):
    """The space tried before is never less than what the file takes."""
    lattice = Domain((4,), (0.0,), (1.0,), (True,))
    chosen = [FieldSpec(f"field_with_a_long_name_{n}", 1, "vertex") for n in range(150)]
    seen = []
    import hpcsim.output.snapshot as module

    real = module.preallocate
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "preallocate", lambda handle, nbytes: (seen.append(nbytes), real(handle, nbytes)))
        path = write(
            tmp_path, lattice, chosen, metadata={"config": "# comment\n" * 20_000, "versions": {"a": "1" * 5000}}
        )
    assert seen[0] >= seen[1] == path.stat().st_size
