"""Campaigns in the ledger: one at a time holds the lease, and its events are appended under its fence. May not: read
what an event says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any, final

from foundry.core.errors import WorkError
from foundry.ledger.file import LedgerFile, now, to_text
from foundry.ledger.lease import Leases, Owner

LEASE = "campaign"
_LEASES = Leases("leases", "name")
PAGE = 500

Settled = tuple[int, dict[str, Any]]
"""A proposal's number and what became of it."""


@final
class Campaigns:
    """A campaign's name is its baseline's track. Events are never changed and never deleted."""

    def __init__(self, file: LedgerFile) -> None:
        self._file = file

    def begin(self) -> int:
        """Take the lease, from a holder that is dead if there is one; the fence to show from now on.

        Raises WorkError `campaign.running` when somebody alive holds it."""
        with self._file.writing() as write:
            write.execute("INSERT OR IGNORE INTO leases VALUES (?,NULL,0,0)", (LEASE,))
            row = write.execute("SELECT * FROM leases WHERE name=?", (LEASE,)).fetchone()
            fence = _LEASES.take(write, row, ", taken=:now", now=now())
            if fence is None:
                pid = Owner.parse(row["owner"]).pid
                raise WorkError(
                    "campaign.running",
                    str(self._file.path),
                    f"another campaign is running on this ledger, as process {pid}",
                    hint="`foundry propose` feeds it; stop it with Ctrl-C, or point FOUNDRY_RUNS elsewhere",
                )
            return fence

    def end(self, fence: int) -> None:
        """Give the lease back; nothing happens when it was lost."""
        with self._file.writing() as write:
            _LEASES.give_back(write, LEASE, fence)

    def append(self, track: str, fence: int, event: dict[str, Any], settled: Sequence[Settled] = ()) -> None:
        """Record an event, and with it what became of proposals, durable together. Raises WorkError
        `campaign.fenced`, and nothing is recorded, when the lease is another's by now."""
        content = to_text(event)
        with self._file.writing() as write:
            if not _LEASES.holds(write, LEASE, fence):
                raise WorkError("campaign.fenced", track, "another campaign has taken this ledger over")
            write.execute(
                "INSERT INTO events(track, kind, fence, content, created) VALUES (?,?,?,?,?)",
                (track, event["kind"], fence, content, now()),
            )
            write.executemany(
                "UPDATE proposals SET state='done', result=?, owner=NULL WHERE seq=? AND state='taken'",
                [(to_text(result), number) for number, result in settled],
            )

    def events(self, track: str) -> Iterator[dict[str, Any]]:
        """Everything that was recorded, oldest first, read a page at a time."""
        last = 0
        while True:
            rows = self._file.rows(
                "SELECT seq, content FROM events WHERE track=? AND seq>? ORDER BY seq LIMIT ?", track, last, PAGE
            )
            for row in rows:
                last = row["seq"]
                yield json.loads(row["content"])
            if len(rows) < PAGE:
                return
