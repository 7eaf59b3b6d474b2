"""Jobs: commands that go on whatever becomes of who asked for them. A job is held by the process that does it, and is
asked for twice without being done twice. May not: start a process, or know what a command does.
"""

from __future__ import annotations

import json
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Sequence
from typing import Any, final

from foundry.core.errors import RequestError, WorkError
from foundry.ledger.file import LedgerFile, now, to_text
from foundry.ledger.lease import Leases, Owner, is_alive

_LEASES = Leases("jobs", "id")
MOST_RUNNING = 32
KEPT = 256
"""The newest, whose results and logs stay; and those that run. What all of them trained and judged stays anyway."""
STOPPED = 130


@final
class Jobs:
    """Rows as the table has them, and `state`: running, done, failed, stopped, or lost where its process is gone
    without a word."""

    def __init__(self, file: LedgerFile) -> None:
        self._file = file

    def begin(
        self, command: Sequence[str], key: str | None, spawn: Callable[[str, int], Owner]
    ) -> tuple[dict[str, Any], bool]:
        """The job of that key, or the same command where it runs under no other; else a new one, done by the process
        that `spawn` starts, given its id and its fence. And whether a process was started: so too for a key
        whose job was lost.

        The process is started before the row is written, and has no job where it isn't. Raises RequestError for a key
        that is another command's, WorkError where too many run."""
        text = to_text(list(command))
        with self._file.writing() as write:
            row = self._same(write, text, key)
            if row is not None and _state(row) != "lost":
                return _told(row), False
            running = write.execute("SELECT owner FROM jobs WHERE owner IS NOT NULL").fetchall()
            if sum(is_alive(each["owner"]) for each in running) >= MOST_RUNNING:
                message = f"{MOST_RUNNING} jobs run already"
                raise WorkError(
                    "start.too_many", "", message, hint="foundry jobs lists them, foundry stop JOB ends one"
                )
            if row is None:
                values = secrets.token_hex(6), key, text, now()
                write.execute("INSERT INTO jobs(id, key, command, created) VALUES (?,?,?,?)", values)
                row = write.execute("SELECT * FROM jobs WHERE id=?", values[:1]).fetchone()
            _LEASES.take(write, row, holder=spawn(row["id"], row["fence"] + 1))
            return _told(write.execute("SELECT * FROM jobs WHERE id=?", (row["id"],)).fetchone()), True

    def _same(self, write: sqlite3.Connection, text: str, key: str | None) -> sqlite3.Row | None:
        named = write.execute("SELECT * FROM jobs WHERE key=?", (key,)).fetchone() if key is not None else None
        if named is not None and named["command"] != text:
            message = f"this key is job {named['id']}'s, which does something else"
            raise RequestError("start.other_key", "--key", message, got=key, hint="give another key, or none")
        if named is not None:
            return named
        rows = write.execute("SELECT * FROM jobs WHERE owner IS NOT NULL AND command=?", (text,)).fetchall()
        running = next((row for row in rows if is_alive(row["owner"]) and None in (key, row["key"])), None)
        if running is not None and key is not None:
            write.execute("UPDATE jobs SET key=? WHERE id=?", (key, running["id"]))
        return running

    def is_held(self, job: str, fence: int) -> bool:
        """Whether the job is that process's, which was started with this fence; waits until that is written."""
        with self._file.writing() as write:
            return _LEASES.holds(write, job, fence)

    def end(self, job: str, fence: int, exit_code: int, result: Any) -> bool:
        """Record how it ended; False, and nothing is, where it is another's by now."""
        text = to_text(result) if result is not None else None
        sets = ", exit_code=:code, result=:result, ended=:now"
        with self._file.writing() as write:
            return _LEASES.give_back(write, job, fence, sets, code=exit_code, result=text, now=now())

    def get(self, name: str) -> dict[str, Any]:
        """By key, by id or by the id's beginning. Raises RequestError."""
        row = self._file.row("SELECT * FROM jobs WHERE key=?", name) or self._file.row(
            "SELECT * FROM jobs WHERE id=?", name
        )
        if row is None:
            found = self._file.rows("SELECT id FROM jobs WHERE id >= ? AND id < ? LIMIT 2", name, name + "g")
            if len(found) != 1 or len(name) < 4 or not name.isalnum():
                message = "more than one begins so" if len(found) > 1 else "no such job"
                latest = self._file.rows("SELECT id FROM jobs ORDER BY seq DESC LIMIT 8")
                choices = [each["id"] for each in latest]
                raise RequestError("jobs.unknown", "", message, got=name, choices=choices, hint="foundry jobs")
            return self.get(found[0]["id"])
        if _state(row) == "lost":  # it may have said how it ended just before it was gone
            row = self._file.row("SELECT * FROM jobs WHERE id=?", row["id"])
            assert row is not None
        return _told(row)

    def latest(self, limit: int, offset: int = 0) -> list[dict[str, Any]]:
        """The newest first, without their results."""
        rows = self._file.rows("SELECT * FROM jobs ORDER BY seq DESC LIMIT ? OFFSET ?", limit, offset)
        return [_told(row) for row in rows]

    def running(self) -> list[dict[str, Any]]:
        rows = self._file.rows("SELECT * FROM jobs WHERE owner IS NOT NULL ORDER BY seq")
        return [told for row in rows if (told := _told(row))["state"] == "running"]

    def tidy(self, folders: Iterable[str]) -> list[str]:
        """Of jobs that have folders, those that are none of the newest and don't run: their results are forgotten."""
        with self._file.writing() as write:
            newest = {row["id"] for row in write.execute("SELECT id FROM jobs ORDER BY seq DESC LIMIT ?", (KEPT,))}
            gone = [job for job in set(folders) - newest if self._runs_not(write, job)]
            write.executemany("UPDATE jobs SET result=NULL WHERE id=?", [(job,) for job in gone])
        return gone

    @staticmethod
    def _runs_not(write: sqlite3.Connection, job: str) -> bool:
        row = write.execute("SELECT owner FROM jobs WHERE id=?", (job,)).fetchone()
        return row is not None and not is_alive(row["owner"])


def _state(row: Any) -> str:
    if row["exit_code"] is None:
        return "running" if is_alive(row["owner"]) else "lost"
    return "stopped" if row["exit_code"] == STOPPED else "failed" if row["exit_code"] else "done"


def _told(row: Any) -> dict[str, Any]:
    pid = Owner.parse(row["owner"]).pid if row["owner"] else None
    result = json.loads(row["result"]) if row["result"] is not None else None
    return {**dict(row), "command": json.loads(row["command"]), "result": result, "state": _state(row), "pid": pid}
