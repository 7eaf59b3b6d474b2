"""What a caller gains by having one real improvement promoted, reverted and promoted again before proposing no-ops.

`python -m benchmarks.verdicts.repeats` prints E[sup FDP] over distinct promotions, by how discoveries are counted:
every test that passed, as Foundry once did, or each (from, to) that stands, once. Every no-op promotes with chance α_j
exactly, the most that a certification allows. May not: touch a ledger (tests/ledger/test_ledger_verdicts.py has that).
"""

from __future__ import annotations

import random
from dataclasses import replace
from statistics import fmean, stdev
from typing import Literal

from foundry.stats.error_budget import FIRST_SHARE, Budget, affordable, grant

Counting = Literal["passed tests", "distinct, standing"]
NO_OPS = 100


def sup_fdp(counting: Counting, repeats: int, rng: random.Random, first_share: float = FIRST_SHARE) -> float:
    """The worst share of false ones among the distinct promotions of one season, over time."""
    budget, false, worst = Budget(first_share=first_share), 0, 0.0
    for repeat in range(repeats):  # the one real gain: certified each time, and taken back each time but the last
        _, budget = grant(budget)
        budget = replace(budget, promotions=repeat + 1 if counting == "passed tests" else 1)
    real = min(repeats, 1)
    for _ in range(NO_OPS):
        if not affordable(budget):
            break
        given, budget = grant(budget)
        if rng.random() < given.alpha:
            false += 1
            budget = replace(budget, promotions=budget.promotions + 1)
        worst = max(worst, false / max(false + real, 1))
    return worst


def estimate(counting: Counting, repeats: int, campaigns: int, first_share: float = FIRST_SHARE) -> tuple[float, float]:
    """E[sup FDP] and its standard error."""
    rng = random.Random(f"{counting}|{repeats}|0")
    found = [sup_fdp(counting, repeats, rng, first_share) for _ in range(campaigns)]
    return fmean(found), stdev(found) / campaigns**0.5


if __name__ == "__main__":
    for first_share in (FIRST_SHARE, 10.0):
        print(f"the first test of a season spends q/{first_share:g}:")
        for repeats in (0, 10, 30, 100):
            for counting in ("passed tests", "distinct, standing"):
                mean, error = estimate(counting, repeats, 4000, first_share)
                print(f"{repeats:4d} repeats, {counting:<18}: E[sup FDP] = {mean:.3f} ± {1.96 * error:.3f}")
