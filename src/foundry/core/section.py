"""The base of every config: frozen, unknown keys refused, numbers finite; and pydantic's errors said in our words."""

from __future__ import annotations

from typing import Any, TypeVar

import pydantic
from pydantic import BaseModel, ConfigDict

from foundry.core.errors import RequestError


class Section(BaseModel):
    """A frozen, validated part of a recipe."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=True, protected_namespaces=()
    )


S = TypeVar("S", bound=Section)


def validate(section: type[S], value: Any, at: str = "") -> S:
    """`value` (plain data) as a `section`. Raises RequestError with the dotted path below `at`."""
    try:
        return section.model_validate(value)
    except pydantic.ValidationError as error:
        raise explain(error, section, at) from None


def explain(error: pydantic.ValidationError, section: type[BaseModel], at: str = "") -> RequestError:
    """The first of pydantic's complaints, as one of ours: path, given, allowed, nearest match."""
    first = error.errors(include_url=False)[0]
    location = [str(part) for part in first["loc"]]
    path = ".".join(part for part in (at, *location) if part)
    if first["type"] == "extra_forbidden":
        choices = sorted(_fields_at(section, location[:-1]))
        return RequestError("recipe.unknown_key", path, f"no key '{location[-1]}'", got=location[-1], choices=choices)
    if first["type"] == "missing":
        return RequestError("recipe.missing_key", path, "missing", hint="add it")
    got = first["input"]
    shown = f", got {got!r:.80}" if not isinstance(got, (dict, BaseModel)) else ""
    message = first["msg"].removeprefix("Value error, ")
    return RequestError("recipe.bad_value", path, f"{message[0].lower()}{message[1:]}{shown}", got=got)


def _fields_at(section: Any, location: list[str]) -> list[str]:
    """Names of the fields of the nested section that `location` leads to."""
    for name in location:
        field = getattr(section, "model_fields", {}).get(name)
        section = field.annotation if field else None
    return list(getattr(section, "model_fields", {}))
