"""Packed and deflated snapshots on one rank: round trips, parts, damage, a full disk, and the way to other formats."""

from __future__ import annotations

import errno
import os
import resource
import subprocess
import sys
import textwrap
from pathlib import Path

import h5py
import numpy as np
import pytest

from hpcsim.cli.main import main
from hpcsim.comm.context import Context
from hpcsim.errors import ConfigError, DiskError
from hpcsim.fields.spec import FieldSpec
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.layout import make_layout
from hpcsim.output.compare import compare_results
from hpcsim.output.compress.options import Compression
from hpcsim.output.convert import convert
from hpcsim.output.open import open as open_run
from hpcsim.output.packed import write_packed
from hpcsim.output.packed_file import PIECE_BYTES, cut
from hpcsim.output.plot import plot_run
from hpcsim.output.read import Snapshot, list_snapshots, snapshot_files
from hpcsim.output.snapshot import SnapshotField, write_snapshot
from tests.unit.output import samples
from tests.unit.output.compress import arrays

ROOT = Path(__file__).parents[4]
BLOCKS = {1: (3,), 2: (3, 4), 3: (3, 4, 3), 4: (2, 3, 2, 3)}
WRITERS = {"packed": write_packed, "vtkhdf": write_snapshot}
FACTS = {"config": "[run]\nsteps = 3\n", "commit": "abc"}


def write(directory, lattice, chosen, compression, format="packed", step=100, block_shape=None):
    layout = samples.layout_of(lattice, 1, block_shape)
    fields = [field._replace(compression=compression) for field in samples.fields(layout, chosen)]
    with Context.serial() as context:
        return WRITERS[format](context, layout, fields, step, 2.5, FACTS, directory)


def write_arrays(directory, fields, compression, step=0, format="packed", block_shape=None):
    """Cell fields of one domain from whole arrays."""
    shape = next(iter(fields.values())).shape
    lattice = Domain(shape, (0.0,) * len(shape), tuple(map(float, shape)), (True,) * len(shape))
    layout = make_layout(lattice, 1, ghost=0, block_shape=block_shape)

    def reader(values):
        return lambda block: [values[tuple(slice(a, b) for a, b in zip(block.lo, block.hi, strict=True))]]

    made = [
        SnapshotField(name, FieldSpec(name, dtype=values.dtype.name), reader(values), compression)
        for name, values in fields.items()
    ]
    with Context.serial() as context:
        return WRITERS[format](context, layout, made, step, float(step), FACTS, directory)


@pytest.mark.parametrize(("ndim", "periodic"), samples.CASES)
@pytest.mark.parametrize("several", [False, True], ids=["one block", "uneven blocks"])
@pytest.mark.parametrize(("format", "codec"), [("packed", "auto"), ("packed", "none"), ("vtkhdf", "deflate")])
def test_round_trip(tmp_path, ndim, periodic, several, format, codec):
    """000-B13e: all centrings and number types come back bit by bit for 1 to 4 axes."""
    lattice, chosen = samples.domain(ndim, periodic), samples.specs(ndim)
    blocks = BLOCKS[ndim] if several else None
    path = write(tmp_path / "snapshots", lattice, chosen, Compression(codec), format, block_shape=blocks)
    assert path.name == f"step-000100.{format}" and list(path.parent.iterdir()) == [path]
    snapshot = Snapshot(path)
    assert (snapshot.step, snapshot.time, snapshot.domain) == (100, 2.5, lattice)
    assert snapshot.config == FACTS["config"] and snapshot.metadata == {"commit": "abc"}
    assert list(snapshot.fields) == list(snapshot.compression) == [spec.name for spec in chosen]
    for spec in chosen:
        for component in range(spec.components):
            found, expected = snapshot.read(spec.name, component), samples.whole(lattice, spec, component)
            assert found.dtype == expected.dtype and np.array_equal(found, expected), (spec, component)
        record = snapshot.compression[spec.name]
        assert record["max_error"] == 0.0 and record["raw_bytes"] > 0


@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_a_viewer_sees_the_same_in_a_deflated_file(tmp_path, ndim):
    """000-B13e: same groups, shapes, types and values; datasets in chunks with the filters every HDF5 has."""
    lattice, chosen = samples.domain(ndim), samples.specs(ndim)
    plain = write(tmp_path / "a", lattice, chosen, Compression(), "vtkhdf", block_shape=BLOCKS[ndim])
    small = write(tmp_path / "b", lattice, chosen, Compression("deflate"), "vtkhdf", block_shape=BLOCKS[ndim])
    with h5py.File(plain) as a, h5py.File(small) as b:
        names: list[str] = []
        a.visit(names.append)
        assert {*names, "hpcsim/compression"} == {name for name in names if name in b} | {"hpcsim/compression"}
        for name in names:
            if not isinstance(a[name], h5py.Dataset) or name == "hpcsim/description":
                continue
            assert a[name].dtype == b[name].dtype and a[name].shape == b[name].shape, name
            assert np.array_equal(a[name][()], b[name][()]), name
            assert {k: v.tolist() for k, v in a[name].attrs.items()} == {
                k: v.tolist() for k, v in b[name].attrs.items()
            }
        data = b["VTKHDF/CellData/u_w000" if ndim == 4 else "VTKHDF/CellData/u"]
        assert (data.compression, data.shuffle) == ("gzip", True)


def test_large_fields_have_several_chunks_and_pieces(tmp_path):
    """000-B13e: a field of many pieces and chunks, with blocks that do not fit the chunks."""
    shape = (150, 130, 70)
    values = arrays.smooth(shape)
    for format, codec in (("packed", "zstd"), ("vtkhdf", "deflate")):
        path = write_arrays(
            tmp_path / format, {"u": values}, Compression(codec), format=format, block_shape=(61, 47, 70)
        )
        snapshot = Snapshot(path)
        assert sum(snapshot.compression["u"]["codecs"].values()) > 8
        assert np.array_equal(snapshot.read("u"), values)
        assert path.stat().st_size < 0.9 * values.nbytes


def test_pieces_tile_a_box():
    for shape in ((700, 900), (1, 5_000_000), (97, 101, 89), (40, 41, 42, 43)):
        covered = np.zeros(shape, np.uint8)
        for lo, extent in cut((0,) * len(shape), shape, 8):
            covered[tuple(slice(a, a + n) for a, n in zip(lo, extent, strict=True))] += 1
            assert np.prod(extent) * 8 <= PIECE_BYTES and min(extent) >= 1
        assert (covered == 1).all()


@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_a_part_is_read_as_numpy_would_cut_it(tmp_path, ndim):
    """002-B13b: boxes with any bounds and positive steps, over pieces of many blocks."""
    lattice, chosen = samples.domain(ndim), samples.specs(ndim)
    snapshot = Snapshot(write(tmp_path, lattice, chosen, Compression("zstd"), block_shape=BLOCKS[ndim]))
    rng = np.random.default_rng(0)
    for spec in chosen:
        whole = samples.whole(lattice, spec, spec.components - 1)
        boxes = [[slice(0, 0)] * ndim, [-1] * ndim, [slice(None, None, 2)] * ndim, [slice(1, None, 3)] * ndim]
        for _ in range(30):
            box = []
            for n in whole.shape:
                a, b = sorted(rng.integers(0, n + 1, 2).tolist())
                box.append(int(rng.integers(0, n)) if rng.random() < 0.3 else slice(a, b, int(rng.integers(1, 4))))
            boxes.append(box)
        for box in boxes:
            assert np.array_equal(snapshot.read(spec.name, spec.components - 1, box), whole[tuple(box)]), box


def test_only_the_pieces_that_are_needed_are_decoded(tmp_path, monkeypatch):
    values = arrays.smooth((128, 128, 64))
    snapshot = Snapshot(write_arrays(tmp_path, {"u": values}, Compression("zstd")))
    from hpcsim.output import packed_file

    counted = []
    original = packed_file.decode
    monkeypatch.setattr(packed_file, "decode", lambda *given: counted.append(given[2]) or original(*given))
    snapshot.read("u", 0, [3, slice(0, 5), 2])
    assert len(counted) == 1
    snapshot.read("u")
    assert len(counted) == 1 + 4


def test_error_and_ratio_are_kept_and_recorded(tmp_path):
    """ENG-15: the bound holds at every site of every field; what was reached stands in the file."""
    shape = (70, 66, 40)
    fields = {"s": arrays.smooth(shape), "n": arrays.noise(shape), "l": arrays.labels(shape), "x": arrays.broken(shape)}
    fields["f"] = fields["s"].astype(np.float32)
    snapshot = Snapshot(write_arrays(tmp_path / "a", fields, Compression("auto", 1e-4), block_shape=(30, 66, 40)))
    for name, values in fields.items():
        found, record = snapshot.read(name), snapshot.compression[name]
        if name in "nlx":
            assert arrays.same_bits(found, values) and record["max_error"] == 0.0
        else:
            assert np.abs(found - values).max() == record["max_error"] <= 1e-4
            assert record["ratio"] < 0.1 and set(record["codecs"]) == {"wavelet"}
        assert record["bytes"] == pytest.approx(record["ratio"] * values.nbytes)
    assert snapshot.compression["n"]["reasons"] == {"noise": 3} and snapshot.compression["x"]["reasons"] == {
        "not finite": 3
    }
    ratio = Snapshot(write_arrays(tmp_path / "b", {"n": fields["n"]}, Compression("wavelet", ratio=0.2)))
    assert 0.1 < ratio.compression["n"]["ratio"] <= 0.2
    assert np.abs(ratio.read("n") - fields["n"]).max() == ratio.compression["n"]["max_error"]


def test_every_byte_of_a_packed_file_is_protected(tmp_path):
    """F-05: a flipped bit is an error, wherever it is, but in what pads the head."""
    lattice, chosen = samples.domain(2), samples.specs(2)
    path = write(tmp_path, lattice, chosen, Compression("auto"))
    whole = path.read_bytes()
    expected = {spec.name: Snapshot(path).read(spec.name) for spec in chosen}

    def read() -> dict[str, np.ndarray]:
        snapshot = Snapshot(path)
        return {name: snapshot.read(name, c) for name in expected for c in range(snapshot.fields[name].components)}

    silent = []
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ (1 << place % 8)]) + whole[place + 1 :])
        try:
            read()
        except DiskError:
            continue
        silent.append(place)
    assert all(56 <= place < 128 for place in silent), silent
    for length in (0, 5, 100, 128, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        with pytest.raises(DiskError):
            read()


def rewritten(path: Path, change) -> None:
    """Change the description of a file and give it right checksums, as a hostile writer would."""
    import json

    from hpcsim.output.packed_file import HEAD, make_head

    data = path.read_bytes()
    _, _, _, offset, length, _ = HEAD.unpack_from(data)
    description = json.loads(data[offset : offset + length])
    text = json.dumps(change(description)).encode()
    path.write_bytes(make_head(offset, text) + data[128:offset] + text)


def test_a_hostile_description_is_refused(tmp_path):
    """F-05: whatever the description says, there is an error with the name of the file, and no large allocation."""
    lattice, chosen = samples.domain(2), samples.specs(2)

    def without(key):
        return lambda d: {k: v for k, v in d.items() if k != key}

    def extents(values):
        return lambda d: {**d, "fields": {**d["fields"], "u": {**d["fields"]["u"], "extents": [values]}}}

    changes = [
        lambda d: [],
        without("packed"),
        without("fields"),
        lambda d: {**d, "fields": {"u": {}}},
        lambda d: {**d, "packed": {"offset": -5, "segments": d["packed"]["segments"]}},
        lambda d: {**d, "packed": {"offset": 0, "segments": [[-1, "0"]]}},
        lambda d: {**d, "packed": {"offset": 0, "segments": [[10**18, "0"]]}},
        lambda d: {**d, "packed": {"offset": 0, "segments": []}},
        lambda d: {**d, "format": 99},
        extents([10**12, 10**12]),
        extents([-1, 4]),
        extents(["a", 4]),
        extents([1, 1]),
    ]
    for number, change in enumerate(changes):
        path = write(tmp_path, lattice, chosen, Compression("zstd"))
        rewritten(path, change)
        with pytest.raises(DiskError, match="step-000100|table"):
            Snapshot(path).read("u")
            raise AssertionError(number)


def test_readers_take_every_format(tmp_path):
    """open, compare and plot see no difference between a plain, a deflated and a packed snapshot."""
    fields = {"u": arrays.smooth((24, 20, 18)), "v": arrays.labels((24, 20, 18))}
    runs = {"plain": ("vtkhdf", "none"), "small": ("vtkhdf", "deflate"), "packed": ("packed", "auto")}
    for name, (format, codec) in runs.items():
        for step in (0, 10):
            write_arrays(tmp_path / name / "snapshots", fields, Compression(codec), step, format)
    for name in runs:
        assert compare_results(tmp_path / "plain", tmp_path / name).identical
        data = open_run(tmp_path / name)
        assert data.sizes["time"] == 2 and np.array_equal(data["u"][1].values, fields["u"])
        assert len(plot_run(tmp_path / name, series=False)) == 2
    write_arrays(tmp_path / "packed" / "snapshots", {**fields, "u": fields["u"] + 1e-3}, Compression("auto"), 10)
    outcome = compare_results(tmp_path / "plain", tmp_path / "packed")
    assert [d.what for d in outcome.differences if not d.identical] == ["u"]


def test_convert_there_and_back(tmp_path, capsys):
    """A packed run becomes files that ParaView reads, and back; what is there is not lost."""
    lattice, chosen = samples.domain(3, "mixed"), samples.specs(3)
    for step in (100, 200):
        write(tmp_path / "run" / "snapshots", lattice, chosen, Compression("auto"), step=step)
    run = tmp_path / "run"
    made = convert(run, "vtkhdf")
    assert [path.name for path in made] == ["step-000100.vtkhdf", "step-000200.vtkhdf", "series.vtkhdf"]
    assert [path.suffix for path in list_snapshots(run)] == [".packed"] * 2 and len(snapshot_files(run)) == 4
    direct = write(tmp_path / "direct", lattice, chosen, Compression(), "vtkhdf")
    assert made[0].read_bytes() == direct.read_bytes()
    with pytest.raises(DiskError, match="--overwrite"):
        convert(run, "vtkhdf")
    assert convert(run, "vtkhdf", overwrite=True) == made
    with pytest.raises(DiskError, match="--output"):
        convert(direct, "vtkhdf", overwrite=True)
    assert (
        main(["convert", str(direct), "--to", "packed", "--compression", "zstd", "--output", str(tmp_path / "z")]) == 0
    )
    assert "u to " in capsys.readouterr().out
    assert compare_results(tmp_path / "z" / "step-000100.packed", made[0]).identical
    deflated = convert(direct, "vtkhdf", compression=Compression("deflate"), output=tmp_path / "d")
    assert Snapshot(deflated[0]).compression["u"]["codecs"] and compare_results(deflated[0], direct).identical
    for arguments in (
        ["--to", "vtk"],
        ["--to", "packed", "--compression", "zstdd"],
        ["--to", "vtkhdf", "--error", "1e-3"],
    ):
        assert main(["convert", str(run), *arguments]) == 2
    assert "did you mean 'vtkhdf'" in capsys.readouterr().err
    assert main(["convert", str(tmp_path), "--to", "packed"]) == 6


def test_convert_with_an_error(tmp_path):
    values = arrays.smooth((40, 40, 40))
    plain = write_arrays(tmp_path, {"u": values}, Compression(), format="vtkhdf")
    (small,) = convert(plain, "packed", compression=Compression("auto", 1e-3))
    assert small.stat().st_size < 0.1 * plain.stat().st_size
    assert 0.0 < np.abs(Snapshot(small).read("u") - values).max() <= 1e-3


def test_convert_needs_the_memory_of_a_block(tmp_path, monkeypatch):
    """A field is converted box by box: no array is larger than a block."""
    from hpcsim.output import convert as module

    monkeypatch.setattr(module, "BLOCK_SITES", 1000)
    sizes = []
    original = Snapshot.read
    monkeypatch.setattr(Snapshot, "read", lambda self, *given: sizes.append(original(self, *given)) or sizes[-1])
    path = write_arrays(tmp_path, {"u": arrays.smooth((20, 40, 30))}, Compression("zstd"))
    (made,) = convert(path, "vtkhdf")
    assert len(sizes) > 20 and max(a.size for a in sizes) <= 2000
    assert np.array_equal(original(Snapshot(made), "u"), arrays.smooth((20, 40, 30)))


@pytest.mark.parametrize("ndim", [1, 2, 3])
def test_map(tmp_path, ndim):
    """002-B13c: a contiguous dataset is a read-only view of the file, and nothing is read for it."""
    lattice, chosen = samples.domain(ndim, "all"), samples.specs(ndim)
    snapshot = Snapshot(write(tmp_path, lattice, chosen, Compression(), "vtkhdf"))
    for spec in chosen:
        for component in range(spec.components):
            view = snapshot.map(spec.name, component)
            assert np.array_equal(view, samples.whole(lattice, spec, component))
            assert isinstance(view.base, np.memmap) or isinstance(view.base.base, np.memmap) or view.base is not None
            with pytest.raises(ValueError, match="read-only"):
                view[...] = 0
    handle = os.open(snapshot.path, os.O_RDWR)
    with h5py.File(snapshot.path) as file:
        offset = file["VTKHDF/CellData/u"].id.get_offset()
    view = snapshot.map("u")
    os.pwrite(handle, np.float64(-7.0).tobytes(), offset)
    os.close(handle)
    assert view[(0,) * ndim] == -7.0


def test_what_cannot_be_mapped_says_so(tmp_path):
    lattice, chosen = samples.domain(2), samples.specs(2)
    for format, codec in (("packed", "none"), ("vtkhdf", "deflate")):
        snapshot = Snapshot(write(tmp_path / format, lattice, chosen, Compression(codec), format))
        with pytest.raises(ConfigError, match=r"use read\(\)"):
            snapshot.map("u")
    four = Snapshot(write(tmp_path, samples.domain(4), samples.specs(4), Compression(), "vtkhdf"))
    with pytest.raises(ConfigError, match=r"use read\(\)"):
        four.map("u")


@pytest.mark.parametrize(("format", "codec"), [("packed", "zstd"), ("vtkhdf", "deflate")])
def test_a_full_disk_leaves_the_old_file(tmp_path, format, codec):
    """F-05, F-40: under a file size limit the run gets an error, and neither a half file nor a crash at exit."""
    script = textwrap.dedent(
        f"""
        import resource, signal, sys
        from pathlib import Path
        import numpy as np
        from hpcsim.errors import DiskError
        from hpcsim.output.compress.options import Compression
        from tests.unit.output.compress.test_packed import write_arrays
        folder = Path(sys.argv[1])
        fields = {{"u": np.random.default_rng(0).random((100, 90, 80))}}
        write_arrays(folder, {{"u": fields["u"][:20].copy()}}, Compression("{codec}"), format="{format}")
        before = sorted(folder.iterdir())[0].read_bytes()
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        for limit in (0, 2000, 1 << 20, 3 << 20):
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            try:
                write_arrays(folder, fields, Compression("{codec}"), format="{format}")
            except DiskError as error:
                assert "ulimit" in str(error), error
            else:
                raise AssertionError(limit)
            assert [p.read_bytes() == before for p in folder.iterdir()] == [True], sorted(folder.iterdir())
        print("held")
        """
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path], capture_output=True, text=True, env=environment, timeout=120
    )
    assert (done.returncode, done.stdout) == (0, "held\n"), done.stderr[-3000:]


@pytest.mark.parametrize("format", ["packed", "vtkhdf"])
def test_any_failing_write_is_an_error(tmp_path, monkeypatch, format):
    """F-05: the n-th write or reservation fails; the old file stays and no other is left."""
    target = {"packed": "hpcsim.output.packed.write_all", "vtkhdf": "hpcsim.output.deflated.reserve_ahead"}[format]
    module, name = target.rsplit(".", 1)
    original = getattr(sys.modules[module] if module in sys.modules else __import__(module, fromlist=[name]), name)
    compression = Compression({"packed": "zstd", "vtkhdf": "deflate"}[format])
    fields = {"u": arrays.noise((30, 20, 10))}
    path = write_arrays(tmp_path, fields, compression, format=format)
    before = path.read_bytes()
    for failing in range(1, 10):
        calls = []

        def count(*arguments, calls=calls, failing=failing):
            calls.append(1)
            if len(calls) == failing:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            original(*arguments)

        monkeypatch.setattr(target, count)
        try:
            write_arrays(tmp_path, {"u": 2 * fields["u"]}, compression, format=format)
        except DiskError as error:
            assert "No space left" in str(error) and "free some space" in str(error)
            assert list(tmp_path.iterdir()) == [path] and path.read_bytes() == before
        else:
            break
    assert failing == len(calls) + 1 >= 4


def test_space_is_reserved_without_changing_the_size(tmp_path):
    from hpcsim.output.files import reserve_ahead

    path = tmp_path / "file"
    path.write_bytes(b"abc")
    reserve_ahead(path, 1 << 20)
    assert path.read_bytes() == b"abc"
    with pytest.raises(OSError, match="space|large|big"):
        reserve_ahead(path, 1 << 60)
    assert resource.getrlimit(resource.RLIMIT_FSIZE)
