"""One question, asked once: a comparison's plan is fixed and recorded before its first run, its verdict after its last.

The key of a question is its content. A question that was answered returns its recorded verdict; one that was cut off
goes on under its recorded plan, and so with the same seeds. May not: promote.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from foundry.core import places
from foundry.core.errors import RequestError
from foundry.core.files import write_json
from foundry.core.fingerprint import fingerprint
from foundry.judge.evidence import Plan
from foundry.judge.scale import pooled_sigma0
from foundry.judge.seeds import certification_seeds
from foundry.judge.verdict import Match
from foundry.search.certify import Seen, certify
from foundry.search.lab import Lab
from foundry.search.match import Arm


@dataclass(frozen=True)
class Rules:
    """How much evidence a verdict takes; the same words on every command that gives one."""

    alpha: float = 0.05
    max_pairs: int = 12
    min_effect: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise RequestError("rules.alpha", "--alpha", "between 0 and 1", got=self.alpha)
        if self.max_pairs < 3:
            raise RequestError("rules.max_pairs", "--max-pairs", "at least 3", got=self.max_pairs)


@dataclass(frozen=True)
class Question:
    """Is `candidate` better than `baseline` on `split`? `purpose` keeps a report's seeds apart from a promotion's."""

    purpose: str
    baseline: Arm
    candidate: Arm
    match: Match
    split: str
    rules: Rules
    seeds: tuple[int, ...] = ()
    """Given by hand; otherwise derived from the ledger's secret."""
    noise: Sequence[Sequence[float]] = ()
    """Paired differences from screening, one group a candidate: they help to guess σ₀ and decide nothing."""


def ask(lab: Lab, question: Question, again: bool, seen: Seen) -> dict[str, Any]:
    """The verdict's document (what `compare --json` prints), from the ledger if it has been given before.

    `again` asks anew, on new seeds.
    """
    key = _key(lab, question)
    attempt = lab.ledger.verdicts.attempt(key, again)
    recorded = lab.ledger.verdicts.find(key, attempt)
    if recorded is not None:
        return recorded
    for arm in (question.baseline, question.candidate):
        lab.ledger.recipes.put(arm.recipe)
    plan = lab.ledger.verdicts.fix_plan(key, attempt, lambda: _plan(lab, question, key, attempt))
    found = certify(
        lab,
        question.baseline,
        question.candidate,
        question.match,
        Plan(**plan["rules"]),
        plan["seeds"],
        question.split,
        seen,
    )
    document = found.to_json()
    for described, arm in zip(document["arms"], (question.baseline, question.candidate), strict=True):
        described |= {"budget_tokens": arm.tokens, "budget_flops": arm.flops}
    identity = fingerprint([key, attempt])
    path = places.runs() / "reports" / f"{question.purpose}-{identity[:12]}.json"
    document |= {"id": identity, "split": question.split, "report": str(path)}
    fingerprints = (question.baseline.recipe.fingerprint, question.candidate.recipe.fingerprint)
    lab.ledger.verdicts.record(key, attempt, question.purpose, *fingerprints, document)
    write_json(path, document)
    return document


def _key(lab: Lab, question: Question) -> str:
    arms = (question.baseline, question.candidate)
    return fingerprint(
        {
            "purpose": question.purpose,
            "arms": [[arm.recipe.fingerprint, arm.tokens, lab.data(arm.recipe).judged_hash] for arm in arms],
            "scale": [question.split, lab.settings.judged_bytes],
            "rules": [question.rules.alpha, question.rules.max_pairs, question.rules.min_effect],
            "seeds": list(question.seeds),
        }
    )


def _plan(lab: Lab, question: Question, key: str, attempt: int) -> dict[str, Any]:
    """What is fixed before the first pair, as plain data."""
    seeds = question.seeds or certification_seeds(
        lab.ledger.secret(), f"{question.purpose}|{key}|{attempt}", question.rules.max_pairs
    )
    rules = {
        "alpha": question.rules.alpha,
        "sigma0_bpb": pooled_sigma0([*lab.ledger.verdicts.residuals(), *question.noise]),
        "max_pairs": len(seeds),
        "min_effect_bpb": question.rules.min_effect,
    }
    return {"rules": rules, "seeds": list(seeds)}
