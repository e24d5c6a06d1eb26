"""How far a live run is: a small file that rank 0 renews, and the words for it."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpcsim.errors import DiskError
from hpcsim.output.lock import Holder, process_start
from hpcsim.output.progress import duration, rate
from hpcsim.output.record import plain, read_record

INTERVAL_S = 1.0


class StatusFile:
    """The status file of a run, renewed at most once a second; rank 0 only.

    A status that cannot be written is no reason to end a run: the fault is left to what matters, results and
    checkpoints.

    Parameters
    ----------
    path : Path
        ``status.json`` of the run directory.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._draft = path.with_name(f".{path.name}.tmp")
        self._next = 0.0

    def update(self, *, force: bool = False, **facts: Any) -> None:
        """Write the facts, if the last time is long enough ago; a reader sees the old file or the new."""
        now = time.monotonic()
        if now < self._next and not force:
            return
        self._next = now + INTERVAL_S
        facts |= {"pid": os.getpid(), "host": socket.gethostname(), "updated": time.time()}
        try:
            self._draft.write_text(json.dumps(facts, default=plain) + "\n", encoding="utf-8")
            os.replace(self._draft, self.path)
        except OSError:
            self._draft.unlink(missing_ok=True)


def read_status(directory: str | Path) -> dict[str, Any]:
    """What is known of a run: its record, how far it is, and whether it lives.

    Parameters
    ----------
    directory : path
        Run directory.

    Returns
    -------
    dict
        ``status`` (of the record, or ``"lost"`` if the run says that it runs but its process is gone), ``step``,
        ``last_step``, ``time``, ``eta_s`` (None if unknown), ``steps_per_s``, ``cells_per_s``, ``checkpoint``,
        ``age_s`` (seconds since the last news) and the other facts of ``status.json``.

    Raises
    ------
    DiskError
        If there is no run.
    """
    root = Path(directory)
    record = read_record(root)
    try:
        live = json.loads((root / "status.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        live = {}
    if not isinstance(live, dict):
        raise DiskError(f"{root / 'status.json'} holds no table")
    facts: dict[str, Any] = {
        "run": str(root), "status": record.get("status", ""), "reason": record.get("reason", ""),
        "step": record.get("steps", 0), "time": record.get("time", 0.0), "last_step": None, "stop_time": None,
        "checkpoint": record.get("checkpoint", ""), "ranks": record.get("ranks", 1), **live,
    }  # fmt: skip
    if facts["status"] == "running" and not _alive(root / "lock"):
        facts["status"] = "lost"
    return facts | _pace(facts) | {"age_s": max(0.0, time.time() - live["updated"]) if "updated" in live else None}


def _pace(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Speed and time to go, from the steps of this start."""
    done, wall = facts["step"] - facts.get("first_step", 0), facts.get("wall_s", 0.0)
    speed = done / wall if wall > 0.0 else 0.0
    left = facts["last_step"] - facts["step"] if facts["last_step"] is not None else None
    if left is None and facts["stop_time"] is not None and done > 0 and facts["time"] > 0.0:
        left = max(0.0, facts["stop_time"] - facts["time"]) / (facts["time"] / facts["step"])
    eta = left / speed if left is not None and speed > 0.0 and facts["status"] == "running" else None
    stepping = facts.get("steps_wall_s", 0.0)
    cells = facts.get("cells", 0) * done / stepping if stepping else 0.0
    return {"steps_per_s": speed, "eta_s": eta, "cells_per_s": cells}


def _alive(lock: Path) -> bool:
    """Whether the holder of the lock may live; one on another node is taken at its word."""
    try:
        holder = Holder.parse(lock.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return False
    if holder is None or holder.host != socket.gethostname():
        return holder is not None
    started = process_start(holder.pid)
    return started is not None and (not started or not holder.started or started == holder.started)


def describe_status(facts: Mapping[str, Any]) -> str:
    """The facts of `read_status` in a few lines for a person."""
    end = f" of {facts['last_step']}" if facts["last_step"] is not None else ""
    lines = [f"{facts['run']}: {facts['status']}" + (f" ({facts['reason']})" if facts["reason"] else "")]
    lines.append(f"  step        {facts['step']}{end}, t = {facts['time']:.6g}")
    if facts["steps_per_s"]:
        lines.append(f"  speed       {facts['steps_per_s']:.4g} steps/s, {rate(facts['cells_per_s'])}cells/s")
    if facts["eta_s"] is not None:
        lines.append(f"  time to go  {duration(facts['eta_s'])}")
    lines.append(f"  checkpoint  {facts['checkpoint'] or 'none yet'}")
    if facts["status"] == "lost":
        lines.append("  its process is gone; go on with `hpcsim restart`")
    elif facts["age_s"] is not None:
        lines.append(f"  last news   {duration(facts['age_s'])} ago on {facts['host']}, {facts['ranks']} rank(s)")
    return "\n".join(lines)
