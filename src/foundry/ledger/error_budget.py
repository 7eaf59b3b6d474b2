"""The error budget in the ledger: seasons, and tests that each spend an α. May not: know how α is computed.

The season is chosen, and an α read off its history and spent, in one transaction: two controllers never spend the same
one, and at a season's end they don't make what was spent smaller.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, final, get_args

from foundry.core.errors import WorkError
from foundry.ledger.file import LedgerFile, now, to_text
from foundry.ledger.seals import Seals

Ending = Literal["passed", "failed", "void"]
Stream = Literal["better", "not_worse"]
"""What is claimed. Each stream has seasons, tests and discoveries of its own, and the whole of q."""
BY_RULE = "rule"
"""Who opened a season that nobody asked for: the first, or one that follows a season which can't pay any more."""


@dataclass(frozen=True)
class BudgetTest:
    """One certification as the budget sees it. `promotions_at_start` counts what its season had discovered when it was
    opened; a void test has spent its alpha like any other."""

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
    """A season so far. alpha: the sum of its tests' α; alpha_by_discoveries: each over one more than the discoveries
    known at its start; promotions: its discoveries that stand, each (from, to) once."""

    season: int
    rules: dict[str, Any]
    tests: int
    alpha: float
    alpha_by_discoveries: float
    promotions: int


@final
class Budget:
    """Seasons are numbered from 1 over all streams; the newest of a stream is its current one. Seasons and tests are
    sealed with each change."""

    def __init__(self, file: LedgerFile) -> None:
        self._file, self._seals = file, Seals(file)

    def season(self, stream: Stream | None = "better") -> dict[str, Any] | None:
        """The current season of a stream, or the newest of all: id, stream, rules, opened_by, why, created, closed;
        None before the first."""
        where, values = ("WHERE stream = ?", (stream,)) if stream is not None else ("", ())
        row = self._file.row(f"SELECT * FROM seasons {where} ORDER BY id DESC LIMIT 1", *values)
        return {**row, "rules": json.loads(row["rules"])} if row is not None else None

    def new_season(self, rules: dict[str, Any], who: str, why: str) -> None:
        """A person's decision: every stream begins anew under `rules`."""
        with self._seals.writing() as write:
            for stream in get_args(Stream):
                self._open(write, stream, rules, who, why)

    def _open(self, write: sqlite3.Connection, stream: Stream, rules: dict[str, Any], who: str, why: str) -> History:
        write.execute("UPDATE seasons SET closed=? WHERE stream=? AND closed IS NULL", (now(), stream))
        row = write.execute(
            "INSERT INTO seasons(rules, created, stream, opened_by, why) VALUES (?,?,?,?,?)",
            (to_text(rules), now(), stream, who, why),
        )
        assert row.lastrowid is not None
        self._seals.rows(write, ("season", (row.lastrowid,)))
        return self.history(row.lastrowid)

    def history(self, season: int) -> History:
        """Raises WorkError for a season that isn't."""
        row = self._file.row("SELECT rules FROM seasons WHERE id = ?", season)
        if row is None:
            raise WorkError("ledger.no_season", str(season), "no such season in the ledger")
        spent = self._file.row(_SPENT, season)
        found = self._file.row(_DISCOVERIES, season)
        assert spent is not None and found is not None  # sums are one row each
        return History(season, json.loads(row["rules"]), **spent, **found)

    def tests(self, season: int) -> list[BudgetTest]:
        """The tests of a season, in order."""
        rows = self._file.rows(f"SELECT {_COLUMNS} FROM tests WHERE season = ? ORDER BY j", season)
        return [BudgetTest(**row) for row in rows]

    def find(self, key: str) -> BudgetTest | None:
        """The test that was opened under `key`, whatever its state."""
        row = self._file.row(f"SELECT {_COLUMNS} FROM tests WHERE key = ?", key)
        return BudgetTest(**row) if row is not None else None

    def open_tests(self) -> list[BudgetTest]:
        """Tests that were begun and not finished, oldest first; whoever comes after a crash goes on with them."""
        rows = self._file.rows(f"SELECT {_COLUMNS} FROM tests WHERE state = 'open' ORDER BY id")
        return [BudgetTest(**row) for row in rows]

    def open_test(
        self,
        key: str,
        stream: Stream,
        rules: Callable[[dict[str, Any] | None], dict[str, Any]],
        spend: Callable[[History], float | None],
    ) -> BudgetTest:
        """Spend an α: `spend` says how much, given the season so far, or None where it can't pay; then the next season
        is opened. `rules` says what a season is opened with, given the rules that stand. The same key again is the
        same test, unspent.

        Both must be pure: they run inside the transaction. What they raise is raised, and nothing is spent."""
        with self._seals.writing() as write:
            if (known := self.find(key)) is not None:
                return known
            standing, season = self.season(None), self.season(stream)
            wanted = rules(standing and standing["rules"])
            why = "the first of its stream"
            history = self.history(season["id"]) if season is not None else None
            alpha = spend(history) if history is not None else None
            if history is not None and alpha is None:
                why = f"season {history.season} could not pay for another test"
            if history is None or alpha is None:
                history = self._open(write, stream, wanted, BY_RULE, why)
                alpha = spend(history)
            write.execute(
                "INSERT INTO tests(key, season, j, alpha, promotions_at_start, created) VALUES (?,?,?,?,?,?)",
                (key, history.season, history.tests + 1, alpha, history.promotions, now()),
            )
            opened = self.find(key)
            assert opened is not None
            self._seals.rows(write, ("test", (opened.id,)))
        return opened

    def close_test(self, test: int, ending: Ending, verdict: str | None = None) -> None:
        """Record how an open test ended. Raises WorkError when it had ended in another way before."""
        with self._seals.writing() as write:
            changed = write.execute(
                "UPDATE tests SET state=?, verdict=?, closed=? "
                "WHERE id=? AND (state='open' OR (state=? AND verdict IS ?))",
                (ending, verdict, now(), test, ending, verdict),
            )
            if changed.rowcount != 1:
                raise WorkError("ledger.test_closed", str(test), "no open test of that number", got=ending)
            self._seals.rows(write, ("test", (test,)))


_COLUMNS = "id, key, season, j, alpha, promotions_at_start, state, verdict"
_SPENT = """
    SELECT count(*) AS tests, total(alpha) AS alpha, total(alpha / (promotions_at_start + 1)) AS alpha_by_discoveries
    FROM tests WHERE season = ?"""
# A verdict that promoted nothing (another champion stood by then) is no discovery; nor is what was taken back, nor the
# same step twice.
_DISCOVERIES = """
    SELECT count(DISTINCT promotions.from_fp || promotions.to_fp) AS promotions
    FROM tests JOIN promotions ON promotions.verdict = tests.verdict
    WHERE tests.season = ? AND promotions.kind = 'promote' AND promotions.reverted IS NULL"""
