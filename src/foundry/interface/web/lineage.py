"""The champion's line as the page shows it: its stairs over compute, who stands now and how sure, who was tried beside.

A stair is the start's mean score less the effects that were measured again, or until then those of the pairs that
decided, which flatter and are said to: scores of two certifications are of two texts and are never put on one axis.
May not: write, or import torch.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from foundry.documents.budget import Budget
from foundry.documents.page import Champion, Spent, Stair, Tried
from foundry.ledger.file import LedgerFile
from foundry.ledger.queries import MEASURED_AGAIN

MOST_STAIRS = 400
MOST_DOTS = 1200
NAME = 300
"""Characters of a name, or of a stack of mutations, that are shown."""
FULL_SHARE = 0.6
"""A run on less of the start's budget than this, in tokens and in FLOPs, is a rung of screening and no full run."""

_ENTRIES = f"""
    SELECT id, kind, from_fp, to_fp, substr(mutation, 1, ?2) AS mutation, created, reverted, total, runs,
    json_extract(effect, '$.remeasured') AS own, {MEASURED_AGAIN} AS later,
    json_object('effect_bpb', effect -> '$.effect_bpb', 'interval_bpb', effect -> '$.interval_bpb',
    'n', effect -> '$.n') AS decided
    FROM (SELECT promotion, seq, sum(flops) OVER spent AS total, sum(run) OVER spent AS runs FROM (
        SELECT NULL AS promotion, 0 AS seq, created, coalesce(flops, 0.0) AS flops, attempts > 0 AS run FROM runs
        UNION ALL SELECT id, seq, created, 0.0, 0 FROM promotions WHERE track = ?1)
        WINDOW spent AS (ORDER BY created, seq ROWS UNBOUNDED PRECEDING)) AS marks
    JOIN promotions ON promotions.id = marks.promotion ORDER BY promotions.seq"""
_SCORE = "(SELECT bpb FROM scores WHERE run = runs.id AND split = 'validation' ORDER BY seq DESC LIMIT 1)"
_CERTIFIED = "(SELECT bpb FROM scores WHERE run = runs.id AND split = 'certification' ORDER BY seq DESC LIMIT 1)"
_TRIED = f"""
    SELECT substr(recipes.name, 1, ?4) AS name, max(total) AS flops, avg(bpb) AS bpb FROM (
        SELECT id, recipe, sum(coalesce(flops, 0.0)) OVER (ORDER BY seq) AS total, {_SCORE} AS bpb,
        judged_hash = ?1 AND (budget_tokens >= ?2 OR flops >= ?3) AS full FROM runs) AS spent
    JOIN recipes ON recipes.fingerprint = spent.recipe
    WHERE bpb IS NOT NULL AND full AND spent.recipe NOT IN (SELECT to_fp FROM promotions)
    GROUP BY spent.recipe ORDER BY flops"""


class Scale(NamedTuple):
    """What makes a run one of the full budget, and its score one of this text."""

    judged_hash: str = ""
    tokens: float = 0.0
    flops: float = 0.0


def campaigns(file: LedgerFile) -> list[str]:
    """The tracks that have a line or a campaign, the latest first."""
    sql = (
        "SELECT track, max(created) AS at FROM (SELECT track, created FROM promotions UNION ALL SELECT track, created "
    )
    return [row["track"] for row in file.rows(sql + "FROM events) GROUP BY track ORDER BY at DESC")]


def entries(file: LedgerFile, track: str) -> list[dict[str, Any]]:
    """A line's entries, oldest first, each with the compute and the runs that were spent until then, and with what it
    gained over which recipe, and whether that flatters."""
    return [row | _gained(row) for row in file.rows(_ENTRIES, track, NAME)]


def _gained(row: dict[str, Any]) -> dict[str, Any]:
    found = json.loads(row["later"] or row["own"] or row["decided"])
    promoted = row["kind"] == "promote" and found["interval_bpb"] is not None
    low, high = found["interval_bpb"] if promoted else (None, None)
    return {
        "effect_bpb": found["effect_bpb"] if promoted else None,
        "n": found["n"] if promoted else None,
        "low": low,
        "high": high,
        "over": found.get("measured_from", row["from_fp"]),
        "flatters": promoted and not (row["later"] or row["own"]),
    }


def scale(file: LedgerFile, line: Sequence[dict[str, Any]]) -> Scale:
    """That of the line's start; without a line, that of the latest run, whatever its budget."""
    sql = """SELECT judged_hash, max(budget_tokens) AS tokens, max(flops) AS flops,
        (SELECT json_extract(content, '$.budget.tokens') FROM recipes WHERE fingerprint = ?1) AS full
        FROM runs WHERE recipe = ?1"""
    for entry in line[:8]:
        found = file.row(sql, entry["to_fp"])
        if found and found["tokens"]:
            tokens = max(found["tokens"], found["full"] or 0)
            flops = (found["flops"] or math.inf) * tokens / found["tokens"]  # its own run may be a rung alone yet
            return Scale(found["judged_hash"], FULL_SHARE * tokens, FULL_SHARE * flops)
    last = file.row("SELECT judged_hash FROM runs ORDER BY seq DESC LIMIT 1")
    return Scale(last["judged_hash"] if last else "")


def mean_bpb(file: LedgerFile, recipe: str, of: Scale) -> float | None:
    """A recipe's mean over its full runs, on validation text; on that of certifications where there is no other."""
    for score in (_SCORE, _CERTIFIED):
        sql = f"SELECT avg({score}) AS bpb FROM runs WHERE recipe = ?1 AND (budget_tokens >= ?2 OR flops >= ?3)"
        row = file.row(sql, recipe, of.tokens, of.flops)
        if row and row["bpb"] is not None:
            return row["bpb"]
    return None


def stairs(file: LedgerFile, line: Sequence[dict[str, Any]], of: Scale) -> list[Stair]:
    """Every entry of the line. What a person put into the file has the mean of its own runs."""
    made: list[Stair] = []
    levels: dict[str, tuple[float | None, float]] = {}
    level, variance = None, 0.0
    for entry in line:
        if entry["kind"] == "promote" and entry["effect_bpb"] is not None:
            level, variance = levels.get(entry["over"], (None, 0.0))
            level = level - entry["effect_bpb"] if level is not None else None
            variance += _variance(entry)
        elif entry["to_fp"] in levels:
            level, variance = levels[entry["to_fp"]]
        else:
            level, variance = mean_bpb(file, entry["to_fp"], of), 0.0
        levels[entry["to_fp"]] = level, variance
        reach = math.sqrt(variance)
        made.append(
            Stair(
                flops=entry["total"],
                bpb=level,
                interval_bpb=(level - reach, level + reach) if level is not None else None,
                recipe=entry["to_fp"],
                mutation=entry["mutation"],
                kind=entry["kind"],
                promotion=entry["id"],
                effect_bpb=entry["effect_bpb"],
                effect_interval_bpb=_interval(entry),
                n=entry["n"],
                flatters=entry["flatters"],
                created_unix=entry["created"],
                reverted=entry["reverted"] is not None,
            )
        )
    return made


def thinned(made: Sequence[Stair]) -> tuple[Stair, ...]:
    """So many as a picture can show, the first and the last among them."""
    every = math.ceil(len(made) / MOST_STAIRS) or 1
    kept = [stair for i, stair in enumerate(made) if i % every == 0 or i == len(made) - 1]
    return tuple(kept)


def champion(file: LedgerFile, line: Sequence[dict[str, Any]], made: Sequence[Stair], budget: Budget) -> Champion:
    """Who stands now. The sum of effects goes back to the last entry that no test stands behind."""
    last, stair = line[-1], made[-1]
    since, won = len(line) - 1, list[dict[str, Any]]()
    while since and line[since]["kind"] == "promote" and line[since]["effect_bpb"] is not None:
        won.append(line[since])
        since = max(i for i in range(since) if line[i]["to_fp"] == line[since]["over"])
    reach = math.sqrt(sum(map(_variance, won)))
    gain = sum(entry["effect_bpb"] for entry in won) if won else None
    row = file.row("SELECT substr(name, 1, ?) AS name FROM recipes WHERE fingerprint = ?", NAME, last["to_fp"])
    return Champion(
        recipe=last["to_fp"],
        name=(row or {}).get("name", ""),
        file="",
        mutation=last["mutation"],
        kind=last["kind"],
        since_unix=last["created"],
        since_runs=last["runs"],
        promotions=sum(entry["kind"] == "promote" and entry["reverted"] is None for entry in line),
        gain_bpb=gain,
        interval_bpb=(gain - reach, gain + reach) if gain is not None else None,
        pairs=sum(entry["n"] or 0 for entry in won),
        start_bpb=made[since].bpb,
        bpb=stair.bpb,
        last_effect_bpb=last["effect_bpb"] if won else None,
        last_interval_bpb=_interval(last) if won else None,
        flatters=any(entry["flatters"] for entry in won),
        control=budget.control,
        q=budget.q,
    )


def tried(file: LedgerFile, of: Scale) -> Tried:
    """Evenly thinned, the best kept."""
    rows = file.rows(_TRIED, of.judged_hash, of.tokens, of.flops, NAME)
    kept = rows
    if len(rows) > MOST_DOTS:
        best = sorted(rows, key=lambda row: row["bpb"])[: MOST_DOTS // 4]
        seen = {id(row) for row in best} | {id(row) for row in rows[:: math.ceil(len(rows) / (MOST_DOTS * 3 // 4))]}
        kept = [row for row in rows if id(row) in seen]
    columns = [tuple(row[key] for row in kept) for key in ("flops", "bpb", "name")]
    return Tried(flops=columns[0], bpb=columns[1], names=columns[2], of=len(rows))


def spent(file: LedgerFile) -> Spent:
    sql = """SELECT coalesce(sum(attempts > 0), 0) AS runs, coalesce(sum(status = 'failed'), 0) AS failed,
        total(flops) AS flops, total(seconds) AS seconds, min(created) AS since_unix,
        max(coalesce(finished, started, created)) AS until_unix FROM runs"""
    row = file.row(sql)
    assert row is not None  # sums are one row
    return Spent.from_dict(row)


def named(one: Champion, track: str) -> Champion:
    return replace(one, file=track)


def _variance(entry: dict[str, Any]) -> float:
    """The square of half an interval: of independent measurements these add up."""
    return 0.0 if entry["low"] is None else ((entry["high"] - entry["low"]) / 2) ** 2


def _interval(entry: dict[str, Any]) -> tuple[float, float] | None:
    return (entry["low"], entry["high"]) if entry["low"] is not None else None


def torch_version(file: LedgerFile) -> str | None:
    """What trained the latest run, as its code has it on record."""
    row = file.row("SELECT codes.content FROM runs JOIN codes ON codes.fingerprint = runs.code ORDER BY runs.seq DESC")
    return json.loads(row["content"]).get("torch") if row else None
