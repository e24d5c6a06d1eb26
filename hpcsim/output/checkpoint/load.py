"""Loading a checkpoint on any number of ranks and any layout, from the newest one of which every byte is right.

Rank 0 judges manifest, table and directory and sends them round; then each rank reads the pieces that meet its own
blocks, checks the digest of every piece in the pass that copies it, and the ranks vote. A fault on any rank sends all
of them to the next candidate. No HDF5 library touches a file here.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from hpcsim.comm.context import Context
from hpcsim.errors import DiskError, NoCheckpointError
from hpcsim.fields.spec import FieldSpec
from hpcsim.lattice.layout import Block, Layout
from hpcsim.output.checkpoint.check import FRAME_GAP, check_listing, check_run, check_table, frame_gaps
from hpcsim.output.checkpoint.manifest import Manifest
from hpcsim.output.checkpoint.pieces import PIECE, intersect_boxes
from hpcsim.output.checkpoint.scan import scan_frames, scan_pieces
from hpcsim.output.checkpoint.share import Share, share_of
from hpcsim.output.checkpoint.store import CheckpointStore

# Rows of the table that are sent at a time: no rank holds more of it than its own part and one portion.
PORTION = 1 << 16
# Blocks that a piece meets on average, up to which it is copied slab by slab while it is in the nearest cache.
FEW_BLOCKS = 16


class _Opened(NamedTuple):
    """What a rank knows of a candidate before it reads values: manifest, frames, and its own share of the pieces."""

    manifest: Manifest
    ranges: NDArray[np.void]
    share: Share


def restore(
    context: Context,
    store: CheckpointStore,
    names: Sequence[str],
    layout: Layout,
    specs: Mapping[str, FieldSpec],
    target: Callable[[str, Block], Sequence[np.ndarray]],
    say: Callable[[str], None],
) -> Manifest:
    """Fill the registers of a run from the first good checkpoint; collective.

    Parameters
    ----------
    context : Context
        The ranks of the run.
    store : CheckpointStore
        Where the checkpoints lie; seen by every rank.
    names : sequence of str
        Candidates in the order to try, as `CheckpointStore.candidates` gives them. Those of rank 0 count.
    layout : Layout
        Blocks and owners of this run. Neither it nor the number of ranks need be that of the run that wrote.
    specs : mapping of str to FieldSpec
        Every register to be filled, by name.
    target : callable
        ``target(name, block)`` gives one writable array of the owned sites per component. After a failed candidate the
        arrays hold a part of it; the next one overwrites every site.
    say : callable
        Gets a line for each candidate that is passed over, on rank 0.

    Returns
    -------
    Manifest
        Of the checkpoint that was loaded, the same on all ranks.

    Raises
    ------
    NoCheckpointError
        On every rank, if none is good; lists what is wrong with each.
    """
    order = [name for name in context.bcast_text("\n".join(names)).split("\n") if name]
    reasons = []
    for name in order:
        opened, problem = _open(context, store, name, layout, specs)
        if opened is not None:
            problem = _vote(context, _fill(store, opened, layout, context, target))
            if not problem:
                return opened.manifest
        reasons.append(f"{name}: {problem}")
        if context.rank == 0:
            say(f"CHECKPOINT {name} IS NOT USED: {problem}")
    if not reasons:
        raise NoCheckpointError(f"there is no checkpoint in {store.root}")
    raise NoCheckpointError(f"no checkpoint in {store.root} can be used:\n  " + "\n  ".join(reasons))


def _open(
    context: Context, store: CheckpointStore, name: str, layout: Layout, specs: Mapping[str, FieldSpec]
) -> tuple[_Opened | None, str]:
    """Judge a candidate on rank 0 and send round what the others need; what is wrong with it, the same everywhere."""
    answer: dict[str, str] = {}
    table, ranges = np.empty(0, PIECE), np.empty(0, FRAME_GAP)
    if context.rank == 0:
        try:
            manifest = store.read_manifest(name)
            check_run(manifest, layout.domain, specs)
            check_listing(store, manifest)
            table = store.read_table(name, manifest)
            check_table(table, manifest)
            ranges = frame_gaps(store, manifest, table)
            answer["manifest"] = manifest.to_text()
        except DiskError as error:
            answer["problem"] = str(error)
    answer = json.loads(context.bcast_text(json.dumps(answer)))
    if "problem" in answer:
        return None, answer["problem"]
    manifest = Manifest.parse(answer["manifest"], name)
    ranges = np.concatenate([ranges[:0], *_portions(context, ranges)])
    share = share_of(_portions(context, table), layout, context.rank)
    return _Opened(manifest, ranges, share), ""


def _portions(context: Context, rows: NDArray[np.void]) -> Iterator[NDArray[np.void]]:
    """The rows of rank 0 on every rank, a part at a time; collective."""
    count = np.array([len(rows)], np.int64)
    context.comm.Bcast(count)
    for first in range(0, int(count[0]), PORTION):
        size = min(PORTION, int(count[0]) - first)
        part = rows[first : first + size].copy() if context.rank == 0 else np.empty(size, rows.dtype)
        context.comm.Bcast(part.view(np.uint8))
        yield part


def _fill(
    store: CheckpointStore,
    opened: _Opened,
    layout: Layout,
    context: Context,
    target: Callable[[str, Block], Sequence[np.ndarray]],
) -> str:
    """Read what this rank needs, and its part of the frames; the first fault, or an empty text."""
    manifest, share = opened.manifest, opened.share
    copy = _Copy(manifest, layout, layout.local(context.rank), share, target)
    if not copy.complete():
        return "its pieces do not cover the blocks of this rank"
    files = range(context.rank, len(manifest.files), context.size)
    # A piece that meets many small blocks is copied in one, so that each copy is worth its call.
    whole = len(share.blocks) > FEW_BLOCKS * len(share.rows)
    faults = itertools.chain(
        scan_frames(store, manifest, opened.ranges, files),
        scan_pieces(store, manifest, share.rows, copy, whole=whole),
    )
    return next(faults, "")


def _vote(context: Context, problem: str) -> str:
    """The problem of the lowest rank that has one, with all ranks that have one, the same everywhere."""
    if context.agree(not problem):
        return ""
    failed = [(rank, text) for rank, text in enumerate(context.texts(problem)) if text]
    ranks = ", ".join(str(rank) for rank, _ in failed[:8]) + (", ..." if len(failed) > 8 else "")
    return f"{failed[0][1]} (found by rank{'s' if len(failed) > 1 else ''} {ranks})"


class _Copy:
    """Puts slabs of pieces into the arrays of the blocks that they meet."""

    def __init__(
        self,
        manifest: Manifest,
        layout: Layout,
        blocks: Sequence[Block],
        share: Share,
        target: Callable[[str, Block], Sequence[np.ndarray]],
    ) -> None:
        self._share = share
        self._fields = share.rows["field"].tolist()
        self._components = share.rows["component"].tolist()
        self._names = [entry.name for entry in manifest.fields]
        self._blocks = blocks
        self._boxes = [
            [[layout.owned_box(block, location) for block in blocks] for location in entry.locations]
            for entry in manifest.fields
        ]
        self._target = target
        self._arrays: dict[tuple[int, int], Sequence[np.ndarray]] = {}
        self._first, self._met = share.first.tolist(), share.blocks.tolist()

    def complete(self) -> bool:
        """Whether the common parts of pieces and owned boxes add up to the owned boxes."""
        share = self._share
        piece = np.repeat(np.arange(len(share.rows)), np.diff(share.first))
        for field, components in enumerate(self._boxes):
            for component, boxes in enumerate(components):
                chosen = (share.rows["field"] == field) & (share.rows["component"] == component)
                pairs = chosen[piece]
                rows, block = share.rows[piece[pairs]], share.blocks[pairs]
                corners = np.array(boxes, np.int64).reshape(len(boxes), 2, -1)
                ndim = corners.shape[2]
                low, high = rows["lo"][:, :ndim], (rows["lo"] + rows["shape"])[:, :ndim]
                _, common = intersect_boxes(low, high, corners[block, 0], corners[block, 1])
                found = np.bincount(block, np.prod(common, axis=1), minlength=len(boxes))
                if (found != np.prod(corners[:, 1] - corners[:, 0], axis=1)).any():
                    return False
        return True

    def __call__(self, row: int, values: NDArray, lo: tuple[int, ...]) -> None:
        """Copy the part of a slab that each block owns."""
        field, component = self._fields[row], self._components[row]
        for block in self._met[self._first[row] : self._first[row + 1]]:
            low, high = self._boxes[field][component][block]
            source, place = [], []
            for a, n, b, c in zip(lo, values.shape, low, high, strict=True):
                start, stop = max(a, b), min(a + n, c)
                if start >= stop:
                    break
                source.append(slice(start - a, stop - a))
                place.append(slice(start - b, stop - b))
            else:
                self._array(field, component, block)[tuple(place)] = values[tuple(source)]

    def _array(self, field: int, component: int, block: int) -> np.ndarray:
        """Where the values of a component of a block go."""
        key = (field, block)
        if key not in self._arrays:
            self._arrays[key] = self._target(self._names[field], self._blocks[block])
        return self._arrays[key][component]
