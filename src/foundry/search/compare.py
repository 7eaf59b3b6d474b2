"""`compare A B`: is B better than A, on shared seeds and an equal budget? May not: promote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foundry.recipe import Recipe
from foundry.search.certify import Seen
from foundry.search.lab import Lab
from foundry.search.trial import Question, Rules, ask


def compare(
    lab: Lab,
    a: Path,
    b: Path,
    rules: Rules,
    match: str | None,
    seeds: tuple[int, ...],
    again: bool,
    seen: Seen,
) -> dict[str, Any]:
    """Compare two recipe files; the document that `compare --json` prints, at once where there is a verdict already."""
    baseline_recipe, candidate_recipe = Recipe.load(a), Recipe.load(b)
    baseline = lab.arm_of(baseline_recipe)
    candidate, currency = lab.candidate_arm(baseline, candidate_recipe, match)
    question = Question(baseline, candidate, currency, "validation", rules.min_effect, rules, seeds=seeds)
    return ask(lab, question, again, seen)
