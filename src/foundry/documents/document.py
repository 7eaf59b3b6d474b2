"""A document: a frozen dataclass whose fields are the keys of a JSON object. May not: know any of them by name."""

from __future__ import annotations

import types
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Annotated, Any, Self, Union, cast, dataclass_transform, get_args, get_origin, get_type_hints

from foundry.documents.html import as_html


class Big:
    """Marks an integer that is a string in JSON beyond 2^53 (core/files.py)."""


Integer = Annotated[int, Big]
Interval = tuple[float, float]


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Document:
    """The base of all documents, each a frozen dataclass by being one. `document["key"]` reads it as its JSON is read;
    a field `from_` is the key `from`."""

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True, kw_only=True)(cls)

    def __getitem__(self, key: str) -> Any:
        return self.to_dict()[key]

    def _repr_html_(self) -> str:
        """As a notebook shows it."""
        return as_html(type(self).__name__, self.to_dict())

    def to_dict(self) -> dict[str, Any]:
        """Plain data for JSON: dicts, lists, strings, numbers, None."""
        return {field.name.rstrip("_"): _plain(getattr(self, field.name)) for field in fields(cast(Any, self))}

    @classmethod
    def from_dict(cls, values: dict[str, Any], **more: Any) -> Self:
        """The inverse of `to_dict`; of an earlier version's record too: what it lacks is the default, or None, and what
        is no key any more is passed over. `more` is taken as it is."""
        types = hints(cls)
        made = {
            field.name: _read(types[field.name], values[key])
            if (key := field.name.rstrip("_")) in values
            else (field.default if field.default is not MISSING else None)
            for field in fields(cast(Any, cls))
        }
        return cls(**{**made, **more})


@cache
def hints(document: type[Document]) -> dict[str, Any]:
    """The types of a document's fields by their names."""
    return get_type_hints(document, include_extras=True)


def _plain(value: Any) -> Any:
    if isinstance(value, Document):
        return value.to_dict()
    if isinstance(value, (list, tuple)):
        return [_plain(each) for each in value]
    return {key: _plain(each) for key, each in value.items()} if isinstance(value, dict) else value


def _read(kind: Any, value: Any) -> Any:
    """Plain data as `kind` has it: lists as tuples, objects as documents."""
    origin, inside = get_origin(kind), get_args(kind)
    if value is None or not inside:
        return (
            kind.from_dict(value)
            if isinstance(value, dict) and isinstance(kind, type) and issubclass(kind, Document)
            else value
        )
    if origin is Annotated:
        return value
    if origin in (Union, types.UnionType):
        return _read(next(each for each in inside if each is not type(None)), value)
    if origin is tuple:
        each = inside[:1] * len(value) if inside[-1] is ... else inside
        return tuple(_read(one, part) for one, part in zip(each, value, strict=True))
    return {key: _read(inside[1], part) for key, part in value.items()} if origin is dict else value
