"""No count ends an endless campaign. `make soak` does the same ten thousand times."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from foundry.compare.comparison import Question
from foundry.core.errors import WorkError
from foundry.ledger import queries
from foundry.ledger.ledger import Ledger
from foundry.promote import promote as promotion
from soak.endless import SHORT_SEASONS, climb, seasons
from soak.lab import BASELINE
from soak.test_endless import over_the_end_of_32_bits


def promoted() -> list[Any]:
    return [entry for entry in queries.lineage(str(BASELINE)) if entry["kind"] == "promote"]


def measured_at_once(patch: pytest.MonkeyPatch) -> None:
    """Each promotion is measured again before it stands, as a sweep's is, and its sealed score read."""
    at_once = partial(Question, deferred=False)
    patch.setattr("foundry.campaign.certifier.Question", lambda *of, deferred=False, **more: at_once(*of, **more))


def test_a_season_has_no_last_promotion_and_2038_is_a_year_like_any_other(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    over_the_end_of_32_bits(monkeypatch, 0.2)
    monkeypatch.setattr(promotion, "TEST_READS_A_SEASON", 48)  # 16 each
    measured_at_once(monkeypatch)
    climb(5)
    line = promoted()
    scored = [entry["record"]["test_bpb"] is not None for entry in line]
    assert scored == [True] * 3 + [False] * 2 and "48 times" in line[-1]["record"]["test_why"]
    assert line[-1]["created_unix"] > 2**31 and len(seasons()) == 1


def test_a_limit_that_ends_the_loop_would_be_seen(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def as_it_was(lab: Any, arms: Any, verdict: Any) -> dict[str, Any]:
        if len(promoted()) == 3:
            raise WorkError("ledger.split_spent", "test", "no more is allowed")
        return {"test_bpb": None, "test_why": ""}

    monkeypatch.setattr(promotion, "_sealed", as_it_was)
    with pytest.raises(WorkError, match="no more is allowed"):
        climb(6)


def test_seasons_follow_one_another_by_the_rule_and_none_spends_more_than_it_has(home: Path) -> None:
    climb(21, rules=SHORT_SEASONS)
    spent = seasons()
    assert len(spent) >= 3 and all(0.0 < alpha <= q for alpha, q in spent)
    assert len(promoted()) == 21


def test_what_a_promotion_asks_of_the_ledger_is_found_by_an_index(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []
    begin = Ledger.open

    def traced() -> Ledger:
        ledger = begin()
        ledger._file._connection.set_trace_callback(asked.append)  # pyright: ignore[reportPrivateUsage]
        return ledger

    with monkeypatch.context() as patch:
        patch.setattr(Ledger, "open", traced)
        measured_at_once(patch)
        climb(2)
    with Ledger.open() as ledger:
        rows = ledger._file.rows  # pyright: ignore[reportPrivateUsage]
        begins = (
            "SELECT * FROM promotions WHERE id != ",
            "SELECT ifnull(max(rowid)",
            "SELECT rowid AS at, * FROM secrets",
        )
        whole = [sql for sql in asked if sql.startswith(begins)]
        assert len(whole) == len(set(whole)) > 0, "the first seal takes in what was there before it, and no other does"
        seen = {sql for sql in asked if sql.startswith(("SELECT", "UPDATE", "DELETE")) and "DESC LIMIT" not in sql}
        plans = {sql: " ".join(row["detail"] for row in rows(f"EXPLAIN QUERY PLAN {sql}")) for sql in seen - set(whole)}
    assert [sql for sql, plan in plans.items() if "SCAN" in plan or "TEMP B-TREE" in plan] == []
    counted = [plan for sql, plan in plans.items() if sql.startswith("SELECT count(*) FROM split_reads")]
    assert counted and all("split=? AND season=?" in plan for plan in counted)
