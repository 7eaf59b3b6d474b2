"""Certifications computed again from their plans and runs, and seasons from their tests. May not: train, or write.

A verdict is a pure function of its plan and the counted runs, and an α of its season so far; so what is on record is
either what they give, or it isn't what was found.
"""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any, get_args

from foundry.compare.alpha_spending import state
from foundry.core.errors import FoundryError
from foundry.core.fingerprint import fingerprint
from foundry.ledger.error_budget import Budget, History, Stream
from foundry.ledger.file import LedgerFile
from foundry.stats import error_budget as policy
from foundry.stats import verdict as judging
from foundry.stats.sequential_test import Plan
from foundry.stats.verdict import Arm, Score, Verdict

DECIDED = ("n", "evidence", "alpha", "differences", "effect_bpb", "interval_bpb", "certified_bpb")
PAID_FOR = ("certify", "not_worse")
"""Questions that spend of the error budget."""
SECOND_TEXT, MEASURED_AGAIN = "second_text", "remeasure"
CLOSE = 1e-9
"""By how much two versions of the mathematics' libraries may differ, relatively."""


@dataclass
class Findings:
    """What doesn't hold, and what is to be known."""

    breaks: list[dict[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def broken(self, code: str, at: str, message: str) -> None:
        self.breaks.append({"code": code, "at": at, "message": message})

    def noted(self, message: str) -> None:
        self.notes.append(message)


def comparisons(file: LedgerFile, found: Findings) -> int:
    """Each certification once more; how many there are."""
    rows = file.rows(
        "SELECT verdicts.*, plans.content AS plan FROM verdicts LEFT JOIN plans USING (key, attempt) "
        "WHERE verdicts.kind != 'compare' ORDER BY seq"
    )
    for row in rows:
        try:
            _comparison(file, row, found)
        except (FoundryError, ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
            found.broken("verify.verdict", row["id"][:12], f"can't be computed again: {type(error).__name__}: {error}")
    return len(rows)


def _comparison(file: LedgerFile, row: dict[str, Any], found: Findings) -> None:
    id, document = row["id"], json.loads(row["content"])
    if id != fingerprint([row["key"], row["attempt"]]):
        found.broken("verify.verdict", id[:12], "its id isn't that of its question")
    if [arm["recipe"] for arm in document["arms"]] != [row["baseline"], row["candidate"]]:
        found.broken("verify.verdict", id[:12], "its document is on other recipes")
    if row["plan"] is None:
        return found.broken("verify.plan", id[:12], "its plan is gone")
    plan = json.loads(row["plan"])
    test = file.row("SELECT alpha, state FROM tests WHERE key = ?", id)
    if row["kind"] in PAID_FOR and (test is None or test["alpha"] != plan["rules"]["alpha"]):
        found.broken("verify.alpha", id[:12], "its plan's α isn't what the error budget gave it")
    _second_text(file, row, document, found)
    if document["verdict"] == "incomparable":
        return None
    again = _again(file, id[:12], document, plan, found)
    if again is None:
        return found.broken("verify.verdict", id[:12], "its runs decide nothing under its plan")
    unlike = [key for key, value in again.items() if key in document and not _alike(document[key], value)]
    if unlike:
        found.broken("verify.verdict", id[:12], f"computed again from its runs, it differs in {', '.join(unlike)}")
    return None


def _second_text(file: LedgerFile, row: dict[str, Any], document: dict[str, Any], found: Findings) -> None:
    """What a verdict says of its second text is on record too, and code isn't better without."""
    second, at = document.get("second_text"), row["id"][:12]
    if second is None:
        recipe = file.row("SELECT sources FROM recipes WHERE fingerprint = ?", row["candidate"])
        if document["verdict"] == "better" and row["kind"] in PAID_FOR and recipe and recipe["sources"] != "{}":
            found.noted(f"{at}: code that was found better in a time when none was asked about on a second text")
        return
    there = file.row("SELECT content FROM verdicts WHERE id = ? AND kind = ?", second["comparison"] or "", SECOND_TEXT)
    word = json.loads(there["content"])["verdict"] if there is not None else None
    if word != second["verdict"] or (document["verdict"] == "better" and (second["reason"] or word != "better")):
        found.broken(
            "verify.second_text", at, f"it has '{second['verdict']}' of its second text, on record is '{word}'"
        )


def _again(
    file: LedgerFile, at: str, document: dict[str, Any], plan: dict[str, Any], found: Findings
) -> dict[str, Any] | None:
    """What the judge makes of the counted runs today, by the document's keys; None where it would go on."""
    protocols: set[str] = set()
    baseline, candidate = (_arm(file, at, arm, document["split"], protocols, found) for arm in document["arms"])
    judge = judging.measured_again if document.get("kind") == MEASURED_AGAIN else judging.judge
    given = judge(baseline, candidate, Plan(**plan["rules"]), plan["seeds"], document["match"])
    if given is None:
        return None
    fixed = document.get("plan") or {}  # an earlier version knew less of a plan
    again: dict[str, Any] = {"plan": {key: value for key, value in asdict(given.plan).items() if key in fixed}}
    if given.word == "better" and (seeds := plan["remeasure"]):
        sides = [_remeasured(file, arm, document["split"], protocols, seeds) for arm in document["arms"]]
        if not all(len(side.scores) == len(seeds) for side in sides):
            found.noted(
                f"{at}: runs that measured its effect again were taken off the record; that isn't computed again"
            )
            return again | {key: value for key, value in given.to_json().items() if key in DECIDED}
        given = judging.remeasure(given, sides[0], sides[1], seeds)
    document_again = given.to_json()
    return again | {key: document_again[key] for key in (*DECIDED, "remeasured")} | {"verdict": _word(given, document)}


def _word(given: Verdict, document: dict[str, Any]) -> str:
    """The word, after the guards that aren't the judge's own: they look at what isn't in the ledger, and only block."""
    own = {guard.name for guard in given.guards}
    for guard in document.get("guards", ()):
        if guard["name"] not in own and not guard["passed"]:
            return document["verdict"] if document["verdict"] != "better" else "not_better"
    return given.word


def _arm(file: LedgerFile, at: str, arm: dict[str, Any], split: str, protocols: set[str], found: Findings) -> Arm:
    """The arm as its document has it, each score held against the one on record."""
    for run in arm["runs"]:
        row = file.row("SELECT recipe, seed FROM runs WHERE id = ?", run["run"])
        if row is None or (row["recipe"], row["seed"]) != (arm["recipe"], int(run["seed"])):
            found.broken("verify.run", run["run"][:12], f"counted in {at}, and no such run of its recipe is on record")
        if run["val_bpb"] is None:
            continue
        scores = file.rows("SELECT bpb, protocol FROM scores WHERE run = ? AND split = ?", run["run"], split)
        if not scores:
            found.noted(f"{at}: the score of run {run['run'][:12]} was taken off the record; the verdict keeps it")
        elif run["val_bpb"] not in [score["bpb"] for score in scores]:
            message = f"counted in {at} with {run['val_bpb']:.6g} bpb, on record with {scores[-1]['bpb']:.6g}"
            found.broken("verify.score", run["run"][:12], message)
        protocols |= {score["protocol"] for score in scores if score["bpb"] == run["val_bpb"]}
    return Arm(arm["name"], arm["recipe"], tuple(Score(**{**run, "seed": int(run["seed"])}) for run in arm["runs"]))


def _remeasured(file: LedgerFile, arm: dict[str, Any], split: str, protocols: set[str], seeds: list[int]) -> Arm:
    """The arm's runs on these seeds, as far as they are on record as they were measured in this comparison."""
    scores = []
    for seed in seeds:
        rows = file.rows(
            "SELECT id AS run, reason, bpb, protocol FROM runs LEFT JOIN scores ON run = id AND split = ? "
            "WHERE recipe = ? AND seed = ? AND budget_tokens = ?",
            *(split, arm["recipe"], seed, arm.get("budget_tokens")),
        )
        rows = [row for row in rows if row["reason"] is not None or row["protocol"] in protocols]
        if len(rows) == 1:
            scores.append(Score(rows[0]["run"], seed, rows[0]["reason"] or "done", rows[0]["bpb"]))
    return Arm(arm["name"], arm["recipe"], tuple(scores))


def budgets(file: LedgerFile, found: Findings) -> None:
    """Each season's tests in order, each α as the season's rules give it after those before."""
    known = _discoveries(file)
    for season in file.rows("SELECT id, stream, rules FROM seasons ORDER BY id"):
        at, alpha, by_discoveries = f"season {season['id']}", 0.0, 0.0
        tests = Budget(file).tests(season["id"])
        if season["stream"] not in get_args(Stream) or [test.j for test in tests] != [*range(1, len(tests) + 1)]:
            found.broken("verify.budget", at, "its tests aren't numbered from 1 on: one was removed or put in")
        for done, test in enumerate(tests):
            before = len({step for j, step in known.get(season["id"], []) if j < test.j})
            if test.promotions_at_start > before:
                message = f"test {test.j} counts {test.promotions_at_start} promotions before it, of {before}"
                found.broken("verify.budget", at, message)
            rules = json.loads(season["rules"])
            history = History(season["id"], rules, done, alpha, by_discoveries, test.promotions_at_start)
            due = policy.next_alpha(state(history))
            if not _alike(due, test.alpha):
                found.broken("verify.budget", at, f"test {test.j} spent α = {test.alpha:.6g} where {due:.6g} was due")
            alpha += test.alpha
            by_discoveries += test.alpha / (test.promotions_at_start + 1)


def _discoveries(file: LedgerFile) -> dict[int, list[tuple[int, tuple[str, str]]]]:
    """Of each season its promotions, taken back or not: the test's number, and from what to what."""
    known: dict[int, list[tuple[int, tuple[str, str]]]] = {}
    for row in file.rows(
        "SELECT season, j, from_fp, to_fp FROM tests JOIN promotions USING (verdict) WHERE promotions.kind = 'promote'"
    ):
        known.setdefault(row["season"], []).append((row["j"], (row["from_fp"], row["to_fp"])))
    return known


def _alike(a: Any, b: Any) -> bool:
    """Equal, floats to `CLOSE`."""
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_alike(a[key], b[key]) for key in a)
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_alike, a, b))
    if isinstance(a, float) and isinstance(b, float):
        return math.isclose(a, b, rel_tol=CLOSE, abs_tol=1e-12)
    return a == b
