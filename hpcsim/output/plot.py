"""Pictures of a run: slices of its fields through the lattice, and its time series."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from hpcsim.errors import ConfigError, DiskError, unknown_name
from hpcsim.output.files import disk_errors
from hpcsim.output.history import read_history
from hpcsim.output.read import Snapshot, list_snapshots
from hpcsim.output.vtkhdf import AXES

SIGNED, UNSIGNED = "RdBu_r", "viridis"
STYLE = {
    "axes.titlesize": 11,
    "axes.labelsize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.direction": "out",
    "ytick.direction": "out",
    "font.size": 10,
    "savefig.bbox": "tight",
    "figure.dpi": 130,
}


@dataclass(frozen=True)
class Cut:
    """A part of a field with one or two axes.

    Attributes
    ----------
    values : ndarray
        The values, x first.
    axes : tuple of int
        Axes that are left.
    coordinates : tuple of ndarray
        Positions of the sites along them.
    spacing : tuple of float
        Cell width along them.
    text : str
        Where the other axes were cut, e.g. ``z = 6.4``.
    """

    values: np.ndarray
    axes: tuple[int, ...]
    coordinates: tuple[np.ndarray, ...]
    spacing: tuple[float, ...]
    text: str


def plot_run(
    path: str | Path,
    fields: Sequence[str] = (),
    *,
    axis: str | None = None,
    index: int | None = None,
    steps: Sequence[int] | str = "last",
    out: str | Path | None = None,
    length_unit: str = "",
    series: bool = True,
) -> list[Path]:
    """Draw slices of the fields and the time series of a run.

    Parameters
    ----------
    path : path
        Run directory, directory with snapshots, or one snapshot file.
    fields : sequence of str
        Fields to draw; all by default.
    axis : str, optional
        Axis across which a lattice of three or more axes is cut; its last one by default (z of x, y, z).
    index : int, optional
        Site along that axis; its middle by default. Further axes are cut in the middle.
    steps : "last", "all" or sequence of int
        Which snapshots.
    out : path, optional
        Directory for the pictures; ``figures`` of the run by default.
    length_unit : str
        Unit of length for the labels, e.g. ``um``.
    series : bool
        Whether to draw the time series too.

    Returns
    -------
    list of Path
        The PNG files.

    Raises
    ------
    ConfigError
        If a field, step, axis or index does not exist.
    DiskError
        If there is nothing to draw, or a file cannot be read or written.
    """
    where = Path(path)
    files = list_snapshots(where) if where.is_dir() else [where]
    target = Path(out) if out is not None else (where if where.is_dir() else where.parent) / "figures"
    table = _table(where) if series and where.is_dir() else None
    if not files and not table:
        raise DiskError(f"nothing to draw in {where}: it has neither snapshots nor a time series")
    with disk_errors("make the directory", target):
        target.mkdir(parents=True, exist_ok=True)
    made: list[Path] = []
    for snapshot in (Snapshot(file) for file in _chosen(files, steps)):
        for name in fields or snapshot.fields:
            made.append(_plot_field(snapshot, name, axis, index, length_unit, target))
    if table:
        made.append(_plot_series(table, target))
    return made


def _chosen(files: list[Path], steps: Sequence[int] | str) -> list[Path]:
    """Snapshots asked for."""
    if isinstance(steps, str):
        if steps not in ("last", "all"):
            raise ConfigError(f"steps: {unknown_name('choice', steps, ('last', 'all'))}, or a list of step numbers")
        return files[-1:] if steps == "last" else files
    by_step = {Snapshot(file).step: file for file in files}
    for step in steps:
        if step not in by_step:
            raise ConfigError(f"no snapshot of step {step}; there are those of steps {', '.join(map(str, by_step))}")
    return [by_step[step] for step in steps]


def _table(where: Path) -> dict[str, np.ndarray] | None:
    """The series of a run, None if it has none with rows in it."""
    if not any((where / name).exists() for name in ("history.csv", "history.h5")):
        return None
    table = read_history(where)
    return table if len(table["step"]) and len(table) > 2 else None


def take_cut(snapshot: Snapshot, name: str, component: int, axis: str | None, index: int | None) -> Cut:
    """Cut a component down to the one or two axes that can be drawn; only the cut is read.

    Raises
    ------
    ConfigError
        If the axis or the index does not exist.
    """
    domain, field = snapshot.domain, snapshot.field(name)
    extent, location = field.extents[component], field.locations[component]
    known = AXES[: domain.ndim]
    if axis is not None and (axis not in known or len(axis) != 1):
        raise ConfigError(unknown_name("axis", axis, known))
    normal = known.index(axis) if axis is not None else min(domain.ndim - 1, 2)
    if index is not None and not 0 <= index < extent[normal]:
        raise ConfigError(f"index {index} along {known[normal]} is not within 0 to {extent[normal] - 1}")
    # The axis asked for goes first, then the last ones, until two are left.
    cut = [normal] if domain.ndim > 2 or axis is not None and domain.ndim > 1 else []
    cut += [a for a in reversed(range(domain.ndim)) if a not in cut][: max(0, domain.ndim - len(cut) - 2)]
    box: list[slice | int] = [slice(None)] * domain.ndim
    for a in cut:
        box[a] = index if a == normal and index is not None else extent[a] // 2
    kept = tuple(a for a in range(domain.ndim) if a not in cut)
    places = [f"{known[a]} = {domain.coordinate(a, int(box[a]), bool(location[a])):.4g}" for a in sorted(cut)]  # type: ignore[arg-type]
    return Cut(
        snapshot.read(name, component, box),
        kept,
        tuple(np.asarray(domain.coordinate(a, np.arange(extent[a]), bool(location[a]))) for a in kept),
        tuple(domain.spacing[a] for a in kept),
        ", ".join(places),
    )


def _plot_field(snapshot: Snapshot, name: str, axis: str | None, index: int | None, unit: str, target: Path) -> Path:
    """One picture with a panel per component."""
    field = snapshot.field(name)
    cuts = [take_cut(snapshot, name, c, axis, index) for c in range(field.components)]
    with _style():
        wide = 5.4 if len(cuts[0].axes) == 2 else 6.0
        figure, panels = _figure(1, len(cuts), wide * len(cuts), 4.4)
        for component, (panel, cut) in enumerate(zip(panels[0], cuts, strict=True)):
            label = name if len(cuts) == 1 else f"{name}_{AXES[component] if len(cuts) <= 4 else component}"
            draw = _draw_plane if len(cut.axes) == 2 else _draw_line
            draw(figure, panel, cut, label, unit)
            panel.set_title(", ".join(part for part in (label, f"t = {snapshot.time:.6g}", cut.text) if part))
        return _save(figure, target / f"{name}-{snapshot.step:06d}.png")


def colour_range(values: np.ndarray) -> tuple[str, float, float]:
    """Colour map and limits: two-sided around zero for signed fields, one-sided otherwise.

    Examples
    --------
    >>> colour_range(np.array([-1.0, 3.0]))
    ('RdBu_r', -3.0, 3.0)
    >>> colour_range(np.array([2.0, 3.0]))
    ('viridis', 2.0, 3.0)
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        return UNSIGNED, 0.0, 1.0
    low, high = float(finite.min()), float(finite.max())
    bound = max(-low, high)
    # Rounding just below zero does not make a density a signed field.
    if min(-low, high) > 0.01 * bound:
        return SIGNED, -bound, bound
    return (UNSIGNED, low, high) if high > low else (UNSIGNED, low - 0.5, high + 0.5)


def _axis_label(axis: int, unit: str) -> str:
    """Name of an axis with the unit of length."""
    return f"{AXES[axis]} [{unit}]" if unit else AXES[axis]


def _draw_plane(figure: Any, panel: Any, cut: Cut, label: str, unit: str) -> None:
    """A plane as an image whose pixels are the cells around the sites."""
    colours, low, high = colour_range(cut.values)
    edges = []
    for position, width in zip(cut.coordinates, cut.spacing, strict=True):
        edges += [float(position[0]) - width / 2, float(position[-1]) + width / 2]
    values = np.ma.masked_invalid(cut.values.T.astype(np.float64))
    # A strip would be unreadable at its true proportions.
    ratio = (edges[1] - edges[0]) / (edges[3] - edges[2])
    aspect = "equal" if 0.25 <= ratio <= 4.0 else "auto"
    image = panel.imshow(
        values, origin="lower", extent=edges, cmap=colours, vmin=low, vmax=high, aspect=aspect, interpolation="nearest"
    )
    panel.set_facecolor("0.6")
    panel.set_xlabel(_axis_label(cut.axes[0], unit))
    panel.set_ylabel(_axis_label(cut.axes[1], unit))
    figure.colorbar(image, ax=panel, label=label, fraction=0.046, pad=0.04)


def _draw_line(figure: Any, panel: Any, cut: Cut, label: str, unit: str) -> None:
    """A line over one axis."""
    panel.plot(cut.coordinates[0], cut.values, color="C0", linewidth=1.6)
    if len(cut.values) <= 64:
        panel.plot(cut.coordinates[0], cut.values, "o", color="C0", markersize=3)
    panel.set_xlabel(_axis_label(cut.axes[0], unit))
    panel.set_ylabel(label)
    panel.margins(x=0.01)
    panel.grid(alpha=0.3)


def _plot_series(table: dict[str, np.ndarray], target: Path) -> Path:
    """One panel per quantity over time."""
    names = [name for name in table if name not in ("step", "time")]
    with _style():
        figure, panels = _figure(len(names), 1, 7.0, 1.2 + 1.7 * len(names), sharex=True)
        for panel, name in zip(panels[:, 0], names, strict=True):
            marker = "." if len(table["time"]) < 32 else ""
            panel.plot(table["time"], table[name], color="C0", linewidth=1.4, marker=marker)
            panel.set_ylabel(name)
            panel.grid(alpha=0.3)
            panel.margins(x=0.01)
        panels[-1, 0].set_xlabel("t")
        return _save(figure, target / "history.png")


def _style() -> Any:
    """The look of all pictures, for a ``with`` block."""
    try:
        import matplotlib
    except ImportError as error:
        raise DiskError("drawing needs matplotlib; install it with: pip install matplotlib") from error
    return matplotlib.rc_context(STYLE)


def _figure(rows: int, columns: int, width: float, height: float, **options: Any) -> tuple[Any, Any]:
    """A figure of its own, without a window and without touching those a caller has open."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.subplots(rows, columns, squeeze=False, **options)


def _save(figure: Any, path: Path) -> Path:
    """Write a picture under a temporary name and rename it."""
    temporary = path.with_name(f".{path.name}.tmp")
    with disk_errors("write the picture", path):
        try:
            figure.savefig(temporary, format="png")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)
    return path
