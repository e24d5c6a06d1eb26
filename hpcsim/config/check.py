"""Checks of sections against each other, run on all sections that are valid by themselves.

Names that a registry knows (models, integrators, conditions, formats) are not checked here but where they are built.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from hpcsim.config.files import inside
from hpcsim.config.sections.boundary import FieldBoundary
from hpcsim.config.sections.initial import Start
from hpcsim.config.sections.model import EQUATIONS, Model, rate_of, solved
from hpcsim.config.sections.solver import STEP, SolverKeys
from hpcsim.config.values import AXES, NAME, shown
from hpcsim.errors import ConfigError, unknown_name

Found = Iterator[tuple[tuple[str | int, ...], str]]

MOST_ENTRIES = 20_000
MOST_DEPTH = 12
_RESERVED = (*AXES, "t")


def structure(document: Any) -> Found:
    """Limits that hold before any other check: size, depth, keys and texts that can be printed."""
    if not isinstance(document, Mapping):
        yield (), f"expected a table of sections, got {shown(document)}"
        return
    entries = 0
    open_values: list[tuple[tuple[str | int, ...], Any]] = [((), document)]
    while open_values:
        path, value = open_values.pop()
        items: list[tuple[Any, Any]] = []
        if isinstance(value, Mapping):
            items = list(value.items())
        elif isinstance(value, list | tuple):
            items = list(enumerate(value))
        entries += len(items)
        if entries > MOST_ENTRIES:
            yield (), f"more than {MOST_ENTRIES} keys and list entries"
            return
        if items and len(path) >= MOST_DEPTH:
            yield path[:3], f"nested deeper than {MOST_DEPTH} levels"
            return
        for name, below in items:
            if isinstance(value, Mapping) and not (isinstance(name, str) and name.isprintable()):
                yield path, f"a key must be printable text, got {shown(name)}"
                return
            if isinstance(below, str) and not _encodable(below):
                yield (*path, name), "the text has code points that are no characters"
                return
            open_values.append(((*path, name), below))


def _encodable(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def written(document: Mapping[str, Any]) -> Found:
    """Rules on names and on keys given together; they hold whether or not the values are valid."""
    run = document.get("run")
    if isinstance(run, Mapping):
        given = [name for name in ("stop_time", "steps") if run.get(name) is not None]
        if len(given) == 2:
            yield ("run",), "stop_time and steps exclude each other; give one"

    yield from _field_names(document)


def together(sections: Mapping[str, Any], directory: Path | None) -> Found:
    """Faults between sections; those that are missing from the mapping were faulty by themselves."""
    lattice, model = sections.get("lattice"), sections.get("model")
    if lattice is not None and "boundary" in sections:
        for name, boundary in sections["boundary"].items():
            yield from _sides(name, boundary, lattice)
    if "initial" in sections:
        yield from _files(sections["initial"], directory)
    if model is not None:
        yield from _model_form(model)
        yield from _model_names(model)
        if lattice is not None:
            yield from _components(model, lattice.ndim)


def _sides(name: str, boundary: FieldBoundary, lattice: Any) -> Found:
    """Conditions on axes that exist and do not wrap."""
    for key in sorted(boundary.model_fields_set):
        if getattr(boundary, key) is None:
            continue
        axis = key.split("_")[0]
        path = ("boundary", name, key)
        if key == "all":
            if all(lattice.periodic):
                yield path, "all axes of the lattice are periodic; set lattice.boundary first"
        elif axis not in lattice.axes:
            yield path, f"the lattice has no axis {axis}; its axes are {', '.join(lattice.axes)}"
            continue
        elif lattice.periodic[lattice.axes.index(axis)]:
            yield path, f"axis {axis} of the lattice is periodic; set lattice.boundary first"
        conditions = getattr(boundary, key)
        for condition in conditions if isinstance(conditions, tuple) else (conditions,):
            if condition.periodic and not (axis in lattice.axes and lattice.periodic[lattice.axes.index(axis)]):
                yield path, "a single field cannot be periodic; set lattice.boundary"
                break


def _files(initial: Mapping[str, Start | tuple[Start, ...]], directory: Path | None) -> Found:
    """Files inside the directory of the configuration; they must exist if that directory is known."""
    for name, given in initial.items():
        for n, start in enumerate(given if isinstance(given, tuple) else (given,)):
            if start.path is None:
                continue
            try:
                inside(directory or Path(), start.path, must_exist=directory is not None)
            except ConfigError as error:
                entry = (n,) if isinstance(given, tuple) else ()
                yield ("initial", name, *entry, "path"), str(error)


def _model_form(model: Model) -> Found:
    """Either a named model or equations; one equation for each rate."""
    if model.name != EQUATIONS:
        for key in ("fields", "equations", "convolutions"):
            if getattr(model, key):
                yield ("model", key), f"only read with name = \"{EQUATIONS}\"; the model is '{model.name}'"
        return
    if not model.equations and not model.convolutions:
        yield ("model",), "needs the name of a model or a table [model.equations]"
    elif not model.fields:
        yield ("model",), "a model written as equations needs a table [model.fields], e.g. u = {}"
    rates = [rate_of(name) or ("", name) for name in model.equations]
    for order, field in rates:
        if order == "dtt" and ("dt", field) in rates:
            yield ("model", "equations", f"dtt({field})"), f"there is also an equation for dt({field}); give one"
    evolving = {field for _, field in rates}
    for name in filter(solved, model.equations):
        if solved(name) in evolving:
            yield ("model", "equations", name), f"there is also an equation for a rate of {solved(name)}; give one"


def _model_names(model: Model) -> Found:
    """Each name once, and none that means a coordinate or the time."""
    taken: dict[str, str] = {}
    for key in ("fields", "parameters", "derived"):
        for name in getattr(model, key):
            if name in _RESERVED:
                yield ("model", key, name), f"'{name}' is the name of a coordinate or the time; choose another"
            elif name in taken:
                yield ("model", key, name), f"'{name}' is already a name in model.{taken[name]}; choose another"
            taken[name] = key


def _components(model: Model, ndim: int) -> Found:
    """Faces and edges carry one component per axis."""
    for name, entry in model.fields.items():
        if entry.centring in ("face", "edge") and entry.components != ndim:
            message = f"'{entry.centring}' needs components = {ndim}, the number of axes; got {entry.components}"
            yield ("model", "fields", name, "centring"), message


def _field_names(document: Mapping[str, Any]) -> Found:
    """Fields named anywhere, for a model that declares its fields in the configuration."""
    fields = [*_table(document, "model", "fields")]
    if not fields or _table(document, "model").get("name", EQUATIONS) != EQUATIONS:
        return
    for path in (("model", "equations"), ("model", "convolutions"), ("initial",), ("boundary",)):
        for name in _table(document, *path):
            rate = rate_of(name)
            field = rate[1] if rate else solved(name) or name
            stem, _, axis = field.rpartition("_")
            if path == ("boundary",) and stem in fields and axis in ("x", "y", "z", "w"):
                continue
            if field not in fields and (rate or solved(name) or NAME.fullmatch(name)):
                yield (*path, name), unknown_name("field", field, fields)
    for name, below in _table(document, "solver").items():
        if isinstance(below, Mapping) and name not in (*SolverKeys.model_fields, STEP, *fields):
            yield ("solver", name), unknown_name("solver", name, [*fields, STEP])
    known = [*fields, *_table(document, "model", "derived"), *_table(document, "model", "parameters")]
    names = _table(document, "output").get("fields")
    for n, name in enumerate(names if isinstance(names, list | tuple) else ()):
        if isinstance(name, str) and NAME.fullmatch(name) and name not in known:
            yield ("output", "fields", n), unknown_name("field", name, known)


def _table(document: Any, *path: str) -> Mapping[str, Any]:
    """The table at a path of the unchecked document, empty if there is none."""
    for name in path:
        document = document.get(name) if isinstance(document, Mapping) else None
    return document if isinstance(document, Mapping) else {}
