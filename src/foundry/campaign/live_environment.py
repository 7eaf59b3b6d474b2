"""The real field: points are recipes, runs are trained and judged by the engine. May not: decide what is tried.

A candidate's recipe carries the budget that makes it equal to the champion in the declared currency, so that what is
promoted trains as it was judged. Matched in seconds, where a rehearsal is needed for that, the budget is the arm's.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, final

from foundry.campaign.environment import Point, RunOutcome, RunRequest
from foundry.compare.calibrate import candidate_arm
from foundry.compare.match import Arm, carrying
from foundry.compare.no_effect import check_effect
from foundry.compare.session import Lab
from foundry.core import yaml_io
from foundry.core.errors import FoundryError, RequestError
from foundry.mutate import mutate
from foundry.mutate.families import FAMILIES
from foundry.mutate.words import expand
from foundry.recipe import Recipe

KEPT = 64
"""Recipes at hand; the others are in the ledger, or made again from their mutation."""
REMEMBERED = 4096
"""Words of which it is known what they make of the frontier."""
NAME_LENGTH = 200


class Refusal(NamedTuple):
    """Why a word doesn't fit: the error without its traceback, which would keep every recipe on its way alive."""

    code: str
    path: str
    message: str


@final
class LiveEnvironment:
    """match: the currency asked for, None for the default; words: what may be proposed, None for all variants; track:
    whose reference compute budgets are matched to."""

    def __init__(
        self, lab: Lab, champion: Recipe, match: str | None, words: Sequence[str] | None = None, track: str = ""
    ) -> None:
        self.lab, self.match, self.track = lab, match, track
        self._words = tuple(words) if words is not None else None
        self._recipes: OrderedDict[Point, Recipe] = OrderedDict()
        self._applied: dict[str, Point | Refusal] = {}
        self._applied_to: Point = ""
        self.set_champion(champion)

    def set_champion(self, champion: Recipe) -> None:
        """Budgets are matched to this recipe's from now on."""
        self.champion = champion.fingerprint
        self._put(champion)
        self.champion_arm = self.lab.champion_arm(self.track, champion)
        self._applied_to = ""

    def mutations(self, base: Point) -> Sequence[str]:
        if self._words is None:
            self._words = tuple(f"{family.name}:{name}" for family in FAMILIES.values() for name in family.named())
        return self._words

    def apply(self, base: Point, word: str) -> Point:
        if base != self._applied_to or len(self._applied) > REMEMBERED:
            self._applied, self._applied_to = {}, base
        if word not in self._applied:
            try:
                self._applied[word] = self._changed(base, word)
            except FoundryError as error:
                self._applied[word] = Refusal(error.code, error.path, error.message)
        found = self._applied[word]
        if isinstance(found, Refusal):
            raise RequestError(found.code, found.path, found.message)
        return found

    def _changed(self, base: Point, word: str) -> Point:
        before = self.recipe(base)
        recipe, edits = mutate(before, word)
        if not edits:
            return base
        check_effect(self.lab, before, word, recipe)
        if self.match == "seconds":
            self.lab.check_comparable(self.champion_arm.recipe, recipe)
        else:
            arm, _ = candidate_arm(self.lab, self.champion_arm, recipe, self.match, word)
            name = word if base == self.champion else f"{before.name}+{word}"
            if (name, arm.tokens) != (recipe.name, recipe.budget.tokens):
                recipe = Recipe.from_dict({**carrying(arm).recipe.to_dict(), "name": name[:NAME_LENGTH]})
        return self._put(recipe)

    def content(self, base: Point) -> dict[str, Any]:
        return self.recipe(base).to_dict()

    def gather(self, wanted: Sequence[RunRequest]) -> list[RunOutcome]:
        outcomes: dict[RunRequest, RunOutcome] = {}
        arms: dict[RunRequest, Arm] = {}
        for each in dict.fromkeys(wanted):
            try:
                arms[each] = self.arm(each.point)
            except FoundryError as error:
                reason = "invalid" if isinstance(error, RequestError) else "crash"
                outcomes[each] = RunOutcome(None, 0.0, reason, str(error))
        for split in dict.fromkeys(each.split for each in arms):
            asked = [each for each in arms if each.split == split]
            numbers = sorted({each.seed for each in asked})
            drawn = self.lab.screening_seeds((arms[each].recipe for each in asked), numbers)
            seeds = dict(zip(numbers, drawn, strict=True))
            results = self.lab.gather([(arms[each], seeds[each.seed]) for each in asked], split)
            for each, result in zip(asked, results, strict=True):
                flops = result.facts.get("flops") or float(arms[each].flops)  # a failed run: what it might have cost
                outcomes[each] = RunOutcome(result.bpb, flops, result.reason, result.detail)
        return [outcomes[each] for each in wanted]

    def arm(self, point: Point) -> Arm:
        """The recipe with its budget. Raises FoundryError for one that can't be built any more."""
        recipe = self.recipe(point)
        full = self.champion_arm
        if point != self.champion:
            full, _ = candidate_arm(self.lab, full, recipe, self.match, recipe.name)
            if self.match != "seconds" and full.tokens != recipe.budget.tokens:
                full = self.lab.arm_of(recipe)  # it carries its budget, which was matched to another champion
        return full

    def recipe(self, point: Point) -> Recipe:
        """Raises RequestError for a recipe that the ledger hasn't, or whose workspace code is another by now."""
        if point not in self._recipes:
            word = next((word for word, made in self._applied.items() if made == point), None)
            if word is not None:
                self._changed(self._applied_to, word)
                return self._recipes[point]
            row = self.lab.ledger.recipes.get(point)
            if row is None:
                raise RequestError("campaign.unknown_recipe", point, "no such recipe in the ledger")
            recipe = Recipe.from_dict(json.loads(row["content"]))
            if recipe.fingerprint != point:
                message = "its workspace code has changed since"
                raise RequestError("campaign.changed_code", row["name"], message, hint="propose it again")
            self._put(recipe)
        self._recipes.move_to_end(point)
        return self._recipes[point]

    def _put(self, recipe: Recipe) -> Point:
        """A recipe keeps the name that it came with: what leads to it once more, and is refused, doesn't rename it."""
        self._recipes.setdefault(recipe.fingerprint, recipe)
        self._recipes.move_to_end(recipe.fingerprint)
        while len(self._recipes) > KEPT:
            self._recipes.popitem(last=False)
        return recipe.fingerprint


def read_space(path: Path) -> list[str]:
    """The words of a space file: a YAML mapping with `mutations`, a list of families and mutations as `sweep` takes
    them. Raises RequestError."""
    values: dict[str, Any] = yaml_io.load(path)
    words = values.get("mutations")
    if set(values) != {"mutations"} or not isinstance(words, list) or not all(isinstance(w, str) for w in words):
        hint = "mutations: [norm, attention:gqa_2kv, lr:2e-3]"
        raise RequestError("space.form", str(path), "one key, `mutations`, a list of words", hint=hint)
    return expand(words)
