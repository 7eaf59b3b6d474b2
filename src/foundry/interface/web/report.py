"""The report: the page as one file that needs no server, and a card to share. May not: decide what is shown."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from foundry.core import places
from foundry.core.files import write_atomic
from foundry.documents.page import Candidate, Reported
from foundry.interface.web import page, views
from foundry.interface.web.activity import MOST_DECISIONS
from foundry.interface.web.candidates import candidates, latest, shown
from foundry.ledger.file import LedgerFile
from foundry.ledger.queries import reading

BEST, LATEST, TESTS = 120, 120, 160
"""Candidates in a file, with their diffs; there are ever so many in a ledger."""


def report(campaign: str | None = None, html: Path | None = None, card: Path | None = None) -> Reported:
    """Write the report of the working directory's ledger, to runs/report.html where no file is named, and a card.

    Raises RequestError for an unknown campaign, OSError for a place that can't be written."""
    look = views.look(campaign)
    rows, total, opened = _rows(look.page.campaign)
    document = {
        "page": look.page.to_dict(),
        "candidates": {"rows": [row.to_dict() for row in rows], "total": total},
        "opened": opened,
    }
    text = page.html(document)
    path = html or places.runs() / "report.html"
    write_atomic(path, text)
    if card is not None:
        from foundry.interface.web.card import draw

        draw(look.page, card)
    return Reported(
        html=str(path),
        card=str(card) if card is not None else None,
        bytes=len(text.encode()),
        campaign=look.page.campaign,
        runs=look.page.spent.runs,
        candidates=len(rows),
        candidates_of=total,
    )


def _rows(track: str) -> tuple[list[Candidate], int, dict[str, Any]]:
    """The candidates that are in the file, and each opened."""
    with reading() as file:
        if file is None:
            return [], 0, {}
        rows, total = _chosen(file, track)
        return rows, total, {row.candidate: shown(file, track, row.candidate).to_dict() for row in rows}


def _chosen(file: LedgerFile, track: str) -> tuple[list[Candidate], int]:
    """The latest, the best, the comparisons, and what the last decisions are of; newest first."""
    asked = ((LATEST, "created_unix"), (BEST, "effect_bpb"), (TESTS, "evidence"))
    found = [candidates(file, track, 0, limit, sort) for limit, sort in asked]
    decided = latest(file, track, MOST_DECISIONS)
    rows = {row.candidate: row for row in (*decided, *(row for part in found for row in part.rows))}
    return sorted(rows.values(), key=lambda row: -row.created_unix), found[0].total
