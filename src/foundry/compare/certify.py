"""Certification: pairs of fresh runs, counted one at a time in a fixed order, until the verdict is in.

Everything is fixed before the first pair: the arms, their budgets, α, σ₀, the largest n and every seed. May not: choose
a seed after seeing a score, replace a run, or promote.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from foundry.compare.match import Arm, cost_of
from foundry.compare.session import Lab
from foundry.execute.result import RunResult, check_scored
from foundry.stats import verdict
from foundry.stats.sequential_test import Plan
from foundry.stats.verdict import Verdict

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
        sides = [judged(lab, arms[side], [r for (s, _), r in finished.items() if s == side], split) for side in (0, 1)]
        found = verdict.judge(sides[0], sides[1], plan, seeds, match)
        counted = seeds if found is None else seeds[: found.n]
        while told < len(counted) and (0, counted[told]) in finished and (1, counted[told]) in finished:
            seen(finished[0, counted[told]], finished[1, counted[told]], plan)
            told += 1
        if found is not None:
            check_scored(baseline.name, [finished[0, seed] for seed in seeds if (0, seed) in finished])
            lab.engine.cancel_all("started ahead, and the verdict was in before it was needed")
            return found
        while waiting and lab.engine.busy < lab.engine.jobs:  # later pairs fill workers that would idle
            side, seed = waiting.pop(0)
            owners.setdefault(lab.ask(arms[side], seed, split).id, []).append((side, seed))
        for result in lab.engine.wait():
            finished |= dict.fromkeys(owners.get(result.id, ()), result)


def judged(lab: Lab, arm: Arm, results: Sequence[RunResult], split: str) -> verdict.Arm:
    """The arm as the judge knows it: scores by seed, what they were measured on, what they and its tuning cost."""
    scores = tuple(
        verdict.Score(result.id, result.spec.seed, result.reason or result.status, result.bpb, cost_of([result]))
        for result in results
    )
    return verdict.Arm(arm.name, arm.recipe.fingerprint, scores, lab.scale(arm.recipe, split), arm.spent)
