"""Endless campaigns, many replicates at once: proposer, noise, a rule of promotion, and the share of false promotions.

The budget's vectorised twin equals stats/error_budget.py by test. Shapes: C campaigns, W tests at a time, N pairs.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from benchmarks.verdicts import noise, rules
from foundry.stats.error_budget import LARGEST_ALPHA, SPARE_WINNERS, Budget
from foundry.stats.power import Booleans, Floats, Integers

RULES = (
    "foundry",  # as it ships: certification, then the tail guard on fresh pairs
    "foundry, unguarded",  # certification alone
    "foundry, stored baseline",
    "lowest loss wins",
    "fixed threshold",
    "paired t, peeking",
    "2 of 2 seeds",
    "bootstrap",
)
PROPOSERS = ("no-ops", "mixed", "adaptive", "parallel")
FRESH = 8  # pairs that the effect of a promotion is measured on again, for the tail guard
CREDIT = 5  # the adaptive proposer proposes real gains until it has this many promotions, then nothing but no-ops


@dataclass
class Tally:
    """Promotions so far in each campaign, and the worst share of false ones that it has seen."""

    campaigns: int
    false_C: Integers = field(init=False)
    true_C: Integers = field(init=False)
    worst_C: Floats = field(init=False)
    worst_of_first_season_C: Floats = field(init=False)
    proposed_gains: int = 0
    tests: int = 0
    pairs: int = 0

    def __post_init__(self) -> None:
        self.false_C = np.zeros(self.campaigns, dtype=np.int64)
        self.true_C = np.zeros(self.campaigns, dtype=np.int64)
        self.worst_C, self.worst_of_first_season_C = np.zeros(self.campaigns), np.zeros(self.campaigns)

    def add(self, promoted_C: Booleans, effect_C: Floats, pairs_C: Integers, season_C: Integers) -> None:
        self.false_C += promoted_C & (effect_C <= 0.0)
        self.true_C += promoted_C & (effect_C > 0.0)
        share_C = self.false_C / np.maximum(self.false_C + self.true_C, 1)
        self.worst_C = np.maximum(self.worst_C, share_C)
        self.worst_of_first_season_C = np.where(season_C == 1, self.worst_C, self.worst_of_first_season_C)
        self.proposed_gains += int((effect_C > 0.0).sum())
        self.tests += self.campaigns
        self.pairs += int(pairs_C.sum())

    def summary(self) -> dict[str, float]:
        root = np.sqrt(self.campaigns)
        return {
            "false_per_campaign": float(self.false_C.mean()),
            "true_per_campaign": float(self.true_C.mean()),
            "recall": float(self.true_C.sum() / self.proposed_gains) if self.proposed_gains else 0.0,
            "sup_fdp": float(self.worst_C.mean()),
            "sup_fdp_of_first_season": float(self.worst_of_first_season_C.mean()),
            "sup_fdp_error": float(1.96 * self.worst_C.std() / root),
            "any_false": float((self.false_C > 0).mean()),
            "pairs_per_test": self.pairs / self.tests,
        }


class Budgets:
    """judge.budget for C campaigns at once."""

    def __init__(self, campaigns: int, rule: Budget) -> None:
        self.rule = rule
        self.spent_C, self.tests_C = np.zeros(campaigns), np.zeros(campaigns, dtype=np.int64)
        self.promotions_C, self.season_C = np.zeros(campaigns, dtype=np.int64), np.ones(campaigns, dtype=np.int64)

    def grant(self) -> tuple[Floats, Integers]:
        """α and N of every campaign's next test, paid for."""
        alpha_C, pairs_C = self._next()
        broke_C = pairs_C > self.rule.max_pairs
        if broke_C.any():
            self.season_C += broke_C
            for array in (self.spent_C, self.tests_C, self.promotions_C):
                array[broke_C] = 0
            alpha_C, pairs_C = self._next()
        if self.rule.control != "per-comparison":
            self.spent_C += alpha_C / self._weight()
        self.tests_C += 1
        return alpha_C, pairs_C

    def promoted(self, promoted_C: Booleans, season_C: Integers) -> None:
        self.promotions_C += promoted_C & (season_C == self.season_C)

    def _weight(self) -> Any:
        return self.promotions_C + 1 if self.rule.control == "fdr" else 1

    def _next(self) -> tuple[Floats, Integers]:
        share_C = (
            1.0 if self.rule.control == "per-comparison" else self._weight() / (self.tests_C + self.rule.first_share)
        )
        left_C = self.rule.q - (0.0 if self.rule.control == "per-comparison" else self.spent_C)
        alpha_C = np.minimum(LARGEST_ALPHA, left_C * share_C) * np.ones_like(self.spent_C)
        pairs_C = np.ceil(np.log2(SPARE_WINNERS / alpha_C)).astype(np.int64)
        return alpha_C, np.maximum(pairs_C, self.rule.base_pairs)


def propose(proposer: str, rng: np.random.Generator, promotions_C: Integers) -> Floats:
    """The true effect of each campaign's next candidate, in standard deviations of a paired difference."""
    campaigns = len(promotions_C)
    if proposer == "no-ops":
        return np.zeros(campaigns)
    gain_C = rng.choice([1.0, 1.5, 2.0], campaigns)
    if proposer == "adaptive":
        return np.where(promotions_C < CREDIT, gain_C, 0.0)
    kind_C = rng.random(campaigns)
    return np.where(kind_C < 0.1, gain_C, np.where(kind_C < 0.4, -0.5, 0.0))


def run(rule: str, kind: str, proposer: str, campaigns: int, tests: int, seed: int, budget: Budget) -> Tally:
    """`campaigns` replicates of a campaign of `tests` tests. Under `parallel`, eight start before any is over."""
    rng = np.random.default_rng(seed)
    tally, budgets, bench = Tally(campaigns), Budgets(campaigns, budget), Bench(rule, kind, rng, campaigns)
    at_once = 8 if proposer == "parallel" else 1
    for _ in range(tests // at_once):
        started = []
        for _ in range(at_once):
            effect_C = propose(proposer, rng, tally.true_C + tally.false_C)
            started.append((effect_C, *budgets.grant(), budgets.season_C.copy()))
        for effect_C, alpha_C, pairs_C, season_C in started:
            promoted_C, used_C = bench.test(effect_C, alpha_C, pairs_C)
            budgets.promoted(promoted_C, season_C)
            tally.add(promoted_C, effect_C, used_C, season_C)
    return tally


class Bench:
    """One rule on one noise: draws the runs of each test and says what the rule promotes."""

    def __init__(self, rule: str, kind: str, rng: np.random.Generator, campaigns: int) -> None:
        self.rule, self.kind, self.rng = rule, kind, rng
        self.level_C = np.zeros(campaigns)  # the champion's true score; lower is better
        self.stored_C = noise.arms("normal", rng, campaigns, 1)[0][:, 0]  # and the one on record for it

    def test(self, effect_C: Floats, alpha_C: Floats, pairs_C: Integers) -> rules.Promotions:
        """Which campaigns promote this candidate, and the pairs that it took."""
        base_CN, cand_CN = self._arms(effect_C, int(pairs_C.max()))
        difference_CN = base_CN - cand_CN
        ones_C = np.ones(len(effect_C), dtype=np.int64)
        if self.rule == "foundry, unguarded":
            return rules.certified(base_CN, cand_CN, alpha_C, pairs_C)
        if self.rule == "foundry":
            promoted_C, used_C = rules.certified(base_CN, cand_CN, alpha_C, pairs_C)
            base_CM, cand_CM = self._arms(effect_C, FRESH)
            passed_C = rules.unblocked(difference_CN, used_C, base_CM - cand_CM) & ~np.isnan(cand_CM).any(1)
            return promoted_C & passed_C, used_C + FRESH * promoted_C
        if self.rule == "foundry, stored baseline":
            stored_CN = np.broadcast_to(self.stored_C[:, None] - self.level_C[:, None], cand_CN.shape)
            promoted_C, used_C = rules.certified(stored_CN, cand_CN, alpha_C, pairs_C)
            return self._keep(promoted_C, np.nan_to_num(cand_CN, nan=np.inf).min(1), effect_C), used_C
        if self.rule == "lowest loss wins":
            score_C = np.nan_to_num(cand_CN[:, 0], nan=np.inf)
            return self._keep(score_C < self.stored_C - self.level_C, score_C, effect_C), ones_C
        finished_C = ~np.isnan(cand_CN[:, 0])
        if self.rule == "fixed threshold":
            return rules.threshold(difference_CN), ones_C
        if self.rule == "2 of 2 seeds":
            return rules.two_of_two(difference_CN), 2 * ones_C
        if self.rule == "paired t, peeking":
            promoted_C, used_C = rules.peeking_t(difference_CN)
            return promoted_C & finished_C, used_C
        promoted_C, used_C = rules.bootstrap(difference_CN, self.rng)
        return promoted_C & finished_C, used_C

    def _arms(self, effect_C: Floats, pairs: int) -> tuple[Floats, Floats]:
        """Scores relative to the champion's true one."""
        base_CN, cand_CN = noise.arms(self.kind, self.rng, len(effect_C), pairs)
        return base_CN, cand_CN - effect_C[:, None]

    def _keep(self, promoted_C: Booleans, score_C: Floats, effect_C: Floats) -> Booleans:
        """The promoted one becomes the champion, with the score it was promoted for on record."""
        self.stored_C = np.where(promoted_C, self.level_C + score_C, self.stored_C)
        self.level_C = np.where(promoted_C, self.level_C - effect_C, self.level_C)
        return promoted_C
