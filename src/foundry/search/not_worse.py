"""Is a simpler recipe not worse than the champion by a margin? The same evidence on differences that the margin shifts.

Its α comes from a stream of the error budget of its own: a promotion on it is false when the recipe is worse by the
margin or more. May not: promote.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from statistics import fmean
from typing import Any

from foundry.core import places
from foundry.core.files import write_json
from foundry.core.fingerprint import fingerprint
from foundry.judge.evidence import Evidence, Plan, decide, interval_bpb
from foundry.judge.scale import pooled_sigma0
from foundry.judge.seeds import certification_seeds, remeasurement_seeds
from foundry.judge.verdict import tail_guard
from foundry.runs.result import RunResult
from foundry.search import budget
from foundry.search.budget import BudgetRules
from foundry.search.certify import judged
from foundry.search.lab import Lab
from foundry.search.match import Arm
from foundry.search.trial import REMEASURED_PAIRS

SPLIT = "certification"


def not_worse(
    lab: Lab, arms: tuple[Arm, Arm], margin_bpb: float, rules: BudgetRules, noise: Sequence[Sequence[float]]
) -> dict[str, Any]:
    """The verdict's document: `better` (than the champion less the margin), `not_better` or `rejected`. effect_bpb is
    champion minus candidate as ever. From the ledger if it has been given before."""
    content = [[arm.recipe.fingerprint, arm.tokens, lab.data(arm.recipe).judged_hash] for arm in arms]
    key = fingerprint({"kind": "not_worse", "arms": content, "margin": margin_bpb, "bytes": lab.settings.judged_bytes})
    identity, record = fingerprint([key, 0]), lab.ledger.verdicts
    document = record.find(key, 0)
    if document is None:
        for arm in arms:
            lab.ledger.recipes.put(arm.recipe)
        spent = budget.open_test(lab.ledger, identity, rules, "not_worse")
        pairs, secret = budget.pairs_for(spent, lab.ledger), lab.ledger.secret()
        plan = record.fix_plan(
            key,
            0,
            lambda: {
                "alpha": spent.alpha,
                "sigma0_bpb": pooled_sigma0([*record.residuals(), *noise]),
                "margin_bpb": margin_bpb,
                "seeds": certification_seeds(secret, identity, pairs),
                "remeasure": remeasurement_seeds(secret, identity, REMEASURED_PAIRS),
                "budget": {"season": spent.season, "test": spent.j, "alpha": spent.alpha},
            },
        )
        document = {**_tried(lab, arms, plan), "id": identity, "kind": "not_worse"}
        record.record(key, 0, "not_worse", arms[0].recipe.fingerprint, arms[1].recipe.fingerprint, document)
        write_json(places.runs() / "reports" / f"not_worse-{identity[:12]}.json", document)
    test = lab.ledger.budget.find(identity)
    if test is not None and test.state == "open":
        lab.ledger.budget.close_test(test.id, "passed" if document["verdict"] == "better" else "failed", identity)
    return document


def _tried(lab: Lab, arms: tuple[Arm, Arm], plan: dict[str, Any]) -> dict[str, Any]:
    """Pairs on the plan's seeds, one after the other, until the evidence is in; then the effect measured again."""
    evidence = Evidence.start(Plan(plan["alpha"], plan["sigma0_bpb"], len(plan["seeds"])))
    margin, results = plan["margin_bpb"], []
    differences: list[float] = []
    word, reason = "rejected", "a run without the part failed"
    for seed in plan["seeds"]:
        base, own = lab.gather([(arm, seed) for arm in arms], SPLIT)
        results += [base, own]
        if own.bpb is None:
            break
        difference = None if base.bpb is None else base.bpb - own.bpb
        differences += [] if difference is None else [difference]
        evidence = evidence.add(None if difference is None else difference + margin)
        decision = decide(evidence)
        if decision.word != "continue":
            word, reason = decision.word, decision.reason
            break
    again = None
    if word == "better":
        fresh = lab.gather([(arm, seed) for seed in plan["remeasure"] for arm in arms], SPLIT)
        word, reason, again = _measured_again(differences, fresh, margin, reason)
    interval = interval_bpb(evidence)
    return {
        "verdict": word,
        "effect_bpb": fmean(differences) if differences else None,
        "interval_bpb": None if interval is None else [interval[0] - margin, interval[1] - margin],
        "n": evidence.n,
        "evidence": evidence.e_value,
        "alpha": plan["alpha"],
        "margin_bpb": margin,
        "differences": differences,
        "plan": asdict(evidence.plan),
        "reasons": [reason],
        "remeasured": again,
        "arms": [
            {**judged(lab, arms[side], results[side::2], SPLIT).to_json(), "budget_tokens": arms[side].tokens}
            for side in (0, 1)
        ],
        "seeds": plan["seeds"][: max(evidence.n, 1)],
        "remeasured_seeds": plan["remeasure"],
        "split": SPLIT,
        "budget": plan["budget"],
    }


def _measured_again(
    decided: list[float], fresh: list[RunResult], margin: float, reason: str
) -> tuple[str, str, dict[str, Any] | None]:
    """The word after the fresh pairs: a failed run rejects, and the tail guard may block."""
    if any(own.bpb is None for own in fresh[1::2]):
        return "rejected", "a run without the part failed when it was measured again", None
    pairs = zip(fresh[::2], fresh[1::2], strict=True)
    gains = [base.bpb - own.bpb for base, own in pairs if base.bpb is not None and own.bpb is not None]
    guard = tail_guard([each + margin for each in decided], [each + margin for each in gains])
    again = None
    if gains:
        spread = Evidence.of(Plan(0.5, pooled_sigma0([gains]), max(len(gains), 3)), gains)
        again = {"effect_bpb": fmean(gains), "interval_bpb": list(interval_bpb(spread) or ()), "n": len(gains)}
    return ("better", reason, again) if guard.passed else ("not_better", f"blocked: {guard.detail}", again)
