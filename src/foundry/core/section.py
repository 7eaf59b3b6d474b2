"""The base of every config: frozen, unknown keys refused, numbers finite; and pydantic's errors said in our words."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar, get_args

import pydantic
from pydantic import BaseModel, ConfigDict, ValidationInfo, field_validator

from foundry.core.errors import FoundryError, RequestError, shown

IDENTITY = {"for": "identity"}
"""pydantic's context when a section is written to be fingerprinted: two spellings of one thing are written alike."""


class Section(BaseModel):
    """A frozen, validated part of a recipe."""

    joined: ClassVar[tuple[str, ...]] = ()
    """Fields of slots that it doesn't write out (core/slots.py)."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=True, protected_namespaces=()
    )

    @field_validator("*", mode="before")
    @classmethod
    def _whole(cls, value: Any, info: ValidationInfo) -> Any:
        """A whole number is one however it is written, `1e4` too, as in a mutation's word."""
        if isinstance(value, float) and value.is_integer():
            wanted = cls.model_fields[str(info.field_name)].annotation
            kinds = get_args(wanted) or (wanted,)
            return int(value) if int in kinds and float not in kinds else value
        return value


S = TypeVar("S", bound=Section)


def validate(section: type[S], value: Any, at: str = "") -> S:
    """`value` (plain data) as a `section`. Raises RequestError with the dotted path below `at`."""
    try:
        return section.model_validate(value)
    except pydantic.ValidationError as error:
        raise explain(error, section, at) from None
    except FoundryError:
        raise  # a slot's own, with its path
    except Exception as error:  # an agent's config may raise anything
        raise RequestError("recipe.bad_value", at, f"{type(error).__name__}: {error}") from error


def explain(error: pydantic.ValidationError, section: type[BaseModel], at: str = "") -> RequestError:
    """The first of pydantic's complaints, as one of ours: path, given, allowed, nearest match."""
    errors = error.errors(include_url=False)
    unknown = (one for one in errors if one["type"] == "extra_forbidden")  # a misspelt key is also a missing one
    first = next(unknown, errors[0])
    location = [str(part) for part in first["loc"]]
    path = ".".join(part for part in (at, *location) if part)
    if first["type"] == "extra_forbidden":
        choices = sorted(_fields_at(section, location[:-1]))
        return RequestError("recipe.unknown_key", path, f"no key '{location[-1]}'", got=location[-1], choices=choices)
    if first["type"] == "missing":
        return RequestError("recipe.missing_key", path, "missing", hint="add it")
    got = first["input"]
    given = "" if isinstance(got, (dict, BaseModel)) else f", got {shown(got)}"
    message = first["msg"].removeprefix("Value error, ") or "not allowed"
    return RequestError("recipe.bad_value", path, f"{message[0].lower()}{message[1:]}{given}", got=got)


def _fields_at(section: Any, location: list[str]) -> list[str]:
    """Names of the fields of the nested section that `location` leads to."""
    for name in location:
        field = getattr(section, "model_fields", {}).get(name)
        section = field.annotation if field else None
    return list(getattr(section, "model_fields", {}))
