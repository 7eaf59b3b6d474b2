"""The ledger as whoever may write it opens it, and what `foundry verify` says then."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator

from foundry.ledger.ledger import ledger_path
from foundry.promote.verify import verify


@contextlib.contextmanager
def opened() -> Iterator[sqlite3.Connection]:
    """The ledger as anybody opens it who may write it."""
    with contextlib.closing(sqlite3.connect(ledger_path())) as connection:
        connection.row_factory = sqlite3.Row
        yield connection
        connection.commit()


def codes() -> set[str]:
    document = verify()
    assert document["ok"] == (not document["breaks"])
    return {each["code"] for each in document["breaks"]}
