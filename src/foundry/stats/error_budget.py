"""The error budget of an endless loop: how much α each test may spend, as pure functions of a frozen state.

With R_j promotions known when test j starts and ω_j = 1/(j + 2.2),

    α_j = min(.25, ω_j (q − S_j)(R_j + 1)),    S_{j+1} = S_j + α_j / (R_j + 1).

If each test promotes a candidate that isn't better with chance at most α_j, given all that was known when it
started, then E[sup over time of the share of false promotions] ≤ q: whoever proposes, and with tests in parallel
(docs/verdicts.md has the three lines). Plain data in and out. May not: read the ledger, a clock or a score.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal, get_args

from foundry.core.errors import RequestError
from foundry.stats.sequential_test import MOST_PAIRS

Control = Literal["fdr", "fwer", "per-comparison"]

LARGEST_ALPHA = 0.25
FIRST_SHARE = 3.2  # the first test spends q/3.2, 1/32 of 0.1: five pairs can promote; the j-th 1/(j + 2.2) of the rest
SPARE_WINNERS = 8  # a plan with fewer winning sequences than this wastes its α in rounding, and promotes only sweeps


@dataclass(frozen=True)
class Budget:
    """The state between two tests of one season. Raises RequestError.

    q: the error rate that is controlled: the expected worst share of false promotions (`fdr`), the chance of any
    false promotion in the season (`fwer`), or that of each test (`per-comparison`); spent: S_j; tests, promotions: of
    this season; base_pairs, max_pairs: N of an ordinary test, and the largest N before a new season opens;
    first_share: the first test spends q over so much.
    """

    control: Control = "fdr"
    q: float = 0.10
    spent: float = 0.0
    tests: int = 0
    promotions: int = 0
    season: int = 1
    base_pairs: int = 12
    max_pairs: int = 24
    first_share: float = FIRST_SHARE

    def __post_init__(self) -> None:
        if self.control not in get_args(Control):
            choices = get_args(Control)
            raise RequestError("judge.unknown_control", "control", "no such policy", got=self.control, choices=choices)
        if not 0.0 < self.q < 1.0:
            raise RequestError("judge.bad_budget", "q", "between 0 and 1", got=self.q)
        if not 3 <= self.base_pairs <= self.max_pairs <= MOST_PAIRS:
            message = f"3 ≤ base_pairs ≤ max_pairs ≤ {MOST_PAIRS}"
            raise RequestError("judge.bad_budget", "base_pairs", message, got=self.base_pairs)
        opening = self.q if self.control == "per-comparison" else self.q / self.first_share
        fewest = needs(min(LARGEST_ALPHA, opening), self.base_pairs)
        if fewest > self.max_pairs:
            hint = f"its first test needs max_pairs of at least {fewest}"
            raise RequestError("judge.bad_budget", "q", "no season could pay for a test", got=self.q, hint=hint)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Budget:
        return cls(**value)

    @property
    def left(self) -> float:
        """q − S_j; q itself under `per-comparison`, which spends nothing."""
        return self.q if self.control == "per-comparison" else self.q - self.spent


@dataclass(frozen=True)
class Grant:
    """What one test was given, fixed when it starts: recorded with its verdict."""

    alpha: float
    pairs: int
    season: int
    test: int
    promotions_known: int
    spent_before: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def next_alpha(budget: Budget) -> float:
    """α_j of the next test of this season."""
    if budget.control == "per-comparison":
        return min(LARGEST_ALPHA, budget.q)
    return min(LARGEST_ALPHA, budget.left / (budget.tests + budget.first_share) * _weight(budget))


def grant(budget: Budget) -> tuple[Grant, Budget]:
    """α and N of the next test, and the state that has paid for it. Opens a new season when this one can't pay."""
    budget = budget if affordable(budget) else new_season(budget)
    alpha = next_alpha(budget)
    given = Grant(
        alpha=alpha,
        pairs=needs(alpha, budget.base_pairs),
        season=budget.season,
        test=budget.tests + 1,
        promotions_known=budget.promotions,
        spent_before=budget.spent,
    )
    price = 0.0 if budget.control == "per-comparison" else alpha / _weight(budget)
    return given, replace(budget, tests=budget.tests + 1, spent=budget.spent + price)


def promoted(budget: Budget, given: Grant) -> Budget:
    """The state after the test of `given` promoted. A promotion of an earlier season earns nothing in this one."""
    if given.season != budget.season:
        return budget
    return replace(budget, promotions=budget.promotions + 1)


def affordable(budget: Budget) -> bool:
    """Whether this season's next test can reach 1/α_j within max_pairs, with winners to spare."""
    return needs(next_alpha(budget), budget.base_pairs) <= budget.max_pairs


def new_season(budget: Budget) -> Budget:
    """A fresh q. The bound holds for each season by itself, so opening one goes on the record."""
    return replace(budget, spent=0.0, tests=0, promotions=0, season=budget.season + 1)


def needs(alpha: float, base_pairs: int = 12) -> int:
    """N for a test at `alpha`: the ordinary N, or as many pairs as leave eight winning sequences."""
    pairs = base_pairs
    while alpha * 2**pairs < SPARE_WINNERS:
        pairs += 1
    return pairs


def remaining_tests(budget: Budget) -> int:
    """How many more tests this season pays for if none of them promotes; at most 10,000."""
    count = 0
    while count < 10_000 and affordable(budget):
        _given, budget = grant(budget)
        count += 1
    return count


def _weight(budget: Budget) -> int:
    """R_j + 1 when shares of false promotions are controlled, 1 when any false promotion is."""
    return budget.promotions + 1 if budget.control == "fdr" else 1
