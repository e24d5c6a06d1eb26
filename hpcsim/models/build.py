"""From the ``[model]`` section of a case to a `Model`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hpcsim.errors import ConfigError, Problem
from hpcsim.models import MODELS
from hpcsim.models.base import Model

OWN_TABLES = ("fields", "equations", "convolutions")


def build_model(
    name: str,
    ndim: int,
    *,
    parameters: Mapping[str, Any] | None = None,
    fields: Mapping[str, Any] | None = None,
    equations: Mapping[str, str] | None = None,
    derived: Mapping[str, str] | None = None,
    convolutions: Mapping[str, Mapping[str, Any]] | None = None,
    dtype: str = "float64",
) -> Model:
    """The model of a case.

    Parameters
    ----------
    name : str
        Name in the table of models; ``"equations"`` for one given by `fields` and `equations`.
    ndim : int
        Axes of the lattice, 1 to 4.
    parameters, fields, equations, derived, convolutions : mapping, optional
        The tables of the section. `derived` may be added to any model.
    dtype : str
        Number type of every field that does not name its own.

    Returns
    -------
    Model

    Raises
    ------
    ConfigError
        If the name is unknown or a table has faults; every fault is listed.

    Examples
    --------
    >>> build_model("klein_gordon", 2, parameters={"chi": "0.1 + x"}).equations
    {'dtt(E)': 'c**2*laplacian(E) - chi**2*E'}
    """
    if name not in MODELS:
        try:
            MODELS.get(name)
        except ConfigError as error:
            raise ConfigError([Problem("model.name", p.message) for p in error.problems]) from None
    builder = MODELS.get(name)
    if name == "equations":
        tables = {field: _with_dtype(entry, dtype) for field, entry in (fields or {}).items()}
        texts = {"equations": equations, "derived": derived, "convolutions": convolutions}
        own: Model = builder(ndim, parameters, fields=tables, **texts)
        return own
    for key, table in zip(OWN_TABLES, (fields, equations, convolutions), strict=True):
        if table:
            text = f"model '{name}' has its own {key}; leave the table out or use name = \"equations\""
            raise ConfigError([Problem(f"model.{key}", text)])
    model: Model = builder(ndim, parameters)
    both = sorted({*model.derived} & {*(derived or {})})
    taken = [Problem(f"model.derived.{key}", f"model '{name}' has this name already") for key in both]
    if taken:
        raise ConfigError(taken)
    return replace(model, derived={**model.derived, **(derived or {})}).with_dtype(dtype)


def _with_dtype(entry: object, dtype: str) -> object:
    """A field table with the number type of the run where it names none."""
    if not isinstance(entry, Mapping):
        return entry
    return {**entry, "dtype": entry.get("dtype") or dtype}
