"""Certification: pairs of fresh runs, counted one at a time in a fixed order, until the verdict is in.

Everything is fixed before the first pair: the arms, their budgets, α, σ₀, the largest n and every seed. May not: choose
a seed after seeing a score, replace a run, or promote.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from foundry.judge import verdict
from foundry.judge.evidence import Plan
from foundry.judge.verdict import Verdict
from foundry.runs.result import RunResult
from foundry.search.lab import Lab
from foundry.search.match import Arm

Seen = Callable[[RunResult, RunResult, Plan], None]
"""Told of each pair as it is complete: the baseline's run, the candidate's, the plan."""


def certify(
    lab: Lab,
    baseline: Arm,
    candidate: Arm,
    match: verdict.Match,
    plan: Plan,
    seeds: Sequence[int],
    split: str,
    seen: Seen,
) -> Verdict:
    """Run pairs on `seeds`, in order, until the plan's rules give a verdict."""
    arms = (baseline, candidate)
    waiting = [(side, seed) for seed in seeds for side in (0, 1)]
    owners: dict[str, list[tuple[int, int]]] = {}
    finished: dict[tuple[int, int], RunResult] = {}
    told = 0
    while True:
        while waiting and lab.engine.busy < lab.engine.jobs:  # later pairs fill workers that would idle
            side, seed = waiting.pop(0)
            owners.setdefault(lab.ask(arms[side], seed, split).id, []).append((side, seed))
        for result in lab.engine.wait():
            finished |= dict.fromkeys(owners.get(result.id, ()), result)
        while told < len(seeds) and (0, seeds[told]) in finished and (1, seeds[told]) in finished:
            seen(finished[0, seeds[told]], finished[1, seeds[told]], plan)
            told += 1
        sides = [judged(lab, arms[side], [r for (s, _), r in finished.items() if s == side], split) for side in (0, 1)]
        found = verdict.judge(sides[0], sides[1], plan, seeds, match)
        if found is not None:
            lab.engine.cancel_all()
            return _counted(found, seeds)


def judged(lab: Lab, arm: Arm, results: Sequence[RunResult], split: str) -> verdict.Arm:
    """The arm as the judge knows it: scores by seed, what they were measured on, what they and its tuning cost."""
    scores = tuple(
        verdict.Score(result.id, result.spec.seed, result.reason or result.status, result.bpb) for result in results
    )
    scale = {
        "judged_hash": lab.data(arm.recipe).judged_hash,
        "split": split,
        "judged_bytes": lab.settings.judged_bytes,
    }
    cost = verdict.Cost(
        tokens=arm.spent.tokens + sum(result.facts.get("tokens") or 0 for result in results),
        flops=arm.spent.flops + sum(result.facts.get("flops") or 0 for result in results),
        seconds=arm.spent.seconds + sum(result.facts.get("seconds") or 0.0 for result in results),
    )
    return verdict.Arm(arm.name, arm.recipe.fingerprint, scores, scale, cost)


def _counted(found: Verdict, seeds: Sequence[int]) -> Verdict:
    """The verdict with its runs in the order of the seeds; a run beyond the last pair counted is left out."""
    failed = [seeds.index(score.seed) for arm in found.arms for score in arm.scores if score.status != "done"]
    order = {seed: i for i, seed in enumerate(seeds[: max([found.n - 1, *failed]) + 1])}

    def trimmed(arm: verdict.Arm) -> verdict.Arm:
        scores = sorted((s for s in arm.scores if s.seed in order), key=lambda s: order[s.seed])
        return replace(arm, scores=tuple(scores))

    return replace(found, arms=(trimmed(found.arms[0]), trimmed(found.arms[1])))
