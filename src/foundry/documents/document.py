"""A document: a frozen dataclass whose fields are the keys of a JSON object. May not: know any of them by name.

A field's type says whose its text is. `str`: a name, framed (core/untrusted.py) where it is no single word; `Foreign`:
others' words, framed always, null where there are none; `Ours`: a sentence that Foundry itself wrote, or a place on its
user's disk. So a field that nobody thought about frames what it holds.
"""

from __future__ import annotations

import types
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Annotated, Any, Self, Union, cast, dataclass_transform, get_args, get_origin, get_type_hints

from foundry.core import untrusted
from foundry.documents.html import as_html


class Big:
    """Marks an integer that is a string in JSON beyond 2^53 (core/files.py)."""


class Theirs:
    """Marks text that others wrote, or that has theirs in it."""


class Own:
    """Marks text in which nothing is others'."""


Integer = Annotated[int, Big]
Foreign = Annotated[str, Theirs]
Ours = Annotated[str, Own]
Printed = Annotated[Any, Own]
"""A document as another command printed it: framed already."""
Interval = tuple[float, float]


@dataclass_transform(frozen_default=True, kw_only_default=True)
class Document:
    """The base of all documents, each a frozen dataclass by being one. `document["key"]` is what its JSON has there, a
    field `from_` the key `from`; like an attribute it has all text as it is, what is framed in JSON too."""

    def __init_subclass__(cls) -> None:
        dataclass(frozen=True, kw_only=True)(cls)

    def __getitem__(self, key: str) -> Any:
        return self.plain()[key]

    def _repr_html_(self) -> str:
        """As a notebook shows it."""
        return as_html(type(self).__name__, self.plain())

    def to_dict(self) -> dict[str, Any]:
        """What `--json` prints: dicts, lists, strings, numbers, None; others' text is framed."""
        return {name.rstrip("_"): told(getattr(self, name)) for name, told in _tellers(type(self)).items()}

    def plain(self) -> dict[str, Any]:
        """The same with all text as it is, for Foundry's own use."""
        return {field.name.rstrip("_"): _plain(getattr(self, field.name)) for field in fields(cast(Any, self))}

    @classmethod
    def from_dict(cls, values: dict[str, Any], **more: Any) -> Self:
        """The inverse of `plain`; of an earlier version's record too: what it lacks is the default, or None, and what
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


@cache
def _tellers(document: type[Document]) -> dict[str, Callable[[Any], Any]]:
    """For each field how its value is told in JSON."""
    return {name: _teller(kind) for name, kind in hints(document).items()}


def _teller(kind: Any) -> Callable[[Any], Any]:
    origin, inside = get_origin(kind), get_args(kind)
    if kind == Foreign:
        return lambda value: untrusted.framed(value) if value else None
    if kind in (str, Any) or (isinstance(kind, type) and issubclass(kind, Document)):
        return lambda value: value.to_dict() if isinstance(value, Document) else untrusted.data(value)
    if origin in (Union, types.UnionType):
        return _teller(next(each for each in inside if each is not type(None)))
    if origin is dict:
        of = _teller(inside[1])
        return lambda value: value and {untrusted.key(name): of(one) for name, one in value.items()}
    if origin is tuple:
        tellers = [_teller(one) for one in inside if one is not ...]
        return lambda value: value if value is None else [
            tell(one) for tell, one in zip(tellers * (len(value) if inside[-1] is ... else 1), value, strict=True)
        ]  # fmt: skip
    return _same


def _same(value: Any) -> Any:
    return value


def _plain(value: Any) -> Any:
    if isinstance(value, Document):
        return value.plain()
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
