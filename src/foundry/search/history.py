"""The memory of campaigns, read off the ledger. May not: import torch, or write."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from foundry.mutate.mutation import parse
from foundry.runs.ledger import Ledger
from foundry.runs.ledger_file import LedgerFile
from foundry.runs.queries import reading
from foundry.search.proposals import told

PAGE = 500
TRIAL = ("word", "point", "by", "why", "proposal", "status", "reason", "gain", "interval", "share", "fresh", "flops")
RULING = ("point", "word", "claimed", "effect", "interval", "n", "verdict", "promotion")


def history(limit: int, word: str = "") -> dict[str, Any]:
    """{"trials", "certifications", "families", "words", "proposals", "totals"}, newest first; trials with `word` in
    their mutation. A trial's gain is against the frontier of its time, on the share of the budget that it got."""
    trials: list[dict[str, Any]] = []
    certifications: list[dict[str, Any]] = []
    families: dict[str, dict[str, Any]] = {}
    words: dict[str, dict[str, Any]] = {}
    with reading() as file:
        if file is None or file.row("SELECT 1 FROM sqlite_master WHERE name = 'events'") is None:
            return _document([], [], {}, {}, [], 0)
        for event in _events(file, ("raced", "certified")):
            if event["kind"] == "certified":
                ruling = {key: event[key] for key in RULING}
                certifications.append({**ruling, "moves": [move["word"] for move in event["moves"]]})
                if event["better"]:
                    _certified(families, event)
                continue
            for trial in event["trials"]:
                parts = [str(change) for change in parse(trial["word"]).changes]
                for table, keys in ((words, parts), (families, [part.partition(":")[0] for part in parts])):
                    for key in dict.fromkeys(keys):
                        _count(table.setdefault(key, _nothing()), trial, len(parts))
                if not word or any(word in (part, part.partition(":")[0]) for part in parts):
                    trials = [*trials[-limit + 1 :], {key: trial[key] for key in TRIAL}] if limit > 1 else [trial]
        queue = Ledger(file).proposals
        asked, waiting = [told(row) for row in queue.latest(limit)], queue.waiting()
    return _document(trials, certifications[-limit:], families, words, asked, waiting)


def _document(
    trials: list[Any],
    rulings: list[Any],
    families: dict[str, Any],
    words: dict[str, Any],
    asked: list[Any],
    queued: int,
) -> dict[str, Any]:
    return {
        "trials": trials[::-1],
        "certifications": rulings[::-1],
        "families": _ranked(families),
        "words": _ranked(words),
        "proposals": asked,
        "totals": {"queued": queued, "words": len(words), "trials": sum(each["alone"] for each in words.values())},
    }


def _events(file: LedgerFile, kinds: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Oldest first, a page at a time."""
    last, marks = 0, ", ".join("?" * len(kinds))
    while True:
        sql = f"SELECT seq, content FROM events WHERE kind IN ({marks}) AND seq > ? ORDER BY seq LIMIT ?"
        rows = file.rows(sql, *kinds, last, PAGE)
        for row in rows:
            last = row["seq"]
            yield json.loads(row["content"])
        if len(rows) < PAGE:
            return


def _nothing() -> dict[str, Any]:
    return {"tried": 0, "alone": 0, "failed": 0, "accepted": 0, "certified_bpb": 0.0, "_gains": 0, "_total": 0.0}


def _count(record: dict[str, Any], trial: dict[str, Any], parts: int) -> None:
    record["tried"] += 1
    record["alone"] += parts == 1
    record["failed"] += trial["status"] == "failed"
    record["accepted"] += trial["status"] == "accepted"
    if trial["gain"] is not None:
        record["_gains"] += 1
        record["_total"] += trial["gain"] / parts


def _certified(families: dict[str, Any], event: dict[str, Any]) -> None:
    """The certified gain, shared by the moves as their claims were, and by the families of each."""
    claimed = sum(max(move["gain"], 0.0) for move in event["moves"])
    for move in event["moves"]:
        names = [change.family for change in parse(move["word"]).changes]
        share = max(move["gain"], 0.0) / claimed if claimed else 1 / len(event["moves"])
        for name in names:
            record = families.setdefault(name, _nothing())
            record["certified_bpb"] += (event["effect"] or 0.0) * share / len(names)


def _ranked(table: dict[str, Any]) -> list[dict[str, Any]]:
    """Those that pay first: by certified gain, then by the mean of what was seen."""
    rows = [
        {
            "name": name,
            **{key: value for key, value in record.items() if not key.startswith("_")},
            "mean_gain_bpb": record["_total"] / record["_gains"] if record["_gains"] else None,
        }
        for name, record in table.items()
    ]
    return sorted(rows, key=lambda row: (-row["certified_bpb"], -(row["mean_gain_bpb"] or -1e9)))
