"""Reading a manifest strictly: bounded, canonical, every value of the type and range that the format allows."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Callable
from typing import Any, TypeVar

from hpcsim.errors import ConfigError, DiskError
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.location import Location
from hpcsim.output.checkpoint.manifest import (
    CHECKPOINT_NAME,
    FORMAT,
    MANIFEST_NAME,
    NAME,
    PLAIN_KEYS,
    TABLE_NAME,
    FieldEntry,
    FileEntry,
    Manifest,
    TableEntry,
    canonical,
    step_of,
)
from hpcsim.output.checkpoint.pieces import PIECE

MAX_BYTES = 64 << 20
MAX_DEPTH = 20
# Values of a manifest: bounds the memory that a hostile text can make a parser use.
MAX_VALUES = 4_000_000
MAX_REGISTER_NAME = 200
KEYS = {*PLAIN_KEYS, "grid", "fields", "files", "table", "needs", "versions", "state", "sha256"}
_HEX = {length: re.compile(rf"[0-9a-f]{{{length}}}") for length in (32, 64)}

T = TypeVar("T")


class _Fault(Exception):
    """Why a text is refused."""


def parse_manifest(text: str | bytes, where: str) -> Manifest:
    """The manifest of a text, or a refusal (see `Manifest.parse`).

    Raises
    ------
    DiskError
        With `where` and the reason.
    """
    try:
        raw = _bounded(text)
        body = _loaded(raw)
        _check(isinstance(body, dict), "it is no JSON object")
        _check_version(body)
        _check_digest(body, raw)
        return _built(body)
    except _Fault as fault:
        raise DiskError(f"{where}: {fault}") from None


def _check_version(body: dict[str, Any]) -> None:
    """Refuse another format; of a newer one, say so before anything else is judged."""
    version: Any = body.get("format")
    if _whole(version) and version > FORMAT:
        maker = body.get("hpcsim")
        by = f" by hpcsim {maker}" if isinstance(maker, str) and NAME.fullmatch(maker) else ""
        reads = f"this version reads format {FORMAT}; use a newer hpcsim"
        raise _Fault(f"it was written{by} in format {_shown(version)}, {reads}")
    _check(_whole(version) and version == FORMAT, f"its format is {_shown(version)}; this version reads {FORMAT}")


def _check_digest(body: dict[str, Any], raw: bytes) -> None:
    """Refuse a text that is not as it was written."""
    rest = {key: value for key, value in body.items() if key != "sha256"}
    try:
        same = canonical(body) == raw
        digest = hashlib.sha256(canonical(rest)).hexdigest()
    except DiskError as error:
        raise _Fault(str(error)) from None
    _check(same, "it is damaged: its text is not as it was written")
    _check(body.get("sha256") == digest, "it is damaged: its sha256 does not fit its text")


def _bounded(text: str | bytes) -> bytes:
    """The text as bytes if it is small and plain enough to be parsed."""
    _check(len(text) <= MAX_BYTES, f"it has {len(text)} bytes; a manifest has at most {MAX_BYTES}")
    try:
        raw = text.encode("ascii") if isinstance(text, str) else bytes(text)
        raw.decode("ascii")
    except UnicodeError:
        raise _Fault("it is damaged: it holds bytes that are no plain text") from None
    values = raw.count(b",") + raw.count(b"[") + raw.count(b"{")
    _check(values <= MAX_VALUES, f"it has about {values} values; a manifest has at most {MAX_VALUES}")
    return raw


def _loaded(raw: bytes) -> Any:
    """The JSON value, no deeper than allowed."""

    def refuse(word: str) -> Any:
        raise _Fault(f"it holds {word}, which is no JSON number")

    try:
        body = json.loads(raw, parse_constant=refuse)
    except RecursionError:
        raise _Fault(f"it is nested deeper than {MAX_DEPTH} levels") from None
    except ValueError as error:
        raise _Fault(f"it is damaged or cut short: {error}") from None
    layer, depth = [body], 0
    while layer:
        layer = [
            item
            for value in layer
            if isinstance(value, dict | list)
            for item in (value.values() if isinstance(value, dict) else value)
        ]
        depth += 1
        _check(depth <= MAX_DEPTH + 1, f"it is nested deeper than {MAX_DEPTH} levels")
    return body


def _built(body: dict[str, Any]) -> Manifest:
    """The manifest of a sound JSON object, every part checked."""
    _keys(body, KEYS, "the manifest")
    _text(body["run"], "run", NAME)
    step = _count(body["step"], "step")
    _check(
        step_of(_text(body["name"], "name", CHECKPOINT_NAME)) == step, f"its name {body['name']} is not of step {step}"
    )
    # Any plain name: values are read at the places of the table, whatever mode wrote them.
    _text(body["mode"], "mode", NAME)
    _text(body["codec"], "codec", NAME)
    grid = _grid(body["grid"])
    fields = _list(body["fields"], "fields", lambda value, at: _field(value, at, grid.ndim), least=1)
    needs = _list(body["needs"], "needs", _need)
    files = _list(body["files"], "files", _file, least=1)
    _distinct([entry.name for entry in fields], "field")
    _distinct([name for name, _ in needs], "needed checkpoint")
    _distinct([f"{entry.checkpoint}/{entry.name}" for entry in files], "file")
    used = {entry.checkpoint for entry in files} - {""}
    _check(used == {name for name, _ in needs}, "the checkpoints it needs are not those that hold its files")
    _check(body["name"] not in used, "it refers to itself as an older checkpoint")
    return Manifest(
        hpcsim=_text(body["hpcsim"], "hpcsim"),
        run=body["run"],
        name=body["name"],
        step=step,
        time=_number(body["time"], "time"),
        dt=_number(body["dt"], "dt"),
        mode=body["mode"],
        codec=body["codec"],
        grid=grid,
        fields=fields,
        files=files,
        table=_table(body["table"]),
        needs=needs,
        config=_text(body["config"], "config"),
        config_digest=_text(body["config_digest"], "config_digest"),
        versions=_versions(body["versions"]),
        ranks=_count(body["ranks"], "ranks", 1),
        state=_mapping(body["state"], "state"),
    )


def _check(ok: bool, reason: str) -> None:
    if not ok:
        raise _Fault(reason)


def _shown(value: Any) -> str:
    """A value for a message, never long."""
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def _whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _count(value: Any, where: str, least: int = 0) -> int:
    _check(
        _whole(value) and least <= value < 2**63,
        f"{where} is {_shown(value)}; a whole number of at least {least} is needed",
    )
    return int(value)


def _number(value: Any, where: str) -> float:
    _check(
        isinstance(value, float) and math.isfinite(value),
        f"{where} is {_shown(value)}; a finite decimal number is needed",
    )
    return float(value)


def _text(value: Any, where: str, pattern: re.Pattern[str] | None = None) -> str:
    _check(isinstance(value, str), f"{where} is {_shown(value)}; a text is needed")
    _check(pattern is None or bool(pattern.fullmatch(value)), f"{where} is {_shown(value)}, which is no allowed name")
    return str(value)


def _mapping(value: Any, where: str) -> dict[str, Any]:
    _check(isinstance(value, dict), f"{where} is {_shown(value)}; an object is needed")
    return dict(value)


def _keys(value: Any, keys: set[str], where: str) -> dict[str, Any]:
    """An object with exactly these keys."""
    found = _mapping(value, where)
    missing, unknown = sorted(keys - set(found)), sorted(set(found) - keys)
    _check(not missing, f"{where} lacks {', '.join(missing)}")
    _check(not unknown, f"{where} has unknown keys: {_shown(unknown)}")
    return found


def _list(value: Any, where: str, one: Callable[[Any, str], T], least: int = 0) -> tuple[T, ...]:
    """Every entry of a list by `one`, which gets the entry and its place for messages."""
    _check(isinstance(value, list), f"{where} is {_shown(value)}; a list is needed")
    _check(len(value) >= least, f"{where} is empty")
    return tuple(one(item, f"{where}[{place}]") for place, item in enumerate(value))


def _distinct(names: list[str], what: str) -> None:
    _check(len(set(names)) == len(names), f"a {what} is named twice")


def _grid(value: Any) -> Domain:
    found = _keys(value, {"shape", "lower", "upper", "periodic"}, "grid")
    parts = (
        _list(found["shape"], "grid.shape", lambda item, at: _count(item, at, 1)),
        _list(found["lower"], "grid.lower", _number),
        _list(found["upper"], "grid.upper", _number),
        _list(found["periodic"], "grid.periodic", _flag),
    )
    try:
        return Domain(*parts)
    except ConfigError as error:
        raise _Fault(f"its grid cannot be: {error}") from None


def _flag(value: Any, where: str) -> bool:
    _check(isinstance(value, bool), f"{where} is {_shown(value)}; true or false is needed")
    return bool(value)


def _field(value: Any, where: str, ndim: int) -> FieldEntry:
    found = _keys(value, {"name", "dtype", "components", "centring", "locations"}, where)
    name = _text(found["name"], f"{where}.name")
    _check(
        0 < len(name) <= MAX_REGISTER_NAME and name.isprintable(), f"{where}.name is {_shown(name)}, which is no name"
    )
    count = _count(found["components"], f"{where}.components", 1)
    _check(count < 2**16, f"{where}.components is {count}; at most 65535 are possible")
    locations = _list(found["locations"], f"{where}.locations", _location)
    centring, dtype = (_text(found[key], f"{where}.{key}") for key in ("centring", "dtype"))
    try:
        entry = FieldEntry(name, dtype, count, centring, locations)
        right = entry.spec.locations(ndim)
    except ConfigError as error:
        raise _Fault(f"{where} cannot be: {error}") from None
    _check(locations == right, f"{where}.locations do not belong to centring {centring}")
    return entry


def _location(value: Any, where: str) -> Location:
    return _list(value, where, lambda item, at: _count(item, at))


def _file(value: Any, where: str) -> FileEntry:
    found = _keys(value, {"name", "checkpoint", "size", "frame"}, where)
    name = _text(found["name"], f"{where}.name", NAME)
    _check(name not in (MANIFEST_NAME, TABLE_NAME), f"{where}.name is {name}, which is no data file")
    holder = _text(found["checkpoint"], f"{where}.checkpoint")
    _check(not holder or step_of(holder) is not None, f"{where}.checkpoint is {_shown(holder)}, which is no checkpoint")
    return FileEntry(
        name, holder, _count(found["size"], f"{where}.size"), _text(found["frame"], f"{where}.frame", _HEX[32])
    )


def _table(value: Any) -> TableEntry:
    found = _keys(value, {"rows", "size", "sha256"}, "table")
    entry = TableEntry(
        _count(found["rows"], "table.rows"),
        _count(found["size"], "table.size"),
        _text(found["sha256"], "table.sha256", _HEX[64]),
    )
    _check(entry.size == entry.rows * PIECE.itemsize, f"table.size is {entry.size}; {entry.rows} rows do not have it")
    return entry


def _need(value: Any, where: str) -> tuple[str, str]:
    _check(isinstance(value, list) and len(value) == 2, f"{where} is {_shown(value)}; a name and a sha256 are needed")
    return _text(value[0], where, CHECKPOINT_NAME), _text(value[1], where, _HEX[64])


def _versions(value: Any) -> dict[str, str]:
    return {_text(key, "versions"): _text(text, f"versions.{key}") for key, text in _mapping(value, "versions").items()}
