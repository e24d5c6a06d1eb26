"""The manifest: canonical text, strict and bounded reading, every refusal with its reason."""

from __future__ import annotations

import hashlib
import json
import time

import numpy as np
import pytest

from hpcsim.errors import DiskError
from hpcsim.fields.spec import FieldSpec
from hpcsim.output.checkpoint.manifest import FieldEntry, FileEntry, Manifest, TableEntry, checkpoint_name, step_of
from hpcsim.output.checkpoint.parsing import MAX_BYTES, MAX_DEPTH, MAX_VALUES
from hpcsim.output.checkpoint.pieces import Slab, table_of
from tests.unit.output import samples


def manifest(**changes) -> Manifest:
    """A manifest with something in every part."""
    specs = {"u": FieldSpec("u"), "u@prev": FieldSpec("u"), "E": FieldSpec("E", 3, "edge", "float32")}
    parts = {
        "hpcsim": "0.1.0", "run": "20250101-a1", "name": "step-00000300", "step": 300, "time": 0.1, "dt": 1e-300,
        "mode": "shards", "codec": "none", "grid": samples.domain(3),
        "fields": tuple(FieldEntry.of(name, spec, 3) for name, spec in specs.items()),
        "files": (FileEntry("shard-00000.h5", "", 10**12, "0" * 32), FileEntry("a.h5", "step-00000200", 0, "f" * 32)),
        "table": TableEntry(4, 424, "1" * 64), "needs": (("step-00000200", "2" * 64),), "config": "a = \"é\"\n",
        "config_digest": "x", "versions": {"numpy": "1.26"}, "ranks": 3,
        "state": {"dt": [0.1, 5e-324, -0.0], "key": 2**64 - 1, "none": None, "text": "\udcff \u2028"},
    }  # fmt: skip
    return Manifest(**{**parts, **changes})


def signed(body: dict) -> str:
    """Canonical text of a JSON object with its right digest, whatever is in it."""
    body = {key: value for key, value in body.items() if key != "sha256"}
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    body["sha256"] = hashlib.sha256((text + "\n").encode()).hexdigest()
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True) + "\n"


def reason(text) -> str:
    """Why a text is refused."""
    with pytest.raises(DiskError) as caught:
        Manifest.parse(text, "here/MANIFEST.json")
    assert str(caught.value).startswith("here/MANIFEST.json: ")
    return str(caught.value)


def test_round_trip_and_the_written_form():
    """ENG-15: what is read is what was written, and the text is the one that the format asks for."""
    one = manifest()
    text = one.to_text()
    assert Manifest.parse(text, "m") == one == Manifest.parse(text.encode(), "m")
    assert Manifest.parse(text, "m").to_text() == text == signed(json.loads(text))
    assert json.loads(text)["sha256"] == one.sha256 and text.endswith("}\n") and text.isascii()
    assert set(json.loads(text)) == {
        "format", "hpcsim", "run", "name", "step", "time", "dt", "mode", "codec", "grid", "fields", "files", "table",
        "needs", "config", "config_digest", "versions", "ranks", "state", "sha256",
    }  # fmt: skip
    assert np.signbit(Manifest.parse(text, "m").state["dt"][2])
    assert Manifest.parse(manifest(time=np.float64(2), dt=1).to_text(), "m").time == 2.0


def test_entries_of_fields_and_tables():
    entry = FieldEntry.of("E@prev", FieldSpec("E", 2, "edge"), 2)
    assert entry.spec == FieldSpec("E@prev", 2, "edge") and entry.locations == ((0, 1), (1, 0))
    table = table_of(0, [Slab(0, (0,), (3,))])
    assert TableEntry.of(table) == TableEntry(1, 106, hashlib.sha256(table.tobytes()).hexdigest())
    assert TableEntry.of(table[:0]) == TableEntry(0, 0, hashlib.sha256(b"").hexdigest())


@pytest.mark.parametrize("step", [0, 7, 99_999_999, 100_000_000, 10**17])
def test_names_of_checkpoints(step):
    assert step_of(checkpoint_name(step)) == step == step_of(checkpoint_name(step, "collective"))
    others = "", "step-1", "step-000000001", ".tmp-300-a", "step-00000300/..", "step-00000300.", "step-0000030٣", "STEP"
    assert all(step_of(name) is None for name in others)


@pytest.mark.parametrize("seed", range(200))
def test_every_flipped_bit_is_seen(seed):
    """F-09: in any byte of the text."""
    raw = bytearray(manifest().to_text().encode())
    bit = int(np.random.default_rng(seed).integers(8 * len(raw)))
    raw[bit // 8] ^= 1 << bit % 8
    reason(bytes(raw))


def test_every_truncation_is_seen():
    """F-08: cut at every byte."""
    raw = manifest().to_text().encode()
    assert all("here" in reason(raw[:length]) for length in range(len(raw)))
    reason(raw + b"\n")


def test_another_spelling_of_the_same_is_damage():
    """F-09: spaces, another order of keys, a doubled key, another form of a number."""
    text = manifest().to_text()
    body = json.loads(text)
    assert "not as it was written" in reason(json.dumps(body, sort_keys=True) + "\n")
    assert "not as it was written" in reason(text.replace('"step":300', '"step":300,"step":300'))
    assert "not as it was written" in reason(text.replace('"time":0.1', '"time":0.10'))
    assert "not as it was written" in reason(text.rstrip("\n"))
    assert "sha256 does not fit" in reason(text.replace('"step":300', '"step":301'))
    assert "no plain text" in reason(text.replace("20250101", "2025é"))


def test_a_newer_format_is_refused_by_name():
    """F-12: the person is told which version wrote it and what to do."""
    body = {**json.loads(manifest().to_text()), "format": 2, "hpcsim": "3.1", "more": {}}
    text = reason(signed(body))
    assert "written by hpcsim 3.1 in format 2" in text and "reads format 1" in text and "newer hpcsim" in text
    for version in (0, -1, "1", 1.0, True, None):
        assert "its format is" in reason(signed({**body, "format": version}))


NAN = float("nan")
WRONG = [
    ("hpcsim", 1, "a text is needed"),
    ("run", "a b", "no allowed name"),
    ("run", "../a", "no allowed name"),
    ("run", "", "no allowed name"),
    ("run", "a\n", "no allowed name"),
    ("name", "step-00000301", "not of step 300"),
    ("name", "../../etc", "no allowed name"),
    ("step", 300.0, "whole number"),
    ("step", True, "whole number"),
    ("step", -1, "whole number"),
    ("step", 2**63, "whole number"),
    ("time", 1, "finite decimal"),
    ("time", NAN, "NaN, which is no JSON number"),
    ("dt", float("inf"), "Infinity, which is no JSON number"),
    ("dt", "0.1", "finite decimal"),
    ("mode", "../other", "mode"),
    ("mode", [], "mode"),
    ("codec", "no/ne", "no allowed name"),
    ("ranks", 0, "at least 1"),
    ("config", None, "a text is needed"),
    ("config_digest", {}, "a text is needed"),
    ("state", [], "an object is needed"),
    ("versions", {"a": 1}, "a text is needed"),
    ("grid", [], "an object is needed"),
    ("grid.shape", [4, 4], "entries for 2 axes"),
    ("grid.shape", [4, 4.0, 4], "grid.shape[1]"),
    ("grid.shape", [], "allowed: 1 to 4"),
    ("grid.shape", [2**62, 2**62, 2**62], "at most 2**62"),
    ("grid.upper", [0.0, 0.0, 0.0], "upper above lower"),
    ("grid.lower", [0, 0.0, 0.0], "finite decimal"),
    ("grid.periodic", [1, 0, 1], "true or false"),
    ("grid.more", 1, "unknown keys"),
    ("fields", [], "is empty"),
    ("fields", {}, "a list is needed"),
    ("fields.0.name", "", "no name"),
    ("fields.0.name", "u@prev", "named twice"),
    ("fields.0.name", "a\nb", "no name"),
    ("fields.0.name", "n" * 201, "no name"),
    ("fields.0.dtype", "object", "unknown dtype"),
    ("fields.0.dtype", "float16", "unknown dtype"),
    ("fields.0.centring", "cel", "did you mean 'cell'"),
    ("fields.0.components", 65536, "at most 65535"),
    ("fields.0.components", 0, "at least 1"),
    ("fields.0.locations", [[0, 0, 1]], "do not belong to centring cell"),
    ("fields.2.components", 2, "one component per axis"),
    ("files", [], "is empty"),
    ("files.0.name", "../x.h5", "no allowed name"),
    ("files.0.name", "/etc/passwd", "no allowed name"),
    ("files.0.name", "MANIFEST.json", "no data file"),
    ("files.0.name", "x" * 101, "no allowed name"),
    ("files.0.checkpoint", "..", "no checkpoint"),
    ("files.0.checkpoint", "step-00000300", "needs are not"),
    ("files.1.checkpoint", "", "needs are not"),
    ("files.0.size", -1, "at least 0"),
    ("files.0.frame", "0" * 31, "no allowed name"),
    ("files.0.frame", "G" * 32, "no allowed name"),
    ("table.rows", 5, "5 rows do not have it"),
    ("table.sha256", "0", "no allowed name"),
    ("needs", [["step-00000200"]], "a name and a sha256"),
    ("needs.0.0", "other", "no allowed name"),
    ("needs.0.1", "zz", "no allowed name"),
]


@pytest.mark.parametrize(("where", "value", "said"), WRONG, ids=[f"{w}={str(v)[:12]!a}" for w, v, _ in WRONG])
def test_a_wrong_value_is_refused_though_the_digest_is_right(where, value, said):
    """F-12, F-33: types, ranges and names, with the reason; no path leads out."""
    body = json.loads(manifest().to_text())
    *path, last = where.split(".")
    part = body
    for step in path:
        part = part[int(step) if step.isdigit() else step]
    part[int(last) if last.isdigit() else last] = value
    assert said.replace("needs are not", "needs are not those") in reason(signed(body))


def test_keys_are_neither_missing_nor_unknown():
    """F-12: in every object of the format."""
    body = json.loads(manifest().to_text())
    for key in set(body) - {"sha256", "format"}:
        assert f"lacks {key}" in reason(signed({k: v for k, v in body.items() if k != key}))
    assert "unknown keys: ['extra']" in reason(signed({**body, "extra": 1}))
    for part in ("grid", "table"):
        assert "unknown keys" in reason(signed({**body, part: {**body[part], "extra": 1}}))
        assert f"{part} lacks" in reason(signed({**body, part: dict(list(body[part].items())[1:])}))
    for part in ("fields", "files"):
        assert "unknown keys" in reason(signed({**body, part: [{**body[part][0], "extra": 1}, *body[part][1:]]}))


def test_hostile_texts_are_refused_at_once():
    """F-31, F-36: too large, too deep, too many values, no JSON; within a second and before anything is built."""
    start = time.monotonic()
    assert "at most" in reason(b" " * (MAX_BYTES + 1))
    assert f"deeper than {MAX_DEPTH}" in reason("[" * 100_000 + "]" * 100_000)
    assert "values" in reason(b"[" + b"1," * (MAX_VALUES + 1) + b"1]")
    assert "cut short" in reason("{" + "9" * 10_000 + "}") and "damaged" in reason("9" * 10_000)
    for text in ("", "null", "[]", "1", '"x"', "{", "{}", "\0", '{"format":1}'):
        reason(text)
    assert time.monotonic() - start < 1.0
    deep: dict = {}
    for _ in range(MAX_DEPTH):
        deep = {"a": deep}
    body = json.loads(manifest().to_text())
    assert f"deeper than {MAX_DEPTH}" in reason(signed({**body, "state": deep}))
    assert Manifest.parse(signed({**body, "state": deep["a"]["a"]}), "m").state


@pytest.mark.parametrize(
    "changes",
    [
        {"state": {"a": NAN}}, {"state": {"a": np.arange(3)}}, {"time": float("inf")}, {"run": "a b"}, {"name": "x"},
        {"step": 2}, {"ranks": 0}, {"files": ()}, {"state": {"a": b""}}, {"needs": ()},
    ],
)  # fmt: skip
def test_what_could_not_be_read_is_not_written(changes):
    """ENG-15: a manifest that this package would refuse never reaches the disk."""
    with pytest.raises(DiskError, match="cannot be written"):
        manifest(**changes).to_text()
