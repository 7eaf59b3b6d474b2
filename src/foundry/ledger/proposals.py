"""The queue of proposals from outside. May not: judge one."""

from __future__ import annotations

import json
from typing import Any, Literal, final

from foundry.core.errors import WorkError
from foundry.ledger.file import LedgerFile, now, to_text
from foundry.ledger.lease import Leases, is_alive

_LEASES = Leases("proposals", "seq")
_COUNTS = "SELECT state, count(*) AS n FROM proposals GROUP BY state ORDER BY state"


@final
class Proposals:
    """A durable queue. What a dead controller had taken is taken again; each is settled once."""

    def __init__(self, file: LedgerFile) -> None:
        self._file = file

    def add(self, mutation: str, why: str = "", who: str = "") -> int:
        """Queue a mutation; its number."""
        with self._file.writing() as write:
            row = write.execute(
                "INSERT INTO proposals(mutation, why, who, created) VALUES (?,?,?,?)", (mutation, why, who, now())
            )
            assert row.lastrowid is not None
            return row.lastrowid

    def take(self) -> dict[str, Any] | None:
        """The oldest proposal that nobody alive works on, now ours: seq, mutation, why, who, fence; or None."""
        with self._file.writing() as write:
            taken = write.execute("SELECT * FROM proposals WHERE state='taken' ORDER BY seq").fetchall()
            lost = (row for row in taken if not is_alive(row["owner"]))
            queued = write.execute("SELECT * FROM proposals WHERE state='queued' ORDER BY seq LIMIT 1").fetchone()
            found = min((row for row in (next(lost, None), queued) if row), key=lambda row: row["seq"], default=None)
            if found is None:
                return None
            fence = _LEASES.take(write, found, ", state='taken'")
            return {**{name: found[name] for name in ("seq", "mutation", "why", "who")}, "fence": fence}

    def settle(self, seq: int, fence: int, state: Literal["done", "refused"], result: dict[str, Any]) -> None:
        """Record what became of a proposal that was taken under this fence. Raises WorkError when it isn't ours."""
        with self._file.writing() as write:
            sets = ", state=:state, result=:result"
            if not _LEASES.give_back(write, seq, fence, sets, state=state, result=to_text(result)):
                raise WorkError("ledger.fenced", f"proposal {seq}", "not taken by this process")

    def withdraw(self, seq: int, result: dict[str, Any]) -> dict[str, Any] | None:
        """Refuse a proposal if it is queued; the proposal as it was found, or None when there is none."""
        with self._file.writing() as write:
            row = write.execute("SELECT * FROM proposals WHERE seq=?", (seq,)).fetchone()
            values = (to_text(result), seq)
            write.execute("UPDATE proposals SET state='refused', result=? WHERE seq=? AND state='queued'", values)
            return dict(row) if row is not None else None

    def counts(self) -> dict[str, int]:
        """How many there are by state."""
        return {row["state"]: row["n"] for row in self._file.rows(_COUNTS)}

    def waiting(self) -> int:
        return self.counts().get("queued", 0)

    def latest(self, limit: int, state: str | None = None, offset: int = 0) -> list[dict[str, Any]]:
        """The newest proposals first, with their results."""
        where, values = ("WHERE state = ?", (state,)) if state is not None else ("", ())
        sql = f"SELECT * FROM proposals {where} ORDER BY seq DESC LIMIT ? OFFSET ?"
        rows = self._file.rows(sql, *values, limit, offset)
        return [{**row, "result": json.loads(row["result"])} for row in rows]
