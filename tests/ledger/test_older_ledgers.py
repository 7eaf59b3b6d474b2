"""Ledgers of earlier versions: read as they are, and given what they lack when they are written to."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest

from foundry.ledger import queries, weights
from foundry.ledger.ledger import Ledger, ledger_path
from foundry.ledger.schema import SINCE
from foundry.ledger.weights import weights_folder
from tests.home import older_ledger

ADDED_LATER_TO_4 = SINCE[5][:2]


def schema(path: Path) -> set[str]:
    with sqlite3.connect(path) as connection:
        return {row[0] for row in connection.execute("SELECT name FROM sqlite_master")}


@pytest.mark.parametrize("more", [(), ADDED_LATER_TO_4, ADDED_LATER_TO_4[:1]])
@pytest.mark.parametrize("version", [1, 2, 3, 4, 5, 6])
def test_every_older_ledger_ends_with_the_tables_and_indexes_of_a_new_one(
    path: Path, tmp_path: Path, version: int, more: tuple[str, ...]
) -> None:
    older_ledger(path, version, more if version == 4 else ())
    new = tmp_path / "new" / "ledger.db"
    for each in (path, new):
        Ledger.open(each).close()
    assert schema(path) == schema(new)


@pytest.mark.parametrize("version", [3, 4])
def test_weights_from_before_the_ledger_counted_them_are_counted_and_fall_under_the_rule(
    home: Path, monkeypatch: pytest.MonkeyPatch, version: int
) -> None:
    runs = [f"{i}" * 32 for i in range(5)]
    row = "INSERT INTO runs(id, recipe, seed, budget_tokens, data_hash, judged_hash, status, attempts, created) "
    of = "INSERT INTO recipes(fingerprint, name, content, sources, created) VALUES ('r', '', '{}', '{}', 0)"
    values = [f"{row} VALUES ('{run}', 'r', 1, 1, 'd', 'j', 'done', 1, 0)" for run in runs]
    older_ledger(ledger_path(), version, (of, *values))
    for run in runs[1:]:  # the first one's are gone already
        weights_folder(run).mkdir(parents=True)
        (weights_folder(run) / "model").write_bytes(bytes(100))
    if version == 3:
        assert queries.weights().to_dict() == {"runs": 4, "bytes": 400}, "as a reader sees it, who changes nothing"
    monkeypatch.setattr(weights, "FEWEST_RUNS", 1)
    monkeypatch.setattr(weights, "MOST_BYTES", 250)
    with Ledger.open() as ledger:
        assert queries.weights().to_dict() == {"runs": 4, "bytes": 400}
        assert weights.tidy(ledger) == [runs[2], runs[1]]
        assert queries.weights().to_dict() == {"runs": 2, "bytes": 200}
        assert [run for run in runs if weights_folder(run).exists()] == runs[3:]
        assert weights.tidy(ledger) == []
