"""Verdicts and promotions in the ledger: plans fixed before their first run, champions by compare-and-swap.

May not: judge, or touch a baseline file (that is derived from here).
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from typing import Any, final

from foundry.core.errors import WorkError
from foundry.core.fingerprint import fingerprint
from foundry.ledger.file import LedgerFile, now, to_text
from foundry.ledger.seals import Seals


@final
class Verdicts:
    """A question's `key` is its content; each `attempt` at it has one plan, fixed first, and one verdict. Both are
    sealed as they are recorded."""

    def __init__(self, file: LedgerFile) -> None:
        self._file, self._seals = file, Seals(file)

    def attempt(self, key: str, again: bool = False) -> int:
        """The attempt to work on: the latest, or the next when `again` and the latest has its verdict. From 0."""
        last = self._file.row("SELECT max(attempt) AS n FROM plans WHERE key = ?", key)
        number = last["n"] if last is not None and last["n"] is not None else 0
        return number + 1 if again and self.find(key, number) is not None else number

    def fix_plan(self, key: str, attempt: int, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """The attempt's plan: the one recorded, or what `make` says now. Of two makers the first is everybody's."""
        if self._plan(key, attempt) is None:
            content = to_text(make())
            with self._seals.writing() as write:
                made = write.execute("INSERT OR IGNORE INTO plans VALUES (?,?,?,?)", (key, attempt, content, now()))
                if made.rowcount:
                    self._seals.rows(write, ("plan", (key, attempt)))
        plan = self._plan(key, attempt)
        assert plan is not None  # plans are never deleted
        return plan

    def _plan(self, key: str, attempt: int) -> dict[str, Any] | None:
        row = self._file.row("SELECT content FROM plans WHERE key = ? AND attempt = ?", key, attempt)
        return json.loads(row["content"]) if row is not None else None

    def find(self, key: str, attempt: int) -> dict[str, Any] | None:
        """The document of a verdict that was given, else None."""
        row = self._file.row("SELECT id, content FROM verdicts WHERE key = ? AND attempt = ?", key, attempt)
        # a ledger of an earlier version has the id under another name
        return {**json.loads(row["content"]), "comparison": row["id"]} if row is not None else None

    def record(
        self, key: str, attempt: int, kind: str, baseline: str, candidate: str, document: dict[str, Any]
    ) -> None:
        """Record a verdict under `document["comparison"]`; the first for an attempt stays. `baseline` and `candidate`
        are fingerprints of recorded recipes."""
        values = (document["comparison"], key, attempt, kind, baseline, candidate, to_text(document), now())
        with self._seals.writing() as write:
            made = write.execute(
                "INSERT INTO verdicts(id, key, attempt, kind, baseline, candidate, content, created) "
                "VALUES (?,?,?,?,?,?,?,?) ON CONFLICT(key, attempt) DO NOTHING",
                values,
            )
            if made.rowcount:
                self._seals.verdict(write, document["comparison"], document)

    def certified(self) -> set[str]:
        """The recipes that a certification found better, champions or not."""
        sql = "SELECT DISTINCT candidate FROM verdicts WHERE kind='certify' AND content ->> '$.verdict' = 'better'"
        return {row["candidate"] for row in self._file.rows(sql)}

    def compared(self, baseline: str, candidate: str) -> int:
        """How often the second was compared with the first for a report, whatever the rules."""
        sql = "SELECT count(*) AS n FROM verdicts WHERE kind='compare' AND baseline=? AND candidate=?"
        row = self._file.row(sql, baseline, candidate)
        assert row is not None
        return row["n"]

    def on(self, candidate: str) -> list[dict[str, Any]]:
        """The documents of the verdicts on a recipe as candidate, oldest first."""
        rows = self._file.rows("SELECT content FROM verdicts WHERE candidate = ? ORDER BY seq", candidate)
        return [json.loads(row["content"]) for row in rows]

    def latest(self, limit: int) -> list[dict[str, Any]]:
        """The documents of the last verdicts, newest first."""
        rows = self._file.rows("SELECT content FROM verdicts ORDER BY seq DESC LIMIT ?", limit)
        return [json.loads(row["content"]) for row in rows]

    def residuals(self, limit: int = 200) -> list[list[float]]:
        """bpb(baseline) − bpb(candidate) by pair, one list for each of the last verdicts that has at least two pairs:
        what the scale σ₀ is pooled from."""
        differences = [_differences(document) for document in self.latest(limit)]
        return [found for found in differences if len(found) >= 2]


@final
class Promotions:
    """One line of champions for each track. A track is the name of a baseline file; nothing in it is ever deleted,
    and each change of it is sealed."""

    def __init__(self, file: LedgerFile) -> None:
        self._file, self._seals = file, Seals(file)

    def last(self, track: str) -> dict[str, Any] | None:
        """The latest entry of the track."""
        return self._file.row("SELECT * FROM promotions WHERE track = ? ORDER BY seq DESC LIMIT 1", track)

    def champion(self, track: str) -> str | None:
        """The fingerprint of the track's champion; None for a track that is new."""
        last = self.last(track)
        return last["to_fp"] if last is not None else None

    def reference(self, track: str, champion: str) -> tuple[dict[str, Any] | None, bool]:
        """The reference compute that was recorded with the latest promotion to `champion`, else with the track's
        latest; and whether it is the champion's own. None where nothing was recorded."""
        sql = "SELECT json_extract(effect, '$.reference') AS mark FROM promotions WHERE mark IS NOT NULL AND track = ?"
        own = self._file.row(f"{sql} AND to_fp = ? ORDER BY seq DESC LIMIT 1", track, champion)
        row = own or self._file.row(f"{sql} ORDER BY seq DESC LIMIT 1", track)
        return (json.loads(row["mark"]), row is own) if row is not None else (None, False)

    def carried(self, champion: str) -> float:
        """By how much the code of a champion's line exceeds what it began with in CPU seconds for each FLOP, by the
        verdict that last made it one; 1 where a person did, or nothing was measured."""
        row = self._file.row(
            "SELECT json_extract(content, '$.carried') AS carried FROM verdicts WHERE id = "
            "(SELECT verdict FROM promotions WHERE to_fp = ? AND kind = 'promote' ORDER BY seq DESC LIMIT 1)",
            champion,
        )
        return float(row["carried"] or 1.0) if row is not None else 1.0

    def all(self) -> list[dict[str, Any]]:
        """Every entry of every track, oldest first."""
        return self._file.rows("SELECT * FROM promotions ORDER BY seq")

    def champions(self, limit: int) -> list[str]:
        """The recipes that became champion of any track in the latest promotions, the latest first."""
        rows = self._file.rows("SELECT to_fp FROM promotions ORDER BY seq DESC LIMIT ?", limit)
        return [row["to_fp"] for row in rows]

    def lineage(self, track: str) -> list[dict[str, Any]]:
        """Every entry of the track, oldest first."""
        return self._file.rows("SELECT * FROM promotions WHERE track = ? ORDER BY seq", track)

    def adopt(self, track: str, fingerprint: str, text: str) -> str:
        """Take the baseline file as it stands for the champion (it is new, or a person edited it); the entry's id.

        Its old text is its new one: an adoption was never ahead of the file. Adopting the champion changes nothing."""
        with self._seals.writing() as write:
            last = _last(write, track)
            if last is not None and last["to_fp"] == fingerprint:
                return last["id"]
            _take_back(write, track, fingerprint)
            values = _entry(track, "adopt", last, fingerprint, "", None, text, text, {})
            return self._insert(write, {**values, "written": now()})

    def promote(
        self,
        track: str,
        *,
        expected: str,
        to: str,
        mutation: str,
        verdict: str | None,
        old_text: str,
        new_text: str,
        effect: dict[str, Any],
        reverts: str | None = None,
    ) -> str:
        """Make `to` the champion in place of `expected`; the id of the entry. With `reverts`, the id of the entry that
        is undone by it, which stays on record, marked.

        Raises WorkError `ledger.not_champion` and changes nothing when another promotion came first."""
        with self._seals.writing() as write:
            last = _last(write, track)
            champion = last["to_fp"] if last is not None else None
            if champion != expected:
                raise WorkError(
                    "ledger.not_champion",
                    track,
                    f"the champion is {str(champion)[:12]}, no longer {expected[:12]}: another promotion came first",
                    got=expected,
                    hint="compare with the new champion",
                )
            kind = "promote" if reverts is None else "revert"
            if reverts is not None:
                write.execute("UPDATE promotions SET reverted=? WHERE id=? AND track=?", (now(), reverts, track))
                _take_back(write, track, to)
            entry = _entry(track, kind, last, to, mutation, verdict, old_text, new_text, effect)
            return self._insert(write, entry, reverts)

    def _insert(self, write: sqlite3.Connection, entry: dict[str, Any], reverts: str | None = None) -> str:
        names = ", ".join(entry)
        write.execute(f"INSERT INTO promotions({names}) VALUES ({', '.join('?' * len(entry))})", tuple(entry.values()))
        self._seals.entry(write, entry, reverts)
        return entry["id"]

    def rename(self, track: str, name: str) -> None:
        """Keep a track under another name from now on, its campaigns' events with it."""
        with self._seals.writing() as write:
            for table in ("promotions", "events"):
                write.execute(f"UPDATE {table} SET track=? WHERE track=?", (name, track))
            self._seals.renamed(write, track, name)

    def respell(self, track: str, known: str, fingerprint: str) -> None:
        """Know a recipe of the track by another fingerprint from now on: the recipe is the same, what makes a
        fingerprint of it was changed."""
        with self._seals.writing() as write:
            for end in ("from_fp", "to_fp"):
                write.execute(f"UPDATE promotions SET {end}=? WHERE {end}=? AND track=?", (fingerprint, known, track))
            self._seals.respelled(write, track, known, fingerprint)

    def mark_written(self, promotion: str) -> None:
        """The baseline file holds the entry's new text by now; a later return to the old text is a person's edit."""
        with self._file.writing() as write:
            write.execute("UPDATE promotions SET written=? WHERE id=? AND written IS NULL", (now(), promotion))

    def standing(self, track: str) -> dict[str, Any] | None:
        """The entry that a revert would undo: the latest not undone that made the present champion one."""
        return self._file.row(
            "SELECT * FROM promotions WHERE track = ? AND to_fp = ? AND kind != 'revert' AND reverted IS NULL "
            "AND from_fp IS NOT NULL ORDER BY seq DESC LIMIT 1",
            track,
            self.champion(track),
        )


def _last(write: sqlite3.Connection, track: str) -> sqlite3.Row | None:
    sql = "SELECT seq, id, to_fp FROM promotions WHERE track=? ORDER BY seq DESC LIMIT 1"
    return write.execute(sql, (track,)).fetchone()


def _take_back(write: sqlite3.Connection, track: str, champion: str) -> None:
    """Whatever was promoted since `champion` last became one is undone by its return, in whatever way it returns."""
    write.execute(
        "UPDATE promotions SET reverted=? WHERE track=? AND kind='promote' AND reverted IS NULL "
        "AND seq > (SELECT max(seq) FROM promotions WHERE track=? AND to_fp=?)",
        (now(), track, track, champion),
    )


def _entry(
    track: str,
    kind: str,
    last: sqlite3.Row | None,
    to: str,
    mutation: str,
    verdict: str | None,
    old_text: str,
    new_text: str,
    effect: dict[str, Any],
) -> dict[str, Any]:
    return {
        "id": fingerprint(["promotion", track, kind, to, last["id"] if last is not None else ""]),
        "track": track,
        "kind": kind,
        "from_fp": last["to_fp"] if last is not None else None,
        "to_fp": to,
        "mutation": mutation,
        "verdict": verdict,
        "old_text": old_text,
        "new_text": new_text,
        "effect": to_text(effect),
        "created": now(),
    }


def _differences(document: dict[str, Any]) -> list[float]:
    """Baseline minus candidate of each pair of a verdict's document in which both runs have a score."""
    arms = [[run.get("val_bpb") for run in arm.get("runs", [])] for arm in document.get("arms", [])]
    if len(arms) != 2:
        return []
    return [a - b for a, b in zip(*arms, strict=False) if a is not None and b is not None]
