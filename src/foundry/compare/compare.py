"""`compare A B`: is B better than A, on shared seeds and an equal budget? May not: promote."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from foundry.compare import match as matching
from foundry.compare import tune as tuning
from foundry.compare.calibrate import candidate_arm
from foundry.compare.certify import Seen
from foundry.compare.comparison import Question, Rules, ask
from foundry.compare.session import Lab
from foundry.core.files import write_document
from foundry.documents.comparison import Comparison, Comparisons
from foundry.recipe import Recipe

TUNING_SEEDS = 2


def compare(
    lab: Lab,
    a: Path,
    b: Path,
    rules: Rules,
    match: str | None,
    tune: str | None,
    seeds: tuple[int, ...],
    again: bool,
    seen: Seen,
) -> Comparison:
    """Compare two recipe files, at once where there is a verdict already.

    Nothing corrects it for how often it is asked, which `asked` counts: for this pair, this time included. With `tune`,
    both at the learning rate of a small grid that suits each best: tuned against tuned.
    """
    tuning.check(tune)
    matching.check(match)
    baseline_recipe, candidate_recipe = Recipe.load(a), Recipe.load(b)
    baseline = lab.arm_of(baseline_recipe)
    if lab.unlike(baseline_recipe, candidate_recipe):  # the verdict says so, and nothing is timed, tuned or trained
        candidate, currency, tune = lab.arm_of(candidate_recipe), "tokens", None
    else:
        candidate, currency = candidate_arm(lab, baseline, candidate_recipe, match)
    if baseline.name == candidate.name:  # a copied file keeps the name in it
        baseline, candidate = replace(baseline, name=str(a)), replace(candidate, name=str(b))
    grid = None
    if tune is not None:
        spare = [seed for seed in range(1, len(seeds) + TUNING_SEEDS + 1) if seed not in seeds][:TUNING_SEEDS]
        tuned = tuning.tune_lr(lab, (baseline, candidate), spare)
        (baseline, candidate), grid = [each.arm for each in tuned], tuning.to_json(tuned, spare)
    question = Question(baseline, candidate, currency, "validation", rules.min_effect, rules, seeds=seeds, tuning=grid)
    given = ask(lab, question, again, seen)
    asked = lab.ledger.verdicts.compared(*(arm["recipe"] for arm in given["arms"]))
    document = Comparison.from_dict(given, corrected=False, asked=asked)
    write_document(Path(document.report), document.to_dict())
    return document


def several(lab: Lab, a: Path, others: Sequence[Path], *asked: Any) -> Comparisons:
    """Each of the others against `a`, as `compare` does it, one after the other; all are read before any is trained."""
    for path in (a, *others):
        Recipe.load(path)
    return Comparisons(comparisons=tuple(compare(lab, a, other, *asked) for other in others))
