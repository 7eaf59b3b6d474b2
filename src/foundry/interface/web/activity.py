"""What happens now and what was decided last: running runs with their curves, the campaign's round, the queue, the last
decisions in words. May not: write, or import torch.
"""

from __future__ import annotations

import json
import re
from typing import Any

from foundry.documents.page import Candidate, Curve, Decision, Failed, Failures, Loop, Running, Waiting
from foundry.interface.web import candidates, curves
from foundry.interface.web.lineage import NAME, Scale
from foundry.ledger.campaigns import LEASE
from foundry.ledger.file import LedgerFile
from foundry.ledger.lease import is_alive

MOST_RUNNING = 8
FINISHED_CURVES = 8
LOOKED_AT = 60
"""Runs, the newest first, among which those are looked for that still have a curve."""
POINTS = 200
MOST_DECISIONS = 14
MOST_WAITING = 8
MOST_FAILED = 30

_RUN = f"""SELECT runs.id AS run, runs.recipe, substr(recipes.name, 1, {NAME}) AS name, runs.seed, runs.status,
    runs.owner, runs.budget_tokens, coalesce(runs.tokens, 0) AS tokens, runs.steps, runs.device, runs.started,
    (SELECT bpb FROM scores WHERE run = runs.id ORDER BY seq DESC LIMIT 1) AS bpb
    FROM runs JOIN recipes ON recipes.fingerprint = runs.recipe"""


def running(file: LedgerFile) -> tuple[tuple[Running, ...], tuple[Curve, ...], dict[str, int]]:
    """What living processes train, each with its curve so far and how much of its file that is, in bytes."""
    rows = file.rows(f"{_RUN} WHERE runs.status IN ('running', 'trained') ORDER BY runs.seq DESC LIMIT 64")
    holder = file.row("SELECT owner FROM leases WHERE name = ?", LEASE)
    judging = holder is not None and is_alive(holder["owner"])
    found: list[Running] = []
    drawn: list[Curve] = []
    read: dict[str, int] = {}
    for row in rows:
        alive = is_alive(row["owner"]) if row["status"] == "running" else judging
        if not alive or len(found) == MOST_RUNNING:
            continue
        points = curves.read(row["run"])
        step = points.steps[-1] if points.steps else None
        of_steps = round(row["budget_tokens"] / points.per_step) if points.per_step else None
        stage = "training" if row["status"] == "running" else "judging"
        done = int(step * points.per_step) if step else row["tokens"]
        eta = points.seconds * (row["budget_tokens"] - done) / done if done and stage == "training" else None
        found.append(
            Running.from_dict(
                {**row, "stage": stage, "tokens": done, "step": step, "since_unix": row["started"]},
                loss=points.losses[-1] if points.losses else None,
                eta_seconds=max(eta, 0.0) if eta is not None else None,
            )
        )
        drawn.append(_curve(row, "running", points, of_steps))
        read[row["run"]] = points.end
    return tuple(found), tuple(drawn), read


def finished(file: LedgerFile, champion: str, of: Scale) -> tuple[Curve, ...]:
    """The champion's latest curve, and those of the latest full runs of other recipes, as far as runs have left one."""
    full = "(runs.budget_tokens >= ?1 OR runs.flops >= ?2) AND runs.status = 'done'"
    order = f"ORDER BY runs.seq DESC LIMIT {LOOKED_AT}"
    own = file.rows(f"{_RUN} WHERE {full} AND runs.recipe = ?3 {order}", of.tokens, of.flops, champion)
    others = file.rows(f"{_RUN} WHERE {full} AND runs.recipe != ?3 {order}", of.tokens, of.flops, champion)
    return (*_drawn(own, "champion", 1), *_drawn(others, "finished", FINISHED_CURVES))


def _drawn(rows: list[dict[str, Any]], role: str, most: int) -> list[Curve]:
    made: dict[str, Curve] = {}
    for row in rows:
        if row["recipe"] not in made and len(made) < most and len(points := curves.read(row["run"])) and points.steps:
            made[row["recipe"]] = _curve(row, role, points, row["steps"])
    return list(made.values())


def _curve(row: dict[str, Any], role: str, points: curves.Points, of_steps: int | None) -> Curve:
    steps, losses = curves.thinned(points.steps, points.losses, POINTS if role != "running" else 2 * POINTS)
    return Curve.from_dict({**row, "steps": steps, "losses": losses}, role=role, of_steps=of_steps)


def loop(file: LedgerFile, track: str) -> Loop:
    """The campaign by its latest events: what it was asked, what it has used of that, what it tries now."""
    holder = file.row("SELECT owner FROM leases WHERE name = ?", LEASE)
    alive = holder is not None and is_alive(holder["owner"])
    opened = file.row("SELECT max(seq) AS seq FROM events WHERE track = ? AND kind = 'opened'", track)
    first = (opened or {}).get("seq") or 0
    sums = file.row(
        """SELECT count(CASE WHEN kind = 'round' THEN 1 END) AS rounds,
        total(CASE WHEN seq >= ?2 THEN json_extract(content, '$.runs') END) AS runs,
        total(CASE WHEN seq >= ?2 THEN json_extract(content, '$.flops') END) AS flops,
        total(CASE WHEN seq >= ?2 THEN json_extract(content, '$.seconds') END) / 3600 AS hours
        FROM events WHERE track = ?1""",
        track,
        first,
    )
    assert sums is not None  # sums are one row
    asked_row = file.row("SELECT json_extract(content, '$.asked') AS asked FROM events WHERE seq = ?", first)
    asked = json.loads(asked_row["asked"] or "{}") if asked_row else {}
    at, trying = _at(file, track) if first else ("", ())
    limits = {key: asked.get(key) for key in ("runs", "hours", "flops")}
    used = {"runs": int(sums["runs"]), "hours": sums["hours"], "flops": sums["flops"]}
    shares = [used[key] / limit for key, limit in limits.items() if limit]
    left = (1 / max(shares) - 1) * 3600 * used["hours"] if alive and shares and max(shares) > 0.02 else None
    return Loop(
        alive=alive,
        at=at,
        trying=trying,
        rounds=sums["rounds"],
        eta_seconds=max(left, 0.0) if left is not None else None,
        asked_runs=limits["runs"],
        asked_hours=limits["hours"],
        asked_flops=limits["flops"],
        **used,
    )


def _at(file: LedgerFile, track: str) -> tuple[str, tuple[str, ...]]:
    """Where the loop stands, and the words of it."""
    last = file.row("SELECT kind, content FROM events WHERE track = ? ORDER BY seq DESC LIMIT 1", track)
    assert last is not None  # one was opened
    event = json.loads(last["content"])
    if last["kind"] == "round":
        return "round", tuple(entry["word"][:NAME] for entry in event["entries"][:MOST_RUNNING])
    if last["kind"] == "court":
        row = file.row("SELECT substr(name, 1, ?) AS name FROM recipes WHERE fingerprint = ?", NAME, event["point"])
        return "court", ((row or {}).get("name") or event["point"][:12],)
    return "between", ()


def waiting(file: LedgerFile) -> tuple[tuple[Waiting, ...], int]:
    """The proposals that a campaign takes first, the oldest first, and how many there are."""
    sql = """SELECT seq AS proposal, substr(mutation, 1, 300) AS mutation, substr(who, 1, 80) AS who,
        substr(why, 1, 500) AS why, count(*) OVER () AS total
        FROM proposals WHERE state = 'queued' ORDER BY seq LIMIT ?"""
    rows = file.rows(sql, MOST_WAITING)
    return tuple(map(Waiting.from_dict, rows)), rows[0]["total"] if rows else 0


def failures(file: LedgerFile) -> Failures:
    counts = file.rows("SELECT reason, count(*) AS n FROM runs WHERE status = 'failed' GROUP BY reason ORDER BY n DESC")
    sql = """SELECT runs.id AS run, substr(recipes.name, 1, 300) AS name, runs.reason,
        substr(runs.detail, 1, 1500) AS detail, coalesce(runs.finished, runs.created) AS created_unix
        FROM runs JOIN recipes ON recipes.fingerprint = runs.recipe
        WHERE runs.status = 'failed' ORDER BY runs.seq DESC LIMIT ?"""
    by_reason = {row["reason"]: row["n"] for row in counts}
    return Failures(by_reason=by_reason, latest=tuple(map(Failed.from_dict, file.rows(sql, MOST_FAILED))))


def decisions(file: LedgerFile, track: str) -> tuple[Decision, ...]:
    """The last ones, newest first, in words."""
    return tuple(map(told, candidates.latest(file, track, MOST_DECISIONS)))


WORDS = {
    "better": ("better", "good"),
    "not_better": ("not better", "plain"),
    "underpowered": ("undecided", "plain"),
    "rejected": ("rejected", "bad"),
    "incomparable": ("can't be compared", "bad"),
    "accepted": ("goes to the next test", "good"),
    "refuted": ("its gain was gone on fresh seeds", "plain"),
    "failed": ("failed", "bad"),
}


def told(row: Candidate) -> Decision:
    """`norm:rmsnorm: not better, effects above 0.004 bits per byte are unlikely`."""
    word, tone = WORDS.get(row.outcome, (row.outcome, "plain"))
    if row.stage == "remeasure":
        word, tone = ("measured again", "good") if row.outcome == "better" else ("taken back", "bad")
    if row.stage == "not_worse":
        word, tone = ("not worse without it", "good") if row.outcome == "better" else ("stays in", "plain")
    more = ""
    if row.stage == "not_worse":  # a gain is not what it asks for
        pass
    elif row.outcome in ("better", "accepted") and row.effect_bpb is not None:
        more = f", {row.effect_bpb:+.4f} bits per byte"
        if row.outcome == "better" and row.low_bpb is not None:
            more += f" ({row.low_bpb:+.4f} to {row.high_bpb:+.4f})"
        if row.flatters:
            more += ", on the pairs that decided, which flatter"
    elif row.outcome == "not_better" and (
        found := re.search(r"effects above ([-+.\de]+) bpb are unlikely", row.reason)
    ):
        more = f", effects above {float(found[1]):.4f} bits per byte are unlikely"
    elif row.outcome in ("failed", "rejected", "incomparable") and row.reason:
        more = f": {' '.join(row.reason.split())[:240]}"
    return Decision(created_unix=row.created_unix, text=f"{row.name}: {word}{more}", tone=tone, candidate=row.candidate)
