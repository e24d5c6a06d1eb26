"""The directory of checkpoints: names, acceptance, pruning, clean-up, and reads that nothing can lead astray."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hpcsim.errors import DiskError
from hpcsim.output.checkpoint import io
from hpcsim.output.checkpoint import store as store_module
from hpcsim.output.checkpoint.manifest import TABLE_NAME
from hpcsim.output.checkpoint.store import CheckpointStore, open_regular
from tests.unit.output import samples
from tests.unit.output.checkpoint import make


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    """A store that exists and is empty."""
    made = CheckpointStore(tmp_path / "ckpt")
    made.create()
    return made


def fill(store, *steps, **options):
    """Small checkpoints of some steps."""
    lattice = samples.domain(1)
    for step in steps:
        make.make(store, step, make.layout_of(lattice, 1, [3]), make.specs(1, few=True), **options)


def name(step: int) -> str:
    return f"step-{step:08d}"


def test_names_are_those_of_checkpoints_the_newest_first(store):
    """F-10: temporary directories, files and links are none."""
    assert store.names() == [] and CheckpointStore(store.root / "absent").names() == []
    fill(store, 7, 100_000_000, 30)
    (store.root / ".tmp-40-a").mkdir()
    (store.root / name(50)).write_text("a file")
    (store.root / name(60)).symlink_to(store.path(name(30)))
    (store.root / f"{name(30)}.collective").mkdir()
    assert store.names() == ["step-100000000", name(30), f"{name(30)}.collective", name(7)]
    for bad in ("", "..", "x", "step-1", "step-00000030/../x"):
        with pytest.raises(DiskError, match="no name of a checkpoint"):
            store.path(bad)
    with pytest.raises(DiskError, match="no plain name"):
        store.temporary(3, "../x")


def test_current_is_a_name_or_nothing(store):
    """F-09: a damaged CURRENT is as good as none."""
    assert store.current() is None
    fill(store, 3, 5)
    assert store.current() == name(5)
    store.set_current(name(3))
    assert (store.root / "CURRENT").read_bytes() == b"step-00000003\n" and store.current() == name(3)
    for raw in (b"", b"step-00000003", b"step-00000003\n\n", b" step-00000003\n", b"../x\n", b"\xff" * 9, b"s" * 10**6):
        (store.root / "CURRENT").write_bytes(raw)
        assert store.current() is None
    (store.root / "CURRENT").unlink()
    (store.root / "CURRENT").symlink_to(store.path(name(3)) / TABLE_NAME)
    assert store.current() is None
    with pytest.raises(DiskError, match="not there"):
        store.set_current(name(4))


def test_order_in_which_a_restart_tries(store):
    """F-09: CURRENT first, then older ones, then what was never accepted; anything odd is said."""
    assert store.candidates() == ([], "")
    fill(store, 1, 2, 3, 4)
    assert store.candidates() == ([name(4), name(3), name(2), name(1)], "")
    store.set_current(name(2))
    names, note = store.candidates()
    assert names == [name(2), name(1), name(4), name(3)] and f"not accepted: {name(4)}, {name(3)}" in note
    (store.root / "CURRENT").write_text(f"{name(9)}\n")
    assert store.candidates()[0] == [name(4), name(3), name(2), name(1)] and "not there" in store.candidates()[1]
    (store.root / "CURRENT").unlink()
    assert store.candidates()[0] == [name(4), name(3), name(2), name(1)] and "missing" in store.candidates()[1]


def test_a_converted_copy_beside_the_first_is_tried_next(store):
    fill(store, 1, 2)
    os.rename(store.path(name(1)), store.root / f"{name(2)}.collective")
    assert store.candidates() == ([name(2), f"{name(2)}.collective"], "")


def failing(monkeypatch, verb: str, at: int):
    """Let the call number `at` of a verb of the disk fail."""
    calls = []
    real = getattr(io, verb)

    def call(*arguments):
        calls.append(arguments)
        if len(calls) == at:
            raise OSError(5, "Input/output error")
        return real(*arguments)

    monkeypatch.setattr(io, verb, call)
    return calls


@pytest.mark.parametrize("swaps", [True, False])
def test_a_checkpoint_of_the_same_step_is_replaced(store, monkeypatch, swaps):
    """F-01: in one step where the system can; else the old one comes back if the new name fails."""
    if not swaps:
        monkeypatch.setattr(store_module, "_exchange", lambda first, second: False)
    fill(store, 3, values_of=1)
    old = store.read_manifest(name(3)).sha256
    fill(store, 3)
    assert store.read_manifest(name(3)).sha256 != old and os.listdir(store.root).count(name(3)) == 1
    assert sorted(os.listdir(store.root)) == ["CURRENT", name(3)]
    new = store.read_manifest(name(3)).sha256
    if not swaps:
        failing(monkeypatch, "rename", 2)
        with pytest.raises(DiskError, match="cannot accept the checkpoint"):
            fill(store, 3, values_of=1)
        assert store.read_manifest(name(3)).sha256 == new


@pytest.mark.parametrize("verb", ["create", "pwrite", "fsync", "rename"])
def test_current_keeps_the_old_name_if_it_cannot_be_written(store, monkeypatch, verb):
    """F-01: every call on the way."""
    fill(store, 3, 4)
    failing(monkeypatch, verb, 1)
    with pytest.raises(DiskError, match="cannot write .*CURRENT"):
        store.set_current(name(3))
    assert store.current() == name(4)
    monkeypatch.undo()
    store.set_current(name(3))
    assert store.current() == name(3)


@pytest.mark.parametrize("verb", ["rename", "unlink", "rmdir"])
def test_an_interrupted_removal_leaves_nothing_under_the_name(store, monkeypatch, verb):
    """F-47: the checkpoint is whole or has lost its name; the rest goes at the next clean-up."""
    fill(store, 3, 4)
    failing(monkeypatch, verb, 2 if verb == "unlink" else 1)
    with pytest.raises(DiskError, match="cannot remove the checkpoint"):
        store.remove(name(3))
    monkeypatch.undo()
    if verb == "rename":
        assert store.names() == [name(4), name(3)] and store.read_table(name(3)).size
        return
    assert store.names() == [name(4)]
    assert store.clean() and sorted(os.listdir(store.root)) == ["CURRENT", name(4)]


def test_clean_up_removes_what_killed_runs_left_and_nothing_else(store):
    """F-04: links are removed as links; a run's own temporary directory can stay."""
    fill(store, 3)
    for stale in (".tmp-9-a", ".tmp-10-b-c", ".old-step-00000001-0"):
        (store.root / stale / "sub").mkdir(parents=True)
        (store.root / stale / "shard-00000.h5").write_bytes(b"x")
        (store.root / stale / "out").symlink_to(store.path(name(3)))
    (store.root / ".tmp-CURRENT").write_text("x")
    (store.root / "notes.txt").write_text("mine")
    assert store.clean("b-c") == [".old-step-00000001-0", ".tmp-9-a", ".tmp-CURRENT"]
    assert store.clean() == [".tmp-10-b-c"] and store.clean() == []
    assert sorted(os.listdir(store.root)) == ["CURRENT", "notes.txt", name(3)]
    assert make.files_of(store, name(3)) and CheckpointStore(store.root / "absent").clean() == []


def test_pruning_keeps_the_newest_the_protected_and_current(store):
    """F-47: two stay whatever is asked."""
    fill(store, 1, 2, 3, 4, 5)
    assert store.keep_set(0) == {name(5), name(4)} == store.keep_set(2)
    assert store.keep_set(3, {name(1), name(9)}) == {name(5), name(4), name(3), name(1)}
    store.set_current(name(2))
    assert store.prune(2, [name(1)]) == [name(3)] and store.names() == [name(5), name(4), name(2), name(1)]
    assert store.prune(9) == []


def test_pruning_keeps_every_link_of_a_chain(store):
    """ENG-15: an increment needs the full checkpoint below it, however old."""
    fill(store, 1, 2)
    fill(store, 3, base=name(2), values_of=2)
    fill(store, 4, base=name(3), values_of=2, changed=3)
    fill(store, 5, base=name(4), values_of=2, changed=5)
    assert {need for need, _ in store.read_manifest(name(5)).needs} > {name(2)}
    assert store.prune(2) == [name(1)] and store.names() == [name(5), name(4), name(3), name(2)]
    fill(store, 6, 7)
    assert store.prune(2) == [name(5), name(4), name(3), name(2)] and store.names() == [name(7), name(6)]


def test_an_interrupted_pruning_leaves_no_increment_without_its_base(store, monkeypatch):
    """F-47: what refers to others goes before them."""
    fill(store, 1)
    fill(store, 2, base=name(1), values_of=1)
    fill(store, 3, 4)
    failing(monkeypatch, "rename", 2)
    with pytest.raises(DiskError):
        store.prune(2)
    assert store.names() == [name(4), name(3), name(1)]


def test_a_damaged_checkpoint_does_not_count_as_kept(store):
    """F-09: two that can be read stay, and damage newer than they are is left to be looked at."""
    fill(store, 1, 2, 3, 4)
    for step in (2, 4):
        make.flip(store.path(name(step)) / "MANIFEST.json", 999)
    store.set_current(name(3))
    assert store.keep_set(2) == {name(4), name(3), name(2), name(1)}
    fill(store, 5)
    assert store.prune(2) == [name(2), name(1)] and store.names() == [name(5), name(4), name(3)]


def test_variants_of_one_step_count_once(store):
    """F-47: a converted copy must not push the older step out."""
    fill(store, 1, 2, 3)
    (store.root / f"{name(3)}.collective").mkdir()
    assert store.keep_set(2) == {name(3), f"{name(3)}.collective", name(2)}


@pytest.mark.parametrize("file", ["MANIFEST.json", TABLE_NAME])
def test_files_are_read_only_if_they_are_regular_and_of_their_size(store, tmp_path, file):
    """F-33, F-36: links, pipes and directories are refused at once, whatever they hold; so is another size."""
    fill(store, 3)
    path = store.path(name(3)) / file
    raw = path.read_bytes()
    elsewhere = tmp_path / "elsewhere"
    elsewhere.write_bytes(raw)
    read = store.read_manifest if file == "MANIFEST.json" else store.read_table
    for change in (
        lambda: path.symlink_to(elsewhere),
        lambda: os.mkfifo(path),
        lambda: path.mkdir(),
        lambda: path.write_bytes(raw[:-1]),
        lambda: path.write_bytes(raw + b"\n"),
        lambda: path.write_bytes(raw.replace(raw[50:60], b"x" * 10)),
        lambda: None,
    ):
        path.unlink() if not path.is_dir() else path.rmdir()
        change()
        with pytest.raises(DiskError, match=str(path)):
            read(name(3))
        path.exists() or path.write_bytes(raw)
    os.truncate(path, 100 << 20)
    with pytest.raises(DiskError, match="bytes"):
        read(name(3))


def test_a_checkpoint_directory_may_be_no_link(store, tmp_path):
    """F-33: neither the directory nor a data file leads out."""
    fill(store, 3, 4)
    manifest = store.read_manifest(name(3))
    os.rename(store.path(name(3)), tmp_path / "moved")
    store.path(name(3)).symlink_to(tmp_path / "moved")
    with pytest.raises(DiskError, match="no directory"):
        store.read_manifest(name(3))
    with pytest.raises(DiskError, match="no directory"), store.open_file(name(3), manifest.files[0]):
        pass
    with pytest.raises(DiskError, match="there is no checkpoint"):
        store.read_manifest(name(5))


def test_a_manifest_must_be_that_of_its_directory(store):
    """F-10: two checkpoints that changed places are both refused."""
    fill(store, 3, 4)
    os.rename(store.path(name(3)), store.root / "x")
    os.rename(store.path(name(4)), store.path(name(3)))
    with pytest.raises(DiskError, match=f"belongs to the checkpoint {name(4)}"):
        store.read_manifest(name(3))


def test_regular_files_only(tmp_path):
    (tmp_path / "a").write_bytes(b"abc")
    with open_regular(tmp_path / "a") as (handle, size):
        assert size == 3 and os.read(handle, 9) == b"abc"
    for path in (tmp_path, Path("/dev/zero"), tmp_path / "none"):
        with pytest.raises(DiskError, match="no regular file|no file"), open_regular(path):
            pass
