"""Loading on one rank: any layout, chains, codecs; what a rank needs; what is refused and said (ENG-15, F-12)."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hpcsim.comm.context import Context
from hpcsim.errors import NoCheckpointError
from hpcsim.fields.spec import FieldSpec
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.location import owned_extent
from hpcsim.output.checkpoint import load, scan
from hpcsim.output.checkpoint.pieces import sort_table
from hpcsim.output.checkpoint.share import share_of
from hpcsim.output.checkpoint.store import CheckpointStore
from tests.unit.output import samples
from tests.unit.output.checkpoint import make

ONE, TWO = "step-00000001", "step-00000002"


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    """An empty store."""
    return CheckpointStore(tmp_path / "ckpt")


def restored(store, layout, registers, names=None, say=None):
    """The manifest that was loaded, and the arrays."""
    target = make.Target(layout, 0, registers)
    lines: list[str] = []
    with Context.serial() as context:
        order = store.candidates()[0] if names is None else names
        manifest = load.restore(context, store, order, layout, registers, target, say or lines.append)
    return manifest, target, lines


def refusal(store, layout, registers, names=None) -> str:
    """Why nothing could be loaded."""
    with pytest.raises(NoCheckpointError) as caught:
        restored(store, layout, registers, names)
    assert caught.value.exit_code == 4
    return str(caught.value)


LAYOUTS = [(None, "hilbert"), ([3], "morton"), ([2], "hilbert")]


@pytest.mark.parametrize(("ndim", "periodic"), samples.CASES)
def test_every_site_comes_back_in_any_layout(store, ndim, periodic):
    """ENG-15: other blocks, another curve, every centring and number type; ghosts stay as they were."""
    lattice, registers = samples.domain(ndim, periodic), make.specs(ndim)
    make.make(store, 1, make.layout_of(lattice, 1, [2] * ndim), registers, files=3, limit=200)
    for shape, curve in LAYOUTS:
        layout = make.layout_of(lattice, 1, shape and shape * ndim, curve)
        manifest, target, lines = restored(store, layout, registers)
        assert manifest == store.read_manifest(ONE) and not lines
        assert target.wrong(1) == []


def test_wrong_values_would_be_seen(store):
    """ENG-15: the test of the test above."""
    lattice, registers = samples.domain(2), make.specs(2)
    make.make(store, 1, make.layout_of(lattice), registers, values_of=2)
    _, target, _ = restored(store, make.layout_of(lattice), registers)
    assert target.wrong(1) and not target.wrong(2)


@pytest.mark.parametrize("few", [0, 10**6])
@pytest.mark.parametrize("buffer", [64, 4096, 1 << 20])
def test_pieces_larger_and_smaller_than_the_buffer(store, monkeypatch, buffer, few):
    """ENG-15: slabs of a large piece or all of it, several small pieces at once, and both in one file."""
    monkeypatch.setattr(scan, "BUFFER_BYTES", buffer)
    monkeypatch.setattr(load, "FEW_BLOCKS", few)
    lattice, registers = samples.domain(3), make.specs(3)
    make.make(store, 1, make.layout_of(lattice, 1, [3, 8, 6]), registers, limit=1 << 14)
    manifest, target, _ = restored(store, make.layout_of(lattice, 1, [2, 3, 3]), registers)
    assert target.wrong(1) == []
    damage(store, ONE, 0, "u", -1)
    assert "u[0] at" in refusal(store, make.layout_of(lattice), registers)


def damage(store, name, component, field, at=0):
    """Flip a bit in the last byte of a piece of a field; the row of the piece."""
    manifest = store.read_manifest(name)
    table = store.read_table(name)
    number = [entry.name for entry in manifest.fields].index(field)
    row = table[(table["field"] == number) & (table["component"] == component)][at]
    path = store.file(name, manifest.files[int(row["file"])])
    make.flip(path, 8 * int(row["offset"] + row["stored"]) - 1)
    return row


@pytest.mark.parametrize("codec", ["zstd", "blosc", "none"])
def test_pieces_of_a_codec(store, codec):
    """ENG-15: packed pieces are unpacked, their digest is that of the values, and damage is found."""
    lattice, registers = samples.domain(3), make.specs(3)
    layout = make.layout_of(lattice, 1, [3, 4, 3])
    make.make(store, 1, layout, registers, codec=codec, limit=4096)
    manifest, target, _ = restored(store, make.layout_of(lattice), registers)
    assert manifest.codec == codec and target.wrong(1) == []
    damage(store, ONE, 0, "v", 1)
    assert "v[0] at" in refusal(store, layout, registers)


def test_a_codec_that_is_not_there(store):
    """F-12: said by name, on every rank alike."""
    lattice, registers = samples.domain(1), make.specs(1)
    make.make(store, 1, make.layout_of(lattice), registers)
    manifest = store.read_manifest(ONE)
    rewrite(store, manifest, codec="laserdisc")
    assert "packed with laserdisc" in refusal(store, make.layout_of(lattice), registers)


def rewrite(store, manifest, table=None, **changes):
    """Write the manifest anew with some values changed and the right digest."""
    import dataclasses

    from hpcsim.output.checkpoint.manifest import MANIFEST_NAME, TABLE_NAME, TableEntry

    if table is not None:
        changes["table"] = TableEntry.of(table)
        (store.path(manifest.name) / TABLE_NAME).write_bytes(table.tobytes())
    text = dataclasses.replace(manifest, **changes).to_text()
    (store.path(manifest.name) / MANIFEST_NAME).write_text(text)


@pytest.mark.parametrize("ndim", [1, 3])
def test_a_chain_of_increments(store, ndim):
    """ENG-15: three generations; each piece comes from the checkpoint that wrote it last."""
    lattice, registers = samples.domain(ndim), make.specs(ndim)
    layout = make.layout_of(lattice, 1, [3] * ndim)
    make.make(store, 1, layout, registers)
    make.make(store, 2, layout, registers, base=ONE, values_of=1)
    make.make(store, 3, layout, registers, base=TWO, values_of=1, changed=3)
    manifest, target, _ = restored(store, make.layout_of(lattice), registers)
    assert [need for need, _ in manifest.needs] == [ONE, TWO] and target.wrong(1) == []


@pytest.mark.parametrize("what", ["piece", "frame", "manifest", "missing", "exchanged"])
def test_damage_in_an_older_file_of_a_chain_is_found(store, what):
    """F-09, F-10: in the part of it that this checkpoint uses, in its frame, or in what tells its frame."""
    lattice, registers = samples.domain(2), make.specs(2)
    layout = make.layout_of(lattice, 1, [3, 3])
    make.make(store, 1, layout, registers)
    manifest = make.make(store, 2, layout, registers, base=ONE, values_of=1)
    table = store.read_table(TWO)
    older = [number for number, entry in enumerate(manifest.files) if entry.checkpoint]
    path = store.file(TWO, manifest.files[older[0]])
    if what == "piece":
        row = table[table["file"] == older[0]][0]
        make.flip(path, 8 * int(row["offset"]))
    elif what == "frame":
        make.flip(path, 8)
    elif what == "manifest":
        rewrite(store, store.read_manifest(ONE), ranks=7)
    elif what == "missing":
        path.unlink()
    else:
        make.make(store, 1, layout, registers, values_of=3)
        store.set_current(TWO)
    said = refusal(store, layout, registers, [TWO])
    expected = {
        "piece": "is damaged: its values",
        "frame": "damaged outside the pieces",
        "missing": "there is no file",
        "manifest": "is not the checkpoint that was there",
        "exchanged": "is not the checkpoint that was there",
    }
    assert expected[what] in said


def test_what_an_older_file_holds_beyond_its_use_does_not_matter(store):
    """ENG-15: a piece that only the older checkpoint uses may be damaged; that one is refused, the newer is not."""
    lattice, registers = samples.domain(2), make.specs(2)
    layout = make.layout_of(lattice, 1, [3, 3])
    make.make(store, 1, layout, registers)
    manifest = make.make(store, 2, layout, registers, base=ONE, values_of=1)
    newest, older = store.read_table(TWO), store.read_table(ONE)
    kept = {number for number, entry in enumerate(manifest.files) if entry.checkpoint}
    used = {tuple(row["digest"].tolist()) for row in newest if int(row["file"]) in kept}
    row = next(row for row in older if tuple(row["digest"].tolist()) not in used)
    path = store.file(ONE, store.read_manifest(ONE).files[int(row["file"])])
    make.flip(path, 8 * int(row["offset"]))
    assert restored(store, layout, registers)[1].wrong(1) == []
    assert "is damaged" in refusal(store, layout, registers, [ONE])


def test_a_bad_one_is_passed_over_loudly(store):
    """F-09: the line names checkpoint, file, fault and rank; the older one fills every site anew."""
    lattice, registers = samples.domain(2), make.specs(2)
    layout = make.layout_of(lattice, 1, [4, 4])
    make.make(store, 1, layout, registers)
    make.make(store, 2, layout, registers)
    damage(store, TWO, 1, "v", -1)
    manifest, target, lines = restored(store, layout, registers)
    assert manifest.name == ONE and target.wrong(1) == [] and len(lines) == 1
    assert TWO in lines[0] and "shard-0000" in lines[0] and "v[1] at (4, 8)" in lines[0] and "rank 0" in lines[0]
    assert lines[0].startswith("CHECKPOINT")


def test_nothing_to_load(store):
    """F-11: no checkpoint is no start from zero."""
    layout = make.layout_of(samples.domain(1))
    assert refusal(store, layout, make.specs(1)) == f"there is no checkpoint in {store.root}"
    store.create()
    assert "step-00000007: there is no checkpoint" in refusal(store, layout, make.specs(1), ["step-00000007"])


def test_another_lattice_or_other_fields_are_refused_with_the_differences(store):
    """F-12: each difference is listed, in the words of the configuration."""
    lattice, registers = samples.domain(2), make.specs(2)
    make.make(store, 1, make.layout_of(lattice), registers)
    other = Domain((7, 11), (0.0, 1.0), (3.5, 7.0), (False, False))
    said = refusal(store, make.layout_of(other), registers)
    assert "lattice.shape is (7, 10) in the checkpoint and (7, 11) in this run" in said
    assert "lattice.upper is" in said and "lattice.periodic is" in said and "lattice.lower" not in said
    changed = {
        **{name: spec for name, spec in registers.items() if name != "p"},
        "u": FieldSpec("u", 2, "vertex", "float32"),
        "w": FieldSpec("w"),
    }
    said = refusal(store, make.layout_of(lattice), changed)
    for part in (
        "the checkpoint has no field w", "the checkpoint has a field p, this run has none",
        "field u: components is 1 in the checkpoint and 2 in this run", "field u: centring is cell",
        "field u: dtype is float64 in the checkpoint and float32",
    ):  # fmt: skip
        assert part in said


def table_changes():
    """Tables that cannot be, each with what is said."""

    def put(key, value, row=3):
        def change(table):
            table[key][row] = value
            return table

        return change

    def file_offset(table):
        table["offset"][table["file"] == 0] += 1 << 20
        return table

    def overlap(table):
        first, second = np.flatnonzero(table["file"] == 0)[:2]
        table["offset"][second] = table["offset"][first] + 8
        return table

    return {
        "no field": (put("field", 99, -1), "belongs to no field"),
        "no component": (put("component", 1, 0), "belongs to no component"),
        "level": (put("level", 1), "refinement level"),
        "no file": (put("file", 9), "lies in no file"),
        "order": (lambda table: table[::-1].copy(), "out of order"),
        "doubled": (lambda table: sort_table(table[[0, *range(len(table))]]), "out of order or doubled"),
        "gap": (lambda table: np.delete(table, 4), "do not cover"),
        "none of a part": (lambda table: table[table["field"] != 1], "do not cover"),
        "longer": (put("shape", [2**40, 1, 1, 1]), "do not cover"),
        "stored": (put("stored", 1), "another length"),
        "overlap": (overlap, "overlap"),
        "beyond": (file_offset, "end after it"),
        "huge": (put("offset", 2**64 - 8), "end after it"),
    }


@pytest.mark.parametrize("what", table_changes())
def test_tables_that_cannot_be_are_refused_though_their_digest_is_right(store, what):
    """F-10, F-36: no site twice, none left out, nothing outside of its file."""
    lattice, registers = samples.domain(2), make.specs(2)
    layout = make.layout_of(lattice, 1, [3, 3])
    manifest = make.make(store, 1, layout, registers)
    change, said = table_changes()[what]
    rewrite(store, manifest, change(store.read_table(ONE).copy()))
    assert said in refusal(store, layout, registers)


def test_pieces_that_changed_places_are_found(store):
    """F-09: two pieces of equal size exchanged in the table have each other's digests, so values at the wrong place."""
    lattice, registers = samples.domain(2), make.specs(2)
    layout = make.layout_of(lattice, 1, [3, 3])
    manifest = make.make(store, 1, layout, registers)
    table = store.read_table(ONE)
    rows = np.flatnonzero((table["field"] == 0) & (table["stored"] == table["stored"][0]))[:2]
    for key in ("offset", "file"):
        table[key][rows] = table[key][rows[::-1]]
    rewrite(store, manifest, table)
    assert "its values are not those that were written" in refusal(store, layout, registers)


@pytest.mark.parametrize("ranks", [1, 2, 3, 5, 9])
@pytest.mark.parametrize(("ndim", "periodic"), [(1, "mixed"), (2, "none"), (3, "mixed"), (4, "all")])
def test_a_rank_needs_the_pieces_that_meet_its_blocks(store, ranks, ndim, periodic):
    """ENG-15: against looking at every pair of piece and block; the table comes in portions of any size."""
    lattice, registers = samples.domain(ndim, periodic), make.specs(ndim)
    make.make(store, 1, make.layout_of(lattice, 1, [3] * ndim), registers, limit=96)
    table = store.read_table(ONE)
    specs = list(registers.values())
    layout = make.layout_of(lattice, ranks, [1 if ndim == 1 else 2] * ndim, "morton")
    for rank in range(ranks):
        share = share_of((table[n : n + 7] for n in range(0, len(table), 7)), layout, rank)
        found = {
            (row.tobytes(), layout.local(rank)[block].id)
            for n, row in enumerate(share.rows)
            for block in share.blocks[share.first[n] : share.first[n + 1]]
        }
        expected = set()
        for row in table:
            location = specs[int(row["field"])].locations(ndim)[int(row["component"])]
            low, high = row["lo"][:ndim], (row["lo"] + row["shape"])[:ndim]
            for block in layout.local(rank):
                lo, hi = layout.owned_box(block, location)
                if (np.maximum(low, lo) < np.minimum(high, hi)).all():
                    expected.add((row.tobytes(), block.id))
        assert found == expected and len(found) == len(share.blocks)
        places = list(zip(share.rows["file"].tolist(), share.rows["offset"].tolist(), strict=True))
        assert places == sorted(places)


@pytest.mark.parametrize("ranks", [2, 3, 7])
def test_the_parts_of_all_ranks_are_the_whole(store, ranks):
    """ENG-15: more ranks than this machine has, one after the other; each file's frame is checked by one rank."""
    lattice, registers = samples.domain(3), make.specs(3)
    make.make(store, 1, make.layout_of(lattice, 1, [3, 4, 6]), registers, files=3)
    layout = make.layout_of(lattice, ranks, [2, 2, 2])
    manifest, table = store.read_manifest(ONE), store.read_table(ONE)
    ranges = load.frame_gaps(store, manifest, table)
    for rank in range(ranks):
        target = make.Target(layout, rank, registers)
        opened = load._Opened(manifest, ranges, share_of([table], layout, rank))
        assert load._fill(store, opened, layout, SimpleNamespace(rank=rank, size=ranks), target) == ""
        assert target.wrong(1) == []
    make.flip(store.file(ONE, manifest.files[1]), 16)
    faults = [
        load._fill(
            store,
            load._Opened(manifest, ranges, share_of([table], layout, rank)),
            layout,
            SimpleNamespace(rank=rank, size=ranks),
            make.Target(layout, rank, registers),
        )
        for rank in range(ranks)
    ]
    assert ["outside the pieces" in fault for fault in faults] == [rank == 1 for rank in range(ranks)]


def test_a_share_that_does_not_cover_the_blocks_is_refused(store):
    """F-10: checked again on each rank, whatever was checked before."""
    lattice, registers = samples.domain(2), make.specs(2)
    make.make(store, 1, make.layout_of(lattice, 1, [3, 3]), registers)
    layout = make.layout_of(lattice)
    manifest, table = store.read_manifest(ONE), store.read_table(ONE)
    opened = load._Opened(manifest, load.frame_gaps(store, manifest, table), share_of([table[1:]], layout, 0))
    alone = SimpleNamespace(rank=0, size=1)
    assert "do not cover" in load._fill(store, opened, layout, alone, make.Target(layout, 0, registers))


def test_what_a_checkpoint_has_is_counted(store):
    """ENG-15: the table lists every value once."""
    lattice, registers = samples.domain(3), make.specs(3)
    make.make(store, 1, make.layout_of(lattice, 1, [2, 3, 4]), registers)
    table = store.read_table(ONE)
    extents = [owned_extent(lattice, place) for spec in registers.values() for place in spec.locations(3)]
    assert np.prod(table["shape"], axis=1).sum() == sum(int(np.prod(extent)) for extent in extents)
