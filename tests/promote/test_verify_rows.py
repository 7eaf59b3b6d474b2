"""Every row that promoted nothing is sealed as well: verdicts, plans, tests, seasons, secrets, reads, counted runs."""

from __future__ import annotations

from pathlib import Path

import pytest
from tampered import codes, opened

from foundry.ledger.ledger import Ledger

LAST_FAILED = "SELECT verdict FROM tests WHERE state = 'failed' ORDER BY j DESC LIMIT 1"
COUNTED = "SELECT run FROM scores WHERE split = 'certification' ORDER BY seq LIMIT 1"
RECORD: dict[str, str | list[str]] = {
    "a secret is another": "UPDATE secrets SET value = randomblob(32)",
    "a secret is gone": "DELETE FROM secrets",
    "a secret is put in": "INSERT INTO secrets VALUES ('more', x'00', 0)",
    "a failed test, its verdict and its plan are gone": [
        f"DELETE FROM plans WHERE (key, attempt) IN (SELECT key, attempt FROM verdicts WHERE id = ({LAST_FAILED}))",
        f"DELETE FROM verdicts WHERE id = ({LAST_FAILED})",
        "DELETE FROM tests WHERE id = (SELECT id FROM tests WHERE state = 'failed' ORDER BY j DESC LIMIT 1)",
    ],
    "a failed test has passed": "UPDATE tests SET state = 'passed' WHERE state = 'failed'",
    "a test is put in": "INSERT INTO tests(key, season, j, alpha, promotions_at_start, created) "
    "SELECT 'f00d', season, max(j) + 1, 0, 0, 0 FROM tests",
    "what a failed verdict says": "UPDATE verdicts SET content = json_set(content, '$.says', 'great') "
    f"WHERE id = ({LAST_FAILED})",
    "a verdict is put in": "INSERT INTO verdicts(id, key, attempt, kind, baseline, candidate, content, created) "
    "SELECT 'f00d', 'f00d', 0, 'compare', baseline, candidate, content, 0 FROM verdicts LIMIT 1",
    "seeds of a plan that weren't used": "UPDATE plans SET content = json_set(content, '$.seeds[11]', 424242)",
    "a plan is put in": "INSERT INTO plans SELECT 'f00d', 0, content, 0 FROM plans LIMIT 1",
    "a season's rules": "UPDATE seasons SET rules = json_set(rules, '$.q', 0.5)",
    "a season is put in": "INSERT INTO seasons(rules, created) SELECT rules, 0 FROM seasons LIMIT 1",
    "what a counted run cost": f"UPDATE runs SET tokens = 10 * tokens, flops = 1, seconds = 9 WHERE id = ({COUNTED})",
    "where a counted run was": f"UPDATE runs SET tier = 'bubblewrap', device = 'x' WHERE id = ({COUNTED})",
    "the text of a counted run": f"UPDATE runs SET data_hash = '0' WHERE id = ({COUNTED})",
    "another score of a counted run": "INSERT INTO scores(run, split, bpb, bytes, tokens, seconds, probes, protocol, "
    "created) SELECT run, split, 0.1, bytes, tokens, seconds, probes, 'zz', created "
    f"FROM scores WHERE run = ({COUNTED})",
    "a score of a counted run is gone": f"DELETE FROM scores WHERE run = ({COUNTED})",
    "its score on the test split": "UPDATE scores SET bpb = bpb - 0.5 WHERE split = 'test'",
    "reads of the test split are gone": "DELETE FROM split_reads",
    "a read is another's": "UPDATE split_reads SET purpose = 'x'",
    "a read is put in": "INSERT INTO split_reads(split, run, purpose, season, created) "
    "SELECT split, run, 'f00d', season, 0 FROM split_reads",
}
"""Edits of what promoted nothing, and of what certifications rest on: as SQL, each of which changes something."""


@pytest.mark.parametrize("edit", RECORD)
def test_an_edit_of_any_table_that_is_sealed_is_shown(recorded: Path, edit: str) -> None:
    with Ledger.open() as ledger, opened() as connection:
        run = connection.execute(COUNTED).fetchone()["run"]
        ledger.runs.read_split("test", run, "report")
        ledger.runs.add_score(run, "test", {"bpb": 2.0, "bytes": 9, "tokens": 9, "seconds": 1.0}, "p")
    assert codes() == set(), "the control: what Foundry writes itself verifies"
    statements = RECORD[edit]
    with opened() as connection:
        for statement in [statements] if isinstance(statements, str) else statements:
            assert connection.execute(statement).rowcount > 0
    assert "verify.record" in codes()


def test_a_run_that_a_person_had_forgotten_is_sealed_no_more_and_what_is_recorded_of_it_then_is_its_own(
    recorded: Path,
) -> None:
    with opened() as connection:
        run = connection.execute(COUNTED).fetchone()["run"]
    with Ledger.open() as ledger:
        ledger.runs.forget(run)
    assert "verify.record" not in codes()
