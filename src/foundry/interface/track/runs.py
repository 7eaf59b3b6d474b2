"""What the ledger and `metrics.jsonl` have of runs, for a tracker: read only, a page and a batch at a time.

A run's own code may have written its losses: an ordinary file, a line of bounded length, known keys, finite numbers,
steps that rise. Whatever else is in it is passed over. May not: write, or import torch.
"""

from __future__ import annotations

import json
import math
import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any, NamedTuple

from foundry.core.fingerprint import fingerprint
from foundry.interface.terminal import shown
from foundry.interface.track.tracker import Point, Run
from foundry.ledger.file import LedgerFile
from foundry.ledger.lease import is_alive
from foundry.ledger.weights import run_folder

PAGE = 500
BATCH = 150
"""Points that are sent, and put on record as sent, at once."""
LONGEST = 1 << 16
"""Bytes of a line; Foundry's have 200."""
TEXT = 250
KEYS = ("loss", "lr", "grad_norm", "tokens")

_SCORE = "(SELECT bpb FROM scores WHERE run = runs.id AND split = '{}' ORDER BY seq DESC LIMIT 1)"
_RUNS = f"""
    SELECT runs.seq, runs.id, recipe, seed, budget_tokens, status, reason, tokens, flops, steps, seconds, device, owner,
    attempts, runs.created, started, finished, {_SCORE.format("validation")} AS val_bpb,
    {_SCORE.format("certification")} AS certification_bpb
    FROM runs WHERE runs.seq > ? AND (attempts > 0 OR status != 'queued') ORDER BY runs.seq LIMIT {PAGE}"""
_TAGS = {
    "champion": """SELECT to_fp AS recipe FROM promotions
        WHERE seq IN (SELECT max(seq) FROM promotions GROUP BY track)""",
    "certified": """SELECT candidate AS recipe FROM verdicts
        WHERE kind IN ('certify', 'not_worse') AND content ->> '$.verdict' = 'better'""",
    "rejected": """SELECT candidate AS recipe FROM verdicts
        WHERE seq IN (SELECT max(seq) FROM verdicts
            WHERE kind IN ('certify', 'not_worse', 'compare') GROUP BY candidate)
        AND content ->> '$.verdict' IN ('not_better', 'rejected')""",
}
_SUMMARY = ("val_bpb", "certification_bpb", "status", "reason", "tokens", "flops", "steps", "seconds", "device")


class Row(NamedTuple):
    """A run without its config. state: changes whenever a tracker should hear of it again, its points aside."""

    values: dict[str, Any]
    tags: tuple[str, ...]
    alive: bool
    state: str

    @property
    def run(self) -> str:
        return self.values["id"]


def rows(file: LedgerFile) -> Iterator[Row]:
    """The runs that were ever begun, oldest first."""
    tagged = {tag: {row["recipe"] for row in file.rows(sql)} for tag, sql in _TAGS.items()}
    tagged["rejected"] -= tagged["certified"]
    last = 0
    while page := file.rows(_RUNS, last):
        last = page[-1]["seq"]
        for row in page:
            alive = is_alive(row["owner"])
            if row["status"] in ("queued", "running") and not alive:
                row["status"] = "interrupted" if row["val_bpb"] is row["certification_bpb"] is None else "done"
            tags = tuple(tag for tag, recipes in tagged.items() if row["recipe"] in recipes)
            stated = [row["status"], row["attempts"], tags, *(repr(row[key]) for key in _SUMMARY)]
            yield Row(row, tags, alive, fingerprint(stated))


def whole(file: LedgerFile, row: Row) -> Run:
    """The same with its recipe."""
    values = row.values
    found = file.row("SELECT name, content FROM recipes WHERE fingerprint = ?", values["recipe"])
    assert found is not None  # a run refers to it
    about = {"run": values["id"], "recipe": values["recipe"], "seed": str(values["seed"])}
    began = values["started"] or values["created"]
    return Run(
        run=values["id"],
        recipe=values["recipe"],
        name=_text(found["name"]),
        status=values["status"],
        started_unix=began,
        ended_unix=values["finished"],
        tags=row.tags,
        summary={key: _plain(values[key]) for key in _SUMMARY if values[key] is not None},
        config={**dict(_flat(json.loads(found["content"]))), **about, "budget_tokens": values["budget_tokens"]},
    )


def batches(run: str, at: int, step: int) -> Iterator[tuple[list[Point], int, int]]:
    """What comes after a step, each batch with where its last line begins and that line's step. at: where the line of
    `step` began when it was read; a file that has another line there by now is read from its beginning."""
    file = _opened(run_folder(run) / "metrics.jsonl")
    if file is None:
        return
    with file:
        file.seek(at)
        there = _point(file.readline(LONGEST))
        file.seek(at if there is not None and there.step == step else 0)
        found: list[Point] = []
        where = file.tell()
        for begin, line in _lines(file, where):
            point = _point(line)
            if point is not None and point.step > step:
                found.append(point)
                at, step = begin, point.step
                if len(found) == BATCH:
                    yield found, at, step
                    found = []
        if found:
            yield found, at, step


def _opened(path: Path) -> IO[bytes] | None:
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return None
    file = os.fdopen(handle, "rb")
    if stat.S_ISREG(os.fstat(handle).st_mode):
        return file
    file.close()
    return None


def _lines(file: IO[bytes], begin: int) -> Iterator[tuple[int, bytes]]:
    """Whole lines with where each begins; the pieces of one that is too long are no lines."""
    broken = False
    while line := file.readline(LONGEST):
        if line.endswith(b"\n") and not broken:
            yield begin, line
        broken, begin = not line.endswith(b"\n"), begin + len(line)


def _point(line: bytes) -> Point | None:
    try:
        row = json.loads(line)
        step = row["step"]
        values = {f"train/{key}": float(row[key]) for key in KEYS if type(row.get(key)) in (int, float)}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    values = {key: value for key, value in values.items() if math.isfinite(value)}
    if type(step) is not int or not 0 < step < 1 << 53 or "train/loss" not in values:
        return None
    seconds = row.get("seconds")
    return Point(step, float(seconds) if type(seconds) in (int, float) and 0 <= seconds < 1e9 else 0.0, values)


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, bool | float | str]]:
    """A recipe's leaves by dotted path; a list is one, as JSON."""
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from _flat(each, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield _text(prefix), _plain(value)


def _plain(value: Any) -> bool | float | str:
    if isinstance(value, (bool, float)) or (isinstance(value, int) and abs(value) <= 1 << 53):
        return value
    return _text(value if isinstance(value, str) else json.dumps(value))


def _text(text: str) -> str:
    return " ".join(shown(text).split())[:TEXT]
