"""Screening: every candidate and the baseline on the same few seeds, ranked. Heuristic: it decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import fmean

from foundry.compare.match import Arm
from foundry.compare.session import Lab
from foundry.documents.sweep import Candidate
from foundry.execute.result import RunResult, check_scored
from foundry.stats.verdict import Match


@dataclass(frozen=True)
class Screened:
    """A candidate's runs beside the baseline's on the same seeds."""

    arm: Arm
    mutation: str
    match: Match
    runs: tuple[RunResult, ...]
    baseline_runs: tuple[RunResult, ...]

    @property
    def failure(self) -> RunResult | None:
        """The first of its runs that failed; one failure is enough to be out."""
        return next((run for run in self.runs if not run.ok), None)

    @property
    def bpb(self) -> float | None:
        scores = [run.bpb for run in self.runs if run.bpb is not None]
        return fmean(scores) if scores and self.failure is None else None

    @property
    def differences(self) -> list[float]:
        """Baseline minus candidate on each seed that both finished, in bits per byte."""
        pairs = zip(self.baseline_runs, self.runs, strict=True)
        return [a.bpb - b.bpb for a, b in pairs if a.bpb is not None and b.bpb is not None]

    @property
    def gain(self) -> float | None:
        return fmean(self.differences) if self.differences and self.failure is None else None

    @property
    def document(self) -> Candidate:
        failure = self.failure
        return Candidate(
            name=self.arm.name,
            mutation=self.mutation,
            recipe=self.arm.recipe.fingerprint,
            status="failed" if failure else "done",
            reason=failure.reason if failure else None,
            detail=failure.explained if failure else "",
            val_bpb=self.bpb,
            gain_bpb=self.gain,
            match=self.match,
            budget_tokens=self.arm.tokens,
            budget_flops=self.arm.flops,
            seconds=sum(run.facts.get("seconds") or 0.0 for run in self.runs),
            runs=tuple(run.document for run in self.runs),
        )


def screen(lab: Lab, baseline: Arm, candidates: list[tuple[str, Arm, Match]], seeds: list[int]) -> list[Screened]:
    """Train everything on `seeds`; candidates come as (mutation, arm, currency). Best gain first, failures last."""
    asks = [(arm, seed) for seed in seeds for arm in (baseline, *(arm for _, arm, _ in candidates))]
    by_ask = dict(
        zip([(arm.recipe.fingerprint, arm.tokens, seed) for arm, seed in asks], lab.gather(asks), strict=True)
    )

    check_scored(baseline.name, [by_ask[baseline.recipe.fingerprint, baseline.tokens, seed] for seed in seeds])

    def results(arm: Arm) -> tuple[RunResult, ...]:
        return tuple(by_ask[arm.recipe.fingerprint, arm.tokens, seed] for seed in seeds)

    screened = [Screened(arm, mutation, match, results(arm), results(baseline)) for mutation, arm, match in candidates]
    return sorted(screened, key=lambda s: -s.gain if s.gain is not None else float("inf"))
