"""The memory of campaigns, read off the ledger. May not: import torch, or write."""

from __future__ import annotations

import json
from collections import Counter, deque
from collections.abc import Iterator
from typing import Any

from foundry.campaign.event_document import certification, question, trial
from foundry.campaign.proposals import told as proposal
from foundry.documents.campaign import (
    Certification,
    FamilyTried,
    History,
    MutationTried,
    Proposal,
    Question,
    Totals,
    Trial,
)
from foundry.ledger.file import LedgerFile
from foundry.ledger.ledger import Ledger
from foundry.ledger.queries import reading
from foundry.mutate.mutation import parse

PAGE = 500


def history(limit: int, word: str = "", offset: int = 0) -> History:
    """The newest of each first, at most `limit` after `offset`; trials with `word` in their mutation. Totals are of all
    there is."""
    trials: deque[Trial] = deque(maxlen=offset + limit + 1)
    certifications: deque[Certification] = deque(maxlen=offset + limit + 1)
    questions: deque[Question] = deque(maxlen=offset + limit)
    families: dict[str, dict[str, Any]] = {}
    mutations: dict[str, dict[str, Any]] = {}
    statuses: Counter[str] = Counter()
    verdicts: Counter[str] = Counter()
    proposals: tuple[Proposal, ...] = ()
    asked: dict[str, int] = {}
    with reading() as file:
        known = file is not None and file.row("SELECT 1 FROM sqlite_master WHERE name = 'events'") is not None
        for event in _events(file, ("round", "raced", "certified", "pruned")) if file is not None and known else ():
            if event["kind"] == "round":
                if "asked" in event:
                    questions.append(question(event["asked"]))
                continue
            if event["kind"] != "raced":
                if (told := certification(event)) is not None:
                    certifications.append(told)
                    verdicts[told.verdict] += 1
                if event["better"] and event["kind"] == "certified":
                    _certified(families, event)
                continue
            for each in event["trials"]:
                statuses[each["status"]] += 1
                parts = [str(change) for change in parse(each["word"]).changes]
                for table, keys in ((mutations, parts), (families, [part.partition(":")[0] for part in parts])):
                    for key in dict.fromkeys(keys):
                        _count(table.setdefault(key, _nothing()), each, len(parts))
                if not word or any(word in (part, part.partition(":")[0]) for part in parts):
                    trials.append(trial(each))
        if file is not None:
            queue = Ledger(file).proposals
            proposals, asked = tuple(map(proposal, queue.latest(limit + 1, offset=offset))), queue.counts()
    tried, certified = tuple(reversed(trials))[offset:], tuple(reversed(certifications))[offset:]
    return History(
        more=max(len(tried), len(certified), len(proposals)) > limit,
        trials=tried[:limit],
        asked=tuple(reversed(questions))[offset:],
        certifications=certified[:limit],
        families=tuple(FamilyTried.from_dict(row, family=name) for name, row in _ranked(families)),
        mutations=tuple(MutationTried.from_dict(row, mutation=name) for name, row in _ranked(mutations)),
        proposals=proposals[:limit],
        totals=Totals(
            trials=statuses.total(),
            trials_by_status=dict(statuses),
            certifications=verdicts.total(),
            certifications_by_verdict=dict(verdicts),
            mutations=len(mutations),
            proposals=sum(asked.values()),
            proposals_by_status=asked,
        ),
    )


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
    counts = dict.fromkeys(("tried", "alone", "accepted", "failed", "out"), 0)
    return {**counts, "certified_bpb": 0.0, "_gains": 0, "_total": 0.0}


def _count(record: dict[str, Any], each: dict[str, Any], parts: int) -> None:
    record["tried"] += 1
    record["alone"] += parts == 1
    record[each["status"] if each["status"] in ("accepted", "failed") else "out"] += 1
    if each["gain"] is not None:
        record["_gains"] += 1
        record["_total"] += each["gain"] / parts


def _certified(families: dict[str, Any], event: dict[str, Any]) -> None:
    """The certified gain, shared by the moves as their claims were, and by the families of each."""
    claimed = sum(max(move["gain"], 0.0) for move in event["moves"])
    for move in event["moves"]:
        names = [change.family for change in parse(move["word"]).changes]
        share = max(move["gain"], 0.0) / claimed if claimed else 1 / len(event["moves"])
        for name in names:
            record = families.setdefault(name, _nothing())
            record["certified_bpb"] += (event["effect"] or 0.0) * share / len(names)


def _ranked(table: dict[str, dict[str, Any]]) -> list[tuple[str, dict[str, Any]]]:
    """Those that pay first: by certified gain, then by the mean of what was seen."""
    for record in table.values():
        record["mean_gain_bpb"] = record["_total"] / record["_gains"] if record["_gains"] else None
    return sorted(table.items(), key=lambda row: (-row[1]["certified_bpb"], -(row[1]["mean_gain_bpb"] or -1e9)))
