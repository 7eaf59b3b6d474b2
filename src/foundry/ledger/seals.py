"""The chain of seals: each change of a champion sealed with the one before it and with all that it rests on, and each
verdict, plan, test, secret and counted run (sealed_rows.py) as it is recorded.

    link_n = SHA-256(link_(n-1), content_n)       anybody can follow the chain; its head stands for all of it
    signature_n = HMAC-SHA256(key, link_n)        only who has the ledger's key can add to the chain, or write it anew

The key lies outside the ledger, in `places.keys()`, for its owner alone, and so does the head that this machine last
made; SECURITY.md says against whom that helps. May not: say whether a chain is sound (promote/verify.py does).
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, final

from foundry.core import places
from foundry.core.errors import WorkError
from foundry.core.files import sync_directory, write_atomic
from foundry.ledger import sealed_rows
from foundry.ledger.file import LedgerFile, now, to_text

START = "0" * 64
"""The link before the first."""
NAME = "seals"
"""The setting that says what a ledger's key is called; it is made with the first seal."""

ROWS_NAME = "seals_of_rows"
"""The setting that says that rows are sealed, too: those of a time before are only counted."""

KEY_BYTES = 32

LAST = "SELECT seq, link FROM seals ORDER BY seq DESC LIMIT 1"
"""The newest seal, found by one row however long the chain; none while nothing is sealed."""

_RESTS_ON = {
    "entry": (
        "id",
        "SELECT id, kind, mutation, verdict, old_text, new_text, effect, created FROM promotions WHERE id = ?",
    ),
    "recipe": ("to_fp", "SELECT content, sources FROM recipes WHERE fingerprint = ?"),
    "comparison": ("verdict", "SELECT key, attempt, kind, baseline, candidate, content FROM verdicts WHERE id = ?"),
    "plan": ("verdict", "SELECT plans.content FROM plans JOIN verdicts USING (key, attempt) WHERE verdicts.id = ?"),
    "test": (
        "verdict",
        "SELECT season, j, alpha, promotions_at_start, stream, rules FROM tests"
        " JOIN seasons ON seasons.id = tests.season WHERE verdict = ?",
    ),
}
"""What an entry of the lineage rests on, by which of its columns: nothing of it may change afterwards."""


def digests(first: Callable[[str, str | None], Any], entry: Any) -> dict[str, str]:
    """SHA-256 of each thing that the entry rests on as it is recorded now; of one that isn't there, of nothing.

    first: `(sql, value)` to the first row, or None."""
    found = {what: first(sql, entry[column]) for what, (column, sql) in _RESTS_ON.items()}
    return {what: _digest(to_text([] if row is None else [*dict(row).values()])) for what, row in found.items()}


def link(before: str, content: str) -> str:
    return _digest(f"{before}\n{content}")


def signature(key: bytes, link: str) -> str:
    return hmac.new(key, link.encode(), hashlib.sha256).hexdigest()


@final
class Seals:
    """The chain of one ledger."""

    def __init__(self, file: LedgerFile) -> None:
        self._file = file

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """A transaction that may seal; the new head is kept outside the ledger once it is durable."""
        before = self._last()
        with self._file.writing() as write:
            yield write
        if (last := self._last()) is not None and last != before:
            self._keep_head(last)

    def _last(self) -> dict[str, Any] | None:
        return self._file.row(LAST)

    def _keep_head(self, last: dict[str, Any]) -> None:
        """Unless what is kept is no link of this chain: then the ledger isn't the one that was sealed here, and that
        stays to be seen."""
        file = head_file(self._name())
        known = kept_head(file)
        if known is None or (
            known["seq"] < last["seq"] and self._file.row("SELECT 1 FROM seals WHERE link = ?", known["link"])
        ):
            with suppress(OSError):  # the promotion stands; the head that is kept is an earlier one of its chain
                write_atomic(file, to_text(last) + "\n")

    def _name(self) -> str:
        row = self._file.row("SELECT value FROM settings WHERE name = ?", NAME)
        assert row is not None  # it is written with the first seal
        return json.loads(row["value"])

    def entry(self, write: sqlite3.Connection, entry: dict[str, Any], reverts: str | None = None) -> None:
        """Seal an entry of the lineage that was just written; with the first, those of a time without seals."""
        self._begin(write, but=entry["id"])
        self._add(write, _of_entry(write, entry) | {"reverts": reverts})

    def rows(self, write: sqlite3.Connection, *found: tuple[str, Sequence[Any]]) -> None:
        """Seal rows that were just written, by what they are and their keys (sealed_rows.py)."""
        self._begin(write)
        self._add(write, _of_rows(write, found))

    def verdict(self, write: sqlite3.Connection, id: str, document: dict[str, Any]) -> None:
        """Seal a verdict that was just written, with the runs that it counted."""
        runs = sealed_rows.counted_runs(_reader(write), document)
        self.rows(write, ("verdict", (id,)), *((sealed_rows.RUN, (run,)) for run in runs))

    def forgotten(self, write: sqlite3.Connection, run: str) -> None:
        """Seal that a person has a run trained again: what was sealed of it no longer is."""
        self._begin(write)
        self._add(write, {"event": "forget", "run": run})

    def _begin(self, write: sqlite3.Connection, but: str = "") -> None:
        """With the first seal, those of entries of a time without; and of rows how many there were. Looked at by two
        rows, and done once."""
        if write.execute(LAST).fetchone() is None:
            write.execute("INSERT OR IGNORE INTO settings VALUES (?,?)", (NAME, to_text(secrets.token_hex(16))))
            for row in write.execute("SELECT * FROM promotions WHERE id != ? ORDER BY seq", (but,)).fetchall():
                self._add(write, _of_entry(write, row) | {"late": True, "reverted": row["reverted"] is not None})
        if write.execute("SELECT 1 FROM settings WHERE name = ?", (ROWS_NAME,)).fetchone() is None:
            rows = _reader(write)
            before = {what: sealed_rows.extent(rows, what) for what in sealed_rows.TABLES}
            known = [("secret", key) for _, key in sealed_rows.keys(rows, "secret")]
            self._add(write, _of_rows(write, known) | {"before": before})
            write.execute("INSERT INTO settings VALUES (?,?)", (ROWS_NAME, "true"))

    def renamed(self, write: sqlite3.Connection, track: str, name: str) -> None:
        self._note(write, {"event": "rename", "track": track, "name": name})

    def respelled(self, write: sqlite3.Connection, track: str, known: str, fingerprint: str) -> None:
        self._note(write, {"event": "respell", "track": track, "known": known, "fingerprint": fingerprint})

    def _note(self, write: sqlite3.Connection, content: dict[str, Any]) -> None:
        """Seal a change of sealed entries; a chain that isn't begun begins with what it finds, changed already."""
        if write.execute(LAST).fetchone() is not None:
            self._add(write, content)

    def _add(self, write: sqlite3.Connection, content: dict[str, Any]) -> None:
        last = write.execute(LAST).fetchone()
        name = json.loads(write.execute("SELECT value FROM settings WHERE name = ?", (NAME,)).fetchone()[0])
        text = to_text(content)
        made = link(START if last is None else last["link"], text)
        values = (text, made, signature(_key_to_sign_with(name), made), now())
        write.execute("INSERT INTO seals(content, link, signature, created) VALUES (?,?,?,?)", values)


def _reader(write: sqlite3.Connection) -> sealed_rows.Rows:
    return lambda sql, *values: write.execute(sql, values).fetchall()


def _of_rows(write: sqlite3.Connection, found: Iterable[tuple[str, Sequence[Any]]]) -> dict[str, Any]:
    rows = _reader(write)
    return {"event": "rows", "rows": [[what, [*key], sealed_rows.digest(rows, what, key)] for what, key in found]}


def _of_entry(write: sqlite3.Connection, entry: Any) -> dict[str, Any]:
    known = {key: entry[key] for key in ("id", "kind", "track", "from_fp", "to_fp")}
    rests_on = digests(lambda sql, value: write.execute(sql, (value,)).fetchone(), entry)
    return {"event": "entry", **known, "rests_on": rests_on}


def key_file(name: str) -> Path:
    return places.keys() / f"{name}.key"


def head_file(name: str) -> Path:
    """The last link that this machine has put on the ledger's chain."""
    return places.keys() / f"{name}.head"


def key(name: str) -> bytes | None:
    """The key of a ledger's seals; None where this machine or this user hasn't got it."""
    return _key_in(key_file(name))


def kept_head(file: Path) -> dict[str, Any] | None:
    """{"seq", "link"} of the head that was kept."""
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return None


def _key_to_sign_with(name: str) -> bytes:
    """The key, made when it isn't there; one at a time comes here, in its transaction. Raises WorkError."""
    file = key_file(name)
    try:
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            new = file.with_suffix(".new")
            new.unlink(missing_ok=True)  # of one that was killed here
            with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as made:
                made.write(secrets.token_hex(KEY_BYTES))
                made.flush()
                os.fsync(made.fileno())
            new.rename(file)
            sync_directory(file.parent)
        if (key := _key_in(file)) is not None:
            return key
        message = "is no key"
    except OSError as error:
        message = str(error.strerror)
    raise WorkError(
        "ledger.no_key",
        str(file),
        f"the key of this ledger's seals can't be made or read: {message}",
        hint="set FOUNDRY_KEYS to a folder that you may write",
    )


def _key_in(file: Path) -> bytes | None:
    try:
        key = bytes.fromhex(file.read_text())
    except (OSError, ValueError):
        return None
    return key if len(key) == KEY_BYTES else None


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
