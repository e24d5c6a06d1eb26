"""Another form of a checkpoint has the same values; a conversion that fails or is killed leaves nothing behind."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest

from hpcsim.cli.main import main
from hpcsim.comm.context import Context
from hpcsim.errors import ConfigError, DiskError
from hpcsim.output.checkpoint import convert as module
from hpcsim.output.checkpoint import io
from hpcsim.output.checkpoint.convert import Form, convert, deal
from hpcsim.output.checkpoint.load import restore
from hpcsim.output.checkpoint.store import CheckpointStore
from hpcsim.output.checkpoint.verify import verify
from tests.unit.output import samples
from tests.unit.output.checkpoint import make

ROOT = Path(__file__).parents[4]
ONE, TWO = "step-00000001", "step-00000002"


@pytest.fixture
def store(tmp_path: Path) -> CheckpointStore:
    """A full checkpoint and an increment on it."""
    made = CheckpointStore(tmp_path / "run" / "ckpt")
    layout = make.layout_of(samples.domain(2), 1, [3, 4])
    make.make(made, 1, layout, make.specs(2), files=3)
    make.make(made, 2, layout, make.specs(2), base=ONE, values_of=1)
    return made


def converted(store, name, target, form) -> str:
    """Convert on one rank."""
    with Context.serial() as context:
        return convert(context, store, name, target, form, lambda line: None)


def content(store) -> dict[str, str]:
    """Digest of every file below a store."""
    files = sorted(path for path in store.root.rglob("*") if path.is_file())
    return {str(path.relative_to(store.root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def values_are_right(store, name) -> bool:
    """Whether a restart from it has the values of step 1."""
    layout = make.layout_of(samples.domain(2), 1, [5, 3])
    target = make.Target(layout, 0, make.specs(2))
    with Context.serial() as context:
        restore(context, store, [name], layout, make.specs(2), target, print)
    return target.wrong(1) == []


FORMS = [
    Form("collective"),
    Form("shards", 1),
    Form("shards", 5),
    Form("shards", 2, "zstd"),
    Form("collective", 1, "blosc"),
]


@pytest.mark.parametrize("form", FORMS, ids=str)
@pytest.mark.parametrize("name", [ONE, TWO])
def test_every_form_has_the_same_values(store, tmp_path, form, name):
    """ERIO: shards and one file, other counts, codecs; an increment becomes whole; facts and digests stay."""
    before = content(store)
    target = CheckpointStore(tmp_path / "other" / "ckpt")
    made = converted(store, name, target, form)
    old, new = store.read_manifest(name), target.read_manifest(made)
    assert made == name and content(store) == before and target.current() == made
    assert (new.mode, new.codec, len(new.files), new.needs) == (form.mode, form.codec, form.files, ())
    kept = (
        "hpcsim",
        "run",
        "step",
        "time",
        "dt",
        "grid",
        "fields",
        "config",
        "config_digest",
        "versions",
        "ranks",
        "state",
    )
    assert all(getattr(old, key) == getattr(new, key) for key in kept)
    keys = ["field", "component", "level", "lo", "shape", "digest"]
    assert np.array_equal(store.read_table(name)[keys], target.read_table(made)[keys])
    assert verify(target, made, structure=True) == [] and values_are_right(target, made)
    assert sorted(os.listdir(target.root)) == ["CURRENT", made]


def test_there_and_back(store, tmp_path):
    """ERIO: packed into one file and unpacked into shards again."""
    one, two = (CheckpointStore(tmp_path / name / "ckpt") for name in ("one", "two"))
    converted(store, TWO, one, Form("collective", 1, "zstd"))
    converted(one, TWO, two, Form("shards", 3))
    assert values_are_right(two, TWO) and two.read_manifest(TWO).state == store.read_manifest(TWO).state
    with h5py.File(two.path(TWO) / "shard-00002.h5") as handle:
        assert all(dataset.chunks is None and not dataset.attrs for dataset in handle["fields"].values())


def test_beside_the_source_the_result_has_an_ending(store):
    """F-47: the source and CURRENT stay; both are candidates; the result cannot be converted into itself."""
    before = content(store)
    made = converted(store, TWO, store, Form("collective"))
    assert made == f"{TWO}.collective" and store.current() == TWO
    assert {key: value for key, value in content(store).items() if not key.startswith(made)} == before
    assert store.candidates() == ([TWO, made, ONE], "") and values_are_right(store, made)
    with pytest.raises(ConfigError, match="has this form already"):
        converted(store, made, store, Form("collective"))
    assert converted(store, made, store, Form("shards", 2)) == f"{TWO}.shards"


def test_done_twice_is_done_once(store, tmp_path):
    """F-47: a good result is kept, a damaged or another one is not overwritten."""
    target = CheckpointStore(tmp_path / "other" / "ckpt")
    converted(store, ONE, target, Form("shards", 2))
    before, inode = content(target), target.path(ONE).stat().st_ino
    lines: list[str] = []
    with Context.serial() as context:
        assert convert(context, store, ONE, target, Form("shards", 2), lines.append) == ONE
    assert "already and good" in lines[0] and content(target) == before and target.path(ONE).stat().st_ino == inode
    with pytest.raises(DiskError, match="another checkpoint"):
        converted(store, ONE, target, Form("collective"))
    make.flip(target.path(ONE) / "shard-00000.h5", 7)
    with pytest.raises(DiskError, match="is damaged .*remove it first"):
        converted(store, ONE, target, Form("shards", 2))
    make.flip(target.path(ONE) / "MANIFEST.json", 7)
    with pytest.raises(DiskError, match="is damaged .*remove it first"):
        converted(store, ONE, target, Form("shards", 2))


@pytest.mark.parametrize("codec", ["none", "zstd"])
@pytest.mark.parametrize("where", ["piece", "frame", "table", "structure"])
def test_a_damaged_source_is_refused(store, tmp_path, where, codec):
    """F-09, F-36: nothing is written from a checkpoint of which a byte is wrong."""
    manifest, table = store.read_manifest(ONE), store.read_table(ONE)
    path = store.file(ONE, manifest.files[1])
    if where == "piece":
        make.flip(path, 8 * int(table[table["file"] == 1][-1]["offset"]))
    elif where == "frame":
        make.flip(path, 0)
    elif where == "table":
        make.flip(store.path(ONE) / "blocks.bin", 3)
    else:
        with h5py.File(path, "r+") as handle:
            handle["more"] = h5py.SoftLink("/fields/0")
    target = CheckpointStore(tmp_path / "other" / "ckpt")
    with pytest.raises(DiskError, match="damaged|instead of"):
        converted(store, ONE, target, Form("shards", 2, codec))
    assert not target.root.exists() or os.listdir(target.root) == []


def test_an_existing_current_stays(store, tmp_path):
    target = CheckpointStore(tmp_path / "other" / "ckpt")
    make.make(target, 9, make.layout_of(samples.domain(2)), make.specs(2))
    converted(store, ONE, target, Form())
    assert target.current() == "step-00000009" and target.names() == ["step-00000009", ONE]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("other",), "Known: collective, shards"), (("shards", 0), "allowed: 1"), (("collective", 2), "has one"),
        (("shards", 1, "zfp"), "lossless|does not keep"), (("shards", 1, "zstt"), "did you mean 'zstd'"),
    ],
)  # fmt: skip
def test_forms_that_cannot_be(arguments, said):
    with pytest.raises(ConfigError, match=said):
        Form(*arguments)


@pytest.mark.parametrize("files", [1, 2, 3, 7, 50])
def test_pieces_are_dealt_evenly(files):
    """ERIO: every register over all files, in runs, none more than a piece above its part."""
    generator = np.random.default_rng(files)
    table = np.zeros(300, samples.np.dtype([("field", "<u2")]))
    table["field"] = np.sort(generator.integers(0, 4, 300))
    nbytes = generator.integers(1, 100, 300)
    number = deal(table, nbytes, files)
    for field in range(4):
        mine = table["field"] == field
        sizes = np.bincount(number[mine], nbytes[mine], minlength=files)
        assert len(sizes) == files and sizes.max() <= nbytes[mine].sum() / files + 100
        assert (np.diff(number[mine]) >= 0).all()


def test_more_files_than_pieces(store, tmp_path):
    """ERIO: files without a piece are left out."""
    target = CheckpointStore(tmp_path / "other" / "ckpt")
    make.make(store, 3, make.layout_of(samples.domain(1), 1, [3]), make.specs(1, few=True))
    converted(store, "step-00000003", target, Form("shards", 1000))
    new = target.read_manifest("step-00000003")
    assert [entry.name for entry in new.files] == [f"shard-{n:05d}.h5" for n in range(len(new.files))]
    assert 1 < len(new.files) < 1000 and verify(target, "step-00000003", structure=True) == []


VERBS = [
    "mkdir",
    "create",
    "preallocate",
    "pwrite",
    "open_write",
    "fsync",
    "rename",
    "sync_directory",
    "open_read",
    "close",
]


@pytest.mark.parametrize("verb", VERBS)
def test_a_failing_call_leaves_no_result(store, tmp_path, monkeypatch, verb):
    """F-01, F-47: each call that writes fails once at every place; source untouched, no result, the next try works."""
    # Looking into the files by other processes has tests of its own, and takes long.
    monkeypatch.setattr(module, "structure_faults", lambda *arguments: iter(()))
    before = content(store)
    real, at, outcomes = getattr(io, verb), 0, []
    while not outcomes or outcomes[-1] == "failed":
        # Every call at first; later ones are of the same kind.
        at += 1 if at < 12 else 10
        target = CheckpointStore(tmp_path / f"other-{at}" / "ckpt")
        calls = []

        def call(*arguments, at=at, calls=calls):
            calls.append(arguments)
            if len(calls) == at:
                raise OSError(28, "No space left on device")
            return real(*arguments)

        with monkeypatch.context() as patch:
            patch.setattr(io, verb, call)
            try:
                converted(store, TWO, target, Form("shards", 2))
                outcomes.append("done")
            except DiskError:
                outcomes.append("failed")
        assert content(store) == before
        if outcomes[-1] == "failed" and target.names():
            # The name was given, and only what comes after failed: the result is whole.
            assert verb in ("rename", "sync_directory", "fsync", "create", "pwrite", "close", "open_read")
            assert verify(target, TWO) == []
        assert converted(store, TWO, target, Form("shards", 2)) == TWO and verify(target, TWO) == []
        assert target.current() == TWO and at < 500
    assert outcomes[0] == "failed"


def test_a_result_that_does_not_read_back_is_refused(store, tmp_path, monkeypatch):
    """F-05: a disk that loses a write without an error."""
    real = io.pwrite

    def lossy(handle, data, offset):
        real(handle, bytes(len(data)) if offset > 4096 else data, offset)

    monkeypatch.setattr(io, "pwrite", lossy)
    target = CheckpointStore(tmp_path / "other" / "ckpt")
    with pytest.raises(DiskError, match="does not read back"):
        converted(store, ONE, target, Form())
    assert os.listdir(target.root) == []


def test_a_codec_that_changes_its_mind_is_found(store, tmp_path, monkeypatch):
    """F-09: the lengths of the first pass must hold in the second."""

    class Moody:
        calls = 0

        def encode(self, values, bound):
            Moody.calls += 1
            return bytes(8 + Moody.calls)

    monkeypatch.setattr(module, "load_codec", lambda name: Moody() if name == "zstd" else None)
    target = CheckpointStore(tmp_path / "other" / "ckpt")
    with pytest.raises(DiskError, match="bytes where it had given"):
        converted(store, ONE, target, Form("shards", 1, "zstd"))
    assert os.listdir(target.root) == []


KILLED = """
import os, sys
from pathlib import Path
from hpcsim.comm.context import Context
from hpcsim.output.checkpoint import io
from hpcsim.output.checkpoint.convert import Form, convert
from hpcsim.output.checkpoint.store import CheckpointStore

source, target, verb, at = sys.argv[1:]
real, calls = getattr(io, verb), []

def call(*arguments):
    calls.append(arguments)
    if len(calls) == int(at):
        os.kill(os.getpid(), 9)
    return real(*arguments)

setattr(io, verb, call)
with Context.serial() as context:
    convert(context, CheckpointStore(Path(source)), "step-00000002", CheckpointStore(Path(target)), Form(), print)
"""
KILLS = [("mkdir", 1), ("preallocate", 1), ("pwrite", 2), ("pwrite", 9), ("fsync", 2), ("rename", 1), ("rename", 2)]


@pytest.mark.parametrize(("verb", "at"), KILLS)
def test_a_killed_conversion_can_be_done_again(store, tmp_path, verb, at):
    """F-47: at each stage; the source is untouched, and what a reader can see is nothing or all."""
    before = content(store)
    target = CheckpointStore(tmp_path / "other" / "ckpt")
    words = [sys.executable, "-c", KILLED, str(store.root), str(target.root), verb, str(at)]
    answer = subprocess.run(words, env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, timeout=60)
    assert answer.returncode == -signal.SIGKILL, answer.stderr.decode()
    assert content(store) == before
    assert all(verify(target, name) == [] for name in target.names())
    assert converted(store, TWO, target, Form()) == TWO and values_are_right(target, TWO)
    assert target.clean() in ([], [".tmp-CURRENT"]) and target.names() == [TWO]


def said(capsys, *words: str) -> tuple[int, str, str]:
    """Exit code and both outputs of a command."""
    code = main(["checkpoint", *words])
    out, err = capsys.readouterr()
    return code, out, err


def test_the_command_lists(store, capsys):
    """ENG-15: one line each, and the same as JSON; a damaged one is shown as such."""
    run = str(store.root.parent)
    code, out, _ = said(capsys, "list", run)
    assert code == 0 and out.splitlines()[0].split() == ["name", "step", "t", "size", "mode", "codec", "needs", "state"]
    assert out.splitlines()[1].split()[:3] == [TWO, "2", "1"] and out.splitlines()[1].split()[-2:] == [ONE, "current"]
    assert out.splitlines()[2].split()[-2:] == ["-", "accepted"]
    rows = json.loads(said(capsys, "list", str(store.root), "--json")[1])
    own = [path.stat().st_size for path in store.path(TWO).iterdir()]
    assert [row["name"] for row in rows] == [TWO, ONE] and rows[0]["bytes"] == sum(own)
    assert rows[0]["needs"] == [ONE] and rows[0]["time"] == 1.0 and rows[0]["state"] == "current"
    store.set_current(ONE)
    make.flip(store.path(ONE) / "MANIFEST.json", 99)
    rows = json.loads(said(capsys, "list", run, "--json")[1])
    assert [row["state"] for row in rows] == ["newer", "bad"] and "damaged" in rows[1]["problem"]
    out = said(capsys, "list", run)[1]
    assert "?" in out and "newer but not accepted" in out


def test_the_command_verifies(store, capsys):
    """F-09: code 4 and the reasons if any named one is bad."""
    run = str(store.root.parent)
    assert said(capsys, "verify", run, "--structure")[:2] == (0, f"{TWO}  good\n{ONE}  good\n")
    make.flip(store.path(TWO) / "shard-00000.h5", 8)
    code, out, _ = said(capsys, "verify", run)
    assert code == 4 and f"{TWO}  BAD\n    shard-00000.h5: it is damaged outside the pieces\n{ONE}  good\n" == out
    assert said(capsys, "verify", run, ONE)[0] == 0 and said(capsys, "verify", run, ONE, TWO)[0] == 4
    code, out, _ = said(capsys, "verify", run, "--json")
    assert code == 4 and json.loads(out) == {TWO: ["shard-00000.h5: it is damaged outside the pieces"], ONE: []}
    code, _, err = said(capsys, "verify", run, "step-00000003")
    assert code == 2 and "did you mean 'step-0000000" in err


def test_the_command_prunes(store, capsys):
    """F-47: never what a kept one needs; a dry run changes nothing."""
    layout = make.layout_of(samples.domain(2))
    for step in (3, 4):
        make.make(store, step, layout, make.specs(2))
    run = str(store.root.parent)
    code, out, _ = said(capsys, "prune", run, "--keep", "2", "--dry-run")
    assert code == 0 and f"would remove {TWO}\nwould remove {ONE}\n2 kept" in out and len(store.names()) == 4
    assert said(capsys, "prune", run, "--keep", "1")[0] == 2
    assert "4 kept" in said(capsys, "prune", run, "--keep", "3")[1]
    assert f"removed {TWO}\nremoved {ONE}\n2 kept" in said(capsys, "prune", run, "--keep", "2")[1]
    assert store.names() == ["step-00000004", "step-00000003"]
    assert not (store.root.parent / "lock").exists()


def test_the_command_does_not_prune_under_a_live_run(store, capsys):
    """F-14: the lock of the run is taken, so code 6 while another process holds it."""
    from hpcsim.output.lock import RunLock

    layout = make.layout_of(samples.domain(2))
    for step in (3, 4):
        make.make(store, step, layout, make.specs(2))
    with RunLock(store.root.parent / "lock"):
        code, _, err = said(capsys, "prune", str(store.root), "--keep", "2")
    assert code == 6 and "in use by" in err and len(store.names()) == 4


def test_the_command_converts(store, tmp_path, capsys):
    """ERIO: by default the one that a restart takes first, into a run directory that need not exist."""
    run = str(store.root.parent)
    code, out, _ = said(capsys, "convert", run, "--mode", "collective", "--to", str(tmp_path / "new"))
    target = CheckpointStore(tmp_path / "new" / "ckpt")
    assert code == 0 and out == f"{target.path(TWO)}\n" and target.read_manifest(TWO).mode == "collective"
    code, out, _ = said(capsys, "convert", run, ONE, "--files", "2", "--codec", "zstd")
    assert (
        code == 0
        and out == f"{store.path(ONE)}.shardszstd\n"
        and len(store.read_manifest(f"{ONE}.shardszstd").files) == 2
    )
    code, _, err = said(capsys, "convert", run, "--mode", "collective", "--files", "3")
    assert code == 2 and "has one" in err
    code, _, err = said(capsys, "convert", run, "--codec", "zstt")
    assert code == 2 and "did you mean 'zstd'" in err


def test_the_command_says_what_is_no_run(tmp_path, capsys):
    for words in (["list", str(tmp_path / "none")], ["verify", str(tmp_path)]):
        code, _, err = said(capsys, *words)
        assert code == 6 and "give a run directory" in err
    (tmp_path / "ckpt").mkdir()
    assert said(capsys, "list", str(tmp_path))[:2] == (0, f"no checkpoints in {tmp_path / 'ckpt'}\n")
    assert said(capsys, "verify", str(tmp_path))[0] == 4 == said(capsys, "convert", str(tmp_path))[0]
    assert said(capsys, "fly", str(tmp_path))[0] == 2
