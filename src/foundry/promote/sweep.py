"""`sweep`: screen candidates against the baseline, certify the best on fresh seeds, promote it if the verdict holds.

Killed and started again it goes on where it was: finished runs and fixed plans are in the ledger.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from foundry.compare import alpha_spending
from foundry.compare import match as matching
from foundry.compare import tune as tuning
from foundry.compare.alpha_spending import BudgetRules
from foundry.compare.calibrate import FAILED as REHEARSAL_FAILED
from foundry.compare.calibrate import candidate_arm
from foundry.compare.certify import Seen
from foundry.compare.comparison import Question, Rules, ask, check_gain
from foundry.compare.match import Arm
from foundry.compare.no_effect import check_effect
from foundry.compare.screen import Screened, screen
from foundry.compare.session import INCOMPARABLE, Lab
from foundry.core.errors import BrokenCode, FoundryError, RequestError, WorkError
from foundry.documents.comparison import Comparison, Tuning
from foundry.documents.runs import Record
from foundry.documents.sweep import Candidate, Sweep, SweptBaseline
from foundry.mutate import mutate
from foundry.mutate.apply import NO_EFFECT
from foundry.promote.promote import EDITED, promote_on_verdict, settle, track_of
from foundry.recipe import Recipe
from foundry.stats.noise_scale import pooled_sigma0
from foundry.stats.verdict import Match

ENDS_ONE_CANDIDATE = {
    REHEARSAL_FAILED: "crash",
    "data.bad_tokenizer": "invalid",
    INCOMPARABLE: "incomparable",
    NO_EFFECT: "invalid",
}
"""Errors in preparing a candidate's data and matching its budget that are its own, with the reason that its row gives:
it is out, the sweep goes on. Others are its code's, or a RequestError about its recipe or data."""

Entrant = tuple[str, Arm, Match]
"""A candidate on its way to screening: its mutation, its arm, the currency that it was matched in."""


@dataclass(frozen=True)
class SweepPlan:
    """What a sweep is asked to do."""

    mutations: tuple[str, ...]
    promote: bool = False
    seeds: int = 2
    """How many screening seeds, shared by all arms."""
    match: str | None = None
    tune: str | None = None
    """`lr`: every arm at the learning rate that suits it best, of a small grid around its own."""
    min_effect: float = 0.0
    budget: BudgetRules = field(default_factory=BudgetRules)
    again: bool = False
    """Certify anew what the ledger has a verdict on."""


def sweep(lab: Lab, path: Path, plan: SweepPlan, seen: Seen) -> Sweep:
    """Run the sweep on the baseline file `path`."""
    if plan.seeds < 1:
        raise RequestError("sweep.seeds", "--seeds", "at least 1", got=plan.seeds)
    tuning.check(plan.tune)
    matching.check(plan.match)
    check_gain(plan.min_effect)
    if plan.promote:
        alpha_spending.check(lab.ledger, plan.budget)
    settled: list[str] = []
    baseline_recipe = settle(lab.ledger, path, settled.append)
    recipes, refused, unchanged = _candidates(baseline_recipe, plan.mutations)  # before any data is prepared
    baseline = lab.champion_arm(track_of(path), baseline_recipe)
    candidates: list[Entrant] = []
    for mutation, recipe in recipes:
        try:
            check_effect(lab, baseline_recipe, mutation, recipe)
            candidate, currency = candidate_arm(lab, baseline, recipe, plan.match, mutation)
            candidates.append((mutation, matching.carrying(candidate), currency))
        except FoundryError as error:
            refused.append(_failed(mutation, _own_reason(error), str(error)))
    seeds = lab.screening_seeds((baseline_recipe, *(arm.recipe for _, arm, _ in candidates)), range(1, plan.seeds + 1))
    grid, rival = None, None
    if plan.tune and candidates:
        baseline, candidates, rival, grid = _tuned(lab, baseline, candidates, seeds)
    if candidates:
        lab.say(f"screening {len(candidates)} candidates and the baseline on {plan.seeds} seeds")
    screened = screen(lab, baseline, candidates, seeds) if candidates else []
    base_scores = [run.bpb for run in screened[0].baseline_runs if run.bpb is not None] if screened else []
    document = Sweep(
        baseline=SweptBaseline(
            name=baseline.name,
            file=str(path),
            recipe=baseline_recipe.fingerprint,
            val_bpb=fmean(base_scores) if base_scores else None,
            budget_tokens=baseline.tokens,
            budget_flops=baseline.flops,
        ),
        candidates=(*(candidate.document for candidate in screened), *refused),
        all_refused=bool(refused) and not screened,
        unchanged=tuple(unchanged),
        settled=tuple(settled),
        tuning=Tuning.from_dict(grid) if grid else None,
    )
    terms = _Terms(plan, grid, pooled_sigma0([candidate.differences for candidate in screened]), seen)
    best = next((candidate for candidate in screened if candidate.gain is not None), None)
    if best is None or best.gain is None or best.gain <= 0:
        beaten = "no candidate beats the baseline in screening"
        return replace(document, why=beaten if screened else "no candidate is left to be screened")
    if not plan.promote:
        return replace(document, why="screening alone decides nothing; --promote certifies the best on fresh seeds")
    tuned = next((each for each in screened if rival is not None and each.arm is rival), None)
    if tuned is not None and best is not tuned:
        best, document = _beats_tuned(lab, tuned, best, terms, document)
    return document if best is None else _certify(lab, path, baseline, best, terms, document)


@dataclass(frozen=True)
class _Terms:
    """What the tests of one sweep share. tuning: the grid as a report has it; noise_bpb: of a
    paired difference, as screening has it."""

    plan: SweepPlan
    tuning: dict[str, Any] | None
    noise_bpb: float
    seen: Seen


def _tuned(
    lab: Lab, baseline: Arm, candidates: list[Entrant], seeds: list[int]
) -> tuple[Arm, list[Entrant], Arm | None, dict[str, Any]]:
    """The baseline, charged for its grid; the candidates at their best rates; the tuned baseline, a candidate like any
    other, where its best rate isn't its own and no other candidate is the same recipe; and the grid for the report."""
    first, *rest = tuning.tune_lr(lab, [baseline, *(arm for _, arm, _ in candidates)], seeds)
    entrants: list[Entrant] = [
        (mutation, each.arm, currency) for (mutation, _, currency), each in zip(candidates, rest, strict=True)
    ]
    rival = None
    if first.arm.recipe.fingerprint not in {baseline.recipe.fingerprint, *(e.arm.recipe.fingerprint for e in rest)}:
        rival = first.arm
        entrants.append((rival.name, rival, "tokens"))
    return first.own, entrants, rival, tuning.to_json([first, *rest], seeds)


def _beats_tuned(
    lab: Lab, tuned: Screened, best: Screened, terms: _Terms, document: Sweep
) -> tuple[Screened | None, Sweep]:
    """What goes on to certification: `best` if it beats the tuned baseline too, else the tuned baseline itself if that
    gained anything. It can only keep a candidate from being promoted, so it spends nothing of the error budget."""
    lab.say(f"comparing {best.arm.name} with {tuned.arm.name}")
    question = Question(
        tuned.arm, best.arm, best.match, "certification", rules=Rules(), noise_bpb=terms.noise_bpb, tuning=terms.tuning
    )
    verdict = Comparison.from_dict(ask(lab, question, terms.plan.again, terms.seen))
    document = replace(document, against_tuned=verdict)
    if verdict.verdict == "better":
        return best, document
    grounds = f"is {verdict.verdict}: its gain may be the learning rate's"
    document = replace(document, why=f"the verdict on {best.arm.name} against {tuned.arm.name} {grounds}")
    return (tuned if tuned.gain is not None and tuned.gain > 0 else None), document


def _own_reason(error: FoundryError) -> str:
    """Why a candidate is out before it trains. Raises an error that isn't the candidate's own."""
    if isinstance(error, BrokenCode):
        return error.reason
    if error.code in ENDS_ONE_CANDIDATE:
        return ENDS_ONE_CANDIDATE[error.code]
    if isinstance(error, RequestError) and error.code.startswith(("match.", "data.", "recipe.")):
        return "invalid"
    raise error


def _failed(mutation: str, reason: str, detail: str) -> Candidate:
    """The row of a candidate that never came to screening."""
    return Candidate(name=mutation, mutation=mutation, status="failed", reason=reason, detail=detail)


def _candidates(
    baseline: Recipe, mutations: tuple[str, ...]
) -> tuple[list[tuple[str, Recipe]], list[Candidate], list[str]]:
    """Distinct recipes; what the baseline's sizes refuse, as failed candidates; what changes nothing."""
    recipes: dict[str, tuple[str, Recipe]] = {}
    refused: list[Candidate] = []
    unchanged: list[str] = []
    for text in mutations:
        try:
            recipe, _ = mutate(baseline, text)
        except FoundryError as error:
            if len(mutations) == 1 or error.code in ("mutate.unknown_family", "mutate.unknown_variant"):
                raise
            refused.append(_failed(text, "invalid", str(error)))
            continue
        if recipe.fingerprint == baseline.fingerprint:
            unchanged.append(text)
        else:
            recipes.setdefault(recipe.fingerprint, (text, recipe))
    return list(recipes.values()), refused, unchanged


def _certify(lab: Lab, path: Path, baseline: Arm, best: Screened, terms: _Terms, document: Sweep) -> Sweep:
    """Put the best to the test and, when it holds, promote it; the document with both on the record."""
    lab.say(f"certifying {best.arm.name} on fresh seeds")
    plan = terms.plan
    question = Question(
        baseline,
        best.arm,
        best.match,
        "certification",
        plan.min_effect,
        budget=plan.budget,
        tuning=terms.tuning,
        noise_bpb=terms.noise_bpb,
    )
    given = ask(lab, question, plan.again, terms.seen)
    document = replace(document, verdict=(verdict := Comparison.from_dict(given)))
    if verdict.verdict != "better":
        blocked = "; ".join(guard.detail for guard in verdict.guards if not guard.passed)
        why = f"the verdict on {best.arm.name} is {verdict.verdict}" + (f": {blocked}" if blocked else "")
        return replace(document, why=why)
    try:
        promotion, record = promote_on_verdict(lab, path, (baseline, best.arm), given)
    except WorkError as error:
        if error.code != EDITED:
            raise
        return replace(document, why=f"{path} was {error.message}")
    return replace(document, promoted=best.arm.name, promotion=promotion, record=Record.from_dict(record), why="")
