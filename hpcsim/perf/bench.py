"""The reports of ``hpcsim bench``: what is measured, in what order, and how it reads."""

from __future__ import annotations

import platform
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcsim.comm.context import Context
from hpcsim.kernels.bandwidth import STREAMS, make_stream
from hpcsim.perf.c_loops import load
from hpcsim.perf.checkpoint import measure_checkpoint
from hpcsim.perf.exchange import measure_exchange
from hpcsim.perf.poisson import PEERS, measure_poisson
from hpcsim.perf.ranks import run_ranks
from hpcsim.perf.sampling import Spread, interleave, ratio
from hpcsim.perf.stencil import STREAM_COUNT, measure_blocks, measure_case, measure_ranks, stencil_cases

BLOCK_ORDERS = (2, 4, 6)
PLANE = 256
_LIMIT_S = 1800.0


@dataclass(frozen=True)
class Settings:
    """What to measure.

    Attributes
    ----------
    n : int
        Cells per axis.
    orders : tuple of int
        Orders of the finite differences.
    dtypes : tuple of str
        Number types.
    threads : int
        Threads, and ranks of the comparison with ranks.
    repeats : int
        Timed rounds.
    gib : float
        Size of the state of ``"checkpoint"``.
    vertex : bool
        Whether the unknowns of ``"poisson"`` lie on the planes between cells.
    peers : tuple of str
        Preconditioners of PETSc that ``"poisson"`` compares with.
    directory : str
        Where ``"checkpoint"`` writes.
    """

    n: int = 256
    orders: tuple[int, ...] = (2, 4, 6, 8)
    dtypes: tuple[str, ...] = ("float64", "float32")
    threads: int = 2
    repeats: int = 7
    gib: float = 4.0
    directory: str = "."
    vertex: bool = False
    peers: tuple[str, ...] = PEERS

    def arguments(self) -> list[str]:
        """The same as command-line arguments."""
        return [
            "--n", str(self.n), "--orders", ",".join(map(str, self.orders)), "--dtypes", ",".join(self.dtypes),
            "--threads", str(self.threads), "--repeats", str(self.repeats), "--gib", str(self.gib),
            "--directory", self.directory, "--peers", ",".join(self.peers), *(["--vertex"] if self.vertex else []),
        ]  # fmt: skip


def report(kind: str, settings: Settings, with_ranks: bool = True) -> dict[str, Any]:
    """Measure in this process, starting ranks where the measurement needs them.

    Parameters
    ----------
    kind : {"memory", "stencil", "exchange", "checkpoint", "poisson"}
        What to measure.
    settings : Settings
        How.
    with_ranks : bool
        Whether ``"stencil"`` compares ranks with threads.
    """
    head = {"bench": kind, "host": socket.gethostname(), "machine": platform.machine(), "threads": settings.threads}
    if kind == "memory":
        return {**head, **measure_memory(settings)}
    if kind in ("exchange", "checkpoint"):
        return {**head, **_from_ranks(kind, settings, 2)}
    if kind == "poisson":
        with Context.serial() as context:
            own = measure_poisson(context, settings.n, settings.threads, settings.repeats, settings.vertex, ())
        return {**head, "parts": [own, *([_from_ranks(kind, settings, 2)] if with_ranks else [])]}
    found = {**head, **measure_stencils(settings)}
    if with_ranks and settings.threads > 1:
        found["ranks"] = _from_ranks("stencil", settings, settings.threads)
    return found


def on_ranks(kind: str, settings: Settings, context: Context) -> dict[str, Any]:
    """The part of a report that runs on several ranks; collective."""
    if kind == "exchange":
        return measure_exchange(context, PLANE, 4 * settings.repeats)
    if kind == "checkpoint":
        return measure_checkpoint(context, settings.gib, settings.repeats, Path(settings.directory))
    if kind == "poisson":
        return measure_poisson(context, settings.n, 1, settings.repeats, settings.vertex, settings.peers)
    case = ("wave", settings.orders[0], settings.dtypes[0])
    return measure_ranks(case, settings.n, settings.repeats, context)


def _from_ranks(kind: str, settings: Settings, ranks: int) -> dict[str, Any]:
    found = run_ranks([kind, *settings.arguments(), "--on-ranks"], ranks, _LIMIT_S)
    return {"missing": found} if isinstance(found, str) else found


def measure_memory(settings: Settings) -> dict[str, Any]:
    """Copy and triad by the backend's kernels and by C, in turn."""
    loops = load(settings.threads)
    calls = {name: make_stream(name, STREAM_COUNT, settings.threads) for name in STREAMS}
    if loops is not None:
        calls |= {f"c {name}": loops.stream(name, STREAM_COUNT) for name in STREAMS}
    seconds = interleave(calls, settings.repeats)
    rows: list[dict[str, Any]] = []
    for name, arrays in STREAMS.items():
        moved = 8.0 * STREAM_COUNT * arrays / 1e9
        row: dict[str, Any] = {"stream": name, "gbs": moved / Spread.of(seconds[name]).median}
        row["gbs_best"] = moved / min(seconds[name])
        if loops is not None:
            row["c_gbs"] = moved / Spread.of(seconds[f"c {name}"]).median
            row["to_c"] = ratio(seconds[f"c {name}"], seconds[name]).median
        rows.append(row)
    return {"compiler": loops.compiler if loops else None, "streams": rows}


def measure_stencils(settings: Settings) -> dict[str, Any]:
    """Every stencil case, then many blocks against one."""
    loops = load(settings.threads)
    cases = stencil_cases(settings.orders, settings.dtypes)
    rows = [measure_case(case, settings.n, settings.threads, settings.repeats, loops) for case in cases]
    many = [
        measure_blocks(("wave", order, settings.dtypes[0]), settings.n, settings.threads, settings.repeats)
        for order in settings.orders
        if order in BLOCK_ORDERS
    ]
    return {"compiler": loops.compiler if loops else None, "n": settings.n, "cases": rows, "blocks": many}


def as_text(found: dict[str, Any]) -> str:
    """A report for people."""
    texts = {
        "memory": _memory_text, "stencil": _stencil_text, "exchange": _exchange_text, "checkpoint": _checkpoint_text,
        "poisson": _poisson_text,
    }  # fmt: skip
    body = texts[found["bench"]](found)
    return "\n".join([f"{found['bench']} on {found['host']}, {found['threads']} thread(s)", "", *body])


def _memory_text(found: dict[str, Any]) -> list[str]:
    head = ("stream", "GB/s", "best", "C GB/s", "to C")
    rows = [
        (r["stream"], f"{r['gbs']:.1f}", f"{r['gbs_best']:.1f}", _number(r, "c_gbs", 1), _number(r, "to_c", 2))
        for r in found["streams"]
    ]
    return _table(head, rows)


def _stencil_text(found: dict[str, Any]) -> list[str]:
    head = ("case", "order", "dtype", "Gcells/s", "C", "to C", "quartiles", "of triad", "compile s")
    rows = []
    for r in found["cases"]:
        to_c = r.get("to_c")
        rows.append(
            (
                r["case"], str(r["order"]), r["dtype"], f"{r['glups']:.3f}", _number(r, "c_glups", 3),
                *((f"{to_c['median']:.2f}", f"{to_c['low']:.2f}-{to_c['high']:.2f}") if to_c else ("-", "-")),
                f"{r['of_triad']:.2f}", f"{r['compile_s']:.1f}",
            )
        )  # fmt: skip
    lines = _table(head, rows)
    for r in found["blocks"]:
        lines.append(f"order {r['order']}: blocks of {r['block']}**3 at {_quartiles(r['to_one_block'])} of one block")
    ranks = found.get("ranks")
    if ranks and "missing" in ranks:
        lines.append(f"ranks against threads: not measured, {ranks['missing']}")
    elif ranks:
        for name, speed in ranks["to_threads"].items():
            lines.append(f"{ranks['ranks']} ranks, {name}: {_quartiles(speed)} of one rank with as many threads")
    return lines


def _poisson_text(found: dict[str, Any]) -> list[str]:
    lines = ["Poisson, 7 points, float64, Dirichlet walls, random right side, to |r|/|b| <= 1e-8"]
    for part in found["parts"]:
        if "missing" in part:
            lines.append(f"on ranks: not measured, {part['missing']}")
            continue
        shape = " x ".join(map(str, part["unknowns"]))
        place = f"{part['ranks']} rank(s), {part['threads']} thread(s)"
        head = (place, "iter", "set-up s", "solve s", "Mdof/s", "|r|/|b|", "x peer")
        lines += ["", f"{shape} unknowns", *_table(head, _rows(part))]
    return lines


def _rows(part: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (
            row["solver"], str(row["iterations"]), f"{row['setup_s']:.2f}", f"{row['solve_s']:.3f}",
            f"{row['mdofs']:.1f}", f"{row['residual']:.1e}", _number(row, "to_best_peer", 1),
        )
        if "mdofs" in row
        else (row["solver"], row["missing"], "-", "-", "-", "-", "-")
        for row in part["rows"]
    ]  # fmt: skip


def _exchange_text(found: dict[str, Any]) -> list[str]:
    if "missing" in found:
        return [f"not measured: {found['missing']}"]
    head = ("exchange", "us", "to Sendrecv", "quartiles", "bytes grown", "pickled")
    rows = [
        (
            r["exchange"], f"{r['microseconds']:.1f}", f"{r['to_sendrecv']['median']:.2f}",
            f"{r['to_sendrecv']['low']:.2f}-{r['to_sendrecv']['high']:.2f}",
            str(r["memory_growth_bytes"]), str(r["pickled"]),
        )
        for r in found["strategies"]
    ]  # fmt: skip
    plane = " x ".join(map(str, found["plane"]))
    return [f"Sendrecv of {plane} float64: {found['sendrecv_microseconds']:.1f} us", "", *_table(head, rows)]


def _checkpoint_text(found: dict[str, Any]) -> list[str]:
    if "missing" in found:
        return [f"not measured: {found['missing']}"]
    head = ("what", "part", "seconds", "best", "MB/s")
    rows = [
        (
            name,
            part,
            f"{spread['median']:.3f}",
            f"{spread['best']:.3f}",
            f"{found['bytes'] / 1e6 / spread['median']:.0f}",
        )
        for name, parts in found["parts"].items()
        for part, spread in parts.items()
        if spread["median"] > 0.0
    ]
    lines = [f"state of {found['bytes'] / 2**30:.2f} GiB on {found['ranks']} rank(s)", "", *_table(head, rows), ""]
    for name, value in found["ratios"].items():
        if value is not None:
            lines.append(f"{name}: {value['median']:.2f} (best {value['best']:.2f})")
    return lines + [f"{name}: not measured, {reason}" for name, reason in found["absent"].items()]


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]
    return ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *rows)]


def _number(row: dict[str, Any], key: str, digits: int) -> str:
    return f"{row[key]:.{digits}f}" if key in row else "-"


def _quartiles(value: dict[str, float]) -> str:
    return f"{value['median']:.2f} ({value['low']:.2f}-{value['high']:.2f})"
