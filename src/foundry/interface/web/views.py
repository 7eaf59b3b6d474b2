"""The views that both skins show, made of the ledger by bounded queries: the whole page, the table, a row opened.

May not: write, print, or import torch.
"""

from __future__ import annotations

import json
import os
import platform
import time
from pathlib import Path
from typing import Any, NamedTuple

from foundry import __version__
from foundry.compare.alpha_spending import summary
from foundry.core import places
from foundry.core.errors import RequestError
from foundry.documents.page import Candidates, CandidateShown, Fact, Failures, Loop, Page, Spent, Tried
from foundry.interface.web import activity, candidates, lineage
from foundry.ledger.file import LedgerFile
from foundry.ledger.ledger import ledger_path
from foundry.ledger.queries import reading

NO_LOOP = Loop(alive=False, at="", trying=(), rounds=0, runs=0, asked_runs=None, hours=0.0, asked_hours=None,
               flops=0.0, asked_flops=None, eta_seconds=None)  # fmt: skip
NOTHING_SPENT = Spent(runs=0, failed=0, flops=0.0, seconds=0.0, since_unix=None, until_unix=None)
NOBODY_TRIED = Tried(flops=(), bpb=(), names=(), of=0)


class Look(NamedTuple):
    """The page, and how many bytes of each running run's curve are in it."""

    page: Page
    read: dict[str, int]


def campaign_of(file: LedgerFile | None, wanted: str | None) -> tuple[str, list[str]]:
    """The track that is shown, and all that may be: the one asked for, the default baseline's, or the latest. Raises
    RequestError for one that isn't in the ledger."""
    known = lineage.campaigns(file) if file is not None else []
    usual = places.track(places.baseline())
    if wanted is not None:
        for name in (wanted, places.track(Path(wanted)) if wanted else ""):
            if name in known:
                return name, known
        message = "no campaign of that name in the ledger"
        hint = "a campaign is called as its baseline file" if known else "nothing has run yet"
        raise RequestError("page.unknown_campaign", "--campaign", message, got=wanted, choices=known, hint=hint)
    return usual if usual in known or not known else known[0], known


def look(wanted: str | None = None) -> Look:
    """The whole page. Raises RequestError for an unknown campaign, WorkError for a ledger that can't be read."""
    with reading() as file:
        track, known = campaign_of(file, wanted)
        budget = summary()
        common: dict[str, Any] = {
            "campaign": track,
            "campaigns": tuple(known),
            "made_unix": time.time(),
            "version": __version__,
            "budget": budget,
        }
        if file is None:
            nothing = dict.fromkeys(("stairs", "curves", "running", "waiting", "decisions", "effects", "facts"), ())
            failures = Failures(by_reason={}, latest=())
            page = Page(
                **common, **nothing, empty=True, champion=None, spent=NOTHING_SPENT, tried=NOBODY_TRIED, loop=NO_LOOP,
                queued_runs=0, waiting_of=0, failures=failures,
            )  # fmt: skip
            return Look(page, {})
        line = lineage.entries(file, track)
        of = lineage.scale(file, line)
        stairs = lineage.stairs(file, line, of)
        champion = lineage.champion(file, line, stairs, budget) if line else None
        spent = lineage.spent(file)
        running, drawn, read = activity.running(file)
        waiting, waiting_of = activity.waiting(file)
        queued = file.row("SELECT count(*) AS n FROM runs WHERE status = 'queued'")
        page = Page(
            **common,
            empty=not (spent.runs or line or waiting_of),
            champion=lineage.named(champion, track) if champion else None,
            spent=spent,
            stairs=lineage.thinned(stairs),
            tried=lineage.tried(file, of),
            curves=(*drawn, *activity.finished(file, champion.recipe if champion else "", of)),
            running=running,
            loop=activity.loop(file, track),
            queued_runs=queued["n"] if queued else 0,
            waiting=waiting,
            waiting_of=waiting_of,
            decisions=activity.decisions(file, track),
            effects=candidates.effects(file, track),
            failures=activity.failures(file),
            facts=_facts(file, champion.recipe if champion else None),
        )
        return Look(page, read)


def table(wanted: str | None, offset: int, limit: int, sort: str, descending: bool) -> Candidates:
    """A page of the table of candidates. Raises RequestError."""
    with reading() as file:
        track, _ = campaign_of(file, wanted)
        if file is None:
            return Candidates(rows=(), total=0, offset=0)
        return candidates.candidates(file, track, offset, limit, sort, descending)


def opened(wanted: str | None, candidate: str) -> CandidateShown:
    """A row of it opened. Raises RequestError."""
    with reading() as file:
        track, _ = campaign_of(file, wanted)
        if file is None:
            raise RequestError("page.unknown_candidate", "candidate", "nothing has run yet", got=candidate[:40])
        return candidates.shown(file, track, candidate)


def stamp() -> str:
    """What changes with every transaction: the ledger's file and its log, by the clock and size of each."""
    parts: list[int] = []
    ledger = ledger_path()
    for path in (ledger, ledger.with_name(f"{ledger.name}-wal")):
        try:
            status = os.stat(path)
            parts += [status.st_mtime_ns, status.st_size]
        except OSError:
            parts += [0, 0]
    return "-".join(f"{part:x}" for part in parts)


def _facts(file: LedgerFile, champion: str | None) -> tuple[Fact, ...]:
    """Data, sizes, machine and versions, as far as they are on record."""
    latest = file.row("SELECT recipe, data_hash, judged_hash FROM runs ORDER BY seq DESC LIMIT 1")
    recipe = champion or (latest or {}).get("recipe")
    row = file.row("SELECT content FROM recipes WHERE fingerprint = ?", recipe)
    content = json.loads(row["content"]) if row else {}
    data, model, budget = content.get("data", {}), content.get("model", {}), content.get("budget", {})
    score = file.row("SELECT max(bytes) AS bytes FROM (SELECT bytes FROM scores ORDER BY seq DESC LIMIT 50)")
    devices = [
        each["device"] for each in file.rows("SELECT DISTINCT device FROM runs WHERE device IS NOT NULL LIMIT 8")
    ]
    tiers = [each["tier"] for each in file.rows("SELECT DISTINCT tier FROM runs WHERE tier IS NOT NULL LIMIT 8")]
    made = {
        "Text": data.get("source"),
        "Tokenizer": " ".join(str(value) for value in (data.get("tokenizer") or {}).values()),
        "Judged on": f"{score['bytes']:,} bytes of held-out text" if score and score["bytes"] else None,
        "Prepared data": latest and f"{latest['data_hash'][:12]}, judged text {latest['judged_hash'][:12]}",
        "Model": ", ".join(f"{name} {model[name]}" for name in ("layers", "width", "context") if name in model),
        "Budget of a run": budget.get("tokens") and f"{budget['tokens']:,} tokens",
        "Trained on": ", ".join(devices),
        "Sandbox": ", ".join(tiers),
        "torch": lineage.torch_version(file),
        "Foundry": __version__,
        "This page was made on": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores, "
        f"Python {platform.python_version()}",
    }
    return tuple(Fact(name=name, value=str(value)[:200]) for name, value in made.items() if value)
