"""The table of candidates: trials of screening, comparisons, and runs that nobody compared, in one list that the
database sorts and pages. May not: write, or import torch.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Sequence
from typing import Any

from foundry.core.errors import RequestError
from foundry.documents.page import Candidate, Candidates, CandidateShown, Effect, Pair
from foundry.documents.runs import Edit
from foundry.ledger.file import LedgerFile
from foundry.ledger.queries import plain_diff

SORTS = ("created_unix", "name", "stage", "outcome", "effect_bpb", "n", "share", "evidence", "flops", "by")
MOST_ROWS = 500
MOST_EDITS = 40
MOST_PAIRS = 60
VALUE = 240
"""Characters of a recipe's value in a diff."""
FAMILIES, VARIANTS = 12, 4
NORMAL_95 = 1.96

# ?1: the track. With one track in the ledger every comparison is its own, else those against one of its champions.
_ROWS = """
WITH trials AS (
    SELECT 't' || events.seq || '.' || trial.key AS candidate, events.created AS created_unix,
    json_extract(trial.value, '$.word') AS name, 'screening' AS stage, json_extract(trial.value, '$.status') AS outcome,
    json_extract(trial.value, '$.gain') AS effect_bpb, json_extract(trial.value, '$.interval[0]') AS low_bpb,
    json_extract(trial.value, '$.interval[1]') AS high_bpb,
    max(json_array_length(trial.value, '$.fresh'), json_extract(trial.value, '$.gain') IS NOT NULL) AS n,
    json_extract(trial.value, '$.share') AS share, NULL AS evidence, json_extract(trial.value, '$.flops') AS flops,
    json_extract(trial.value, '$.by') AS by, json_extract(trial.value, '$.why') AS why,
    json_extract(trial.value, '$.reason') AS reason, json_extract(trial.value, '$.point') AS recipe,
    0 AS flatters
    FROM events, json_each(events.content, '$.trials') AS trial WHERE events.kind = 'raced' AND events.track = ?1),
tests AS (
    SELECT 'v' || seq AS candidate, created AS created_unix,
    coalesce(json_extract(content, '$.arms[1].name'), candidate) AS name, kind AS stage,
    json_extract(content, '$.verdict') AS outcome,
    coalesce(json_extract(content, '$.remeasured.effect_bpb'), json_extract(content, '$.effect_bpb')) AS effect_bpb,
    coalesce(json_extract(content, '$.remeasured.interval_bpb[0]'), json_extract(content, '$.interval_bpb[0]')),
    coalesce(json_extract(content, '$.remeasured.interval_bpb[1]'), json_extract(content, '$.interval_bpb[1]')),
    coalesce(json_extract(content, '$.remeasured.n'), json_extract(content, '$.n'), 0), 1.0,
    json_extract(content, '$.evidence'),
    coalesce(json_extract(content, '$.arms[0].cost.flops') + json_extract(content, '$.arms[1].cost.flops'), 0.0),
    '', '', coalesce(json_extract(content, '$.says'), ''), verdicts.candidate,
    kind != 'remeasure' AND json_extract(content, '$.remeasured') IS NULL
    FROM verdicts WHERE 2 > (SELECT count(DISTINCT track) FROM promotions)
    OR baseline IN (SELECT to_fp FROM promotions WHERE track = ?1)),
known(recipe) AS MATERIALIZED (
    SELECT json_extract(trial.value, '$.point') FROM events, json_each(events.content, '$.trials') AS trial
    WHERE events.kind = 'raced' UNION SELECT candidate FROM verdicts UNION SELECT to_fp FROM promotions),
scored AS MATERIALIZED (
    SELECT recipe, seed, budget_tokens,
    (SELECT bpb FROM scores WHERE run = runs.id AND split = 'validation' ORDER BY seq DESC LIMIT 1) AS bpb
    FROM runs WHERE status = 'done' AND (recipe NOT IN known
    OR recipe IN (SELECT to_fp FROM promotions WHERE track = ?1 ORDER BY seq DESC LIMIT 8))),
paired AS (
    SELECT recipe, gain, max(n) AS n FROM (
        SELECT own.recipe, avg(base.bpb - own.bpb) AS gain, count(*) AS n FROM scored AS own JOIN scored AS base
        ON base.seed = own.seed AND base.recipe != own.recipe
        AND own.budget_tokens BETWEEN base.budget_tokens * 0.5 AND base.budget_tokens * 2
        WHERE own.recipe NOT IN known AND base.recipe IN (SELECT to_fp FROM promotions WHERE track = ?1)
        GROUP BY own.recipe, base.recipe) GROUP BY recipe),
alone AS (
    SELECT 'r' || recipes.seq AS candidate, max(coalesce(runs.finished, runs.created)) AS created_unix, recipes.name,
    'runs' AS stage,
    CASE WHEN sum(runs.status = 'done') THEN 'done' WHEN sum(runs.status = 'failed') THEN 'failed' ELSE 'begun' END,
    paired.gain, NULL, NULL, coalesce(paired.n, 0), NULL, NULL, total(runs.flops), '', '',
    coalesce(max(runs.reason || ': ' || substr(runs.detail, 1, 400)), ''), recipes.fingerprint, 0
    FROM runs JOIN recipes ON recipes.fingerprint = runs.recipe LEFT JOIN paired ON paired.recipe = runs.recipe
    WHERE runs.recipe NOT IN known GROUP BY runs.recipe),
rows AS (SELECT * FROM trials UNION ALL SELECT * FROM tests UNION ALL SELECT * FROM alone)
"""
_SHOWN = "substr(name, 1, 300) AS name, substr(why, 1, 500) AS why, substr(reason, 1, 600) AS reason"
_COLUMNS = f"""candidate, created_unix, {_SHOWN}, stage, outcome, effect_bpb, low_bpb, high_bpb, n, share, evidence,
    flops, substr(by, 1, 80) AS by, recipe, outcome = 'better' AND flatters AS flatters"""
_GROUNDS = "CASE WHEN stage IN ('certify', 'compare', 'not_worse', 'remeasure') THEN 2 ELSE n > 1 END"
_EFFECTS = f"""
    SELECT candidate, name, stage, n, effect_bpb, low_bpb, high_bpb, max({_GROUNDS} * 1e11 + created_unix) AS grounds
    FROM rows WHERE effect_bpb IS NOT NULL AND low_bpb IS NOT NULL AND share = 1.0 AND instr(name, ':')
    AND NOT instr(name, '+') GROUP BY name"""


def candidates(
    file: LedgerFile, track: str, offset: int = 0, limit: int = 50, sort: str = "created_unix", descending: bool = True
) -> Candidates:
    """A page of the table; what has no value in the column is at the end. Raises RequestError for an unknown column."""
    if sort not in SORTS:
        raise RequestError("page.unknown_column", "sort", f"no '{sort[:40]}'", got=sort[:40], choices=SORTS)
    way = "DESC" if descending else "ASC"
    order = f"ORDER BY {sort} IS NULL, {sort} {way}, created_unix DESC, candidate LIMIT ?2 OFFSET ?3"
    sql = f"{_ROWS} SELECT {_COLUMNS}, count(*) OVER () AS total FROM rows {order}"
    found = file.rows(sql, track, max(0, min(limit, MOST_ROWS)), max(0, offset))
    total = found[0]["total"] if found else 0
    return Candidates(rows=tuple(map(_candidate, found)), total=total, offset=offset)


def latest(file: LedgerFile, track: str, limit: int) -> list[Candidate]:
    """The newest of those that say something: comparisons, what was accepted, refuted or failed."""
    telling = "stage NOT IN ('screening', 'runs') OR outcome IN ('accepted', 'refuted', 'failed')"
    sql = f"{_ROWS} SELECT {_COLUMNS} FROM rows WHERE {telling} ORDER BY created_unix DESC, candidate LIMIT ?2"
    return list(map(_candidate, file.rows(sql, track, limit)))


def _candidate(row: dict[str, Any]) -> Candidate:
    return Candidate.from_dict(row | {"flatters": bool(row["flatters"])})


def effects(file: LedgerFile, track: str) -> tuple[Effect, ...]:
    """Of each family the variants that moved the loss most, by the best evidence that there is on each alone; families
    by their best variant. What rests on one seed has the interval of that, and is drawn as such."""
    families: dict[str, list[Effect]] = {}
    for row in file.rows(f"{_ROWS} {_EFFECTS}", track):
        family = row["name"].partition(":")[0][:40]
        sure = row["stage"] != "screening"
        found = Effect.from_dict({**row, "family": family, "mutation": row["name"][:120], "sure": sure})
        families.setdefault(family, []).append(found)
    for found in families.values():
        found.sort(key=lambda each: -each.effect_bpb)
    ranked = sorted(families.values(), key=lambda found: -found[0].effect_bpb)
    if len(ranked) > FAMILIES:  # what helps most and what hurts most
        ranked = [*ranked[: FAMILIES - 3], *ranked[-3:]]
    return tuple(each for found in ranked for each in _ends(found))


def _ends(found: list[Effect]) -> list[Effect]:
    return found if len(found) <= VARIANTS else [*found[: VARIANTS - 1], found[-1]]


def shown(file: LedgerFile, track: str, candidate: str) -> CandidateShown:
    """A row opened. Raises RequestError for one that isn't there."""
    kind, number, place = _parsed(candidate)
    if kind == "t":
        event = file.row("SELECT content, track FROM events WHERE seq = ? AND kind = 'raced'", number)
        trials = json.loads(event["content"])["trials"] if event else []
        if place < len(trials):
            assert event is not None
            sql = "SELECT content FROM events WHERE track = ? AND kind = 'round' AND seq < ? ORDER BY seq DESC LIMIT 1"
            round = file.row(sql, event["track"], number)
            base = json.loads(round["content"])["base"] if round else ""
            trial = trials[place]
            gains = [*trial.get("fresh", ()), *(gain for _, gain in trial.get("gains", ()))]
            return _opened(file, candidate, base, trial["point"], "", (), _paired(file, base, trial["point"], gains))
    elif kind == "v":
        row = file.row("SELECT baseline, candidate, content FROM verdicts WHERE seq = ?", number)
        if row:
            document = json.loads(row["content"])
            notes = [guard["detail"] for guard in document.get("guards", ()) if not guard["passed"]]
            return _opened(
                file, candidate, row["baseline"], row["candidate"], document.get("says", ""), notes, _pairs(document)
            )
    else:
        row = file.row("SELECT fingerprint FROM recipes WHERE seq = ?", number)
        if row:
            sql = "SELECT to_fp FROM promotions WHERE track = ? ORDER BY seq DESC LIMIT 1"
            base = file.row(sql, track) or {"to_fp": ""}
            return _opened(file, candidate, base["to_fp"], row["fingerprint"], "", ())
    raise RequestError("page.unknown_candidate", candidate[:40], "no such candidate in the ledger", got=candidate[:40])


def _parsed(candidate: str) -> tuple[str, int, int]:
    found = re.fullmatch(r"([tvr])(\d{1,15})(?:\.(\d{1,6}))?", candidate)
    if found is None:
        message = "no candidate is called so"
        raise RequestError("page.unknown_candidate", "candidate", message, got=candidate[:40])
    return found[1], int(found[2]), int(found[3] or 0)


def _opened(
    file: LedgerFile,
    candidate: str,
    base: str,
    own: str,
    says: str,
    notes: Any,
    pairs: tuple[Pair, ...] | None = None,
) -> CandidateShown:
    sql = "SELECT substr(name, 1, 300) AS name, content FROM recipes WHERE fingerprint = ?"
    before, after = file.row(sql, base), file.row(sql, own)
    edits = plain_diff(json.loads(before["content"]), json.loads(after["content"])) if before and after else ()
    return CandidateShown(
        candidate=candidate,
        against=before["name"] if before else "",
        against_recipe=base,
        edits=tuple(Edit(path=each.path, old=_short(each.old), new=_short(each.new)) for each in edits[:MOST_EDITS]),
        more_edits=max(0, len(edits) - MOST_EDITS),
        pairs=_paired(file, base, own) if pairs is None else pairs,
        says=says[:2000],
        notes=tuple(note[:500] for note in notes),
    )


def _short(value: Any) -> Any:
    text = json.dumps(value, ensure_ascii=False)
    return value if len(text) <= VALUE else f"{text[:VALUE]}…"


def _pairs(document: dict[str, Any]) -> tuple[Pair, ...]:
    """A comparison's own, as they decided."""
    arms = [arm.get("runs", []) for arm in document.get("arms", ())]
    return tuple(_pair(a["seed"], a["val_bpb"], b["val_bpb"]) for a, b in zip(*arms, strict=False)) if arms else ()


def _paired(file: LedgerFile, base: str, own: str, known: Sequence[float] = ()) -> tuple[Pair, ...]:
    """The runs of two recipes on shared seeds, of one budget of the second's: the one that gave the most of the known
    gains, else the largest."""
    sql = """SELECT seed, budget_tokens, coalesce(flops, 0.0) AS flops,
        (SELECT bpb FROM scores WHERE run = runs.id AND split = 'validation' ORDER BY seq DESC LIMIT 1) AS bpb
        FROM runs WHERE recipe = ? AND status IN ('done', 'failed') ORDER BY seq DESC LIMIT 400"""
    first, second = file.rows(sql, base), file.rows(sql, own)
    by_budget: dict[int, list[Pair]] = {}
    for row in second:
        near = [each for each in first if each["seed"] == row["seed"] and _alike(each, row)]
        if near:
            by_budget.setdefault(row["budget_tokens"], []).append(_pair(row["seed"], near[0]["bpb"], row["bpb"]))

    def rank(budget: int) -> tuple[int, int]:
        return len({pair.gain_bpb for pair in by_budget[budget]} & set(known)), budget

    return tuple(by_budget[max(by_budget, key=rank)][:MOST_PAIRS][::-1]) if by_budget else ()


def _alike(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two runs are of one share of the budget, in tokens or in FLOPs; rungs are further apart."""
    ratios = [(a[key], b[key]) for key in ("budget_tokens", "flops")]
    return any(x > 0 and y > 0 and abs(math.log(x / y)) < math.log(1.8) for x, y in ratios)


def _pair(seed: int, a: float | None, b: float | None) -> Pair:
    gain = a - b if a is not None and b is not None else None
    return Pair(seed=seed, baseline_bpb=a, candidate_bpb=b, gain_bpb=gain)
