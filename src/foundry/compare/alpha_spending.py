"""The error budget at work: the α of each certification, spent in the ledger before its first run. May not: judge.

How much is spent is stats/error_budget.py's, a pure function of the season's rules and tests; here it meets the record.
Seasons are opened by the rule, or by a person on the record; never by an option of a command that spends.
"""

from __future__ import annotations

import getpass
import os
from dataclasses import asdict, dataclass
from typing import Any, get_args

from foundry.core.errors import RequestError
from foundry.documents import budget as documents
from foundry.ledger.error_budget import BudgetTest, History, Stream
from foundry.ledger.ledger import Ledger
from foundry.ledger.queries import reading
from foundry.stats import error_budget as policy
from foundry.stats.error_budget import Budget, Control

EARLIER_FIRST_SHARE = 10.0
"""Of seasons whose rules don't say: an earlier version opened them."""
OPTIONS = {"control": "--control", "q": "--q", "base_pairs": "--max-pairs"}


@dataclass(frozen=True)
class BudgetRules:
    """What the first season is opened with. None keeps the standing season's; another value than its is refused."""

    control: Control | None = None
    q: float | None = None
    base_pairs: int | None = None

    @property
    def given(self) -> dict[str, Any]:
        return {key: value for key, value in asdict(self).items() if value is not None}

    def within(self, standing: dict[str, Any] | None) -> dict[str, Any]:
        """The standing season's rules, or those of a first season. Raises RequestError for other rules than stand: with
        those a caller could open seasons, and with each a new budget."""
        if standing is None:
            return _rules(Budget(**self.given))
        for key, value in self.given.items():
            if value != standing[key]:
                opened = f"control {standing['control']}, q {standing['q']:g}, max-pairs {standing['base_pairs']}"
                hint = "leave the option out; a person opens a season: foundry budget --new-season --why …"
                raise RequestError("budget.other_rules", OPTIONS[key], f"the season has {opened}", got=value, hint=hint)
        return standing


def check(ledger: Ledger, rules: BudgetRules) -> None:
    """Raises RequestError where a test would be refused for its rules, before anything is trained for it."""
    season = ledger.budget.season(None)
    rules.within(season and season["rules"])


def state(history: History) -> Budget:
    """The budget after the tests of a season: each spent α_j over the R_j + 1 known when it started."""
    spent = {"fdr": history.alpha_by_discoveries, "fwer": history.alpha, "per-comparison": 0.0}
    return Budget(
        spent=spent[history.rules["control"]],
        tests=history.tests,
        promotions=history.promotions,
        season=history.season,
        **{"first_share": EARLIER_FIRST_SHARE, **history.rules},
    )


def open_test(ledger: Ledger, key: str, rules: BudgetRules, stream: Stream = "better") -> BudgetTest:
    """The test of the question `key`, its α spent now or when it was first asked. Raises RequestError."""
    return ledger.budget.find(key) or ledger.budget.open_test(key, stream, rules.within, _spend)


def new_season(ledger: Ledger, rules: BudgetRules, who: str, why: str) -> None:
    """A person's word: every stream begins anew with a whole q, under the standing rules but for those given. Raises
    RequestError without a reason."""
    if not why.strip():
        message = "a new season needs its reason, for the record"
        raise RequestError("budget.no_reason", "--why", message, hint="the bound is each season's own")
    season = ledger.budget.season(None)
    opened = Budget(**{**(season["rules"] if season else {}), **rules.given})
    ledger.budget.new_season(_rules(opened), who.strip() or _me(), why)


def pairs_for(test: BudgetTest, ledger: Ledger) -> int:
    """N of a test, by its α and its season's rules."""
    return policy.needs(test.alpha, ledger.budget.history(test.season).rules["base_pairs"])


def summary() -> documents.Budget:
    """The season of `better`, what is spent and left, what the next test gets and needs; the same of each stream.
    Changes nothing."""
    with reading() as file:
        if file is None:
            return documents.Budget.from_dict(_summary(Budget()), streams={})
        ledger = Ledger(file)
        streams: dict[str, dict[str, Any]] = {}
        for stream in get_args(Stream):
            if (season := ledger.budget.season(stream)) is not None:
                opened = {"opened_by": season["opened_by"], "opened_unix": season["created"], "why": season["why"]}
                streams[stream] = _summary(state(ledger.budget.history(season["id"]))) | opened
        return documents.Budget.from_dict(
            streams.get("better", _summary(Budget())),
            streams={stream: documents.Season.from_dict(found) for stream, found in streams.items()},
            open_tests=tuple(test.key for test in ledger.budget.open_tests()),
            test_split_reads=ledger.runs.count_reads("test"),
        )


def _summary(now: Budget) -> dict[str, Any]:
    can_pay = policy.affordable(now)
    alpha = policy.next_alpha(now if can_pay else policy.new_season(now))
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
    }


def _spend(history: History) -> float | None:
    now = state(history)
    return policy.next_alpha(now) if policy.affordable(now) else None


def _rules(budget: Budget) -> dict[str, Any]:
    """What stays the same over a season."""
    return {key: getattr(budget, key) for key in ("control", "q", "base_pairs", "max_pairs", "first_share")}


def _me() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name
        return f"uid {os.getuid()}"
