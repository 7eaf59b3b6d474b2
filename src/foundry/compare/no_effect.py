"""Whether a word changes any run, as can be told once data is prepared and budgets are matched. May not: train."""

from __future__ import annotations

from typing import Any

from foundry.compare.session import Lab
from foundry.core.errors import FoundryError
from foundry.mutate import mutate, stack_of, words_of
from foundry.mutate.apply import no_effect
from foundry.recipe import Recipe
from foundry.recipe.effective import effective

SEEN_HERE = ("data", "budget")
"""Sections of which a recipe alone doesn't tell what they come to: a filter may drop nothing, budgets are matched."""


def check_effect(lab: Lab, base: Recipe, word: str, made: Recipe) -> None:
    """Raises RequestError, naming it, for a part of `word` without which the very runs of `made` would be trained.
    `mutate` has refused already what the recipes themselves tell."""
    if all(getattr(base, section) == getattr(made, section) for section in SEEN_HERE):
        return
    words = words_of(word)
    for number, each in enumerate(words):
        others = words[:number] + words[number + 1 :]
        try:
            without = mutate(base, stack_of(others))[0] if others else base
        except FoundryError:
            continue  # the others don't fit without it
        if without.fingerprint != made.fingerprint and _felt(lab, without, base) == _felt(lab, made, base):
            raise no_effect(each)


def _felt(lab: Lab, recipe: Recipe, base: Recipe) -> dict[str, Any]:
    """What a run of the recipe feels, on as many steps as the base has."""
    return {**effective(recipe, base.steps()), "data": lab.data(recipe).hash, "budget": None}
