"""The real court: certification on fresh seeds under the ledger's error budget, and the promotion that follows.

Questions are asked once: a verdict that is in the ledger is the verdict, a test that was cut off goes on. May not: see
what screening saw, but for the scale of the noise.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import final

from foundry.campaign.environment import Point, Ruling, ruling
from foundry.campaign.live_environment import LiveEnvironment
from foundry.compare.alpha_spending import BudgetRules
from foundry.compare.certify import Seen
from foundry.compare.comparison import Question, ask
from foundry.compare.match import carrying, choose
from foundry.promote.promote import promote_on_verdict


@final
class LedgerCertifier:
    """For one baseline file."""

    def __init__(
        self, field: LiveEnvironment, path: Path, rules: BudgetRules, min_effect: float, seen: Seen, match: str | None
    ) -> None:
        self.field, self.path, self.rules, self.min_effect = field, path, rules, min_effect
        self.seen, self.match = seen, match

    def certify(
        self,
        champion: Point,
        candidate: Point,
        name: str,
        noise_bpb: float | None,
        margin_bpb: float = 0.0,
    ) -> Ruling:
        lab, arms = self.field.lab, (self.field.arm(champion), carrying(self.field.arm(candidate)))
        claim = f" as not worse by {margin_bpb:.2g} bits per byte" if margin_bpb else ""
        lab.say(f"certifying {name} on fresh seeds{claim}")
        verdict = ask(
            lab,
            Question(
                *arms,
                choose(self.match, arms[0].flops_per_token, arms[1].flops_per_token),
                "certification",
                -margin_bpb if margin_bpb else self.min_effect,
                budget=self.rules,
                noise_bpb=noise_bpb,
            ),
            False,
            self.seen,
        )
        ruled = ruling(verdict, sum(arm.flops for arm in arms))
        if ruled.better:
            promotion, _ = promote_on_verdict(lab, self.path, arms, verdict)
            self.field.set_champion(arms[1].recipe)
            return replace(ruled, promotion=promotion, promoted=arms[1].recipe.fingerprint)
        return ruled
