"""The real court: certification on fresh seeds under the ledger's error budget, and the promotion that follows.

Questions are asked once: a verdict that is in the ledger is the verdict, a test that was cut off goes on. May not: see
what screening saw, but for the scale of the noise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import final

from foundry.campaign.environment import Pair, Point, Ruling, ruling
from foundry.campaign.live_environment import LiveEnvironment
from foundry.compare.alpha_spending import BudgetRules
from foundry.compare.certify import Seen
from foundry.compare.comparison import AGAIN, Question, ask
from foundry.compare.match import Arm, carrying, choose
from foundry.core.errors import FoundryError, RequestError
from foundry.execute.result import NO_BASELINE
from foundry.ledger.weights import are_whole
from foundry.promote.promote import promote_on_verdict, take_back


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
                deferred=True,
            ),
            False,
            self.seen,
        )
        ruled = replace(ruling(verdict), validation=self._on_validation(arms, verdict["seeds"]))
        if ruled.better:
            promotion, _ = promote_on_verdict(lab, self.path, arms, verdict)
            self.field.set_champion(arms[1].recipe)
            return replace(ruled, promotion=promotion, promoted=arms[1].recipe.fingerprint)
        return ruled

    def _on_validation(self, arms: tuple[Arm, Arm], seeds: Sequence[int]) -> tuple[Pair, ...]:
        """What the pairs that decided have on the validation split, as far as that takes no training."""
        lab = self.field.lab
        asks = [(arm, seed) for seed in seeds for arm in arms]
        if not all(are_whole(lab.spec(*each).id) for each in asks):
            return ()
        scores = [result.bpb for result in lab.gather(asks)]
        return tuple(zip(scores[::2], scores[1::2], strict=True))

    def remeasure(self, start: Point, champion: Point, noise_bpb: float | None) -> Ruling:
        lab = self.field.lab
        lab.say("measuring again, on seeds that took no part, what was promoted: the champion against the start")
        try:
            before, now = (lab.arm_of(self.field.recipe(point)) for point in (start, champion))
            question = Question(
                before,
                now,
                choose(self.match, before.flops_per_token, now.flops_per_token),
                "certification",
                self.min_effect,
                AGAIN,
                noise_bpb=noise_bpb,
                measured_again=True,
            )
            verdict = ask(lab, question, False, self.seen)
        except FoundryError as error:
            if not isinstance(error, RequestError) and error.code != NO_BASELINE:
                raise
            lab.say(f"it can't be measured again: {error}")
            return Ruling("incomparable", None, None, 0, 0, 0.0)
        ruled = ruling(verdict)
        if ruled.better:
            return ruled
        back = take_back(lab, self.path, start, champion, verdict["comparison"])
        self.field.set_champion(self.field.recipe(start))
        return replace(ruled, promotion=back)
