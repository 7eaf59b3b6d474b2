"""The error budget at work: the α of each certification, spent in the ledger before its first run. May not: judge.

How much is spent is judge/budget.py's, a pure function of the season's rules and tests; here it meets the record.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from foundry.judge import budget as policy
from foundry.judge.budget import Budget, Control
from foundry.runs.ledger import Ledger
from foundry.runs.ledger_budget import BudgetTest, History


@dataclass(frozen=True)
class BudgetRules:
    """What a season is opened with. None keeps the current season's."""

    control: Control | None = None
    q: float | None = None
    base_pairs: int | None = None

    def over(self, current: dict[str, Any]) -> dict[str, Any]:
        given = {"control": self.control, "q": self.q, "base_pairs": self.base_pairs}
        return {**current, **{key: value for key, value in given.items() if value is not None}}


def state(history: History, season: int) -> Budget:
    """The budget after the tests of a season: each spent α_j over the R_j + 1 known when it started."""
    budget = Budget(season=season, **history.rules)
    for test in history.tests:
        _, budget = policy.grant(replace(budget, promotions=test.promotions_at_start))
    return replace(budget, promotions=history.promotions)


def open_test(ledger: Ledger, key: str, rules: BudgetRules) -> BudgetTest:
    """The test of the question `key`, its α spent now or when it was first asked. Opens a season where one is due."""
    known = ledger.budget.find(key)
    return known if known is not None else ledger.budget.open_test(key, current_season(ledger, rules), _spend)


def current_season(ledger: Ledger, rules: BudgetRules) -> int:
    """The season that the next test belongs to: a new one when there is none, when the rules are asked to change, or
    when what is left can't pay for a test."""
    season = ledger.budget.season()
    if season is None:
        return ledger.budget.open_season(_rules(Budget(**rules.over({}))))
    wanted = rules.over(season["rules"])
    now = state(ledger.budget.history(season["id"]), season["id"])
    if wanted == season["rules"] and policy.affordable(now):
        return season["id"]
    return ledger.budget.open_season(_rules(Budget(**wanted)), after=season["id"])


def pairs_for(test: BudgetTest, ledger: Ledger) -> int:
    """N of a test, by its α and its season's rules."""
    return policy.needs(test.alpha, ledger.budget.history(test.season).rules["base_pairs"])


def summary(ledger: Ledger) -> dict[str, Any]:
    """What `foundry budget` prints: the season, what is spent and left, what the next test gets and needs."""
    season = ledger.budget.season()
    number = season["id"] if season else 0
    now = state(ledger.budget.history(number), number) if season else Budget()
    can_pay = policy.affordable(now)
    alpha = policy.next_alpha(now) if can_pay else policy.next_alpha(policy.new_season(now))
    return {
        "season": now.season,
        "control": now.control,
        "q": now.q,
        "spent": now.spent,
        "left": now.left,
        "tests": now.tests,
        "promotions": now.promotions,
        "next": {"alpha": alpha, "pairs": policy.needs(alpha, now.base_pairs), "opens_a_season": not can_pay},
        "tests_left_without_a_promotion": policy.remaining_tests(now),
        "open_tests": [test.key for test in ledger.budget.open_tests()],
        "test_split_reads": len(ledger.runs.split_reads("test")),
    }


def _spend(history: History) -> float:
    return policy.next_alpha(state(history, 1))


def _rules(budget: Budget) -> dict[str, Any]:
    """What stays the same over a season."""
    return {key: getattr(budget, key) for key in ("control", "q", "base_pairs", "max_pairs")}
