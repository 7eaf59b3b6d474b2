"""A mutation as text and as the name of a file: `attention:gqa_2kv+norm:layernorm`. May not: read a recipe."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass

from foundry.core.errors import RequestError
from foundry.mutate.families import FAMILIES
from foundry.mutate.family import Family

_NEXT_CHANGE = re.compile(r"\+\s*(?=\w+\s*:)")  # so that `lr:1e+3` and `set:name=a+b` are one change each
_SAFE = re.compile(r"[a-z0-9._,=-]+", re.ASCII)  # the same on file systems that ignore case
_LIKE_A_DIGEST = re.compile(r".*-[0-9a-f]{10}")
_MAX_STEM = 120


@dataclass(frozen=True, order=True)
class Change:
    """One `family:variant`."""

    family: str
    variant: str

    def __str__(self) -> str:
        return f"{self.family}:{self.variant}"


@dataclass(frozen=True)
class Mutation:
    """Changes that are made together, sorted: their order means nothing."""

    changes: tuple[Change, ...]

    def __str__(self) -> str:
        return "+".join(map(str, self.changes))


def parse(text: str, variant: str | None = None) -> Mutation:
    """`family:variant`, stacked with `+`; or a family and a variant apart. Raises RequestError."""
    texts = words_of(text) if variant is None else [f"{text}:{variant}"]
    return Mutation(tuple(sorted(_change(part) for part in texts)))


def words_of(text: str) -> list[str]:
    """The words that a stack is made of: `text` cut at each `+` that starts another change, outside of quotes and
    brackets. A word needn't be a family's."""
    parts, start, depth, quote = [], 0, 0, ""
    for i, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"" and text[:i].rstrip()[-1:] in tuple("=[{,:"):  # YAML quotes open a value
            quote = character
        elif character in "[{":
            depth += 1
        elif character in "]}":
            depth -= 1
        elif character == "+" and depth <= 0 and _NEXT_CHANGE.match(text, i):
            parts.append(text[start:i])
            start = i + 1
    return [*parts, text[start:]]


def stack_of(several: Iterable[str]) -> str:
    """The words, or stacks of words, as one stack."""
    return "+".join(sorted(word for text in several for word in words_of(text)))


def family_of(word: str) -> str:
    """`attention` of `attention:gqa_2kv`."""
    return word.partition(":")[0]


def file_name(mutation: Mutation) -> str:
    """`attn_gqa_2kv.yaml`: no two mutations share one. A variant that no file name can hold is shortened and hashed."""
    names = [f"{FAMILIES[change.family].short}_{_slug(change.variant)}" for change in mutation.changes]
    stem = "+".join(names)
    if len(stem) > _MAX_STEM:
        stem = f"{stem[: _MAX_STEM - 20]}-{_digest(str(mutation))}"
    return f"{stem}.yaml"


def _change(text: str) -> Change:
    name, colon, variant = (word.strip() for word in text.partition(":"))
    family: Family | None = FAMILIES.get(name)
    if family is None:
        raise RequestError("mutate.unknown_family", name, f"no family '{name}'", got=name, choices=list(FAMILIES))
    if not colon or not variant:
        raise RequestError(
            "mutate.syntax",
            name,
            "which variant? write family:variant",
            choices=list(family.named()),
            hint=family.also(),
        )
    return Change(name, variant)


def _slug(variant: str) -> str:
    if _SAFE.fullmatch(variant) and not _LIKE_A_DIGEST.fullmatch(variant):
        return variant
    words = "-".join(re.findall(r"[a-z0-9._]+", variant.lower(), re.ASCII))
    return f"{words[:40]}-{_digest(variant)}"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:10]
