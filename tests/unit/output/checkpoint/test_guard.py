"""Hostile and damaged HDF5 files are refused before anything of them is read, and never by the calling process."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path

import h5py
import numpy as np
import pytest

from hpcsim.errors import DiskError
from hpcsim.output.checkpoint import guard
from hpcsim.output.checkpoint.guard import look_into, look_into_all
from hpcsim.sizes import peak_bytes

PEAK_BYTES = 400 << 20
PYTHON = sys.executable


def plain(path: Path, **options) -> Path:
    """A file like those of a checkpoint."""
    with h5py.File(path, "w", libver="latest") as handle:
        handle.create_dataset("fields/0", data=np.arange(100.0), **options)
        handle.create_dataset("fields/1", data=np.arange(60, dtype=np.uint8))
    return path


def refused(path: Path, **options) -> str:
    """Why a file is refused."""
    with pytest.raises(DiskError) as caught:
        look_into(path, **options)
    assert str(path) in str(caught.value)
    return str(caught.value)


def test_a_plain_file_is_described(tmp_path):
    """F-36: place, type and extent of each dataset, as the table needs them."""
    path = plain(tmp_path / "a.h5")
    found = look_into(path)
    assert [(one.path, one.dtype, one.shape, one.nbytes) for one in found.datasets] == [
        ("/fields/0", "float64", (100,), 800), ("/fields/1", "uint8", (60,), 60),
    ]  # fmt: skip
    raw = path.read_bytes()
    first = found.datasets[0]
    assert np.frombuffer(raw[first.offset : first.offset + first.nbytes]).tolist() == list(range(100))
    assert 0 < found.peak_bytes < PEAK_BYTES


@pytest.mark.parametrize("options", [{"compression": "gzip", "shuffle": True, "fletcher32": True}, {"chunks": (10,)}])
def test_allowed_filters(tmp_path, options):
    found = look_into(plain(tmp_path / "a.h5", **options)).datasets
    assert found[0].nbytes == 800 and found[0].offset == -1


def hostile(kind: str, folder: Path) -> Path:
    """A file of a certain malice."""
    path, victim = folder / f"{kind}.h5", folder / "victim"
    victim.write_bytes(b"secret" * 100)
    with h5py.File(path, "w", libver="latest") as handle:
        group = handle.create_group("fields")
        group["1"] = np.arange(3.0)
        if kind == "external link":
            group["0"] = h5py.ExternalLink(str(victim), "/x")
        elif kind == "soft link":
            group["0"] = h5py.SoftLink("/fields/1")
        elif kind == "soft link out":
            group["0"] = h5py.SoftLink("/../../x")
        elif kind == "external storage":
            group.create_dataset("0", (600,), "u1", external=[(str(victim), 0, 600)])
        elif kind == "virtual":
            layout = h5py.VirtualLayout((3,), "f8")
            layout[:] = h5py.VirtualSource(str(victim), "x", (3,))
            group.create_virtual_dataset("0", layout)
        elif kind == "shape bomb":
            group.create_dataset("0", (10**13,), "f8")
        elif kind == "chunked bomb":
            group.create_dataset("0", (10**13,), "f8", chunks=(10**6,), compression="gzip")[:1000] = 1.0
        elif kind == "overflow":
            group.create_dataset("0", (2**40, 2**40), "f8", chunks=(1, 1000))
        elif kind == "huge attribute":
            group["1"].attrs["a"] = np.zeros(10 << 20, np.uint8)
        elif kind == "many attributes":
            for number in range(100):
                handle.attrs[str(number)] = number
        elif kind == "loop":
            group["up"] = handle["/"]
        elif kind == "two names":
            group["2"] = group["1"]
        elif kind == "object":
            group.create_dataset("0", (3,), h5py.string_dtype())
        elif kind == "reference":
            group.create_dataset("0", data=np.array([group["1"].ref], dtype=h5py.ref_dtype))
        elif kind == "compound":
            group["0"] = np.zeros(3, [("a", "f8"), ("b", "i4")])
        elif kind == "half":
            group["0"] = np.zeros(3, np.float16)
        elif kind == "big endian":
            group["0"] = np.zeros(3, ">f8")
        elif kind == "array type":
            group.create_dataset("0", (3,), np.dtype(("f8", (10**6,))))
        elif kind == "named type":
            group["0"] = np.dtype("f8")
        elif kind == "empty":
            group["0"] = h5py.Empty("f8")
        elif kind == "many axes":
            group["0"] = np.zeros((1,) * 9)
        elif kind == "filter":
            group.create_dataset("0", (100,), "f8", chunks=(10,), compression="lzf")
        elif kind == "deep":
            handle.create_group("/".join("abcdefghijklm"))
        elif kind == "many":
            for number in range(2000):
                group.create_group(f"g{number}")
    return path


HOSTILE = {
    "external link": "soft or external link", "soft link": "soft or external link",
    "soft link out": "soft or external link", "external storage": "in another file", "virtual": "virtual dataset",
    "shape bomb": "declares 80000000000000 bytes", "chunked bomb": "declares 80000000000000 bytes",
    "overflow": "bytes", "huge attribute": "attribute of 10485760 bytes", "many attributes": "100 attributes",
    "loop": "loop of links", "two names": "same object", "object": "no plain numbers", "reference": "no plain numbers",
    "compound": "no plain numbers", "half": "unusual type", "big endian": "unusual type",
    "array type": "no plain numbers", "named type": "neither a group nor a dataset", "empty": "no plain array",
    "many axes": "9 axes", "filter": "filter number 32000", "deep": "nested deeper",
}  # fmt: skip


@pytest.mark.parametrize("kind", HOSTILE)
def test_hostile_files_are_refused(tmp_path, kind):
    """F-36: every payload by its name, at once."""
    start = time.monotonic()
    assert HOSTILE[kind] in refused(hostile(kind, tmp_path))
    assert time.monotonic() - start < 10.0


def test_hostile_files_are_refused_with_little_memory(tmp_path):
    """F-36: the process that looks has a bound, and does not come near it."""
    from hpcsim.output.checkpoint.guard import examine

    for kind in ("shape bomb", "chunked bomb", "huge attribute", "overflow"):
        before = peak_bytes()
        assert "problem" in examine(str(hostile(kind, tmp_path)))
        assert peak_bytes() - before < 64 << 20


def test_too_many_objects(tmp_path, monkeypatch):
    """F-36: the walk has an end."""
    monkeypatch.setattr(guard, "MAX_OBJECTS", 1000)
    assert "2001 entries" in guard.examine(str(hostile("many", tmp_path)))["problem"]


def test_what_is_no_hdf5_file(tmp_path):
    """F-33: links, pipes, text and nothing are refused without waiting."""
    assert "no file" in refused(tmp_path / "none")
    os.mkfifo(tmp_path / "pipe")
    assert "no regular file" in refused(tmp_path / "pipe")
    (tmp_path / "link").symlink_to(plain(tmp_path / "a.h5"))
    assert "no regular file" in refused(tmp_path / "link")
    for name, raw in (("empty", b""), ("text", b"hello"), ("zeros", bytes(9999))):
        (tmp_path / name).write_bytes(raw)
        assert "HDF5" in refused(tmp_path / name)


def stand_in(tmp_path, monkeypatch, code: str) -> Path:
    """Let another program take the place of the one that looks."""
    script = tmp_path / "program"
    script.write_text(f"#!{PYTHON}\n{code}\n")
    script.chmod(0o755)
    monkeypatch.setattr(guard.sys, "executable", str(script))
    return plain(tmp_path / "a.h5")


def test_a_crash_a_hang_and_nonsense_are_refusals(tmp_path, monkeypatch):
    """F-37: whatever becomes of the other process, this one goes on with a reason."""
    assert "crashed on it" in refused(stand_in(tmp_path, monkeypatch, "import os; os.kill(os.getpid(), 11)"))
    assert "took more than 1 s" in refused(stand_in(tmp_path, monkeypatch, "import time; time.sleep(60)"), limit_s=1.0)
    assert "no reason given" in refused(stand_in(tmp_path, monkeypatch, "print('{')"))
    assert "no such luck" in refused(stand_in(tmp_path, monkeypatch, "raise SystemExit('no such luck')"))
    assert "could not be looked into" in refused(stand_in(tmp_path, monkeypatch, "print('[{\"datasets\": [[1]]}]')"))


def test_one_bad_file_among_others(tmp_path, monkeypatch):
    """F-37: a file on which the process ends is found, and the others are described."""
    paths = [plain(tmp_path / f"{name}.h5") for name in "abc"]
    paths[1] = hostile("virtual", tmp_path)
    found = look_into_all(paths)
    assert [type(one).__name__ for one in found] == ["Structure", "DiskError", "Structure"]
    code = "import os, sys, json; 'virtual' in ''.join(sys.argv) and os.kill(os.getpid(), 11)\n"
    code += "print(json.dumps([{'datasets': [], 'peak': 1}] * (len(sys.argv) - 1)))"
    stand_in(tmp_path, monkeypatch, "import sys; sys.argv[1:] = sys.argv[3:]\n" + code)
    assert ["crashed on it" in str(one) for one in look_into_all(paths)] == [False, True, False]
    (tmp_path / "c.h5").unlink()
    assert [isinstance(one, DiskError) for one in look_into_all(paths)] == [False, True, True]


def test_the_looking_process_has_no_plug_ins_no_mpi_and_bounded_memory(tmp_path, monkeypatch):
    """F-36: a filter plug-in named by the environment is not loaded."""
    monkeypatch.setenv("HDF5_PLUGIN_PATH", str(tmp_path))
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "4")
    text = "import os, json; print(json.dumps([{'problem': repr(sorted(os.environ.items()))}]))"
    said = refused(stand_in(tmp_path, monkeypatch, text))
    assert "('HDF5_PLUGIN_PATH', '')" in said and "OMPI_" not in said


def mutated(raw: bytes, seed: int) -> bytes:
    """A file with a few of its bytes changed, mostly in the metadata at its start."""
    generator = np.random.default_rng(seed)
    changed = bytearray(raw)
    for _ in range(int(generator.integers(1, 9))):
        limit = len(raw) if generator.random() < 0.2 else min(len(raw), 2048)
        changed[int(generator.integers(limit))] = int(generator.integers(256))
    return bytes(changed)


def survive(tmp_path: Path, seeds: range) -> None:
    """Look into mutated files; each is described or refused, with little memory."""
    originals = [plain(tmp_path / "a.h5").read_bytes()]
    originals.append(plain(tmp_path / "b.h5", compression="gzip", fletcher32=True).read_bytes())
    with h5py.File(tmp_path / "c.h5", "w") as handle:
        handle["fields/0"] = np.arange(10.0)
        handle["fields/0"].attrs["x"] = 3
    originals.append((tmp_path / "c.h5").read_bytes())
    outcomes = {"described": 0, "refused": 0}
    for seed in seeds:
        path = tmp_path / "mutated.h5"
        path.write_bytes(mutated(originals[seed % 3], seed))
        try:
            assert look_into(path, limit_s=20.0).peak_bytes < PEAK_BYTES
            outcomes["described"] += 1
        except DiskError:
            outcomes["refused"] += 1
    assert sum(outcomes.values()) == len(seeds) and outcomes["refused"] > 0


def test_mutated_files_never_harm_this_process(tmp_path):
    """F-37."""
    survive(tmp_path, range(12))


@pytest.mark.nightly
def test_many_mutated_files_never_harm_this_process(tmp_path):
    """F-37."""
    survive(tmp_path, range(12, 400))
