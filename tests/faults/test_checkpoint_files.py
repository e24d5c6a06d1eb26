"""Damaged checkpoint files: every one is noticed, and the restart takes an older one or stops (F-08 to F-12).

The full counts of the fault table run with ``--nightly``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from hpcsim.comm.context import Context
from hpcsim.errors import NoCheckpointError
from hpcsim.output.checkpoint.load import restore
from hpcsim.output.checkpoint.manifest import MANIFEST_NAME, TABLE_NAME
from hpcsim.output.checkpoint.options import CheckpointFacts, CheckpointOptions
from hpcsim.output.checkpoint.store import CheckpointStore
from hpcsim.output.checkpoint.verify import verify
from hpcsim.output.checkpoint.writer import CheckpointWriter
from hpcsim.output.snapshot import SnapshotField
from tests.unit.output import samples
from tests.unit.output.checkpoint import make

LATTICE = samples.domain(2)
REGISTERS = make.specs(2)
STEPS = {"step-00000001": 1, "step-00000002": 2, "step-00000003": 3}
ONE, TWO, THREE = STEPS
# What was written, and by what: several files and a chain from the format, one file by the writer in either mode.
KINDS = ("files", "chain", "shards", "collective", "packed")


def write(store: CheckpointStore, kind: str, step: int) -> None:
    """One checkpoint of a kind."""
    layout = make.layout_of(LATTICE, 1, [3, 4])
    if kind in ("files", "chain"):
        base = TWO if kind == "chain" and step == 3 else None
        # An increment has the values of its base, so that every unchanged piece is one.
        make.make(store, step, layout, REGISTERS, files=3, base=base, values_of=2 if base else step)
        return
    options = CheckpointOptions(
        "collective" if kind == "collective" else "shards", codec="zstd" if kind == "packed" else "none"
    )
    fields = [SnapshotField(name, spec, reader(layout, name, spec, step)) for name, spec in REGISTERS.items()]
    options = dataclasses.replace(options, keep=5)
    with Context.serial() as context:
        writer = CheckpointWriter(context, layout, store, options, CheckpointFacts("run-1", make.CONFIG, "x"))
        report = writer.write(fields, step, 0.5 * step, 0.5, {"next": step + 1})
    assert report.accepted, report.problem


def reader(layout, name, spec, step):
    """What a run hands to the writer."""

    def read(block):
        boxes = [layout.owned_box(block, location) for location in spec.locations(2)]
        return [make.values(*box, name, component, spec.dtype, step) for component, box in enumerate(boxes)]

    return read


@pytest.fixture(params=KINDS)
def kind(request) -> str:
    """What the checkpoints are."""
    return request.param


@pytest.fixture
def store(tmp_path: Path, kind: str) -> CheckpointStore:
    """Three good checkpoints."""
    return filled(tmp_path, kind)


def filled(folder: Path, kind: str) -> CheckpointStore:
    """Three good checkpoints of a kind."""
    made = CheckpointStore(folder / "ckpt")
    for step in STEPS.values():
        write(made, kind, step)
    assert made.names() == [THREE, TWO, ONE] and made.current() == THREE
    return made


def outcome(store: CheckpointStore, kind: str) -> tuple[str, list[str]]:
    """The checkpoint that a restart takes, of which every value is compared, and what is said; "" if it stops."""
    layout = make.layout_of(LATTICE, 1, [4, 5], "morton")
    target = make.Target(layout, 0, REGISTERS)
    lines: list[str] = []
    names, note = store.candidates()
    lines += [note] if note else []
    try:
        with Context.serial() as context:
            manifest = restore(context, store, names, layout, REGISTERS, target, lines.append)
    except NoCheckpointError as error:
        return "", [*lines, str(error)]
    step = 2 if (kind, manifest.name) == ("chain", THREE) else STEPS[manifest.name]
    assert target.wrong(step) == [], f"{manifest.name} was taken with wrong values"
    return manifest.name, lines


def test_undamaged_ones_are_taken_without_a_word(store, kind):
    """ENG-15: the newest, and nothing is said."""
    assert outcome(store, kind) == (THREE, []) and all(verify(store, name) == [] for name in store.names())


def truncations(store, kind, seeds) -> None:
    """Cut a file of the newest at a random byte, and look what a restart does."""
    for seed in seeds:
        generator = np.random.default_rng(seed)
        files = make.files_of(store, THREE)
        path = files[int(generator.integers(len(files)))]
        whole = path.read_bytes()
        os.truncate(path, int(generator.integers(len(whole))))
        name, lines = outcome(store, kind)
        assert name == TWO and len(lines) == 1 and THREE in lines[0], (seed, path.name, name, lines)
        path.write_bytes(whole)
    assert outcome(store, kind) == (THREE, [])


def test_truncated_files_are_refused(store, kind, record_property):
    """F-08: 3 of each kind; the next older one is taken, and said."""
    truncations(store, kind, range(3))
    record_property("tried", 3)


@pytest.mark.nightly
def test_150_truncated_files_are_refused(store, kind, record_property):
    """F-08."""
    truncations(store, kind, range(100, 130))
    record_property("tried", 30)


def flips(store, kind, seeds) -> None:
    """Flip one bit anywhere: in a file of the newest, of the one below it, or in CURRENT."""
    for seed in seeds:
        generator = np.random.default_rng(seed)
        files = [*make.files_of(store, THREE), *make.files_of(store, TWO), store.root / "CURRENT"]
        path = files[int(generator.integers(len(files)))]
        bit = int(generator.integers(8 * path.stat().st_size))
        make.flip(path, bit)
        name, lines = outcome(store, kind)
        where = f"seed {seed}: bit {bit} of {path.relative_to(store.root)}: took {name}, said {lines}"
        if path.parent.name == THREE:
            assert name == TWO and len(lines) == 1 and THREE in lines[0], where
        elif path.name == "CURRENT":
            assert name and lines, where
        elif kind == "chain":
            # The values were right. Unless a part was hit that the increment does not use, it was refused aloud.
            assert name == THREE or (name == ONE and len(lines) == 2), where
        else:
            assert name == THREE and not lines, where
            assert verify(store, TWO), where
        make.flip(path, bit)
    assert outcome(store, kind) == (THREE, [])


def test_flipped_bits_are_never_silent(store, kind, record_property):
    """F-09: 10 of each kind."""
    flips(store, kind, range(10))
    record_property("tried", 10)


@pytest.mark.nightly
def test_500_flipped_bits_are_never_silent(store, kind, record_property):
    """F-09."""
    flips(store, kind, range(1000, 1100))
    record_property("tried", 100)


def test_every_bit_of_current(tmp_path):
    """F-09: whatever CURRENT says, the values are those of a checkpoint, and anything odd is said."""
    store = filled(tmp_path, "files")
    taken = []
    for bit in range(8 * (store.root / "CURRENT").stat().st_size):
        make.flip(store.root / "CURRENT", bit)
        name, lines = outcome(store, "files")
        assert lines and name in STEPS, bit
        taken.append(name)
        make.flip(store.root / "CURRENT", bit)
    # One bit turns 3 into 2 and into 1, and the restart then says what is newer; all else leads to the newest.
    assert sorted(taken, reverse=True) == [THREE] * (len(taken) - 2) + [TWO, ONE]


def test_a_flip_that_no_check_sees_would_fail_the_test(store, kind, monkeypatch):
    """TEST-OF-TEST: with the digests of the pieces left out, the values are found wrong."""
    from hpcsim.output.checkpoint import scan

    manifest, table = store.read_manifest(THREE), store.read_table(THREE)
    row = next(row for row in table if not manifest.files[int(row["file"])].checkpoint)
    make.flip(store.file(THREE, manifest.files[int(row["file"])]), 8 * int(row["offset"] + row["stored"] // 2))

    def careless(self, row, raw):
        dtype, lo, shape = self._box(row)
        values = raw.view(dtype).reshape(shape) if self._decode is None else self._decode(raw, dtype, shape)
        if values is not None and self._use is not None:
            self._use(row, values, lo)
        return values is not None

    monkeypatch.setattr(scan._File, "_one", careless)
    if kind == "packed":
        # A codec notices by itself.
        assert outcome(store, kind)[0] == TWO
        return
    with pytest.raises(AssertionError, match="taken with wrong values"):
        outcome(store, kind)


def data_files(store, name):
    """The data files of a checkpoint."""
    return [path for path in make.files_of(store, name) if path.suffix == ".h5"]


def exchange(a: Path, b: Path) -> None:
    """Exchange the names of two files or directories."""
    aside = a.with_name("aside")
    a.rename(aside)
    b.rename(a)
    aside.rename(b)


def append(path: Path) -> None:
    """Put a byte behind the end of a file."""
    with open(path, "ab") as stream:
        stream.write(b"x")


MIXED_UP = {
    "shard missing": (lambda store: data_files(store, THREE)[0].unlink(), TWO),
    "table missing": (lambda store: (store.path(THREE) / TABLE_NAME).unlink(), TWO),
    "manifest missing": (lambda store: (store.path(THREE) / MANIFEST_NAME).unlink(), TWO),
    "shards swapped": (lambda store: exchange(data_files(store, THREE)[0], data_files(store, TWO)[0]), ONE),
    "shard replaced": (
        lambda store: data_files(store, THREE)[0].write_bytes(data_files(store, ONE)[0].read_bytes()), TWO,
    ),
    "shard longer": (lambda store: append(data_files(store, THREE)[0]), TWO),
    "tables swapped": (lambda store: exchange(store.path(THREE) / TABLE_NAME, store.path(TWO) / TABLE_NAME), ONE),
    "directories swapped": (lambda store: exchange(store.path(THREE), store.path(TWO)), ONE),
    "extra file": (lambda store: (store.path(THREE) / "core.123").write_text("x"), TWO),
    "extra directory": (lambda store: (store.path(THREE) / "more").mkdir(), TWO),
    "shard is a link": (
        lambda store: (
            os.rename(data_files(store, THREE)[0], store.root / "away.h5"),
            (store.path(THREE) / os.path.basename(data_files(store, ONE)[0])).symlink_to(store.root / "away.h5"),
        ), TWO,
    ),
    "directory is a link": (
        lambda store: (
            os.rename(store.path(THREE), store.root / "away"), store.path(THREE).symlink_to(store.root / "away"),
        ), TWO,
    ),
    "nothing in it": (lambda store: [path.unlink() for path in make.files_of(store, THREE)], TWO),
}  # fmt: skip


@pytest.mark.parametrize("what", MIXED_UP)
def test_files_that_are_missing_or_mixed_up(store, kind, what):
    """F-10: refused; in a chain the increment falls with its base."""
    act, expected = MIXED_UP[what]
    act(store)
    name, lines = outcome(store, kind)
    assert name == expected and lines


def test_two_files_of_one_checkpoint_swapped(tmp_path):
    """F-10: of equal size or not."""
    store = filled(tmp_path, "files")
    exchange(*data_files(store, THREE)[:2])
    assert outcome(store, "files")[0] == TWO
    assert any("bytes instead of" in fault or "damaged" in fault for fault in verify(store, THREE))


def test_what_a_network_disk_leaves_behind_is_no_extra_file(tmp_path):
    """F-40: a file that was deleted while it was open."""
    store = filled(tmp_path, "files")
    (store.path(THREE) / ".nfs00000000a1b2").write_text("x")
    assert outcome(store, "files") == (THREE, [])


def test_if_all_are_bad_the_run_stops_with_the_reasons(store, kind):
    """F-11: code 4; every checkpoint is listed with what is wrong with it, and nothing starts from zero."""
    for name in STEPS:
        make.flip(data_files(store, name)[-1], 8 * 5)
    name, lines = outcome(store, kind)
    assert name == "" and NoCheckpointError.exit_code == 4 and len(lines) == 4
    for bad in STEPS:
        assert f"{bad}: {data_files(store, bad)[-1].name}" in lines[-1] or f"{bad}: " in lines[-1]
    assert lines[-1].startswith(f"no checkpoint in {store.root} can be used:")


def edit(store, name: str, **changes) -> None:
    """Change the manifest of a checkpoint and sign it anew, as no damage would."""
    path = store.path(name) / MANIFEST_NAME
    body = {**json.loads(path.read_text()), **changes}
    del body["sha256"]

    def canonical():
        return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True) + "\n"

    body["sha256"] = hashlib.sha256(canonical().encode()).hexdigest()
    path.write_text(canonical())


GRID = {"shape": [7, 10], "lower": [0.0, 1.0], "upper": [3.5, 6.5], "periodic": [True, False]}
FOREIGN = {
    "version": ({"format": 2, "hpcsim": "9.0"}, "written by hpcsim 9.0 in format 2"),
    "older version": ({"format": 0}, "its format is 0"),
    "grid": ({"grid": GRID}, "lattice.upper is (3.5, 6.5) in the checkpoint and (3.5, 6.0) in this run"),
    "shape": ({"grid": {**GRID, "shape": [7, 11]}}, "lattice.shape is (7, 11) in the checkpoint"),
    "more": ({"future": 1}, "unknown keys: ['future']"),
    "codec": ({"codec": "zip9"}, "zip9"),
    "step": ({"step": 7}, "is not of step 7"),
}


@pytest.mark.parametrize("what", FOREIGN)
def test_a_checkpoint_of_another_version_or_lattice(store, kind, what):
    """F-12: refused with the difference, though its digest is right."""
    changes, said = FOREIGN[what]
    edit(store, THREE, **changes)
    name, lines = outcome(store, kind)
    assert name == TWO and len(lines) == 1 and said in lines[0]


def test_a_checkpoint_of_another_configuration_says_so(store, kind):
    """F-12: what was run is in the manifest; whether it may go on is the run's to say."""
    edit(store, THREE, config="[lattice]\nshape = [1]\n", config_digest="y")
    layout = make.layout_of(LATTICE)
    with Context.serial() as context:
        manifest = restore(context, store, [THREE], layout, REGISTERS, make.Target(layout, 0, REGISTERS), print)
    assert manifest.config == "[lattice]\nshape = [1]\n" and manifest.config_digest == "y"


def test_loading_takes_no_locks(tmp_path, monkeypatch):
    """F-40: a disk without file locks is no trouble, for no HDF5 library opens a file."""
    import h5py

    store = filled(tmp_path, "shards")
    monkeypatch.setenv("HDF5_USE_FILE_LOCKING", "TRUE")
    monkeypatch.setattr(h5py, "File", lambda *arguments, **options: pytest.fail("HDF5 was asked"))
    with pytest.MonkeyPatch.context() as patch:
        import fcntl

        patch.setattr(fcntl, "flock", lambda *arguments: pytest.fail("a lock was asked for"))
        assert outcome(store, "shards") == (THREE, []) and verify(store, THREE) == []
