"""What the schema declares at a dotted path: used for suggestions, messages and the reference page."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import Tag

from hpcsim.config.values import Section


def arms(annotation: Any) -> Iterator[tuple[str | None, Any]]:
    """The plain alternatives of a type, each with its tag; annotations and None are taken off."""
    origin = get_origin(annotation)
    if origin is Annotated:
        inner, *metadata = get_args(annotation)
        tag = next((m.tag for m in metadata if isinstance(m, Tag)), None)
        yield from ((own or tag, arm) for own, arm in arms(inner))
    elif origin in (Union, types.UnionType):
        for choice in get_args(annotation):
            yield from arms(choice)
    elif annotation is not type(None):
        yield None, annotation


def step(annotation: Any, element: str | int) -> list[Any]:
    """The types a value may have one level below a type, under a key, an index or a tag."""
    found = []
    for tag, arm in arms(annotation):
        origin = get_origin(arm)
        if tag == element:
            found.append(arm)
        elif isinstance(arm, type) and issubclass(arm, Section):
            if element in arm.model_fields:
                found.append(arm.model_fields[str(element)].annotation)
            elif (below := arm.below()) is not None:
                found.append(below)
        elif origin is Mapping and isinstance(element, str):
            found.append(get_args(arm)[1])
        elif origin is tuple and isinstance(element, int):
            found.append(get_args(arm)[0])
    return found


def sections_at(root: type[Section], path: Sequence[str | int]) -> list[type[Section]]:
    """The sections whose keys may stand at a path as pydantic reports it, tags included."""
    level: list[Any] = [root]
    for element in path:
        level = [below for annotation in level for below in step(annotation, element)]
    found = [arm for annotation in level for _, arm in arms(annotation)]
    return [arm for arm in found if isinstance(arm, type) and issubclass(arm, Section)]
