"""Reading the ledger for people and agents: log, show, diff, lineage.

May not: write, or import torch or pydantic; each answers from an index, whatever the number of runs.
"""

from __future__ import annotations

import contextlib
import json
import math
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

from foundry.core import places
from foundry.core.errors import RequestError, WorkError
from foundry.core.paths import differences
from foundry.core.source_code import changed
from foundry.documents.comparison import ComparisonShown
from foundry.documents.runs import (
    ComparisonRow,
    Edit,
    PromotionRow,
    PromotionShown,
    RecipeShown,
    RunRow,
    RunShown,
    Weights,
)
from foundry.ledger.file import LedgerFile
from foundry.ledger.lease import is_alive
from foundry.ledger.ledger import Ledger, ledger_path
from foundry.ledger.weights import UNKNOWN, run_folder, size_bytes

Kind = Literal["run", "recipe", "comparison", "promotion"]
STATUSES = ("queued", "running", "trained", "done", "failed")
MAX_SHOWN_MATCHES = 8
MAX_SHOWN_FILES = 100
CURVE_POINTS = 48
_JSON_COLUMNS = ("content", "sources", "effect", "probes")
_KEYS: dict[Kind, tuple[str, str]] = {
    "run": ("runs", "id"),
    "recipe": ("recipes", "fingerprint"),
    "comparison": ("verdicts", "id"),
    "promotion": ("promotions", "id"),
}
_SHOWN_AS = {
    "fingerprint": "recipe",
    "from_fp": "from_recipe",
    "to_fp": "to_recipe",
    "baseline": "baseline_recipe",
    "candidate": "candidate_recipe",
    "verdict": "comparison",
    "effect": "record",
    **{key: f"{key}_unix" for key in ("created", "started", "finished", "written", "reverted")},
}
"""Column → key, where one thing would have two names, or none a unit."""
MEASURED_AGAIN = """(
    SELECT json_object('effect_bpb', content -> '$.effect_bpb', 'interval_bpb', content -> '$.interval_bpb',
        'n', content -> '$.n', 'measured_from', baseline)
    FROM verdicts WHERE kind = 'remeasure' AND candidate = promotions.to_fp AND promotions.kind = 'promote'
    AND verdicts.created >= promotions.created AND baseline IN (
        SELECT from_fp FROM promotions AS earlier WHERE earlier.track = promotions.track
        AND earlier.seq <= promotions.seq) ORDER BY verdicts.seq DESC LIMIT 1)"""
"""Of a promotion that a campaign measured again later, together with those before it since `measured_from`."""
# Without the texts, which would be megabytes of a long line.
_LINEAGE = f"""
    SELECT id, track, kind, from_fp, to_fp, mutation, verdict, effect, created, written, reverted,
    {MEASURED_AGAIN} AS again FROM promotions WHERE track = ? ORDER BY seq"""
_LAST_SCORE = "(SELECT bpb FROM scores WHERE run = runs.id AND split = '{split}' ORDER BY seq DESC LIMIT 1)"
_RUN = f"""
    SELECT runs.*, recipes.name, {_LAST_SCORE.format(split="validation")} AS val_bpb,
    {_LAST_SCORE.format(split="certification")} AS certification_bpb FROM runs
    JOIN recipes ON recipes.fingerprint = runs.recipe"""


@contextlib.contextmanager
def reading(path: Path | None = None) -> Iterator[LedgerFile | None]:
    """The ledger, read-only; None when there is none yet. Raises WorkError for one that can't be read."""
    file = LedgerFile.open_to_read(path or ledger_path())
    try:
        yield file
    finally:
        if file is not None:
            file.close()


def log(
    *,
    limit: int = 20,
    offset: int = 0,
    status: str | None = None,
    recipe: str | None = None,
    stale: bool = False,
    path: Path | None = None,
) -> list[RunRow]:
    """The latest runs, newest first, of one status, of one recipe (its fingerprint or the beginning of it), or of other
    code than today's.

    Raises RequestError for an unknown status or recipe."""
    if status is not None and status not in STATUSES:
        raise RequestError("log.unknown_status", "status", f"no '{status}'", got=status, choices=STATUSES)
    with reading(path) as file:
        if file is None:
            return []
        # The plus keeps SQLite from answering a recipe's few runs from the index of a status that most runs have.
        status_column = "runs.status" if recipe is None else "+runs.status"
        where = {status_column: status, "runs.recipe": recipe and _resolve(file, recipe, ("recipe",))[1]}
        given = {column: value for column, value in where.items() if value is not None}
        clauses = [f"{column} = ?" for column in given]
        if stale:
            codes = (row["fingerprint"] for row in file.rows("SELECT * FROM codes") if changed(_opened(row)["content"]))
            clauses.append(f"(runs.code IS NULL OR runs.code IN ({', '.join(map(repr, codes))}))")  # hex digits alone
        condition = "WHERE " + " AND ".join(clauses) if clauses else ""
        sql = f"{_RUN} {condition} ORDER BY runs.seq DESC LIMIT ? OFFSET ?"
        rows = file.rows(sql, *given.values(), limit, offset)
    return [RunRow.from_dict(_run(row)) for row in rows]


def weights(path: Path | None = None) -> Weights:
    """How many runs have weights on the disk, and what these take."""
    with reading(path) as file:
        rows = file.rows("SELECT id, weights_bytes FROM runs WHERE weights_bytes > 0") if file is not None else []
    sizes = [size_bytes(row["id"]) if row["weights_bytes"] == UNKNOWN else row["weights_bytes"] for row in rows]
    return Weights(runs=sum(size > 0 for size in sizes), bytes=sum(sizes))


def lineage(baseline: str, path: Path | None = None) -> list[PromotionRow]:
    """How the champion of a baseline file, by whatever path, came to be, oldest first."""
    names = dict.fromkeys((places.track(Path(baseline)), places.former_track(Path(baseline))))
    with reading(path) as file:
        lines = (file.rows(_LINEAGE, name) for name in names) if file is not None else ()
        rows = next(filter(None, lines), [])
    return [PromotionRow.from_dict(_promotion(row)) for row in rows]


def promotions_to(recipe: str) -> list[PromotionRow]:
    """The entries of any line that made this recipe, by its whole fingerprint, champion; oldest first."""
    with reading() as file:
        rows = file.rows(_LINEAGE.replace("track = ?", "to_fp = ?"), recipe) if file is not None else []
    return [PromotionRow.from_dict(_promotion(row)) for row in rows]


def run(prefix: str, path: Path | None = None) -> RunRow:
    """The one run whose id is or begins with `prefix`, as `log` has it. Raises RequestError as `show` does."""
    with reading(path) as file:
        _, key = _resolve(file, prefix, ("run",))
        assert file is not None
        return RunRow.from_dict(_run(_one(file, f"{_RUN} WHERE runs.id = ?", key)))


def recipe(fingerprint: str) -> RecipeShown:
    """A recorded recipe, by its whole fingerprint or its beginning. Raises RequestError as `show` does."""
    with reading() as file:
        _, key = _resolve(file, fingerprint, ("recipe",))
        assert file is not None
        return _show_recipe(file, key)


def comparison(identity: str) -> ComparisonShown:
    """A recorded comparison, by its whole id or its beginning. Raises RequestError as `show` does."""
    with reading() as file:
        _, key = _resolve(file, identity, ("comparison",))
        assert file is not None
        return _show_comparison(file, key)


def show(prefix: str, path: Path | None = None) -> RunShown | RecipeShown | ComparisonShown | PromotionShown:
    """All that is known of the run, recipe, comparison or promotion whose id is or begins with `prefix`; `kind` says
    which it is. Raises RequestError when there is none, or more than one."""
    with reading(path) as file:
        kind, key = _resolve(file, prefix, tuple(_KEYS))
        assert file is not None  # an id was found in it
        return _SHOW[kind](file, key)


def diff(a: str, b: str, path: Path | None = None) -> tuple[Edit, ...]:
    """What turns `a` into `b`, each the id of a run or recipe, or a YAML file.

    Of two runs also what else differs (`run.seed`, …). Raises RequestError for what can't be found, and for a file that
    `train` would refuse."""
    files = [name for name in (a, b) if name.endswith((".yaml", ".yml")) or (places.root() / name).is_file()]
    known = dict(zip(files, _validated(files), strict=True)) if files else {}
    with reading(path) as file:
        old, new = (known[name] if name in known else _content(file, name) for name in (a, b))
    return plain_diff(old, new)


def _validated(files: list[str]) -> list[dict[str, Any]]:
    """The recipes in files, every default written out. Raises RequestError. What a recipe may hold is in the code of
    its parts, and that imports torch: a process of its own reads them."""
    command, env = [sys.executable, "-P", "-m", "foundry.recipe", *files], places.environment()
    done = subprocess.run(command, capture_output=True, text=True, cwd=places.root(), env=env)
    if done.returncode:
        raise WorkError("diff.unread", ", ".join(files), (done.stderr.splitlines() or ["no answer"])[-1])
    found = json.loads(done.stdout)
    if isinstance(found, dict):
        raise RequestError(**found)
    return found


def plain_diff(a: dict[str, Any], b: dict[str, Any]) -> tuple[Edit, ...]:
    """The leaves in which two plain recipes differ, the name left out."""
    return tuple(Edit(path=path, old=old, new=new) for path, old, new in differences(a, b) if path != "name")


def _content(file: LedgerFile | None, name: str) -> dict[str, Any]:
    """A recorded recipe as plain data; a run's has its seed, budget and data beside it."""
    kind, key = _resolve(file, name, ("run", "recipe"))
    assert file is not None
    if kind == "recipe":
        found = _recipe_row(file, key)
        sources = {at: source["hash"] for at, source in found["sources"].items()}
        return {**found["content"], **({"sources": sources} if sources else {})}
    run = file.row("SELECT recipe, seed, budget_tokens, data_hash FROM runs WHERE id = ?", key)
    assert run is not None
    return {**_content(file, run.pop("recipe")), "run": run}


def _resolve(file: LedgerFile | None, prefix: str, kinds: tuple[Kind, ...]) -> tuple[Kind, str]:
    """The one (kind, id) that `prefix` means; an id given whole wins over longer ones."""
    found: list[tuple[Kind, str]] = []
    if file is not None and prefix.isalnum():
        for kind in kinds:
            table, column = _KEYS[kind]
            sql = f"SELECT {column} AS id FROM {table} WHERE {column} >= ? AND {column} < ? ORDER BY {column} LIMIT ?"
            rows = file.rows(sql, prefix, prefix + "~", MAX_SHOWN_MATCHES)  # every hex digit sorts before ~
            found.extend((kind, row["id"]) for row in rows)
    exact = [match for match in found if match[1] == prefix]
    matches = exact or found
    if not matches:
        what, is_folder = " or ".join(kinds), Path(prefix).is_dir()
        message = f"no {what} of that id in the ledger" + (", and a folder is no recipe" if is_folder else "")
        hint = f"name a file in it: {Path(prefix) / '*.yaml'}" if is_folder else "foundry log lists runs"
        raise RequestError("show.unknown", prefix, message, hint=hint)
    if len(matches) > 1:
        choices = [f"{kind} {key[:16]}" for kind, key in matches]
        raise RequestError(
            "show.ambiguous", prefix, "more than one begins so", choices=choices, hint="give more digits"
        )
    return matches[0]


def _run(row: dict[str, Any]) -> dict[str, Any]:
    """A run's row as shown: under `run` its id; one whose trainer is dead isn't running, whatever it last said."""
    owner = row.pop("owner")
    if row["status"] == "running" and not is_alive(owner):
        row["status"] = "queued" if row["val_bpb"] is row["certification_bpb"] is None else "done"
    row["limits"] = json.loads(row["limits"] or "null")
    row.pop("fence")
    return {"run": row.pop("id"), **_opened(row)}


def _promotion(row: dict[str, Any]) -> dict[str, Any]:
    """A promotion's row as shown. Its effect is the one measured again on pairs that decided nothing, whose mean isn't
    flattered; that of the deciding pairs is called what it is."""
    later = json.loads(row.pop("again") or "{}")
    shown = {"promotion": row.pop("id"), **_opened(row)}
    record = shown["record"]
    own = {"measured_from": shown["from_recipe"], **(record.get("remeasured") or {})}
    again = later or (own if record.get("remeasured") else {})
    measured = {key: again.get(key) for key in ("effect_bpb", "interval_bpb", "n", "measured_from")}
    flattering = {f"flattering_{key}": record.get(f"{key}_bpb") for key in ("effect", "interval")}
    return {**shown, **measured, **{f"{key}_bpb": value for key, value in flattering.items()}}


def _opened(row: dict[str, Any]) -> dict[str, Any]:
    """A row with its JSON read and its columns called as documents call them."""
    opened = {name: json.loads(value) if name in _JSON_COLUMNS else value for name, value in row.items()}
    return {_SHOWN_AS.get(name, name): value for name, value in opened.items() if name != "seq"}


def _one(file: LedgerFile, sql: str, key: str) -> dict[str, Any]:
    row = file.row(sql, key)
    assert row is not None  # the id was found a moment ago, and nothing is ever deleted
    return row


def _recipe_row(file: LedgerFile, key: str) -> dict[str, Any]:
    return _opened(_one(file, "SELECT * FROM recipes WHERE fingerprint = ?", key))


def _show_run(file: LedgerFile, key: str) -> RunShown:
    run = _run(_one(file, f"{_RUN} WHERE runs.id = ?", key))
    scores = file.rows("SELECT * FROM scores WHERE run = ? ORDER BY seq", key)
    reads = file.rows("SELECT split, purpose, season, created FROM split_reads WHERE run = ? ORDER BY seq", key)
    folder = run_folder(key)
    code = file.row("SELECT content FROM codes WHERE fingerprint = ?", run["code"])
    files = json.loads(code["content"]) if code is not None else None
    run["code"] = {"code": run["code"], "files": files, "changed": changed(files) if files is not None else None}
    run["scores"] = [{k: v for k, v in _opened(score).items() if k != "run"} for score in scores]
    run |= {"split_reads": [_opened(read) for read in reads], "content": _recipe_row(file, run["recipe"])["content"]}
    run |= {"folder": str(folder), "files": _files(folder), "curve": _curve(folder / "metrics.jsonl")}
    return RunShown.from_dict(run)


def _files(folder: Path) -> list[dict[str, Any]]:
    """What a run has left on the disk: {"file", "bytes"}."""
    found = sorted(file for file in folder.rglob("*") if file.is_file() and not file.is_symlink())
    return [{"file": str(file.relative_to(folder)), "bytes": file.stat().st_size} for file in found[:MAX_SHOWN_FILES]]


def _curve(metrics: Path) -> list[dict[str, Any]]:
    """Training's loss over the run: {"step", "loss"}, at most `CURVE_POINTS`, evenly spaced, the last one among them.
    A run's code may have written the file: what is no number in it is passed over."""
    points: list[dict[str, Any]] = []
    with contextlib.suppress(OSError, UnicodeDecodeError), open(metrics) as lines:
        for line in lines:
            with contextlib.suppress(ValueError, KeyError, TypeError, OverflowError, RecursionError):
                row = json.loads(line)
                step, loss = int(row["step"]), float(row["loss"])
                if math.isfinite(loss):
                    points.append({"step": step, "loss": loss})
    every = max(1, math.ceil(len(points) / CURVE_POINTS))
    return points[::-1][::every][::-1]


def _show_recipe(file: LedgerFile, key: str) -> RecipeShown:
    rows = file.rows(f"{_RUN} WHERE runs.recipe = ? ORDER BY runs.seq DESC LIMIT 20", key)
    sql = "SELECT id AS comparison, kind FROM verdicts WHERE candidate = ? ORDER BY seq DESC LIMIT 20"
    runs = tuple(RunRow.from_dict(_run(row)) for row in rows)
    comparisons = tuple(ComparisonRow.from_dict(row) for row in file.rows(sql, key))
    return RecipeShown.from_dict(_recipe_row(file, key), runs=runs, comparisons=comparisons)


def _show_comparison(file: LedgerFile, key: str) -> ComparisonShown:
    row = _opened(_one(file, "SELECT * FROM verdicts WHERE id = ?", key))
    document, row["comparison_kind"] = row.pop("content"), row.pop("kind")
    shown = {**document, "comparison": row.pop("id"), **row}
    if shown["comparison_kind"] == "compare":
        arms = shown["baseline_recipe"], shown["candidate_recipe"]
        shown |= {"corrected": False, "asked": Ledger(file).verdicts.compared(*arms)}
    return ComparisonShown.from_dict(shown, kind="comparison")


def _show_promotion(file: LedgerFile, key: str) -> PromotionShown:
    promotion = _promotion(_one(file, f"SELECT *, {MEASURED_AGAIN} AS again FROM promotions WHERE id = ?", key))
    promotion["promotion_kind"] = promotion.pop("kind")
    before = promotion["from_recipe"] and _recipe_row(file, promotion["from_recipe"])["content"]
    after = _recipe_row(file, promotion["to_recipe"])["content"]
    return PromotionShown.from_dict(promotion, edits=plain_diff(before, after) if before else (), kind="promotion")


_SHOW = {"run": _show_run, "recipe": _show_recipe, "comparison": _show_comparison, "promotion": _show_promotion}
