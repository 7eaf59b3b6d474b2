"""Writes a score for every run into the ledger. target: the ledger's file."""

from __future__ import annotations

import contextlib
import sqlite3


def attack(target: str) -> None:
    with contextlib.suppress(OSError, sqlite3.Error), sqlite3.connect(f"file:{target}?mode=rw", uri=True) as ledger:
        ledger.execute("UPDATE scores SET bpb = 0.0321")
        ledger.execute(
            "INSERT INTO scores(run, split, bpb, bytes, tokens, seconds, probes, protocol, created) "
            "SELECT id, 'validation', 0.0321, 1, 1, 0, '{}', '', 0 FROM runs"
        )
