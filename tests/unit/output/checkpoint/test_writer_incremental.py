"""Checkpoints that refer to older ones: only what changed is written, nothing that is needed goes (ENG-15, F-10)."""

from __future__ import annotations

import shutil

import pytest

from hpcsim.comm.context import Context
from hpcsim.output.checkpoint.modes import MODES
from tests.unit.output.checkpoint.writing import WAYS, Run, replaced

NAMES = [f"step-{n:08d}" for n in range(20)]


@pytest.fixture
def context():
    return Context.serial()


def in_u(step: int):
    """Values of a step in the field u, and those of step 1 everywhere else."""
    return lambda name, block: step if name == "u" else 1


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("mode", MODES.names())
@pytest.mark.parametrize("codec", ["none", "zstd"])
@pytest.mark.parametrize("ndim", [1, 2, 3, 4])
def test_only_what_changed_is_written(context, tmp_path, way, mode, codec, ndim):
    run = Run(context, tmp_path, ndim, mode=mode, codec=codec, incremental=True)
    full = run.write(1, way)
    unchanged = run.write(2, way, run.fields(1))
    part = run.write(3, way, run.fields(3, in_u(3)))
    assert full.accepted and unchanged.accepted and part.accepted
    assert unchanged.nbytes == 0 < part.nbytes < full.nbytes
    for report, step in ((full, 1), (unchanged, 1), (part, 3)):
        assert not run.faults(report.name), run.faults(report.name)
        assert not run.wrong(report.name, step, in_u(step)), report.name
    assert run.wrong(part.name, 3)
    manifests = {name: run.store.read_manifest(name) for name in run.store.names()}
    assert manifests[NAMES[2]].needs == manifests[NAMES[3]].needs == ((NAMES[1], manifests[NAMES[1]].sha256),)
    held = {entry.checkpoint for entry in manifests[NAMES[3]].files}
    assert held == {"", NAMES[1]} and all(entry.checkpoint for entry in manifests[NAMES[2]].files)


def test_a_chain_is_flat_and_ends_with_a_full_one(context, tmp_path):
    """A piece names the file that holds it, however old; pruning leaves what is needed and removes the rest."""
    run = Run(context, tmp_path, incremental=True, full_every=5, keep=2)
    sizes = {}
    for step in range(1, 12):
        # Each step changes one block more than the one before.
        def step_of(name, block, step=step):
            return step if block.id == step % len(run.layout.blocks) else 0

        report = run.write(step, fields=run.fields(step, step_of))
        assert report.accepted and not run.faults(report.name), report
        sizes[step] = report.nbytes
        manifest = run.store.read_manifest(report.name)
        holders = {name for name, _ in manifest.needs}
        assert holders == {entry.checkpoint for entry in manifest.files} - {""} <= set(run.store.names())
        assert all(not run.faults(name) for name in run.store.names())
    whole = sizes[1]
    assert sizes[6] == sizes[11] == whole and all(0 < sizes[n] < whole for n in range(1, 12) if n % 5 != 1)
    assert run.store.names()[-1] == NAMES[6], "the chain from 6 on is needed by 10, everything before is gone"


def test_nothing_is_removed_while_a_manifest_cannot_be_read(context, tmp_path, monkeypatch):
    """F-07: a read that fails hides what a checkpoint needs: pruning waits for the next time."""
    run = Run(context, tmp_path, incremental=True, full_every=3)
    for step in (1, 2):
        assert run.write(step, fields=run.fields(1)).accepted
    needing = run.store.path(NAMES[2]) / "MANIFEST.json"

    def open_read(true, path):
        if path == needing:
            raise OSError(5, "Input/output error")
        return true(path)

    run.writer = run.new_writer(keep=2)
    with replaced(monkeypatch, open_read=open_read):
        report = run.write(3)
    assert report.accepted and "Input/output error" in report.problem
    assert run.store.names() == NAMES[3:0:-1] and not any(run.faults(name) for name in run.store.names())
    assert run.write(4).accepted and run.store.names() == [NAMES[4], NAMES[3]]


def test_a_base_that_is_gone_or_changed_is_not_referred_to(context, tmp_path):
    """F-10: someone removed or replaced the older checkpoint: the next one is full."""
    run = Run(context, tmp_path, incremental=True)
    assert run.write(1).accepted and run.write(2, fields=run.fields(1)).nbytes == 0
    shutil.rmtree(run.store.path(NAMES[1]))
    third = run.write(3, fields=run.fields(1))
    assert third.accepted and third.nbytes > 0 and not run.faults(third.name)
    path = next(run.store.path(third.name).glob("*.h5"))
    with open(path, "ab") as stream:
        stream.write(b"x")
    fourth = run.write(4, fields=run.fields(1))
    assert fourth.accepted and fourth.nbytes == third.nbytes and not run.faults(fourth.name)


def test_a_refused_one_is_no_base(context, tmp_path, monkeypatch):
    run = Run(context, tmp_path, incremental=True)
    assert run.write(1).accepted
    with monkeypatch.context() as patch:
        patch.setattr("hpcsim.output.checkpoint.io.fsync", lambda handle: 1 / 0)
        refused = run.write(2)
    assert not refused.accepted
    report = run.write(3)
    assert report.accepted and report.nbytes > 0 and not run.faults(report.name) and not run.wrong(report.name, 3)
    assert run.store.read_manifest(report.name).needs == ()


def test_after_a_restart_the_checkpoint_it_began_with_is_the_base(context, tmp_path):
    """Only that one: it was verified by the restart. Without it the first one is full."""
    run = Run(context, tmp_path, incremental=True)
    full = run.write(1)
    run.writer = run.new_writer(incremental=True)
    assert run.write(2, fields=run.fields(1)).nbytes == full.nbytes
    run.writer = run.new_writer(incremental=True, protect=frozenset({NAMES[2]}))
    report = run.write(3, fields=run.fields(3, in_u(3)))
    assert 0 < report.nbytes < full.nbytes and not run.wrong(report.name, 3, in_u(3)) and not run.faults(report.name)
    assert [name for name, _ in run.store.read_manifest(report.name).needs] == [NAMES[2]]
    run.writer = run.new_writer(incremental=True, codec="zstd", protect=frozenset({NAMES[3]}))
    assert run.store.read_manifest(run.write(4).name).needs == (), "pieces of another codec cannot be referred to"


def test_the_step_of_the_base_again_is_written_in_full(context, tmp_path):
    """A checkpoint must not refer to the one that it replaces."""
    run = Run(context, tmp_path, incremental=True)
    for step in (1, 2, 1, 2):
        report = run.write(step, fields=run.fields(1))
        assert report.accepted and not run.faults(report.name), (step, run.faults(report.name))
