"""What of a recipe a run feels: parts that train alike are written alike. May not: be an identity."""

from __future__ import annotations

from typing import Any, cast

from foundry.core.paths import get_path
from foundry.core.section import IDENTITY
from foundry.core.slot import PartConfig
from foundry.core.slots import SLOTS
from foundry.recipe.recipe import Recipe


def effective(recipe: Recipe, steps: int | None = None) -> dict[str, Any]:
    """Plain data that is equal for two recipes whose runs of `steps` (their own by default) are one. What a run would
    have to show (a gradient that is never clipped, a filter that drops nothing) isn't seen here."""
    steps, model = steps or recipe.steps(), recipe.model
    content = recipe.model_dump(mode="json", context=IDENTITY, exclude={"name"})
    for slot in SLOTS:
        *way, last = slot.at.split(".")
        part: Any = recipe
        for name in (*way, last):
            part = getattr(part, name)
        plain = cast(PartConfig, part).alike(model.context, model.layers, steps)
        get_path(content, ".".join(way))[last] = plain.model_dump(mode="json", context=IDENTITY)
    return {**content, "sources": recipe.sources()}
