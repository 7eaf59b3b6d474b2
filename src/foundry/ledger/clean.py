"""Weights that nobody needs, removed on a person's word. What was measured stays on record, and weights can be made
again. May not: touch a record, what somebody trains or uses now, or more than the rule says.
"""

from __future__ import annotations

import time
from typing import Any

from foundry.core.errors import RequestError
from foundry.documents.underway import Cleaned, CleanedRun
from foundry.ledger import weights
from foundry.ledger.ledger import Ledger

RULES = {
    "champions": "one run of each champion stays, and interrupted runs",
    "certified": "runs of what was champion or certified as better stay, and interrupted runs",
    "all": weights.RULE,
}
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def clean(keep: str, older: str, dry_run: bool) -> Cleaned:
    """Remove the weights that `keep` doesn't, of runs that ended longer ago than `older`. Raises RequestError."""
    older_seconds = _seconds(older)
    with Ledger.open() as ledger:
        rows = ledger.runs.with_weights()
        over = set(_superfluous(ledger, keep, rows))
        before = time.time() - older_seconds
        chosen = [row for row in rows if row["id"] in over and row["ended"] <= before]
        sizes = {row["id"]: weights.size_bytes(row["id"]) for row in rows}
        gone = [row for row in chosen if dry_run or weights.remove(row["id"])]
        if not dry_run:
            ledger.runs.lost_weights([row["id"] for row in gone])
    freed = sum(sizes[row["id"]] for row in gone)
    age = f"; nothing that ended within {older}" if older_seconds else ""
    return Cleaned(
        keep=keep,
        older_seconds=older_seconds,
        dry_run=dry_run,
        rule=RULES[keep] + age,
        standing_rule=weights.RULE,
        runs=tuple(
            CleanedRun(run=row["id"], recipe=row["recipe"], name=row["name"], bytes=sizes[row["id"]]) for row in gone
        ),
        freed_bytes=freed,
        left_bytes=sum(sizes.values()) - freed,
    )


def _superfluous(ledger: Ledger, keep: str, rows: list[dict[str, Any]]) -> list[str]:
    """Runs whose weights the rule doesn't keep. Whether one is in use is asked as it is removed."""
    champions = set(ledger.promotions.champions(weights.CHAMPIONS))
    if keep == "all":
        return weights.superfluous(rows, champions)
    kept = champions if keep == "champions" else champions | ledger.verdicts.certified()
    over: list[str] = []
    for row in rows:
        if weights.is_training(row) or row["status"] in ("queued", "running"):
            continue
        if row["recipe"] not in kept:
            over.append(row["id"])
        elif keep == "champions" and row["status"] == "done":
            kept.remove(row["recipe"])  # its newest run is the one that stays
    return over


def _seconds(text: str) -> float:
    number, unit = text[:-1], text[-1:]
    if text == "0" or (unit in UNITS and number.isdecimal() and number.isascii() and len(number) < 7):
        return 0.0 if text == "0" else float(number) * UNITS[unit]
    message = "a number and s, m, h or d, or 0"
    raise RequestError("clean.older", "--older", message, got=text[:100], hint="such as 7d")
