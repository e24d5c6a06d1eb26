"""Verification of one checkpoint, byte by byte and by the structure of its files."""

from __future__ import annotations

from pathlib import Path

import h5py
import numpy as np
import pytest

from hpcsim.output.checkpoint.store import CheckpointStore
from hpcsim.output.checkpoint.verify import MOST_FAULTS, structure_faults, verify
from tests.unit.output import samples
from tests.unit.output.checkpoint import make

ONE, TWO = "step-00000001", "step-00000002"


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    """A full checkpoint and an increment on it."""
    made = CheckpointStore(tmp_path / "ckpt")
    layout = make.layout_of(samples.domain(2), 1, [3, 3])
    make.make(made, 1, layout, make.specs(2))
    make.make(made, 2, layout, make.specs(2), base=ONE, values_of=1)
    return made


def test_a_good_one_has_no_faults(store):
    """ENG-15: full and incremental, values and structure."""
    assert verify(store, ONE, structure=True) == [] == verify(store, TWO, structure=True)


def test_all_faults_are_listed(store):
    """F-09: several files and pieces at once; the increment has only those that it uses."""
    manifest, table = store.read_manifest(ONE), store.read_table(ONE)
    for row in table[[0, 5, 9]]:
        make.flip(store.file(ONE, manifest.files[int(row["file"])]), 8 * int(row["offset"]))
    make.flip(store.file(ONE, manifest.files[0]), 0)
    (store.path(ONE) / "core").write_text("extra")
    found = verify(store, ONE)
    assert len(found) == 5 and "does not belong to it: core" in found[0] and "outside the pieces" in found[1]
    assert all("its values are not those" in fault for fault in found[2:])
    assert 1 < len(verify(store, TWO)) < 5


def test_what_stops_a_verification(store):
    """F-08, F-10: without a manifest or a table there is nothing to compare with."""
    assert "there is no checkpoint" in verify(store, "step-00000009")[0]
    make.flip(store.path(TWO) / "blocks.bin", 7)
    assert "blocks.bin: it is damaged" in verify(store, TWO)[0] and len(verify(store, TWO)) == 1
    (store.path(ONE) / "MANIFEST.json").unlink()
    assert "there is no file" in verify(store, ONE)[0]


def test_the_list_of_faults_is_bounded(store):
    for path in make.files_of(store, ONE):
        if path.suffix == ".h5":
            path.write_bytes(bytes(path.stat().st_size))
    assert len(verify(store, ONE)) == MOST_FAULTS


def changed(store, change):
    """Faults of structure after a file was changed with HDF5 (the digests then do not hold)."""
    manifest, table = store.read_manifest(ONE), store.read_table(ONE)
    with h5py.File(store.file(ONE, manifest.files[0]), "r+") as handle:
        change(handle)
    return list(structure_faults(store.path(ONE), manifest, table))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda handle: handle.create_dataset("more", data=np.zeros(3)), "/more belongs to no field"),
        (lambda handle: handle.move("fields/1", "fields/99"), "/fields/1 is missing"),
        (lambda handle: handle.__delitem__("fields/0"), "/fields/0 is missing"),
        (lambda handle: handle.move("fields/0", "x") or handle.move("fields/2", "fields/0"), "does not fit"),
        (lambda handle: swap(handle, "fields/0", "fields/1"), "lie outside of it"),
        (lambda handle: handle.__setitem__("link", h5py.ExternalLink("x.h5", "/")), "external link"),
    ],
)
def test_a_structure_that_is_not_that_of_the_table(store, change, said):
    """F-36: the datasets are where the table says, and nothing else is there."""
    assert any(said in fault for fault in changed(store, change))


def swap(handle, first, second):
    """Exchange the names of two datasets."""
    handle.move(first, "x")
    handle.move(second, first)
    handle.move("x", second)
