"""The manifest of a checkpoint: what it holds, with a digest of every file, as canonical JSON with its own sha256.

Text is accepted only if writing what was read gives the same bytes again: no unknown or doubled key, no other spelling
of a number. A digest protects against accidents, not against someone who can write the manifest anew.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hpcsim.errors import DiskError
from hpcsim.fields.spec import FieldSpec
from hpcsim.lattice.domain import Domain
from hpcsim.lattice.location import Location
from hpcsim.output.checkpoint.pieces import PIECE

FORMAT = 1
MANIFEST_NAME = "MANIFEST.json"
TABLE_NAME = "blocks.bin"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
CHECKPOINT_NAME = re.compile(r"step-([0-9]{8}|[1-9][0-9]{8,17})(?:\.([a-z0-9]{1,20}))?")
# Keys whose values are plain numbers or texts.
PLAIN_KEYS = (
    "format", "hpcsim", "run", "name", "step", "time", "dt", "mode", "codec", "config", "config_digest", "ranks",
)  # fmt: skip


def checkpoint_name(step: int, variant: str = "") -> str:
    """Directory name of the checkpoint of a step; a converted copy beside the first one has a variant.

    Examples
    --------
    >>> checkpoint_name(300), checkpoint_name(300, "collective")
    ('step-00000300', 'step-00000300.collective')
    """
    return f"step-{step:08d}" + (f".{variant}" if variant else "")


def step_of(name: str) -> int | None:
    """Step in a directory name, None if it is not the name of a checkpoint.

    Examples
    --------
    >>> step_of("step-00000300"), step_of("step-00000300.collective"), step_of(".tmp-300-a")
    (300, 300, None)
    """
    found = CHECKPOINT_NAME.fullmatch(name)
    return int(found.group(1)) if found else None


@dataclass(frozen=True)
class FieldEntry:
    """One register of the checkpoint.

    Attributes
    ----------
    name : str
        Name of the register, e.g. ``u@prev``.
    dtype, components, centring
        As in `FieldSpec`.
    locations : tuple of Location
        Place on the lattice per component.
    """

    name: str
    dtype: str
    components: int
    centring: str
    locations: tuple[Location, ...]

    @classmethod
    def of(cls, name: str, spec: FieldSpec, ndim: int) -> FieldEntry:
        """Entry of a register on a lattice of so many axes."""
        return cls(name, spec.dtype, spec.components, spec.centring, spec.locations(ndim))

    @property
    def spec(self) -> FieldSpec:
        """The same as a declaration of a field."""
        return FieldSpec(self.name, self.components, self.centring, self.dtype)

    def as_json(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "name": self.name,
            "dtype": self.dtype,
            "components": self.components,
            "centring": self.centring,
            "locations": [list(location) for location in self.locations],
        }


@dataclass(frozen=True)
class FileEntry:
    """One data file.

    Attributes
    ----------
    name : str
        File name.
    checkpoint : str
        Empty, or the older checkpoint that holds it.
    size : int
        Bytes.
    frame : str
        xxh3-128 in hex of all bytes outside the pieces, in file order.
    """

    name: str
    checkpoint: str
    size: int
    frame: str

    def as_json(self) -> dict[str, Any]:
        """JSON form."""
        return {"name": self.name, "checkpoint": self.checkpoint, "size": self.size, "frame": self.frame}


@dataclass(frozen=True)
class TableEntry:
    """The table of pieces: its rows, bytes and sha256 in hex."""

    rows: int
    size: int
    sha256: str

    @classmethod
    def of(cls, table: NDArray) -> TableEntry:
        """Entry of a table of dtype `PIECE`."""
        raw = np.ascontiguousarray(table).view(np.uint8)
        return cls(len(table), len(table) * PIECE.itemsize, hashlib.sha256(raw.data).hexdigest())

    def as_json(self) -> dict[str, Any]:
        """JSON form."""
        return {"rows": self.rows, "size": self.size, "sha256": self.sha256}


@dataclass(frozen=True)
class Manifest:
    """What a checkpoint holds.

    Attributes
    ----------
    hpcsim, run, name : str
        Version of the package, run id, name of the checkpoint.
    step : int
        Step number.
    time, dt : float
        Simulated time and step size.
    mode : {"shards", "collective"}
        How the data files were written.
    codec : str
        ``none``, or the lossless codec of the pieces.
    grid : Domain
        The lattice.
    fields : tuple of FieldEntry
        Registers; a piece names one by its position here.
    files : tuple of FileEntry
        Data files; a piece names one by its position here.
    table : TableEntry
        The table of pieces.
    needs : tuple of (str, str)
        Older checkpoints that hold files of this one, each with the sha256 of its manifest.
    config, config_digest : str
        Resolved TOML text and its digest.
    versions : mapping of str to str
        Versions of what the run used.
    ranks : int
        Ranks of the run.
    state : mapping
        JSON-able: everything else that a run needs to go on.
    format : int
        Version of the format.
    """

    hpcsim: str
    run: str
    name: str
    step: int
    time: float
    dt: float
    mode: str
    codec: str
    grid: Domain
    fields: tuple[FieldEntry, ...]
    files: tuple[FileEntry, ...]
    table: TableEntry
    needs: tuple[tuple[str, str], ...]
    config: str
    config_digest: str
    versions: Mapping[str, str]
    ranks: int
    state: Mapping[str, Any] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def sha256(self) -> str:
        """The manifest's own digest, by which another checkpoint refers to it."""
        return hashlib.sha256(canonical(self._body())).hexdigest()

    def to_text(self) -> str:
        """The text of the manifest file.

        Raises
        ------
        DiskError
            If the state or another part is not JSON, holds NaN or infinity, is no allowed name, or is too long.
        """
        text = canonical({**self._body(), "sha256": self.sha256}).decode("ascii")
        # What could not be read back must not be written.
        Manifest.parse(text, f"the manifest of {self.name} cannot be written")
        return text

    def _body(self) -> dict[str, Any]:
        """JSON form without the digest."""
        grid = self.grid
        return {
            **{key: getattr(self, key) for key in PLAIN_KEYS},
            "time": float(self.time),
            "dt": float(self.dt),
            "grid": {key: list(getattr(grid, key)) for key in ("shape", "lower", "upper", "periodic")},
            "fields": [entry.as_json() for entry in self.fields],
            "files": [entry.as_json() for entry in self.files],
            "table": self.table.as_json(),
            "needs": [list(pair) for pair in self.needs],
            "versions": dict(self.versions),
            "state": dict(self.state),
        }

    @classmethod
    def parse(cls, text: str | bytes, where: str) -> Manifest:
        """The manifest of a text, or a refusal.

        Parameters
        ----------
        text : str or bytes
            Content of the manifest file.
        where : str
            The file, for messages.

        Raises
        ------
        DiskError
            With the reason, if the text is damaged, too large, of a newer format, or not exactly as this package
            writes it.
        """
        from hpcsim.output.checkpoint.parsing import parse_manifest

        return parse_manifest(text, where)


def canonical(body: Mapping[str, Any]) -> bytes:
    r"""The one spelling of a JSON object that the format allows.

    Raises
    ------
    DiskError
        If it is not JSON, holds NaN or infinity, or is nested without end.

    Examples
    --------
    >>> canonical({"b": 1, "a": [0.1, None]})
    b'{"a":[0.1,null],"b":1}\n'
    """
    try:
        text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    except (ValueError, TypeError, RecursionError) as error:
        raise DiskError(f"the manifest cannot be written as JSON: {error}") from error
    return text.encode("ascii") + b"\n"
