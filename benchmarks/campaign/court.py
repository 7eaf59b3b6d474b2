"""A court on any field: the error budget, the verdict and the guards of the real one, without a ledger.

For replays and simulations; campaign/certifier.py has the court that keeps records. May not: see screening's seeds.
"""

from __future__ import annotations

from dataclasses import replace
from typing import final

from foundry.campaign.environment import Environment, Point, Ruling, RunOutcome, RunRequest, ruling
from foundry.stats.error_budget import Budget, grant, promoted
from foundry.stats.fresh_seeds import certification_seeds, remeasurement_seeds
from foundry.stats.noise_scale import DEFAULT_SIGMA0_BPB
from foundry.stats.sequential_test import Plan
from foundry.stats.verdict import Arm, Cost, Score, judge, measured_again

REMEASURED_PAIRS = 8
FIRST_SEASON = Budget()
COURT_FROM, REMEASURED_FROM, _FREE = 1 << 62, (1 << 62) + (1 << 61), (1 << 61) - 1
"""A field that replays records tells by a seed which of them it may show; no contestant sees one of these."""


@final
class FieldCourt:
    """secret: what the fresh seeds are derived from, at least 16 bytes."""

    def __init__(self, field: Environment, secret: bytes, budget: Budget = FIRST_SEASON, teaches: bool = True) -> None:
        """teaches: whether what its runs have on the validation split is told."""
        self.field, self.secret, self.teaches = field, secret, teaches
        self.budgets = {"better": budget, "not_worse": budget}
        self.tests = 0
        self._known: dict[tuple[Point, Point, float], Ruling] = {}

    def certify(
        self,
        champion: Point,
        candidate: Point,
        name: str,
        noise_bpb: float | None,
        margin_bpb: float = 0.0,
    ) -> Ruling:
        key = (champion, candidate, margin_bpb)
        if key not in self._known:
            self._known[key] = self._tried(champion, candidate, margin_bpb, noise_bpb or DEFAULT_SIGMA0_BPB)
        return self._known[key]

    def _tried(self, champion: Point, candidate: Point, margin_bpb: float, sigma0_bpb: float) -> Ruling:
        stream = "not_worse" if margin_bpb > 0.0 else "better"
        given, self.budgets[stream] = grant(self.budgets[stream])
        self.tests += 1
        attempt = f"{champion}|{candidate}|{margin_bpb}|{self.tests}"
        # relevant_bpb only tells `not_better` from `underpowered`, and finding one takes longer than a whole replay
        plan = Plan(given.alpha, sigma0_bpb, given.pairs, min_effect_bpb=-margin_bpb, relevant_bpb=sigma0_bpb)
        seeds, found = [COURT_FROM | s & _FREE for s in certification_seeds(self.secret, attempt, given.pairs)], None
        arms = (_arm(champion), _arm(candidate))
        for seed in seeds:
            arms = self._run(arms, seed)
            if (found := judge(*arms, plan, seeds)) is not None:
                break
        assert found is not None  # the last pair decides
        if found.word == "better":
            self.budgets[stream] = promoted(self.budgets[stream], given)
        ruled = ruling(found.to_json())
        return replace(ruled, validation=self._on_validation(arms)) if self.teaches else ruled

    def remeasure(self, start: Point, champion: Point, noise_bpb: float | None) -> Ruling:
        """Over the very pairs that it says; `start` is the champion again where the caller has it so."""
        drawn = remeasurement_seeds(self.secret, f"{start}|{champion}", REMEASURED_PAIRS)
        seeds, arms = [REMEASURED_FROM | s & _FREE for s in drawn], (_arm(start), _arm(champion))
        for seed in seeds:
            arms = self._run(arms, seed)
        plan = Plan(0.05, noise_bpb or DEFAULT_SIGMA0_BPB, len(seeds), relevant_bpb=1.0)
        return ruling(measured_again(*arms, plan, seeds).to_json())

    def _on_validation(self, arms: tuple[Arm, Arm]) -> tuple[tuple[float | None, float | None], ...]:
        seeds = [score.seed for score in arms[0].scores]
        asks = [RunRequest(arm.recipe, seed) for seed in seeds for arm in arms]
        scores = iter([outcome.bpb for outcome in self.field.gather(asks)])
        return tuple((next(scores), next(scores)) for _ in seeds)

    def _run(self, arms: tuple[Arm, Arm], seed: int) -> tuple[Arm, Arm]:
        """Both with one more run."""
        outcomes = self.field.gather([RunRequest(arm.recipe, seed, split="certification") for arm in arms])
        first, second = (
            replace(arm, scores=(*arm.scores, _score(arm, seed, outcome)))
            for arm, outcome in zip(arms, outcomes, strict=True)
        )
        return first, second


def _arm(point: Point) -> Arm:
    return Arm(point, point, ())


def _score(arm: Arm, seed: int, outcome: RunOutcome) -> Score:
    return Score(arm.recipe, seed, outcome.reason or "done", outcome.bpb, Cost(flops=outcome.flops))
