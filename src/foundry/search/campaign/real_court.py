"""The real court: certification on fresh seeds under the ledger's error budget, and the promotion that follows.

Questions are asked once: a verdict that is in the ledger is the verdict, a test that was cut off goes on. May not: see
what screening saw, but for the scale of the noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, final

from foundry.search.budget import BudgetRules
from foundry.search.campaign.field import Point, Ruling
from foundry.search.campaign.real import LabField
from foundry.search.certify import Seen
from foundry.search.match import Arm, choose
from foundry.search.not_worse import not_worse
from foundry.search.promote import crown
from foundry.search.trial import Question, ask


@final
class LedgerCourt:
    """For one baseline file."""

    def __init__(
        self, field: LabField, path: Path, rules: BudgetRules, min_effect: float, seen: Seen, match: str | None
    ) -> None:
        self.field, self.path, self.rules, self.min_effect = field, path, rules, min_effect
        self.seen, self.match = seen, match

    def certify(self, champion: Point, candidate: Point, name: str, noise: Sequence[Sequence[float]]) -> Ruling:
        lab, arms = self.field.lab, (self.field.arm(champion), self.field.arm(candidate))
        lab.say(f"certifying {name} on fresh seeds")
        currency = choose(self.match, arms[0].flops_per_token, arms[1].flops_per_token)
        question = Question(
            *arms, currency, "certification", self.min_effect, budget=self.rules, noise=[list(each) for each in noise]
        )
        return self._ruling(arms, ask(lab, question, False, self.seen))

    def certify_not_worse(
        self, champion: Point, candidate: Point, name: str, margin_bpb: float, noise: Sequence[Sequence[float]]
    ) -> Ruling:
        lab, arms = self.field.lab, (self.field.arm(champion), self.field.arm(candidate))
        lab.say(f"certifying that the champion {name} is not worse by {margin_bpb:.2g} bits per byte")
        return self._ruling(arms, not_worse(lab, arms, margin_bpb, self.rules, noise))

    def _ruling(self, arms: tuple[Arm, Arm], verdict: dict[str, Any]) -> Ruling:
        """What became of it, and the promotion where it is better."""
        promotion = ""
        if verdict["verdict"] == "better":
            promotion, _ = crown(self.field.lab, self.path, arms, verdict)
            self.field.crown(arms[1].recipe)
        again = verdict["remeasured"]
        told = again if again is not None and promotion else verdict
        interval = told["interval_bpb"]
        fresh = again["n"] if again is not None else 0
        return Ruling(
            word=verdict["verdict"],
            effect_bpb=told["effect_bpb"],
            interval_bpb=(interval[0], interval[1]) if interval is not None else None,
            n=verdict["n"],
            runs=2 * (verdict["n"] + fresh),
            flops=float(sum(arm["cost"]["flops"] for arm in verdict["arms"]) + fresh * sum(arm.flops for arm in arms)),
            id=verdict["id"],
            promotion=promotion,
        )
