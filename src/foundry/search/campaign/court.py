"""A court on any field: the evidence, the error budget and the guards of the real one, without a ledger.

For replays and simulations; real.py has the court that keeps records. May not: see screening's seeds.
"""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean
from typing import final

from foundry.judge.budget import Budget, grant, promoted
from foundry.judge.evidence import Evidence, Plan, interval_bpb, promotes
from foundry.judge.scale import pooled_sigma0
from foundry.judge.seeds import certification_seeds, remeasurement_seeds
from foundry.judge.verdict import tail_guard
from foundry.search.campaign.field import Field, Outcome, Point, Ruling, Wanted

REMEASURED_PAIRS = 8
FIRST_SEASON = Budget()


@final
class FieldCourt:
    """secret: what the fresh seeds are derived from, at least 16 bytes."""

    def __init__(
        self, field: Field, secret: bytes, budget: Budget = FIRST_SEASON, remeasured: int = REMEASURED_PAIRS
    ) -> None:
        self.field, self.secret, self.remeasured = field, secret, remeasured
        self.budgets = {"better": budget, "not_worse": budget}
        self.tests = 0
        self._known: dict[tuple[Point, Point, float], Ruling] = {}

    def certify(self, champion: Point, candidate: Point, name: str, noise: Sequence[Sequence[float]]) -> Ruling:
        return self._ruling(champion, candidate, 0.0, noise)

    def certify_not_worse(
        self, champion: Point, candidate: Point, name: str, margin_bpb: float, noise: Sequence[Sequence[float]]
    ) -> Ruling:
        return self._ruling(champion, candidate, margin_bpb, noise)

    def _ruling(self, champion: Point, candidate: Point, margin: float, noise: Sequence[Sequence[float]]) -> Ruling:
        key = (champion, candidate, margin)
        if key not in self._known:
            self._known[key] = self._tried(champion, candidate, margin, noise)
        return self._known[key]

    def _tried(self, champion: Point, candidate: Point, margin: float, noise: Sequence[Sequence[float]]) -> Ruling:
        stream = "not_worse" if margin > 0.0 else "better"
        given, self.budgets[stream] = grant(self.budgets[stream])
        self.tests += 1
        attempt = f"{champion}|{candidate}|{margin}|{self.tests}"
        evidence = Evidence.start(Plan(given.alpha, pooled_sigma0(noise), given.pairs))
        runs, flops, failed = 0, 0.0, False
        differences: list[float] = []
        for seed in certification_seeds(self.secret, attempt, given.pairs):
            base, own = self._pair(champion, candidate, seed)
            runs, flops = runs + 2, flops + base.flops + own.flops
            failed = own.bpb is None
            if failed:
                break
            if base.bpb is None or own.bpb is None:
                evidence = evidence.add(None)
            else:
                differences.append(base.bpb - own.bpb)
                evidence = evidence.add(base.bpb - own.bpb + margin)
            if evidence.left == 0 or (evidence.n >= 3 and promotes(evidence)):
                break
        interval = interval_bpb(evidence)
        interval = None if interval is None else (interval[0] - margin, interval[1] - margin)
        if failed or evidence.n < 3 or not promotes(evidence):
            effect = fmean(differences) if differences else None
            return Ruling("rejected" if failed else "not_better", effect, interval, evidence.n, runs, flops)
        again: list[float] = []
        for seed in remeasurement_seeds(self.secret, attempt, self.remeasured):
            base, own = self._pair(champion, candidate, seed)
            runs, flops = runs + 2, flops + base.flops + own.flops
            failed = failed or own.bpb is None
            if base.bpb is not None and own.bpb is not None:
                again.append(base.bpb - own.bpb)
        shifted = [[x + margin for x in each] for each in (differences, again)]
        if failed or not tail_guard(*shifted).passed:
            return Ruling("rejected" if failed else "not_better", fmean(differences), interval, evidence.n, runs, flops)
        self.budgets[stream] = promoted(self.budgets[stream], given)
        effect = fmean(again) if again else fmean(differences)
        return Ruling("better", effect, interval, evidence.n, runs, flops)

    def _pair(self, champion: Point, candidate: Point, seed: int) -> tuple[Outcome, Outcome]:
        wanted = [Wanted(point, seed, split="certification") for point in (champion, candidate)]
        base, own = self.field.gather(wanted)
        return base, own
