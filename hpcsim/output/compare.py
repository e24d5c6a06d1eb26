"""Comparing two results site by site: are the bits the same, and if not, how far apart are they."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from hpcsim.errors import DiskError
from hpcsim.output.history import read_history
from hpcsim.output.read import Snapshot, list_snapshots, slabs
from hpcsim.output.record import read_record


@dataclass
class Difference:
    """How one quantity differs.

    Attributes
    ----------
    what : str
        The quantity, e.g. ``u[0]``.
    where : str
        File or step.
    identical : bool
        Whether every value has the same bits.
    values, differing : int
        Values compared, and how many of them differ in any bit.
    max_abs, max_rel : float
        Largest absolute difference, and largest difference relative to the larger of the two magnitudes; infinite
        where only one of the two is finite.
    max_ulp : int
        Largest distance in representable numbers; -1 if it has no meaning (a NaN against a number, or integers).
    """

    what: str
    where: str = ""
    identical: bool = True
    values: int = 0
    differing: int = 0
    max_abs: float = 0.0
    max_rel: float = 0.0
    max_ulp: int = 0

    def add(self, a: np.ndarray, b: np.ndarray) -> None:
        """Compare two pieces of equal shape and number type and keep the worst."""
        self.values += a.size
        if a.dtype.kind != "f":
            self._count(a != b, np.abs(a.astype(np.float64) - b.astype(np.float64)), a, b)
            self.max_ulp = 0 if self.identical else -1
            return
        bits = np.dtype(f"i{a.dtype.itemsize}")
        x, y = (np.ascontiguousarray(v).view(bits) for v in (a, b))
        if np.array_equal(x, y):
            return
        with np.errstate(invalid="ignore", over="ignore"):
            # In double precision: a difference of float32 values is then exact enough to be told apart from zero.
            gap = np.abs(a.astype(np.float64) - b.astype(np.float64))
        self._count(x != y, np.where(x == y, 0.0, np.where(np.isnan(gap), np.inf, gap)), a, b)
        if self.max_ulp >= 0:
            broken = bool((np.isnan(a) != np.isnan(b)).any())
            numbers = ~(np.isnan(a) | np.isnan(b))
            distance = ulps(a[numbers], b[numbers])
            self.max_ulp = -1 if broken else max(self.max_ulp, distance)

    def _count(self, differs: np.ndarray, gap: np.ndarray, a: np.ndarray, b: np.ndarray) -> None:
        """Add differing values and their distances."""
        count = int(np.count_nonzero(differs))
        if not count:
            return
        self.identical = False
        self.differing += count
        self.max_abs = max(self.max_abs, float(gap.max()))
        scale = np.maximum(np.abs(a), np.abs(b)).astype(np.float64)
        with np.errstate(divide="ignore", invalid="ignore"):
            relative = np.where(gap == 0, 0.0, np.where(np.isfinite(gap), gap / scale, np.inf))
        self.max_rel = max(self.max_rel, float(relative.max()))


def ulps(a: np.ndarray, b: np.ndarray) -> int:
    """Largest distance of two arrays without NaN, counted in representable numbers.

    Examples
    --------
    >>> ulps(np.array([1.0, -0.0]), np.array([np.nextafter(1.0, 2.0), 0.0]))
    1
    """
    if not a.size:
        return 0
    x, y = _ordered(a), _ordered(b)
    # Subtracted as unsigned: the distance of a large negative and a large positive number exceeds the signed range.
    return int(np.where(x > y, x - y, y - x).max())


def _ordered(values: np.ndarray) -> np.ndarray:
    """Unsigned integers that rise with the numbers, one apart for neighbours, both zeros the same."""
    width = values.dtype.itemsize
    bits = np.ascontiguousarray(values).view(np.dtype(f"u{width}")).astype(np.uint64)
    sign = np.uint64(1 << (8 * width - 1))
    magnitude = bits & (sign - np.uint64(1))
    return np.where(bits & sign, sign - magnitude, sign + magnitude)


@dataclass
class Comparison:
    """Outcome of comparing two results.

    Attributes
    ----------
    differences : list of Difference
        One per quantity compared, equal ones too.
    notes : list of str
        What could not be compared; any note means that the two are not identical.
    """

    differences: list[Difference] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def identical(self) -> bool:
        """Whether everything was there in both and every bit was the same."""
        return not self.notes and bool(self.differences) and all(d.identical for d in self.differences)

    def as_dict(self) -> dict[str, Any]:
        """JSON-able form."""
        rows = [asdict(d) for d in self.differences]
        return {"identical": self.identical, "notes": self.notes, "differences": rows}

    def text(self) -> str:
        """A table for people."""
        width = max([len(f"{d.where} {d.what}") for d in self.differences], default=0)
        lines = [_row(d, width) for d in self.differences]
        lines += [f"not compared: {note}" for note in self.notes]
        return "\n".join([*lines, "identical" if self.identical else "DIFFERENT"])


def _row(d: Difference, width: int) -> str:
    """One line of the table."""
    name = f"{d.where} {d.what}".strip().ljust(width)
    if d.identical:
        return f"{name}  identical ({d.values} values)"
    ulp = f"{d.max_ulp} ulp" if d.max_ulp >= 0 else "no ulp distance"
    share = f"{d.differing} of {d.values} values differ"
    return f"{name}  {share}, max abs {d.max_abs:.3e}, max rel {d.max_rel:.3e}, {ulp}"


def compare_results(a: str | Path, b: str | Path) -> Comparison:
    """Compare two runs, or two snapshot files.

    Parameters
    ----------
    a, b : path
        Two run directories, or two snapshots.

    Returns
    -------
    Comparison
        Snapshots are compared slab by slab, so files larger than the memory are no trouble.

    Raises
    ------
    DiskError
        If one is missing, or one is a run and the other a file.
    """
    left, right = Path(a), Path(b)
    for path in (left, right):
        if not path.exists():
            raise DiskError(f"there is no {path}; give two run directories or two snapshot files")
    if left.is_dir() != right.is_dir():
        raise DiskError(f"{left} and {right}: one is a directory and the other a file; compare like with like")
    outcome = Comparison()
    if left.is_dir():
        _compare_runs(left, right, outcome)
    else:
        _compare_snapshots(left, right, outcome)
    return outcome


def _compare_runs(left: Path, right: Path, outcome: Comparison) -> None:
    """Snapshots of equal step, the series, and the digests of the records."""
    files = [{path.stem: path for path in list_snapshots(side)} for side in (left, right)]
    for name in _shared(files[0], files[1], "snapshot", outcome):
        _compare_snapshots(files[0][name], files[1][name], outcome)
    series = [_optional(read_history, side) for side in (left, right)]
    if series[0] is not None or series[1] is not None:
        _compare_series(series[0] or {}, series[1] or {}, outcome)
    records = [_optional(read_record, side) for side in (left, right)]
    digests = [(record or {}).get("digest") or {} for record in records]
    for name in _shared(digests[0], digests[1], "digest of field", outcome):
        same = digests[0][name] == digests[1][name]
        note = Difference(f"digest of {name}", "run.json", same, 1, 0 if same else 1, max_ulp=0 if same else -1)
        outcome.differences.append(note)


def _compare_snapshots(left: Path, right: Path, outcome: Comparison) -> None:
    """All fields of two files."""
    a, b = Snapshot(left), Snapshot(right)
    where = left.stem if left.stem == right.stem else f"{left.name} {right.name}"
    if a.step != b.step or a.time != b.time:
        outcome.notes.append(f"{where}: step {a.step}, t = {a.time!r} against step {b.step}, t = {b.time!r}")
    if a.domain != b.domain:
        outcome.notes.append(f"{where}: the lattices differ: {a.domain} against {b.domain}")
    for name in _shared(a.fields, b.fields, f"{where}: field", outcome):
        one, two = a.fields[name], b.fields[name]
        if (one.extents, one.centring, one.dtype) != (two.extents, two.centring, two.dtype):
            kinds = [f"{f.dtype} {f.centring} {f.extents[0]}" for f in (one, two)]
            outcome.notes.append(f"{where}: field {name} is {kinds[0]} against {kinds[1]}")
            continue
        for component, extent in enumerate(one.extents):
            label = f"{name}[{component}]" if one.components > 1 else name
            difference = Difference(label, where)
            for box in slabs(extent, np.dtype(one.dtype).itemsize):
                difference.add(a.read(name, component, box), b.read(name, component, box))
            outcome.differences.append(difference)


def _compare_series(a: Mapping[str, np.ndarray], b: Mapping[str, np.ndarray], outcome: Comparison) -> None:
    """All columns of two series."""
    for name in _shared(a, b, "column of the series", outcome):
        if len(a[name]) != len(b[name]):
            outcome.notes.append(f"series: {len(a[name])} rows against {len(b[name])}")
            return
        difference = Difference(name, "series")
        difference.add(a[name], b[name])
        outcome.differences.append(difference)


def _shared(a: Mapping[str, Any], b: Mapping[str, Any], what: str, outcome: Comparison) -> list[str]:
    """Names in both; those in one only are noted."""
    for side, only in (("first", sorted(set(a) - set(b))), ("second", sorted(set(b) - set(a)))):
        outcome.notes += [f"{what} {name} is only in the {side}" for name in only]
    return [name for name in a if name in b]


def _optional(read: Any, path: Path) -> Any:
    """What a reader gives, None if there is nothing to read."""
    names = ("history.csv", "history.h5") if read is read_history else ("run.json",)
    return read(path) if any((path / name).exists() for name in names) else None
