"""The ledger: the SQLite database of record. Files are derived from it; the controller alone writes it.

    with Ledger.open() as ledger:
        fence = ledger.runs.claim(run)

Each table's operations are in a class of their own, beside its file. May not: import torch or pydantic.
"""

from __future__ import annotations

import json
import secrets
from pathlib import Path
from typing import Any, Self, final

from foundry.core import places
from foundry.ledger.campaigns import Campaigns
from foundry.ledger.error_budget import Budget
from foundry.ledger.file import LedgerFile, now, to_text
from foundry.ledger.jobs import Jobs
from foundry.ledger.proposals import Proposals
from foundry.ledger.runs import Recipes, Runs
from foundry.ledger.seals import Seals
from foundry.ledger.verdicts import Promotions, Verdicts

SECRET_BYTES = 32


def ledger_path() -> Path:
    return places.runs() / "ledger.db"


@final
class Ledger:
    """One connection, for one thread. A context manager."""

    def __init__(self, file: LedgerFile) -> None:
        self._file, self._seals = file, Seals(file)
        self.recipes = Recipes(file)
        self.runs = Runs(file, self.recipes)
        self.verdicts = Verdicts(file)
        self.promotions = Promotions(file)
        self.budget = Budget(file)
        self.proposals = Proposals(file)
        self.campaigns = Campaigns(file)
        self.jobs = Jobs(file)

    @classmethod
    def open(cls, path: Path | None = None) -> Ledger:
        """The ledger at `path` (by default the working directory's), made when it isn't there.

        Raises WorkError, with the mend, when it is damaged, another program's, from a newer Foundry, or can't be
        written; what was there stays."""
        return cls(LedgerFile.open(path or ledger_path()))

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def secret(self, name: str = "seeds") -> bytes:
        """32 random bytes, made once and the same ever after: the key of seeds that nobody can foresee."""
        with self._seals.writing() as write:
            made = write.execute(
                "INSERT OR IGNORE INTO secrets VALUES (?,?,?)", (name, secrets.token_bytes(SECRET_BYTES), now())
            )
            if made.rowcount:
                self._seals.rows(write, ("secret", (name,)))
            return bytes(write.execute("SELECT value FROM secrets WHERE name=?", (name,)).fetchone()[0])

    def setting(self, name: str, default: Any = None) -> Any:
        """A small JSON value that was kept under `name`."""
        row = self._file.row("SELECT value FROM settings WHERE name = ?", name)
        return json.loads(row["value"]) if row is not None else default

    def keep_setting(self, name: str, value: Any) -> None:
        text = to_text(value)
        with self._file.writing() as write:
            write.execute("INSERT OR REPLACE INTO settings VALUES (?,?)", (name, text))
