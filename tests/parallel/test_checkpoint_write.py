"""Checkpoints over ranks: the same pieces in every mode, and one rank's failure is everyone's (F-01, F-06, F-07)."""

from __future__ import annotations

import errno
import os
import time
from pathlib import Path

import numpy as np
import pytest

from hpcsim.output.checkpoint import collective, io
from hpcsim.output.checkpoint.modes import MODES
from tests.unit.output.checkpoint.writing import WAYS, Failing, Run, left_over, replaced

WAYS_AND_MODES = [("at once", "shards"), ("beside the run", "shards"), ("at once", "collective")]


@pytest.fixture
def folder(shared_tmp_path) -> Path:
    """One empty directory for all ranks."""
    return shared_tmp_path


def on_first(context, act):
    """The text that rank 0 makes, on all ranks."""
    return context.bcast_text(act() if context.rank == 0 else "")


def check(run: Run, name: str, step: int, step_of=None) -> None:
    """A checkpoint is good and has the values of a step; a fault shows on all ranks."""
    found = on_first(run.context, lambda: str(run.faults(name) or run.wrong(name, step, step_of) or ""))
    assert not found


@pytest.mark.parametrize("several", [False, True], ids=["fewest blocks", "many uneven blocks"])
@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
@pytest.mark.parametrize("codec", ["none", "zstd"])
def test_every_mode_and_number_of_writers_stores_the_same(context, folder, ndim, codec, several):
    """ERIO: the table is the same but for places; every value is read back from its place."""
    keys, options = [], [{"mode": "collective"}, *({"writers_per_node": n} for n in (0, 1, 2))]
    for number, chosen in enumerate(options):
        run = Run(context, folder / str(number), ndim, several=several, codec=codec, **chosen)
        report = run.write(number, WAYS[number % 2], run.fields(3))
        assert report.accepted, report
        check(run, report.name, 3)
        manifest = run.store.read_manifest(report.name)
        table = run.store.read_table(report.name, manifest)
        keys.append([table[name].tobytes() for name in ("field", "component", "level", "lo", "shape", "digest")])
        files = 1 if chosen == options[0] else min(context.size, chosen["writers_per_node"] or context.size)
        assert len(manifest.files) == files and manifest.ranks == context.size
        assert [entry.name for entry in manifest.files] == sorted(entry.name for entry in manifest.files)
    assert all(key == keys[0] for key in keys)


@pytest.mark.parametrize(("way", "mode"), WAYS_AND_MODES)
@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
def test_every_single_call_fails_once_on_each_rank(context, folder, monkeypatch, way, mode, code, record_property):
    """F-01, F-07: i = 1, 2, ... on each rank in turn; all ranks report the same, and the last good one stays good."""
    run = Run(context, folder / "ckpt", 2, few=True, mode=mode)
    assert run.write(1).accepted
    step, held = 1, {"step-00000001": 1}
    for rank in range(context.size):
        number = 0
        while True:
            number += 1
            step += 1
            name = f"step-{step:08d}"
            with monkeypatch.context() as patch:
                disk = Failing(patch, number, code) if context.rank == rank else None
                report = run.write(step, way)
            failed = context.any(disk is not None and bool(disk.failed))
            held[name] = step
            assert context.bcast_text(repr(report.problem)) == repr(report.problem)
            current = context.bcast_text(run.store.current() or "")
            check(run, current, held[current])
            if not report.accepted and context.size > 1 and rank > 0:
                assert f"(on rank {rank})" in report.problem and "cannot write the checkpoint" in report.problem
            assert report.accepted or failed and "cannot" in report.problem
            extra = [n for n in left_over(run.store.root) if n.startswith(".tmp")]
            context.barrier()
            assert not extra
            if context.rank == 0:
                run.store.clean()
                run.store.prune(2)
            context.barrier()
            if not failed:
                break
        assert report.accepted and number > (30 if rank == 0 else 8)
    record_property("tried", step - 1)


def test_pieces_of_one_rank_only(context, folder):
    """Ranks with nothing to write take part in everything: an increment in which one rank's blocks changed."""
    for mode in MODES:
        run = Run(context, folder / mode, 3, mode=mode, incremental=True)
        full = run.write(1)
        chosen = context.size - 1
        mine = {block.id for block in run.layout.local(chosen)}

        def step_of(name, block, mine=mine):
            return 2 if block.id in mine else 1

        part = run.write(2, fields=run.fields(2, step_of))
        assert full.accepted and part.accepted and 0 < part.nbytes <= full.nbytes
        assert (part.nbytes < full.nbytes) == (context.size > 1)
        check(run, part.name, 2, step_of)
        none = run.write(3, fields=run.fields(2, step_of))
        assert none.accepted and none.nbytes == 0
        check(run, none.name, 2, step_of)
        needed = {name for name, _ in run.store.read_manifest(none.name).needs}
        assert needed == ({full.name, part.name} if context.size > 1 else {part.name})


@pytest.mark.parallel((2, 3, 4))
def test_collective_calls_are_bounded_and_equal_in_number(context, folder, monkeypatch):
    """Little room for packing makes many calls; a rank with fewer pieces joins those of the others."""
    calls, true = [], collective._write_batch
    monkeypatch.setattr(collective.Collective, "staging_bytes", 600)
    monkeypatch.setattr(collective, "_write_batch", lambda *a: (calls.append(len(a[3])), true(*a)))
    run = Run(context, folder, 3, mode="collective")
    report = run.write(1)
    assert report.accepted, report
    check(run, report.name, 1)
    most = context.max(np.array([len(calls), -len(calls)], np.int64))
    assert most[0] == -most[1] > 2 * len(run.registers)
    assert context.any(0 in calls), "blocks are of uneven extents"


@pytest.mark.parallel((2, 3, 4))
@pytest.mark.parametrize("rank", [0, -1])
def test_a_collective_write_that_is_lost_is_found(context, folder, monkeypatch, rank):
    """F-06: what the file layer lost, as it does on a full disk, is seen by the digests from memory."""
    run = Run(context, folder, 2, mode="collective")
    assert run.write(1).accepted
    true = collective._sync

    def lose(target, errors):
        true(target, errors)
        context.barrier()
        if context.rank == rank % context.size:
            rows = target.packing.rows
            handle = io.open_write(target.path)
            io.pwrite(handle, bytes(int(rows["stored"][-1])), int(rows["offset"][-1]))
            io.fsync(handle)
            io.close(handle)

    with monkeypatch.context() as patch:
        patch.setattr(collective, "_sync", lose)
        report = run.write(2)
    assert not report.accepted and "does not read back as it was written" in report.problem
    assert f"(on rank {rank % context.size})" in report.problem
    assert left_over(folder) == [] and run.store.names() == ["step-00000001"]
    context.barrier()
    report = run.write(3)
    assert report.accepted
    check(run, report.name, 3)


def test_a_slow_rank_holds_nobody(context, folder, monkeypatch):
    """The outcome comes on all ranks at the same poll, and no poll waits for the slow disk of one rank."""
    slow = context.size - 1

    def pwrite(true, *arguments):
        if context.rank == slow:
            time.sleep(0.05)
        return true(*arguments)

    run = Run(context, folder, 2)
    with replaced(monkeypatch, pwrite=pwrite):
        run.writer.begin(run.fields(1), 1, 0.5, 0.5, {}, lambda: run.released.append(1))
        polls, longest, report = 0, 0.0, None
        while report is None:
            context.barrier()
            before = time.perf_counter()
            report = run.writer.poll()
            if report is None:
                longest = max(longest, time.perf_counter() - before)
            polls += 1
            assert run.released or report is None
    counts = context.max(np.array([polls, -polls], np.int64))
    assert counts[0] == -counts[1] and polls > 3 and report.accepted
    assert context.min(longest) < 0.3
    check(run, report.name, 1)


def test_a_directory_that_cannot_be_made(context, folder):
    """F-07: a file in the way is reported by all ranks alike."""
    if context.rank == 0:
        (folder / "ckpt").touch()
    context.barrier()
    run = Run(context, folder / "ckpt")
    for way in WAYS:
        report = run.write(1, way)
        assert not report.accepted and os.fspath(folder / "ckpt") in report.problem
