"""What of the ledger's rows is sealed: verdicts, plans, tests, seasons, secrets, reads of sealed splits, and the runs
that a verdict counted with all their scores. A row's digest is of what may never change in it.

May not: write, or follow the chain.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from foundry.ledger.file import to_text

Rows = Callable[..., list[Any]]
"""`(sql, *values)` to the rows."""

TABLES: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "verdict": ("verdicts", "id, key, attempt, kind, baseline, candidate, content", ("id",)),
    "plan": ("plans", "key, attempt, content", ("key", "attempt")),
    "test": ("tests", "id, key, season, j, alpha, promotions_at_start, state, verdict", ("id",)),
    "season": ("seasons", "id, stream, rules, opened_by, why", ("id",)),
    "secret": ("secrets", "name, hex(value)", ("name",)),
    "read": ("split_reads", "split, run, purpose, season", ("split", "run", "purpose", "season")),
}
"""What → its table, of which every row is sealed; what of it is; what it is known by."""
RUN = "run"
_RUN = (
    "SELECT id, recipe, seed, budget_tokens, data_hash, judged_hash, train_loss, tokens, flops, steps, seconds, "
    "cpu_seconds, device, tier, code FROM runs WHERE id = ?"
)
_SCORES = (
    "SELECT split, bpb, bytes, tokens, seconds, probes, protocol FROM scores WHERE run = ? ORDER BY split, protocol"
)
_REMEASURED = "SELECT id FROM runs WHERE recipe = ? AND seed = ? AND budget_tokens IS ? ORDER BY seq DESC LIMIT 1"
"""They were just made: the walk from the newest run of the recipe backwards is short."""


def digest(rows: Rows, what: str, key: Sequence[Any]) -> str | None:
    """SHA-256 of a row as it is now, of a run with its scores; None where there is none."""
    if what == RUN:
        found = rows(_RUN, *key)
        found = [*found, *rows(_SCORES, *key)] if found else []
    else:
        table, columns, names = TABLES[what]
        found = rows(f"SELECT {columns} FROM {table} WHERE {' AND '.join(f'{name} = ?' for name in names)}", *key)
    text = to_text([[*dict(row).values()] for row in found])
    return hashlib.sha256(text.encode()).hexdigest() if found else None


def counted_runs(rows: Rows, document: dict[str, Any]) -> list[str]:
    """The runs that a verdict rests on, those that measured its effect again included."""
    arms = document.get("arms", [])
    found = [run["run"] for arm in arms for run in arm.get("runs", []) if run.get("run")]
    if document.get("remeasured") is not None:
        pairs = [(arm, seed) for arm in arms for seed in document.get("remeasured_seeds", [])]
        for arm, seed in pairs:
            found += [row["id"] for row in rows(_REMEASURED, arm["recipe"], seed, arm.get("budget_tokens"))]
    return sorted(set(found))


def keys(rows: Rows, what: str) -> list[tuple[int, tuple[Any, ...]]]:
    """(rowid, key) of every row there is."""
    table, _, names = TABLES[what]
    return [(row["at"], tuple(row[name] for name in names)) for row in rows(f"SELECT rowid AS at, * FROM {table}")]


def extent(rows: Rows, what: str) -> tuple[int, int]:
    """(the last row's number, how many rows)."""
    found = rows(f"SELECT ifnull(max(rowid), 0) AS last, count(*) AS n FROM {TABLES[what][0]}")[0]
    return found["last"], found["n"]
