"""One question, asked once: a comparison's plan is fixed and recorded before its first run, its verdict after its last.

The key of a question is its content. A question that was answered returns its recorded verdict; one that was cut off
goes on under its recorded plan, and so with the same seeds. May not: promote.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from foundry.compare import alpha_spending, second_text
from foundry.compare.alpha_spending import BudgetRules
from foundry.compare.certify import Seen, certify, judged
from foundry.compare.knowledge import knowledge_guard_of
from foundry.compare.match import Arm, caveat, used
from foundry.compare.second_text import Told
from foundry.compare.session import Lab
from foundry.core import places
from foundry.core.errors import RequestError, WorkError
from foundry.core.files import write_document
from foundry.core.fingerprint import fingerprint
from foundry.documents.comparison import Comparison
from foundry.execute.result import NO_BASELINE, check_scored
from foundry.judge.code import judging_code
from foundry.ledger.error_budget import BudgetTest
from foundry.stats import verdict
from foundry.stats.fresh_seeds import certification_seeds, remeasurement_seeds
from foundry.stats.noise_scale import DEFAULT_SIGMA0_BPB, pooled_sigma0
from foundry.stats.sequential_test import Plan
from foundry.stats.spending import carried_on, paired_costs, spending
from foundry.stats.verdict import Match, Verdict
from foundry.train.code import training_code

MOST_REPORTS = 1000
"""Files in runs/reports, 7 to 30 KB each."""
REMEASURED_PAIRS = 8
"""Fresh pairs that a promotion's effect is quoted from, and that its tail guard looks at; docs/verdicts.md has why."""


@dataclass(frozen=True)
class Rules:
    """How much evidence a report's verdict takes. A promotion's α comes from the error budget instead."""

    alpha: float = 0.05
    max_pairs: int = 12
    min_effect: float = 0.0

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise RequestError("rules.alpha", "--alpha", "between 0 and 1", got=self.alpha)
        if not 3 <= self.max_pairs <= 60:
            raise RequestError("rules.max_pairs", "--max-pairs", "3 to 60", got=self.max_pairs)
        check_gain(self.min_effect)


def check_gain(min_effect: float) -> None:
    """Raises RequestError for a smallest gain below zero: what is worse is never asked for as a gain."""
    if not 0.0 <= min_effect < math.inf:
        raise RequestError("rules.min_effect", "--min-effect", "zero or more", got=min_effect)


AGAIN = Rules(max_pairs=REMEASURED_PAIRS)
"""Of what is measured again, where they decide nothing."""
ON_SECOND_TEXT = Rules()
"""How much evidence it takes that what code gained is there too."""


@dataclass(frozen=True)
class Question:
    """Is `candidate` better than `baseline` on `split`, by more than `min_effect`? With a `min_effect` below zero: is
    it not worse by so much? One test for both, under the same guards, each with a stream of the error budget."""

    baseline: Arm
    candidate: Arm
    match: Match
    split: str
    min_effect: float = 0.0
    rules: Rules | None = None
    """For a report (`compare`), which spends nothing of the error budget and can't be promoted on."""
    budget: BudgetRules = field(default_factory=BudgetRules)
    seeds: tuple[int, ...] = ()
    """A report's seeds given by hand; otherwise they are derived from the ledger's secret."""
    tuning: dict[str, Any] | None = None
    """How the arms' learning rates were found, for the report (compare/tune.py)."""
    deferred: bool = False
    """A gain that is found isn't measured again here, but later, together with others (`measured_again`)."""
    measured_again: bool = False
    """Of what was promoted before: every pair counts and none decides."""
    of: str = ""
    """The comparison that this is the second text of."""
    noise_bpb: float | None = None
    """σ₀ as screening has it, while no test is over that could say: it decides nothing."""

    @property
    def kind(self) -> str:
        if self.of:
            return "second_text"
        if self.measured_again:
            return "remeasure"
        if self.rules is not None:
            return "compare"
        return "certify" if self.min_effect >= 0.0 else "not_worse"


def ask(lab: Lab, question: Question, again: bool, seen: Seen) -> dict[str, Any]:
    """The verdict's document (what `compare --json` prints), from the ledger if it has been given before.

    `again` asks anew, on new seeds and, for a promotion, with a new α.
    """
    key, record = _key(lab, question), lab.ledger.verdicts
    attempt = record.attempt(key, again)
    identity = fingerprint([key, attempt])
    document = record.find(key, attempt)
    if document is None:
        for arm in (question.baseline, question.candidate):
            lab.ledger.recipes.put(arm.recipe)
        stream = "better" if question.min_effect >= 0.0 else "not_worse"
        test = (
            alpha_spending.open_test(lab.ledger, identity, question.budget, stream) if question.rules is None else None
        )
        plan = record.fix_plan(key, attempt, lambda: _plan(lab, question, identity, test))
        found, second = _answer(lab, question, identity, plan, seen)
        document = {**_document(lab, question, identity, plan, found), "second_text": second}
        fingerprints = (question.baseline.recipe.fingerprint, question.candidate.recipe.fingerprint)
        record.record(key, attempt, question.kind, *fingerprints, document)
    _keep_report(_report(question.kind, identity), document)
    test = lab.ledger.budget.find(identity)
    if test is not None and test.state == "open":
        lab.ledger.budget.close_test(test.id, "passed" if document["verdict"] == "better" else "failed", identity)
    return document


def _key(lab: Lab, question: Question) -> str:
    """The content of a question. What a promotion's α and N will be is not part of it: those are fixed once asked."""
    arms, rules = (question.baseline, question.candidate), question.rules
    tuned = {} if question.tuning is None else {"tuning": [arm.spent.tokens for arm in arms]}
    return fingerprint(
        {
            **tuned,
            **({"of": question.of} if question.of else {}),
            **({"deferred": True} if question.deferred else {}),
            **({"second_text": second_text.source_for(lab, arms[0])} if _is_of_code(question) else {}),
            "kind": question.kind,
            "arms": [[arm.recipe.fingerprint, arm.tokens, lab.data(arm.recipe).judged_hash] for arm in arms],
            "code": [*(training_code(arm.recipe.to_dict()) for arm in arms), judging_code()],
            "scale": [question.split, lab.settings.judged_bytes, question.min_effect],
            "rules": None if rules is None else [rules.alpha, rules.max_pairs],
            "seeds": list(question.seeds),
        }
    )


def _plan(lab: Lab, question: Question, identity: str, test: BudgetTest | None) -> dict[str, Any]:
    """What is fixed before the first pair, as plain data."""
    secret, rules = lab.ledger.secret(), question.rules
    if rules is not None:
        alpha, pairs, spent = rules.alpha, len(question.seeds) or rules.max_pairs, None
    else:
        assert test is not None
        alpha, pairs = test.alpha, alpha_spending.pairs_for(test, lab.ledger)
        spent = {"season": test.season, "test": test.j, "alpha": alpha, "promotions_known": test.promotions_at_start}
    fresh = remeasurement_seeds(secret, identity, REMEASURED_PAIRS)
    return {
        "rules": {
            "alpha": alpha,
            "sigma0_bpb": pooled_sigma0(lab.ledger.verdicts.residuals(), question.noise_bpb or DEFAULT_SIGMA0_BPB),
            "max_pairs": pairs,
            "min_effect_bpb": question.min_effect,
        },
        "seeds": fresh
        if question.measured_again
        else list(question.seeds) or certification_seeds(secret, identity, pairs),
        "remeasure": fresh if rules is None and not question.deferred else [],
        "budget": spent,
    }


def _is_of_code(question: Question) -> bool:
    """Whether a promotion of workspace code hangs on it."""
    return question.rules is None and bool(question.candidate.recipe.sources())


def _answer(
    lab: Lab, question: Question, identity: str, plan: dict[str, Any], seen: Seen
) -> tuple[Verdict, Told | None]:
    """Certify and, where a promotion hangs on it, measure the effect again on seeds that took no part, if that isn't
    deferred, and code's on a second text; what came of that."""
    arms, match, split = (question.baseline, question.candidate), question.match, question.split
    if code := bool(question.candidate.recipe.sources()):  # both are trained alike, and what they spend is compared
        arms = replace(arms[0], confined=True), replace(arms[1], confined=True)
    rules = Plan(**plan["rules"])
    carried = _carried(lab, question)
    if question.measured_again:
        sides = _sides(lab, arms, plan["seeds"], split)
        found = verdict.measured_again(*sides, rules, plan["seeds"], match)
    else:
        found = certify(lab, *arms, match, rules, plan["seeds"], split, seen)
    if code:
        found = spending(found, found.arms[0].scores, found.arms[1].scores, carried)
    if found.word != "better" or question.rules is not None:
        return found, None  # no promotion hangs on it
    if plan["remeasure"]:
        lab.say(f"measuring the effect again on {len(plan['remeasure'])} seeds that took no part")
        sides = _sides(lab, arms, plan["remeasure"], split)
        found = verdict.remeasure(found, *sides, plan["remeasure"])
        if code:
            found = spending(found, sides[0].scores, sides[1].scores, carried)
    if found.word != "better" or not _is_of_code(question):
        return found, None
    gain = found.remeasured.effect_bpb if found.remeasured is not None else found.effect_bpb
    assert gain is not None
    second = _on_second_text(lab, question, identity, gain, seen)
    for guard in (knowledge_guard_of(lab, arms), second_text.guard(second)):
        found = verdict.guarded(found, guard)
    return found, second


def _sides(lab: Lab, arms: tuple[Arm, Arm], seeds: Sequence[int], split: str) -> tuple[verdict.Arm, verdict.Arm]:
    """Both with a run on each seed. Raises WorkError where the baseline has no score."""
    results = lab.gather([(arm, seed) for seed in seeds for arm in arms], split)
    check_scored(arms[0].name, results[::2])
    return judged(lab, arms[0], results[::2], split), judged(lab, arms[1], results[1::2], split)


def _carried(lab: Lab, question: Question) -> float:
    """What the baseline's line has spent beyond what it began with; a baseline without code of others' has not."""
    recipe = question.baseline.recipe
    return lab.ledger.promotions.carried(recipe.fingerprint) if recipe.sources() else 1.0


def _on_second_text(lab: Lab, question: Question, identity: str, gain_bpb: float, seen: Seen) -> Told:
    """The same question on another text, on seeds of its own. It can only keep code from being promoted, so it spends
    nothing of the error budget."""
    arms = (question.baseline, question.candidate)
    source = second_text.source_for(lab, arms[0])
    if source is None:
        return second_text.missing()
    found = second_text.arms_on(lab, source, arms)
    if isinstance(found, dict):
        return found
    lab.say(f"asking again on {source}, a text that {arms[1].name} was not chosen by")
    margin = min(question.min_effect, 0.0)
    again = Question(*found, question.match, question.split, margin, rules=ON_SECOND_TEXT, of=identity)
    try:
        document = ask(lab, again, False, seen)
    except WorkError as error:
        if error.code != NO_BASELINE:
            raise
        return second_text.unusable(source, error)
    return second_text.told(source, document, gain_bpb, question.min_effect)


def _document(lab: Lab, question: Question, identity: str, plan: dict[str, Any], found: Verdict) -> dict[str, Any]:
    document, arms = found.to_json(), (question.baseline, question.candidate)
    run_seconds = (_run_seconds(arms[0], found.arms[0]), _run_seconds(arms[1], found.arms[1]))
    for described, arm, seconds in zip(document["arms"], arms, run_seconds, strict=True):
        described |= {"budget_tokens": arm.tokens, "budget_flops": arm.flops, "run_seconds": seconds}
        described["reference"] = arm.reference
    shares, is_code = used(*arms, run_seconds), bool(question.candidate.recipe.sources())
    spent = paired_costs(found.arms[0].scores, found.arms[1].scores)
    return {
        **document,
        "used": shares,
        "caveat": caveat(question.match, found.word == "better", shares),
        "calibration": question.candidate.calibration,
        "tuning": question.tuning,
        "comparison": identity,
        "kind": question.kind,
        "split": question.split,
        "seeds": plan["seeds"][: max(found.n, 1)],
        "remeasured_seeds": plan["remeasure"],
        "budget": plan["budget"],
        "carried": carried_on(_carried(lab, question), spent, question.match) if is_code else 1.0,
        "report": str(_report(question.kind, identity)),
    }


def _report(kind: str, identity: str) -> Path:
    return places.runs() / "reports" / f"{kind}-{identity[:12]}.json"


def _keep_report(path: Path, document: dict[str, Any]) -> None:
    """A verdict's document as a file. The newest stay; the ledger has all, and asking again writes one again."""
    if path.exists():
        return
    write_document(path, Comparison.from_dict(document).to_dict())
    now = time.time()
    with os.scandir(path.parent) as entries:
        ages = [(now - entry.stat().st_mtime, entry.path) for entry in entries]
    for _, old in sorted(ages, key=lambda each: math.inf if each[0] < 0 else each[0])[MOST_REPORTS:]:
        Path(old).unlink(missing_ok=True)  # what is of the future is older than the clock's last step back


def _run_seconds(arm: Arm, found: verdict.Arm) -> float | None:
    """How long a run of this test took on average, as its worker says; what else the machine did is in it."""
    tokens, seconds = found.cost.tokens - arm.spent.tokens, found.cost.seconds - arm.spent.seconds
    return seconds / tokens * arm.tokens if tokens > 0 and seconds > 0.0 else None
