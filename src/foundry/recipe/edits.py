"""Edits: a change of a recipe as data, (path, old, new): printable, invertible, stackable."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from foundry.core.errors import RequestError
from foundry.core.paths import differences, get_path
from foundry.documents import runs as documents
from foundry.recipe.recipe import Recipe


@dataclass(frozen=True)
class Edit:
    """Set `path` (dotted) from `old` to `new`; `by` is the mutation that claims it."""

    path: str
    old: Any
    new: Any
    by: str = ""

    def inverse(self) -> Edit:
        return Edit(self.path, self.new, self.old, self.by)

    def __str__(self) -> str:
        return f"{self.path}: {_short(self.old)} → {_short(self.new)}"

    @property
    def document(self) -> documents.Edit:
        return documents.Edit(path=self.path, old=self.old, new=self.new)


def overlap(a: str, b: str) -> bool:
    """Whether one path is the other or lies inside it."""
    return a == b or a.startswith(b + ".") or b.startswith(a + ".")


def apply(recipe: Recipe, edits: Iterable[Edit], name: str | None = None) -> Recipe:
    """The recipe with all edits made, validated again. Raises RequestError for a claim that two make, a stale `old`,
    or a result that isn't a recipe; then nothing has changed."""
    edits = list(edits)
    for i, edit in enumerate(edits):
        for other in edits[:i]:
            if overlap(edit.path, other.path):
                path = min(edit.path, other.path, key=len)
                message = f"'{other.by}' and '{edit.by}' both claim {path}"
                whole = f", or set all of it at once: set:{path}={{...}}" if edit.path != other.path else ""
                raise RequestError("mutate.conflict", edit.path, message, hint=f"drop one of them{whole}")
    values = recipe.to_dict()
    for edit in edits:
        parent, _, key = edit.path.rpartition(".")
        holder = get_path(values, parent) if parent else values
        if not isinstance(holder, dict) or holder.get(key) != edit.old:
            found = _short(holder.get(key)) if isinstance(holder, dict) else "nothing"
            raise RequestError("mutate.stale", edit.path, f"the edit is from {_short(edit.old)}, and {found} is there")
        holder[key] = copy.deepcopy(edit.new)
    if name is not None:
        values["name"] = name
    return Recipe.from_dict(values)


def diff(a: dict[str, Any], b: dict[str, Any]) -> list[Edit]:
    """The edits that turn plain recipe `a` into `b`, the name left out; a part of another kind is one edit."""
    return [Edit(*each) for each in differences(a, b) if each[0] != "name"]


def _short(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{k}: {_short(v)}" for k, v in value.items()) + "}"
    return str(value)
