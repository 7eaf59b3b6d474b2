"""The shapes that a family of mutations can have. May not: import torch, except through a part that is put into use.

A family turns one variant into claims, {dotted path: new value}, computed from the recipe as it is. A claim may equal
what is there: a value that the variant relies on is claimed too, so that no other mutation of a stack can change it.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, final

from foundry.core import yaml_io
from foundry.core.errors import RequestError
from foundry.core.paths import get_path, has_path
from foundry.core.slot import Slot

Values = dict[str, Any]
"""A recipe as plain data."""


@dataclass(frozen=True)
class Family(ABC):
    """name: as in `name:variant`; short: how files are named, without `_`; what: one line for people."""

    name: str
    short: str
    what: str

    @abstractmethod
    def named(self) -> dict[str, str]:
        """Variant → its one-line explanation, of all that have a name."""

    @abstractmethod
    def claims(self, recipe: Values, variant: str) -> Values:
        """Path → new value. Raises RequestError for a variant that isn't there or doesn't fit the recipe."""

    def also(self) -> str:
        """What may be given besides the named variants; empty for nothing."""
        return ""

    def no_variant(self, variant: str) -> RequestError:
        return RequestError(
            "mutate.unknown_variant",
            self.name,
            f"no '{variant}'",
            got=variant,
            choices=list(self.named()),
            hint=self.also(),
        )

    def misfit(self, variant: str, why: str) -> RequestError:
        return RequestError("mutate.does_not_fit", f"{self.name}:{variant}", why, got=variant)


@dataclass(frozen=True)
class Preset:
    """A kind with some of its fields set; `fields` is computed from the part that is there.

    Under the name of its kind it says what else changes when that kind takes another's place.
    """

    kind: str
    what: str
    fields: Callable[[Values], Values]


@final
@dataclass(frozen=True)
class PartFamily(Family):
    """Puts another kind into a slot. Every kind is a variant, those in the workspace too; presets come on top.

    A field that both kinds have keeps its value, unless the new kind's default for it differs from the old kind's: then
    the kind has a scale of its own, and its default is taken.
    """

    slot: Slot
    presets: Mapping[str, Preset] = field(default_factory=dict)

    def named(self) -> dict[str, str]:
        kinds = {kind: self.slot.describe(kind).partition(" May not:")[0] for kind in self._kinds()}
        return kinds | {name: preset.what for name, preset in self.presets.items()}

    def is_theirs(self, variant: str) -> bool:
        """Whether it is a part of the workspace."""
        return variant not in self.presets and not self.slot.is_builtin(variant)

    def claims(self, recipe: Values, variant: str) -> Values:
        is_kind, preset = variant in self._kinds(), self.presets.get(variant)
        if not is_kind and preset is None:
            raise self.no_variant(variant)
        at, old = self.slot.at, get_path(recipe, self.slot.at)
        if old["kind"] == variant:
            return {at: old}
        if preset is None or (is_kind and preset.kind != variant):  # a file in the slot comes before a preset's name
            return {at: self._switched(old, variant, {})}
        if old["kind"] != preset.kind:
            return {at: self._switched(old, preset.kind, preset.fields(old))}
        return {f"{at}.{key}": value for key, value in preset.fields(old).items()}

    def _kinds(self) -> list[str]:
        return [kind for kind in self.slot.kinds() if kind not in self.slot.unnamed]

    def _switched(self, old: Values, kind: str, fields: Values) -> Values:
        before, after = (self.slot.config(name).model_fields for name in (old["kind"], kind))
        keep = {
            key: value
            for key, value in old.items()
            if key in after
            and key != "kind"
            and (after[key].is_required() or (key in before and before[key].default == after[key].default))
        }
        return self.slot.parse({**keep, **fields, "kind": kind}).model_dump(mode="json")


@final
@dataclass(frozen=True)
class NumberFamily(Family):
    """Sets one number, to a value or by a factor."""

    path: str
    usual: tuple[str, ...]

    def named(self) -> dict[str, str]:
        return {variant: f"{self.path} = {variant}" for variant in self.usual}

    def also(self) -> str:
        return f"any number ({self.name}:{self.usual[0]}) or factor ({self.name}:x2)"

    def claims(self, recipe: Values, variant: str) -> Values:
        return {self.path: number(self, variant, get_path(recipe, self.path))}


@final
@dataclass(frozen=True)
class WidthFamily(Family):
    """Sets the width, and the heads with it, so that a head keeps its channels."""

    usual: tuple[str, ...]

    def named(self) -> dict[str, str]:
        return {variant: f"{variant} channels, heads in proportion" for variant in self.usual}

    def also(self) -> str:
        return "any multiple of a head's channels, or a factor (width:x2)"

    def claims(self, recipe: Values, variant: str) -> Values:
        old = get_path(recipe, "model.width")
        width = number(self, variant, old)
        claims = {"model.width": width}
        for key in ("heads", "kv_heads"):
            path, count = f"model.attention.{key}", get_path(recipe, "model.attention").get(key)
            if isinstance(count, int):
                if width * count % old:
                    raise self.misfit(
                        variant, f"{path} can't grow in proportion: {count} × {width} / {old} is not whole"
                    )
                claims[path] = width * count // old
        return claims


@final
@dataclass(frozen=True)
class PairFamily(Family):
    """Sets a pair of numbers, written with a comma, at the first of `paths` that the recipe has."""

    paths: tuple[str, ...]
    usual: tuple[str, ...]

    def named(self) -> dict[str, str]:
        return {variant: f"{self.paths[0]} = {variant}" for variant in self.usual}

    def also(self) -> str:
        return f"any two numbers ({self.name}:{self.usual[0]})"

    def claims(self, recipe: Values, variant: str) -> Values:
        path = next((path for path in self.paths[1:] if has_path(recipe, path)), self.paths[0])
        old, given = get_path(recipe, path), variant.split(",")
        if len(given) != len(old):
            raise self.no_variant(variant)
        return {path: [number(self, text.strip(), value) for text, value in zip(given, old, strict=True)]}


@final
@dataclass(frozen=True)
class SettingFamily(Family):
    """Sets some fields together under a name; `free` maps words of its own to paths, for `word=value`."""

    settings: Mapping[str, tuple[str, Values]]
    """variant → (explanation, claims)"""
    free: Mapping[str, str] = field(default_factory=dict)

    def named(self) -> dict[str, str]:
        return {variant: what for variant, (what, _) in self.settings.items()}

    def also(self) -> str:
        return " or ".join(f"{self.name}:{word}=NUMBER" for word in self.free)

    def claims(self, recipe: Values, variant: str) -> Values:
        word, is_given, text = variant.partition("=")
        if is_given and word in self.free:
            path = self.free[word]
            return {path: number(self, text, get_path(recipe, path))}
        if variant not in self.settings:
            raise self.no_variant(variant)
        return dict(self.settings[variant][1])


@final
@dataclass(frozen=True)
class SetFamily(Family):
    """`set:path=value`, any field; the value is a YAML scalar, list or mapping on one line."""

    parts: tuple[PartFamily, ...]

    def named(self) -> dict[str, str]:
        return {}

    def also(self) -> str:
        return "set:PATH=VALUE, the value in YAML: set:train.ema=0.99, set:model.attention={kind: gqa, heads: 2}"

    def claims(self, recipe: Values, variant: str) -> Values:
        path, is_given, text = (word.strip() for word in variant.partition("="))
        if not is_given or not path:
            raise RequestError("mutate.syntax", f"{self.name}:{variant}", "no 'path=value'", hint=self.also())
        get_path(recipe, path)
        value = yaml_io.parse_value(text, path)
        for family in self.parts:  # a kind alone is that kind's mutation, so that its fields come with it
            if path == f"{family.slot.at}.kind" and isinstance(value, str):
                return family.claims(recipe, value)
        return {path: value}


_FACTOR = re.compile(r"[x×]\s*(.+)")


def number(family: Family, text: str, old: float) -> float:
    """The number that `text` means beside `old`, in `old`'s type: `3e-4`, or a factor `x2`. Raises RequestError."""
    factor = _FACTOR.fullmatch(text)
    value = yaml_io.parse_value(factor[1] if factor else text, f"{family.name}:{text}")
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise family.no_variant(text)
    if factor:
        value = scaled(old, value)
    if isinstance(old, float):
        return float(value)
    if value != int(value):
        raise family.misfit(text, f"{value:g} is not a whole number")
    return int(value)


def scaled(value: float, factor: float) -> float:
    """The product without the dust of binary fractions: 1e-3 × 3 is 0.003, so that it is the recipe that says 0.003."""
    return float(f"{value * factor:.12g}")
