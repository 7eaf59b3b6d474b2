"""The error budget in the ledger: seasons, and tests that each spend an α. May not: know how α is computed.

An α is read off the history and spent in one transaction, so two controllers never spend the same one.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, final

from foundry.core.errors import WorkError
from foundry.runs.ledger_file import LedgerFile, now, to_text

Ending = Literal["passed", "failed", "void"]


@dataclass(frozen=True)
class BudgetTest:
    """One certification as the budget sees it. `promotions_at_start` counts the tests of its season that had passed
    when it was opened; a void test has spent its alpha like any other."""

    id: int
    key: str
    season: int
    j: int
    alpha: float
    promotions_at_start: int
    state: str
    verdict: str | None


@dataclass(frozen=True)
class History:
    """A season at the moment when a test is opened: its rules, and all of its tests so far in order."""

    rules: dict[str, Any]
    tests: tuple[BudgetTest, ...]

    @property
    def promotions(self) -> int:
        return sum(test.state == "passed" for test in self.tests)


@final
class Budget:
    """Seasons are numbered from 1; the newest is the current one."""

    def __init__(self, file: LedgerFile) -> None:
        self._file = file

    def season(self) -> dict[str, Any] | None:
        """The current season: id, rules, created; None before the first."""
        row = self._file.row("SELECT id, rules, created, closed FROM seasons ORDER BY id DESC LIMIT 1")
        return {**row, "rules": json.loads(row["rules"])} if row is not None else None

    def open_season(self, rules: dict[str, Any], after: int = 0) -> int:
        """Close season `after` and open the next one; its number. Whoever asks second gets the first one's season."""
        with self._file.writing() as write:
            last = write.execute("SELECT coalesce(max(id), 0) FROM seasons").fetchone()[0]
            if last != after:
                return last
            write.execute("UPDATE seasons SET closed=? WHERE id=?", (now(), after))
            write.execute("INSERT INTO seasons(id, rules, created) VALUES (?,?,?)", (after + 1, to_text(rules), now()))
        return after + 1

    def history(self, season: int) -> History:
        """Raises WorkError for a season that isn't."""
        row = self._file.row("SELECT rules FROM seasons WHERE id = ?", season)
        if row is None:
            raise WorkError("ledger.no_season", str(season), "no such season in the ledger")
        tests = self._file.rows(f"SELECT {_COLUMNS} FROM tests WHERE season = ? ORDER BY j", season)
        return History(json.loads(row["rules"]), tuple(BudgetTest(**test) for test in tests))

    def find(self, key: str) -> BudgetTest | None:
        """The test that was opened under `key`, whatever its state."""
        row = self._file.row(f"SELECT {_COLUMNS} FROM tests WHERE key = ?", key)
        return BudgetTest(**row) if row is not None else None

    def open_tests(self) -> list[BudgetTest]:
        """Tests that were begun and not finished, oldest first; whoever comes after a crash goes on with them."""
        rows = self._file.rows(f"SELECT {_COLUMNS} FROM tests WHERE state = 'open' ORDER BY id")
        return [BudgetTest(**row) for row in rows]

    def open_test(self, key: str, season: int, spend: Callable[[History], float]) -> BudgetTest:
        """Spend an α: `spend` says how much, given the season so far. The same key again is the same test, unspent.

        `spend` must be pure: it runs inside the transaction. What it raises is raised, and nothing is spent."""
        with self._file.writing() as write:
            if (known := self.find(key)) is not None:
                return known
            history = self.history(season)
            alpha = spend(history)
            write.execute(
                "INSERT INTO tests(key, season, j, alpha, promotions_at_start, created) VALUES (?,?,?,?,?,?)",
                (key, season, len(history.tests) + 1, alpha, history.promotions, now()),
            )
            opened = self.find(key)
        assert opened is not None
        return opened

    def close_test(self, test: int, ending: Ending, verdict: str | None = None) -> None:
        """Record how an open test ended. Raises WorkError when it had ended in another way before."""
        with self._file.writing() as write:
            changed = write.execute(
                "UPDATE tests SET state=?, verdict=?, closed=? "
                "WHERE id=? AND (state='open' OR (state=? AND verdict IS ?))",
                (ending, verdict, now(), test, ending, verdict),
            )
            if changed.rowcount != 1:
                raise WorkError("ledger.test_closed", str(test), "no open test of that number", got=ending)


_COLUMNS = "id, key, season, j, alpha, promotions_at_start, state, verdict"
