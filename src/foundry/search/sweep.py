"""`sweep`: screen candidates against the baseline, certify the best on fresh seeds, promote it if the verdict holds.

Killed and started again it goes on where it was: finished runs and fixed plans are in the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean
from typing import Any

from foundry.core.errors import FoundryError, RequestError
from foundry.mutate import mutate
from foundry.recipe import Recipe
from foundry.search.budget import BudgetRules
from foundry.search.certify import Seen
from foundry.search.lab import Lab
from foundry.search.match import Arm
from foundry.search.promote import promote, settle
from foundry.search.screen import Screened, screen
from foundry.search.trial import Question, ask

RECORDED = ("effect_bpb", "interval_bpb", "n", "evidence", "alpha", "seeds", "split", "budget", "remeasured")
TEST_READS_A_SEASON = 400


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep is asked to do."""

    mutations: tuple[str, ...]
    promote: bool = False
    seeds: int = 2
    """Screening seeds: 1, 2, …, shared by all arms."""
    match: str | None = None
    min_effect: float = 0.0
    budget: BudgetRules = field(default_factory=BudgetRules)
    again: bool = False
    """Certify anew what the ledger has a verdict on."""


def sweep(lab: Lab, path: Path, plan: SweepPlan, seen: Seen) -> dict[str, Any]:
    """Run the sweep on the baseline file `path`; the document that `sweep --json` prints."""
    if plan.seeds < 1:
        raise RequestError("sweep.seeds", "--seeds", "at least 1", got=plan.seeds)
    baseline_recipe = settle(lab.ledger, path)
    baseline = lab.arm_of(baseline_recipe)
    recipes, refused, unchanged = _candidates(baseline_recipe, plan.mutations)
    candidates = []
    for mutation, recipe in recipes:
        arm, currency = lab.candidate_arm(baseline, recipe, plan.match, mutation)
        candidates.append((mutation, arm, currency))
    if candidates:
        lab.say(f"screening {len(candidates)} candidates and the baseline on {plan.seeds} seeds")
    screened = screen(lab, baseline, candidates, list(range(1, plan.seeds + 1))) if candidates else []
    base_scores = [run.bpb for run in screened[0].baseline_runs if run.bpb is not None] if screened else []
    document: dict[str, Any] = {
        "baseline": {
            "name": baseline.name,
            "file": str(path),
            "recipe": baseline_recipe.fingerprint,
            "val_bpb": fmean(base_scores) if base_scores else None,
            "budget_tokens": baseline.tokens,
            "budget_flops": baseline.flops,
        },
        "candidates": [candidate.to_json() for candidate in screened] + refused,
        "unchanged": unchanged,
        "verdict": None,
        "promoted": None,
        "why": "",
    }
    noise = [candidate.differences for candidate in screened]
    best = next((candidate for candidate in screened if candidate.gain is not None), None)
    if best is None or best.gain is None or best.gain <= 0:
        document["why"] = "no candidate beats the baseline in screening"
    elif not plan.promote:
        document["why"] = "screening alone decides nothing; --promote certifies the best on fresh seeds"
    else:
        _certify(lab, path, baseline, best, plan, noise, document, seen)
    return document


def _candidates(
    baseline: Recipe, mutations: tuple[str, ...]
) -> tuple[list[tuple[str, Recipe]], list[dict[str, Any]], list[str]]:
    """Distinct recipes; what the baseline's sizes refuse, as failed candidates; what changes nothing."""
    recipes: dict[str, tuple[str, Recipe]] = {}
    refused: list[dict[str, Any]] = []
    unchanged: list[str] = []
    for text in mutations:
        try:
            recipe, _ = mutate(baseline, text)
        except FoundryError as error:
            if len(mutations) == 1 or error.code in ("mutate.unknown_family", "mutate.unknown_variant"):
                raise
            row = {"name": text, "mutation": text, "status": "failed", "reason": "invalid", "detail": str(error)}
            refused.append({**row, "val_bpb": None, "gain_bpb": None})
            continue
        if recipe.fingerprint == baseline.fingerprint:
            unchanged.append(text)
        else:
            recipes.setdefault(recipe.fingerprint, (text, recipe))
    return list(recipes.values()), refused, unchanged


def _certify(
    lab: Lab,
    path: Path,
    baseline: Arm,
    best: Screened,
    plan: SweepPlan,
    noise: list[list[float]],
    document: dict[str, Any],
    seen: Seen,
) -> None:
    """Put the best to the test and, when it holds, promote it; both on the record in `document`."""
    lab.say(f"certifying {best.mutation} on fresh seeds")
    question = Question(
        baseline, best.arm, best.match, "certification", plan.min_effect, budget=plan.budget, noise=noise
    )
    verdict = ask(lab, question, plan.again, seen)
    document["verdict"] = verdict
    if verdict["verdict"] != "better":
        document["why"] = f"the verdict on {best.mutation} is {verdict['verdict']}"
        return
    record = {
        **{key: verdict[key] for key in RECORDED},
        "test_bpb": _sealed(lab, (baseline, best.arm), verdict),
    }
    document["promotion"] = promote(lab.ledger, path, baseline.recipe, best.arm.recipe, verdict["id"], record)
    document["promoted"] = best.arm.name
    document["record"] = record


def _sealed(lab: Lab, arms: tuple[Arm, Arm], verdict: dict[str, Any]) -> list[float | None]:
    """Both arms' mean bits per byte on the sealed test split, for a promotion's report; every read is recorded.

    The runs are those of the re-measurement, trained already. Nothing is decided by it. Raises WorkError when the
    season's reads are spent.
    """
    means: list[float | None] = []
    season = verdict["budget"]["season"]
    for arm in arms:
        specs = [lab.spec(arm, seed) for seed in verdict["remeasured_seeds"]]
        for spec in specs:
            lab.ledger.runs.read_split("test", spec.id, f"promotion {verdict['id']}", season, TEST_READS_A_SEASON)
        results = lab.engine.gather([(spec, lab.data(arm.recipe)) for spec in specs], "test")
        scores = [result.bpb for result in results if result.bpb is not None]
        means.append(fmean(scores) if scores else None)
    return means
