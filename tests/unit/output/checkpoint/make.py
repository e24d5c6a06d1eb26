"""Small checkpoints written straight from the format, so that the reader is tested against the format and no writer."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import h5py
import numpy as np
import xxhash

from hpcsim.fields.spec import FieldSpec
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.layout import Layout, make_layout
from hpcsim.lattice.location import owned_extent
from hpcsim.output.checkpoint.manifest import (
    MANIFEST_NAME,
    TABLE_NAME,
    FieldEntry,
    FileEntry,
    Manifest,
    TableEntry,
    checkpoint_name,
)
from hpcsim.output.checkpoint.pieces import PIECE, cut, digest_of, gaps, match_keys, sort_table, table_of
from hpcsim.output.checkpoint.store import CheckpointStore
from tests.unit.output import samples

CONFIG = "[lattice]\nshape = [5, 8, 6]\n"


def specs(ndim: int, few: bool = False) -> dict[str, FieldSpec]:
    """Registers of every centring and number type; a second time level has another name than its field."""
    chosen = {spec.name: spec for spec in samples.specs(ndim)}
    return {"u": chosen["u"], "u@prev": chosen["u"], **({} if few else chosen)}


def values(lo, hi, name: str, component: int, dtype: str, step: int) -> np.ndarray:
    """Values that tell register, component, place and step; exact in float32."""
    return (samples.values(lo, hi, component, dtype) + (0.25 * (step % 8) + 0.125 * ("@" in name))).astype(dtype)


def layout_of(lattice: Domain, ranks: int = 1, block_shape: Sequence[int] | None = None, curve: str = "hilbert"):
    """A layout of ghost width 1."""
    return make_layout(lattice, ranks, ghost=1, block_shape=block_shape, curve=curve)


def rows_of(layout: Layout, registers: Mapping[str, FieldSpec], limit: int, files: int) -> np.ndarray:
    """The keys of all pieces, their blocks dealt to files in turn."""
    rows = []
    for number, spec in enumerate(registers.values()):
        for block in layout.blocks:
            part = table_of(number, cut(layout, block, spec, limit))
            part["file"] = block.id % files
            rows.append(part)
    return np.concatenate(rows)


def raw_of(row, names: Sequence[str], registers, ndim: int, step: int) -> np.ndarray:
    """Values of a piece."""
    lo = row["lo"][:ndim].tolist()
    hi = (row["lo"] + row["shape"])[:ndim].tolist()
    name = names[int(row["field"])]
    return values(lo, hi, name, int(row["component"]), registers[name].dtype, step)


def write_file(path: Path, rows: np.ndarray, arrays: list[np.ndarray], codec: str) -> tuple[int, str]:
    """One data file: a flat dataset per register; offset, stored bytes and digests go into the rows. Size and frame."""
    from hpcsim.output.compress import CODECS

    packed = [
        array if codec == "none" else np.frombuffer(CODECS.get(codec).encode(array, None), np.uint8) for array in arrays
    ]
    with h5py.File(path, "w", libver="latest") as handle:
        for field in sorted(set(rows["field"].tolist())):
            chosen = [n for n, row in enumerate(rows) if int(row["field"]) == field]
            flat = np.concatenate([packed[n].ravel() for n in chosen])
            plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            plist.set_layout(h5py.h5d.CONTIGUOUS)
            plist.set_alloc_time(h5py.h5d.ALLOC_TIME_EARLY)
            group = handle.require_group("fields")
            kind = h5py.h5t.py_create(flat.dtype)
            made = h5py.h5d.create(group.id, str(field).encode(), kind, h5py.h5s.create_simple(flat.shape), plist)
            h5py.Dataset(made)[...] = flat
            offset = made.get_offset()
            for n in chosen:
                rows["offset"][n], rows["stored"][n] = offset, packed[n].nbytes
                rows["digest"][n] = digest_of(arrays[n])
                offset += packed[n].nbytes
    content = path.read_bytes()
    return len(content), frame_of(content, rows)


def frame_of(content: bytes, rows: np.ndarray) -> str:
    """Digest of the bytes of a file that belong to no piece."""
    ranges = gaps(rows["offset"], rows["stored"], len(content))
    assert ranges is not None
    return xxhash.xxh3_128_hexdigest(b"".join(content[a:b] for a, b in ranges.tolist()))


def make(
    store: CheckpointStore,
    step: int,
    layout: Layout,
    registers: Mapping[str, FieldSpec],
    *,
    files: int = 2,
    codec: str = "none",
    limit: int = 512,
    base: str | None = None,
    changed: int = 2,
    values_of: int | None = None,
    **facts,
) -> Manifest:
    """Write a checkpoint and let CURRENT name it.

    With a `base`, only every `changed`-th piece is new and the others refer to that older checkpoint, of whose step
    the values then are.
    """
    names, ndim = list(registers), layout.domain.ndim
    value_step = step if values_of is None else values_of
    rows = rows_of(layout, registers, limit, files)
    name = checkpoint_name(step)
    temporary = store.temporary(step, "made")
    temporary.mkdir(parents=True)
    entries: list[FileEntry] = []
    kept, needs = rows[:0], ()
    if base is not None:
        older = store.read_manifest(base)
        known = store.read_table(base, older)
        rows = sort_table(rows)
        at = match_keys(rows, known)
        stay = (at >= 0) & (np.arange(len(rows)) % changed != 0)
        kept = known[at[stay]]
        rows = rows[~stay]
        used = sorted(set(kept["file"].tolist()))
        entries = [
            FileEntry(old.name, old.checkpoint or base, old.size, old.frame) for old in (older.files[n] for n in used)
        ]
        kept["file"] = np.searchsorted(used, kept["file"])
        shas = {base: older.sha256, **dict(older.needs)}
        needs = tuple((holder, shas[holder]) for holder in sorted({entry.checkpoint for entry in entries}))
    written = []
    for number in sorted(set(rows["file"].tolist())):
        part = rows[rows["file"] == number]
        arrays = [raw_of(row, names, registers, ndim, value_step) for row in part]
        file_name = f"shard-{number:05d}.h5"
        size, frame = write_file(temporary / file_name, part, arrays, codec)
        part["file"] = len(entries)
        entries.append(FileEntry(file_name, "", size, frame))
        written.append(part)
    table = sort_table(np.concatenate([np.empty(0, PIECE), kept, *written]))
    (temporary / TABLE_NAME).write_bytes(table.tobytes())
    facts = {
        "hpcsim": "0.1.0", "run": "made", "time": 0.5 * step, "dt": 0.5, "mode": "shards", "codec": codec,
        "grid": layout.domain, "config": CONFIG, "config_digest": hashlib.sha256(CONFIG.encode()).hexdigest(),
        "versions": {"numpy": np.__version__}, "ranks": layout.ranks,
        "state": {"schedule": {"next": step + 1}}, **facts,
    }  # fmt: skip
    manifest = Manifest(
        name=name,
        step=step,
        fields=tuple(FieldEntry.of(n, spec, ndim) for n, spec in registers.items()),
        files=tuple(entries),
        table=TableEntry.of(table),
        needs=needs,
        **facts,
    )
    (temporary / MANIFEST_NAME).write_text(manifest.to_text(), encoding="ascii")
    store.accept(temporary, name)
    store.set_current(name)
    return manifest


class Target:
    """Arrays to be filled, with NaN wherever nothing was written, and ghosts that must stay NaN."""

    def __init__(self, layout: Layout, rank: int, registers: Mapping[str, FieldSpec]) -> None:
        self.layout = layout
        self.blocks = layout.local(rank)
        self.registers = registers
        self.padded = {
            (name, block.id, component): np.full(
                [b - a + 2 for a, b in zip(*layout.owned_box(block, location), strict=True)], np.nan, spec.dtype
            )
            for name, spec in registers.items()
            for block in self.blocks
            for component, location in enumerate(spec.locations(layout.domain.ndim))
        }

    def __call__(self, name, block):
        inner = (slice(1, -1),) * self.layout.domain.ndim
        return [self.padded[name, block.id, component][inner] for component in range(self.registers[name].components)]

    def wrong(self, step_of_piece) -> list[tuple]:
        """Blocks whose values are not those of a step, or whose ghosts were touched.

        `step_of_piece(name, component, block)` gives the expected step, or an integer stands for all.
        """
        found = []
        for (name, number, component), array in self.padded.items():
            block = self.layout.blocks[number]
            spec = self.registers[name]
            lo, hi = self.layout.owned_box(block, spec.locations(self.layout.domain.ndim)[component])
            expected = np.full(array.shape, np.nan, spec.dtype)
            inner = (slice(1, -1),) * len(lo)
            expected[inner] = values(lo, hi, name, component, spec.dtype, step_of_piece)
            if array.tobytes() != expected.tobytes():
                found.append((name, component, block.lo))
        return found


def flip(path: Path, bit: int) -> None:
    """Change one bit of a file."""
    with open(path, "r+b") as stream:
        stream.seek(bit // 8)
        byte = stream.read(1)[0]
        stream.seek(bit // 8)
        stream.write(bytes([byte ^ (1 << bit % 8)]))


def whole_sites(lattice: Domain, registers: Mapping[str, FieldSpec]) -> int:
    """Values of a checkpoint."""
    return sum(
        int(np.prod(owned_extent(lattice, location)))
        for spec in registers.values()
        for location in spec.locations(lattice.ndim)
    )


def files_of(store: CheckpointStore, name: str) -> list[Path]:
    """Every file of a checkpoint."""
    return sorted(store.path(name).iterdir(), key=os.fspath)
