"""Checkpoints written by one process: what is in them, and what keeps one from being accepted (F-01, F-05, F-07)."""

from __future__ import annotations

import errno
import os
import threading
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from hpcsim.comm.context import Context
from hpcsim.errors import ConfigError, HpcsimError
from hpcsim.output.checkpoint import collective, io, packing, prepare, shards
from hpcsim.output.checkpoint.modes import MODES
from hpcsim.output.checkpoint.options import CheckpointOptions
from hpcsim.output.compress import CODECS
from hpcsim.output.compress.codec import get_codec
from tests.unit.output.checkpoint.writing import CALLS, WAYS, Failing, Run, left_over, replaced


@pytest.fixture
def context():
    return Context.serial()


@pytest.mark.parametrize("mode", MODES.names())
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_every_value_is_at_its_place(context, tmp_path, mode, way, ndim, codec):
    """All centrings and number types, read back by the table alone; the HDF5 file holds them one after the other."""
    run = Run(context, tmp_path / "ckpt", ndim, mode=mode, codec=codec)
    report = run.write(3, way)
    assert report.accepted and not report.problem
    assert not run.faults(report.name) and not run.wrong(report.name, 3)
    manifest = run.store.read_manifest(report.name)
    table = run.store.read_table(report.name, manifest)
    assert report.nbytes == int(table["stored"].sum())
    assert (manifest.mode, manifest.codec, manifest.step, manifest.state) == (mode, codec, 3, {"next": 4})
    with h5py.File(run.store.path(report.name) / manifest.files[0].name) as handle:
        for place, entry in enumerate(manifest.fields):
            rows = np.sort(table[table["field"] == place], order="offset")
            dataset = handle[f"fields/{place}"]
            assert dataset.dtype == (entry.dtype if codec == "none" else "u1") and not dataset.attrs
            assert dataset.chunks is None and dataset.nbytes == rows["stored"].sum()
            assert dataset.id.get_offset() == rows["offset"][0]
    assert run.store.current() == report.name and not left_over(run.store.root)


@pytest.mark.parametrize("codec", CODECS.names())
def test_every_lossless_codec(context, tmp_path, codec):
    """Also for noise, which none makes smaller: it is stored as it is, with the head of a stream."""
    if not get_codec(codec).lossless:
        with pytest.raises(ConfigError, match="lossless"):
            Run(context, tmp_path, codec=codec)
        return
    run = Run(context, tmp_path, 3, few=True, codec=codec)
    report = run.write(1)
    assert report.accepted and not run.faults(report.name) and not run.wrong(report.name, 1)
    noise = np.random.default_rng(1).random(run.lattice.shape)
    arrays = {block.id: noise[tuple(map(slice, block.lo, block.hi))] for block in run.layout.blocks}
    fields = [field._replace(read=lambda block: [arrays[block.id]]) for field in run.fields(2)]
    report = run.write(2, fields=fields)
    assert report.accepted and not run.faults(report.name)
    pieces = len(run.store.read_table(report.name))
    assert report.nbytes <= len(fields) * noise.nbytes + 200 * pieces


def test_the_same_state_makes_the_same_bytes(context, tmp_path):
    """No time of day and no memory content gets into the files."""
    names = ["MANIFEST.json", "blocks.bin", "shard-00000.h5"]
    paths = []
    for number in range(2):
        run = Run(context, tmp_path / str(number), 3)
        paths.append(run.store.path(run.write(3).name))
    assert sorted(p.name for p in paths[0].iterdir()) == names
    assert all((paths[0] / name).read_bytes() == (paths[1] / name).read_bytes() for name in names)


def test_report_says_where_the_time_went(context, tmp_path):
    run = Run(context, tmp_path, codec="zstd")
    seconds = run.write(1).seconds
    assert all(seconds[phase] > 0 for phase in ("prepare", "pack", "digest", "encode", "write", "sync", "verify"))
    assert seconds["stall"] <= seconds["total"] and seconds["accept"] > 0
    report = Run(context, tmp_path / "b").write(1, WAYS[1])
    assert report.durable == sum(report.seconds[phase] for phase in ("pack", "write", "sync")) > 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"mode": "shard"}, "did you mean 'shards'"),
        ({"writers_per_node": -1}, "writers_per_node"),
        ({"keep": 1}, "at least 2"),
        ({"full_every": 0}, "full_every"),
        ({"codec": "wavelet"}, "lossless"),
        ({"codec": "zst"}, "did you mean 'zstd'"),
    ],
)
def test_options_that_cannot_work_are_refused(context, tmp_path, options, said):
    with pytest.raises(ConfigError, match=said):
        Run(context, tmp_path, **options)


def test_all_faulty_options_are_named():
    with pytest.raises(ConfigError) as caught:
        CheckpointOptions(keep=0, full_every=0, mode="x")
    assert len(caught.value.problems) == 3


def test_without_parallel_hdf5_shards_are_offered(monkeypatch):
    """The message says what to install."""
    monkeypatch.setattr(collective, "has_mpio", lambda: False)

    class Two:
        size = 2

    with pytest.raises(ConfigError, match=r"(?s)h5py.*install.*'shards'"):
        collective.Collective().check(Two())
    collective.Collective().check(Context.serial())


def test_one_attempt_at_a_time(context, tmp_path):
    """Beginning or writing while one is under way is refused, and the one under way ends well."""
    run = Run(context, tmp_path)
    assert run.writer.poll() is None and run.writer.drain() is None
    released = []
    run.writer.begin(run.fields(1), 1, 0.5, 0.5, {}, lambda: released.append(1))
    assert run.writer.busy
    with pytest.raises(HpcsimError, match="still being written"):
        run.writer.begin(run.fields(2), 2, 1.0, 0.5, {}, lambda: released.append(2))
    with pytest.raises(HpcsimError, match="still being written"):
        run.write(2)
    assert run.writer.drain().accepted and released == [1] and not run.writer.busy
    assert run.write(2).accepted


@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_work_beside_the_run(context, tmp_path, monkeypatch, codec):
    """Values are read after ``begin`` came back; the thread writes, reads back and prunes, and makes no file."""
    go, main = threading.Event(), threading.current_thread()
    in_main: dict[str, set[bool]] = {}

    def noted(name, true, *arguments):
        in_main.setdefault(name, set()).add(threading.current_thread() is main)
        if name == "_packed":
            assert go.wait(10)
        return true(*arguments)

    def note(module, name):
        true = getattr(module, name)
        monkeypatch.setattr(module, name, lambda *a: noted(name, true, *a))

    run = Run(context, tmp_path, codec=codec)
    assert run.write(1).accepted and run.write(2).accepted
    fields = run.fields(3)
    arrays = {block.id: fields[0].read(block) for block in run.layout.blocks}
    fields[0] = fields[0]._replace(read=lambda block: arrays[block.id])
    for module, name in (
        (prepare, "lay_out"),
        (packing.Packing, "_packed"),
        (io, "create"),
        (io, "pwrite"),
        (io, "rmdir"),
    ):
        note(module, name)
    run.writer.begin(fields, 3, 1.5, 0.5, {}, lambda: run.released.append(3))
    for values in arrays.values():
        values[0][...] += 8
    assert run.writer.poll() is None and not run.released
    go.set()
    report = run.writer.drain()
    monkeypatch.undo()
    assert report.accepted and run.released == [3] and run.store.names() == ["step-00000003", "step-00000002"]
    assert in_main["create"] == in_main["lay_out"] == {True} and in_main["rmdir"] == in_main["_packed"] == {False}
    # Frame, table and manifest by the caller, the values by the thread.
    assert in_main["pwrite"] == {True, False}
    wrong = run.wrong(report.name, 3)
    assert wrong and {name for name, _ in wrong} == {fields[0].name} and not run.faults(report.name)


OPTIONS = {"plain": {}, "codec": {"codec": "zstd"}, "increment": {"incremental": True}}
FAILURES = [
    *((way, kind, errno.ENOSPC) for way in WAYS for kind in OPTIONS),
    *((WAYS[1], "plain", code) for code in (errno.EIO, errno.EROFS, errno.EDQUOT)),
]


@pytest.mark.parametrize(("way", "kind", "code"), FAILURES)
def test_every_single_call_fails_once(context, tmp_path, monkeypatch, way, kind, code):
    """F-01, F-07: the i-th call to the disk fails, i = 1, 2, ... until none does; the old checkpoint stays good."""
    run = Run(context, tmp_path / "ckpt", 2, few=True, **OPTIONS[kind])
    assert run.write(1).accepted
    number, failed, held = 0, [], {"step-00000001": 1}
    while True:
        number += 1
        step = 1 + number
        # Other values than those of the last good one: in an increment too there is something to write.
        held[f"step-{step:08d}"] = value = held[run.store.current()] % 8 + 1
        with monkeypatch.context() as patch:
            disk = Failing(patch, number, code)
            report = run.write(step, way, run.fields(value))
        if not disk.failed:
            break
        failed.append(disk.failed)
        current = run.store.current()
        assert not run.faults(current) and not run.wrong(current, held[current])
        if report.accepted:
            # Only what comes after the acceptance may fail and leave it standing.
            assert current == report.name and (not report.problem or "accepted" in report.problem)
            assert all(not run.faults(name) for name in run.store.names())
        else:
            assert "cannot" in report.problem and "ckpt" in report.problem
        assert not [name for name in left_over(run.store.root) if name.startswith(".tmp")], (number, disk.failed)
        for name in left_over(run.store.root):
            assert report.accepted and report.problem and name.startswith(".old")
        run.store.clean()
        run.store.prune(2)
    assert report.accepted and number > 20
    needed = {"mkdir", "create", "open_write", "preallocate", "pwrite", "fsync", "rename", "open_read", "pread"}
    assert needed <= set(failed) <= set(CALLS)


@pytest.mark.parametrize("way", WAYS)
def test_a_disk_that_fails_for_good(context, tmp_path, monkeypatch, way):
    """F-07: every call from the i-th on fails, clearing up included; nothing old is harmed, and later all is well."""
    run = Run(context, tmp_path / "ckpt", 2, few=True)
    assert run.write(1).accepted
    number, value = 0, 1
    while True:
        number += 1
        with monkeypatch.context() as patch:
            disk = Failing(patch, number, errno.EROFS, for_good=True)
            report = run.write(2, way)
        value = 2 if run.store.current() == "step-00000002" else value
        assert not run.faults(run.store.current()) and not run.wrong(run.store.current(), value)
        assert run.store.current() == report.name if report.accepted else disk.failed
        if not disk.failed:
            break
    assert number > 20 and run.write(3, way).accepted
    run.store.clean()
    assert not left_over(run.store.root)


@pytest.mark.parametrize("mode", MODES.names())
@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_a_write_that_was_lost_shows(context, tmp_path, monkeypatch, mode, codec):
    """F-05, F-06: every write of values that does not arrive, or arrives changed, is found by reading back."""
    run = Run(context, tmp_path, 2, few=True, mode=mode, codec=codec)
    assert run.write(1).accepted
    harms = {"lost": lambda data: None, "half": lambda data: data[: len(data) // 2], "changed": flipped}
    for name, harm in harms.items():
        number = found = 0
        while True:
            number += 1
            calls = {"count": 0, "hit": False}

            def pwrite(true, handle, data, offset, calls=calls, number=number, harm=harm):
                calls["count"] += 1
                if calls["count"] == number and os.readlink(f"/proc/self/fd/{handle}").endswith(".h5"):
                    calls["hit"] = True
                    data = harm(memoryview(data).cast("B"))
                if data is not None:
                    true(handle, data, offset)

            with replaced(monkeypatch, pwrite=pwrite):
                report = run.write(2)
            if calls["count"] < number:
                break
            if calls["hit"]:
                # A part that is zero loses nothing: the space that was reserved reads as zero.
                assert not report.accepted or name != "changed"
                assert report.accepted or "does not read back" in report.problem
                found += not report.accepted
        # The table and the manifest have their own digest when they are read.
        assert found > len(run.registers) and run.write(2).accepted


def flipped(data: memoryview) -> bytes:
    """The same with one bit changed."""
    raw = bytearray(data)
    raw[len(raw) // 2] ^= 4
    return bytes(raw)


@pytest.mark.parametrize("mode", MODES.names())
def test_everything_is_durable_before_it_counts(context, tmp_path, monkeypatch, mode):
    """Protocol 3.3: the order of writes, syncs and renames, on which survival of a power cut rests."""
    run = Run(context, tmp_path / "ckpt", mode=mode, few=True)
    assert run.write(1).accepted and run.write(2).accepted
    done = []

    def noted(name):
        def act(true, first, *others):
            path = Path(os.readlink(f"/proc/self/fd/{first}")) if isinstance(first, int) else first
            target = f" {others[0].name}" if name == "rename" else ""
            done.append(f"{name} {path.name}{target}")
            return true(first, *others)

        return act

    calls = {name: noted(name) for name in ("pwrite", "fsync", "rename", "sync_directory", "open_read")}
    with replaced(monkeypatch, **calls):
        assert run.write(3).accepted
    files = {"state.h5" if mode == "collective" else "shard-00000.h5", "blocks.bin", "MANIFEST.json", ".tmp-CURRENT"}
    assert {line.split()[1] for line in done if line.startswith("pwrite")} == files
    last = {line: place for place, line in enumerate(done)}
    order = [f"pwrite {name}" for name in files], [f"fsync {name}" for name in files]
    assert all(last[write] < last[sync] for write, sync in zip(*order, strict=True))
    data = next(name for name in files if name.endswith(".h5"))
    steps = [
        f"fsync {data}", f"open_read {data}", "fsync blocks.bin", "fsync MANIFEST.json", "sync_directory .tmp-3-run-1",
        "rename .tmp-3-run-1 step-00000003", "fsync .tmp-CURRENT", "rename .tmp-CURRENT CURRENT",
        "rename step-00000001 .old-step-00000001-0",
    ]  # fmt: skip
    assert [last[step] for step in steps] == sorted(last[step] for step in steps)
    for renamed in steps[5], steps[7]:
        assert "sync_directory ckpt" in done[last[renamed] : last[renamed] + 2]


def test_without_read_back_nothing_is_read(context, tmp_path, monkeypatch):
    """The option is obeyed by shards, and collective never leaves it out."""
    reads = {}
    for mode in MODES:
        run = Run(context, tmp_path / mode, mode=mode, read_back=False)
        reads[mode] = 0

        def count(true, *arguments, mode=mode):
            reads[mode] += 1
            return true(*arguments)

        with replaced(monkeypatch, open_read=count):
            assert run.write(1).accepted
    assert reads["shards"] < reads["collective"]


def test_too_little_room_is_said_before_anything_is_written(context, tmp_path, monkeypatch):
    """F-05: the message has both amounts."""
    run = Run(context, tmp_path)
    with replaced(monkeypatch, free_bytes=lambda true, path: 1000, create=lambda *a: pytest.fail("made a file")):
        report = run.write(1)
    assert not report.accepted and "0.0 MB are free" in report.problem and not left_over(run.store.root)
    assert run.write(1).accepted


@pytest.mark.parametrize("way", WAYS)
def test_a_state_that_is_no_json_is_refused_before_the_disk_is_touched(context, tmp_path, way):
    run = Run(context, tmp_path / "ckpt")
    for state in ({"x": float("nan")}, {"x": {1, 2}}):
        if way == WAYS[0]:
            report = run.writer.write(run.fields(1), 1, 0.5, 0.5, state)
        else:
            run.writer.begin(run.fields(1), 1, 0.5, 0.5, state, lambda: None)
            report = run.writer.drain()
        assert not report.accepted and "JSON" in report.problem
    assert not (tmp_path / "ckpt").exists()


def test_values_that_are_not_as_declared_are_refused(context, tmp_path):
    run = Run(context, tmp_path)
    fields = run.fields(1)
    fields[1] = fields[1]._replace(read=lambda block: [np.zeros((1, 1))])
    report = run.write(1, fields=fields)
    assert not report.accepted and "u@prev[0] of block" in report.problem and "declaration" in report.problem
    fields[1] = fields[1]._replace(read=lambda block: 1 / 0)
    report = run.write(1, WAYS[1], fields)
    assert not report.accepted and "ZeroDivisionError" in report.problem


def test_the_same_step_again_replaces_it(context, tmp_path):
    """A run that went back to an older checkpoint comes to the same step again."""
    run = Run(context, tmp_path)
    assert run.write(1).accepted and run.write(2).accepted
    fields = run.fields(5)
    report = run.write(2, fields=fields)
    assert report.accepted and not run.faults(report.name) and not run.wrong(report.name, 5)
    assert run.store.names() == ["step-00000002", "step-00000001"] and not left_over(run.store.root)


def test_what_a_run_started_from_stays_until_two_newer_ones_are_there(context, tmp_path):
    run = Run(context, tmp_path)
    for step in (1, 2):
        assert run.write(step).accepted
    run.writer = run.new_writer(protect=frozenset({"step-00000001"}))
    expected = {3: [3, 2, 1], 4: [4, 3, 1], 5: [5, 4]}
    for step, kept in expected.items():
        assert run.write(step).accepted
        assert run.store.names() == [f"step-{n:08d}" for n in kept]


def test_a_run_that_went_back_keeps_its_own(context, tmp_path):
    """F-09: checkpoints of steps that were given up do not push out those that the run accepts now."""
    run = Run(context, tmp_path)
    for step in (1, 20, 30):
        assert run.write(step).accepted
        run.writer = run.new_writer(protect=frozenset({"step-00000001"}))
    expected = {2: [30, 20, 2, 1], 3: [30, 20, 3, 2, 1], 4: [30, 20, 4, 3], 25: [30, 25, 20], 31: [31, 30]}
    for step, kept in expected.items():
        assert run.write(step).accepted
        assert run.store.names() == [f"step-{n:08d}" for n in kept], step


def test_what_is_cleared_is_never_outside(context, tmp_path):
    """F-33: links where the temporary directory should be, or in it, are removed as links."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "a").write_text("kept")
    run = Run(context, tmp_path / "ckpt")
    run.store.create()
    temporary = run.store.temporary(1, "run-1")
    temporary.symlink_to(outside)
    assert run.write(1).accepted
    temporary = run.store.temporary(2, "run-1")
    temporary.mkdir()
    (temporary / "b").symlink_to(outside / "a")
    assert run.write(2).accepted and not run.faults("step-00000002")
    assert (outside / "a").read_text() == "kept" and not left_over(run.store.root)


def test_shards_of_a_node(monkeypatch):
    """Ranks are dealt to writers in runs; the first of each leads."""

    class Node:
        size = node_size = 5
        node_ranks = (0, 1, 2, 3, 4)

        class comm:
            @staticmethod
            def Allgather(send, receive):
                Node.sent = int(send[0])

    leaders = {}
    for writers in (0, 1, 2, 3, 5, 9):
        leaders[writers] = []
        for rank in range(5):
            Node.node_rank = rank
            shards.Shards().groups(Node, writers)
            leaders[writers].append(Node.sent)
    assert leaders[0] == leaders[5] == leaders[9] == [0, 1, 2, 3, 4]
    assert leaders[1] == [0] * 5 and leaders[2] == [0, 0, 0, 3, 3] and leaders[3] == [0, 0, 2, 2, 4]


def test_damage_in_the_tests_themselves_would_show(context, tmp_path):
    """TEST-OF-TEST: the checks used here notice a changed byte in each file."""
    run = Run(context, tmp_path)
    name = run.write(1).name
    path: Path = run.store.path(name)
    for file in sorted(path.iterdir()):
        raw = bytearray(file.read_bytes())
        raw[len(raw) // 2] ^= 1
        good = file.read_bytes()
        file.write_bytes(raw)
        assert run.faults(name), file
        file.write_bytes(good)
    assert not run.faults(name) and run.wrong(name, 2)
    assert replace(CheckpointOptions(), keep=3).keep == 3
