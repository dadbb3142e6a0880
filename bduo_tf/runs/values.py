"""Dataclasses from values that were read from a JSON file, checked against the types of their fields."""

import dataclasses
import types
from collections.abc import Mapping
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints

__all__ = ["restored"]

T = TypeVar("T")


def restored(kind: type[T], values: Mapping[str, Any]) -> T:
    """An instance of a dataclass from values by the names of its fields.

    Lists become tuples. Names that are no fields are ignored, and fields with defaults may be missing.

    Args:
        kind: the dataclass.
        values: what a JSON object held.

    Raises:
        ValueError: a field is missing, or its value is not of its type.
    """
    hints = get_type_hints(kind)
    given: dict[str, Any] = {}
    for field in dataclasses.fields(kind):  # type: ignore[arg-type]
        if field.name in values:
            value = values[field.name]
            given[field.name] = value = tuple(value) if isinstance(value, list) else value
            if not _is(value, hints[field.name]):
                raise ValueError(f"{field.name!r} is {values[field.name]!r}, which is not {_named(hints[field.name])}")
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            raise ValueError(f"there is no {field.name!r}")
    return kind(**given)


def _is(value: Any, hint: Any) -> bool:
    origin, arguments = get_origin(hint), get_args(hint)
    if origin in (Union, types.UnionType):
        return any(_is(value, argument) for argument in arguments)
    if origin is tuple:
        if not isinstance(value, tuple):
            return False
        kinds = arguments[:1] * len(value) if arguments[1:] == (...,) else arguments
        return len(value) == len(kinds) and all(map(_is, value, kinds))
    if hint is float:
        return type(value) in (int, float)
    return type(value) is hint


def _named(hint: Any) -> str:
    return hint.__name__ if isinstance(hint, type) and get_origin(hint) is None else str(hint)
