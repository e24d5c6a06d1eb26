"""Counting what compression gave: bytes, largest error, codecs and reasons per field."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from hpcsim.comm.context import Context
from hpcsim.output.compress.options import Packed


@dataclass
class Tally:
    """What became of one field.

    Attributes
    ----------
    raw, stored : int
        Bytes of the values and of the streams.
    max_error : float
        Largest absolute error of any value, measured by decoding.
    codecs, reasons : Counter
        Pieces per codec, and per reason why.

    Examples
    --------
    >>> tally = Tally()
    >>> tally.add(100, Packed(bytes(25), "zstd", 0.0, "noise"))
    >>> tally.record()
    {'ratio': 0.25, 'max_error': 0.0, 'bytes': 25, 'raw_bytes': 100, 'codecs': {'zstd': 1}, 'reasons': {'noise': 1}}
    """

    raw: int = 0
    stored: int = 0
    max_error: float = 0.0
    codecs: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)

    def add(self, nbytes: int, packed: Packed) -> None:
        """Count a piece of so many bytes."""
        self.raw += nbytes
        self.stored += len(packed.data)
        self.max_error = max(self.max_error, packed.error)
        self.codecs[packed.codec] += 1
        self.reasons[packed.reason] += 1

    def merge(self, other: Tally) -> None:
        """Add what another rank, or another file, has of the field."""
        self.raw += other.raw
        self.stored += other.stored
        self.max_error = max(self.max_error, other.max_error)
        self.codecs.update(other.codecs)
        self.reasons.update(other.reasons)

    def record(self) -> dict[str, Any]:
        """JSON-able form for files and people; ``ratio`` is stored bytes over raw ones."""
        return {
            "ratio": self.stored / self.raw if self.raw else 1.0,
            "max_error": self.max_error,
            "bytes": self.stored,
            "raw_bytes": self.raw,
            "codecs": dict(self.codecs),
            "reasons": dict(self.reasons),
        }

    @classmethod
    def of(cls, record: Mapping[str, Any]) -> Tally:
        """The tally that a record was made of."""
        counts = (Counter(record["codecs"]), Counter(record["reasons"]))
        return cls(record["raw_bytes"], record["bytes"], record["max_error"], *counts)


def add_records(total: Mapping[str, Any], new: Mapping[str, Any]) -> dict[str, Any]:
    """Records of the fields of several snapshots together.

    Examples
    --------
    >>> tally = Tally(100, 25)
    >>> add_records({"u": tally.record()}, {"u": Tally(300, 15).record()})["u"]["ratio"]
    0.1
    """
    tallies = {name: Tally.of(record) for name, record in total.items()}
    for name, record in new.items():
        tallies.setdefault(name, Tally()).merge(Tally.of(record))
    return {name: tally.record() for name, tally in tallies.items()}


def gather_tallies(context: Context, tallies: Sequence[Tally]) -> list[Tally]:
    """The tallies of all ranks together, on each of them; collective.

    Parameters
    ----------
    context : Context
        The ranks.
    tallies : sequence of Tally
        One per field, in the same order on all ranks.
    """
    rows = [[t.raw, t.stored, t.max_error, t.codecs, t.reasons] for t in tallies]
    total = [Tally() for _ in tallies]
    for text in context.texts(json.dumps(rows)):
        for whole, (raw, stored, error, codecs, reasons) in zip(total, json.loads(text), strict=True):
            whole.merge(Tally(raw, stored, error, Counter(codecs), Counter(reasons)))
    return total


def tally_line(fields: Mapping[str, Mapping[str, Any]]) -> str:
    """One line for a log from the records of the fields.

    Examples
    --------
    >>> tally_line({"u": {"ratio": 0.0123, "max_error": 9.5e-07}, "v": {"ratio": 0.5, "max_error": 0.0}})
    'u to 1.2 % with errors up to 9.5e-07, v to 50 %'
    """
    parts = []
    for name, record in fields.items():
        error = f" with errors up to {record['max_error']:.2g}" if record["max_error"] else ""
        parts.append(f"{name} to {100 * record['ratio']:.2g} %{error}")
    return ", ".join(parts)
