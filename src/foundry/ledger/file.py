"""The ledger's file: opening, schema, transactions, and what SQLite says put in our words. Knows no table's meaning.

WAL with synchronous=FULL: a transaction that has returned survives kill -9 and a power cut; one that hasn't, leaves
nothing. Whatever goes wrong, no code here deletes or overwrites a file that it could not read. A ledger that
was lost is not begun anew in silence: `ledger.id` beside it says that there was one, and run folders do.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, final

from foundry.core.errors import WorkError
from foundry.core.files import write_atomic
from foundry.ledger.schema import APPLICATION_ID, SINCE, VERSION, read_as

BUSY_SECONDS = 30.0
MARKER = "ledger.id"

# SQLite's primary error code -> our code, what happened, how to mend it.
_SAID = {
    sqlite3.SQLITE_FULL: ("ledger.full", "the disk is full", "free some space and run the same command again"),
    sqlite3.SQLITE_IOERR: (
        "ledger.io",
        "the disk refused to read or write",
        "check the disk, its space and its quota, then run the same command again",
    ),
    sqlite3.SQLITE_READONLY: ("ledger.unwritable", "may not be written", "give yourself write permission"),
    sqlite3.SQLITE_CANTOPEN: ("ledger.unwritable", "can't be opened", "check the folder and its permissions"),
    sqlite3.SQLITE_PERM: ("ledger.unwritable", "access is not allowed", "give yourself permission"),
    sqlite3.SQLITE_BUSY: (
        "ledger.busy",
        f"another process held it for {BUSY_SECONDS:.0f} seconds",
        "see who holds it (fuser), then run the same command again",
    ),
    sqlite3.SQLITE_NOTADB: ("ledger.not_a_database", "not a ledger", "move it away, or point FOUNDRY_RUNS elsewhere"),
    sqlite3.SQLITE_CORRUPT: (
        "ledger.corrupt",
        "damaged",
        "copy it, then `sqlite3 ledger.db .recover` saves what is readable; the run folders are untouched",
    ),
}


@final
class LedgerFile:
    """One connection to the ledger. One thread's; opened anew after a fork."""

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self._connection, self.path = connection, path
        self._place, self._stamp = path.absolute(), None

    @classmethod
    def open(cls, path: Path) -> LedgerFile:
        """Open for writing, made when it isn't there. Raises WorkError, one line with the mend."""
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise _unwritable(path, str(error.strerror)) from None
        if not path.exists():
            _refuse_to_forget(path)
        return cls._open(path, "rwc")

    @classmethod
    def open_to_read(cls, path: Path) -> LedgerFile | None:
        """Open for reading only; None when there is no ledger. Raises WorkError."""
        # rw and not ro: after a crash the reader must be able to take in the write-ahead log.
        if not path.exists():
            return _refuse_to_forget(path)
        file = cls._open(path, "rw")
        made = file.row("SELECT 1 FROM sqlite_master WHERE name = 'settings'")  # the table that is made last
        if made is None:
            file.close()
            return _refuse_to_forget(path)
        return file

    @classmethod
    def _open(cls, path: Path, mode: str) -> LedgerFile:
        with explained(path):
            connection = sqlite3.connect(
                f"{path.resolve().as_uri()}?mode={mode}", uri=True, timeout=BUSY_SECONDS, isolation_level=None
            )
            connection.row_factory = sqlite3.Row
            try:
                file = cls(connection, path)
                if mode == "rwc":
                    file._prepare()
                else:
                    version = file._check_version()
                    for statement in read_as(version) if version else ():
                        connection.execute(statement)
                    connection.execute("PRAGMA query_only = ON")
                file._stamp = _stamp(file._place)
            except BaseException:
                connection.close()
                raise
        return file

    def _prepare(self) -> None:
        """Check what is there before anything is changed, then make it a ledger of this version."""
        version = self._check_version()
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        self._connection.execute("PRAGMA foreign_keys = ON")
        if version < VERSION:
            self._upgrade()
        marker = self.path.with_name(MARKER)
        if not marker.exists():
            write_atomic(marker, f"a ledger of runs lies beside this: {self.path.name}\n")

    def _upgrade(self) -> None:
        with self.writing() as write:
            if self._check_version() == 0:
                _refuse_to_forget(self.path)
            for missing in range(self._check_version() + 1, VERSION + 1):  # none, when somebody else was first
                for statement in SINCE[missing]:
                    write.execute(statement)
                write.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                write.execute(f"PRAGMA user_version = {VERSION}")

    def _check_version(self) -> int:
        version = self._pragma("user_version")
        if version > VERSION and self._pragma("application_id") == APPLICATION_ID:
            raise WorkError(
                "ledger.newer",
                str(self.path),
                f"written by a newer Foundry (schema {version}; this one knows {VERSION})",
                hint="upgrade foundry-train",
            )
        tables = self._connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if tables and self._pragma("application_id") != APPLICATION_ID:
            raise WorkError("ledger.not_a_database", str(self.path), "another program's database", hint="move it away")
        return version

    def _pragma(self, name: str) -> int:
        return int(self._connection.execute(f"PRAGMA {name}").fetchone()[0])

    @contextlib.contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """One transaction: all of it on a normal exit, durable; nothing of it when anything is raised.

        The write lock is taken at the start, so what is read inside can't change before what is written."""
        with explained(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._check_place()
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk has rolled back already
                    self._connection.execute("ROLLBACK")
                raise

    def _check_place(self) -> None:
        """Raises WorkError when the file isn't the one at its path any more: what is written to it nobody will find."""
        if self._stamp is not None and _stamp(self._place) != self._stamp:
            message = "was removed or replaced while it was in use; nothing more is recorded"
            raise WorkError("ledger.vanished", str(self.path), message, hint="put it back, then run the command again")

    def rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        """All rows of a query."""
        with explained(self.path):
            return [dict(row) for row in self._connection.execute(sql, values)]

    def row(self, sql: str, *values: Any) -> dict[str, Any] | None:
        """The first row of a query."""
        with explained(self.path):
            found = self._connection.execute(sql, values).fetchone()
        return dict(found) if found is not None else None

    def close(self) -> None:
        self._connection.close()


@contextlib.contextmanager
def explained(path: Path) -> Iterator[None]:
    """SQLite's errors as WorkErrors: one line, with the mend."""
    try:
        yield
    except sqlite3.IntegrityError as error:
        raise WorkError("ledger.refused", str(path), f"this contradicts what is recorded: {error}") from error
    except sqlite3.DatabaseError as error:
        primary = getattr(error, "sqlite_errorcode", 0) & 0xFF
        code, message, hint = _SAID.get(primary, ("ledger.failed", str(error), ""))
        raise WorkError(code, str(path), message, hint=hint) from error


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _refuse_to_forget(path: Path) -> None:
    """Raises WorkError where there was a ledger, which is missing or empty now."""
    folders = sum(1 for _ in path.parent.glob("*/recipe.yaml"))
    if folders or path.with_name(MARKER).exists():
        lost = "every score, champion and error budget spent"
        message = f"gone or empty, beside {folders} folders of runs: with it went {lost}"
        hint = f"put it back from a copy; or move {path.parent} away to start anew with nothing"
        raise WorkError("ledger.missing", str(path), message, hint=hint)


def _unwritable(path: Path, message: str) -> WorkError:
    code, _, hint = _SAID[sqlite3.SQLITE_CANTOPEN]
    return WorkError(code, str(path), message, hint=hint)


def now() -> float:
    """Unix seconds; for people, nothing is decided by it."""
    return time.time()


def to_text(value: Any) -> str:
    """JSON as the ledger keeps it. Raises ValueError for NaN: a failure is never a number."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
