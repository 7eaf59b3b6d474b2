"""Recipes, runs and scores in the ledger: leases, fencing, results kept once. May not: decide what is run.

    queued ──claim──▶ running ──trained──▶ trained ──add_score──▶ done
       ▲                 │                    └──fail──▶ failed
       └──release, or the owner's death──┘────fail──▶ failed

Execution is at-least-once: a run that was lost is claimed again, with the same seed. Effects are exactly-once: every
claim raises the run's fence, and a writer with an older one changes nothing.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, final

from foundry.core.errors import REASONS, WorkError
from foundry.core.fingerprint import bytes_fingerprint, fingerprint
from foundry.ledger.file import LedgerFile, now, to_text
from foundry.ledger.lease import Leases, is_alive
from foundry.ledger.sealed_rows import RUN
from foundry.ledger.seals import Seals

if TYPE_CHECKING:
    from foundry.ledger.run_spec import RunSpec
    from foundry.recipe import Recipe

_LEASES = Leases("runs", "id")
_AS_BEFORE = "CASE WHEN EXISTS(SELECT 1 FROM scores WHERE run=runs.id) THEN 'done' ELSE 'queued' END"
"""Of a run whose training was given up: what was scored stays scored."""
_FACTS = ("train_loss", "tokens", "flops", "steps", "seconds", "cpu_seconds", "device", "tier", "weights_bytes")


@final
class Recipes:
    """What was trained, kept whole: content, and the source of workspace code, so that it can be rebuilt."""

    def __init__(self, file: LedgerFile) -> None:
        self._file = file

    def put(self, recipe: Recipe) -> None:
        """Record a recipe; the first record stays, but for the name, which is the latest that it was given. One that
        was promoted keeps what it was called before: its file has its predecessor's name. Raises WorkError when
        workspace code changed under our hands."""
        row = self._file.row(
            "SELECT name, EXISTS (SELECT 1 FROM promotions WHERE to_fp = fingerprint AND kind = 'promote') AS promoted "
            "FROM recipes WHERE fingerprint = ?",
            recipe.fingerprint,
        )
        if row is not None and recipe.name not in ("", row["name"]) and not row["promoted"]:
            with self._file.writing() as write:
                write.execute("UPDATE recipes SET name = ? WHERE fingerprint = ?", (recipe.name, recipe.fingerprint))
        if row is None:
            content, sources = to_text(recipe.to_dict()), to_text(self._source_texts(recipe))
            values = (recipe.fingerprint, recipe.name, content, sources, now())
            with self._file.writing() as write:
                write.execute(
                    "INSERT OR IGNORE INTO recipes(fingerprint, name, content, sources, created) VALUES (?,?,?,?,?)",
                    values,
                )

    def _source_texts(self, recipe: Recipe) -> dict[str, dict[str, str]]:
        """Of each workspace part in a recipe: its source's hash, file and text; where the file is another by now, as
        another recipe has it on record."""
        texts = {}
        for at, source in recipe.sources().items():
            name, path = recipe.code_files()[at]
            data = path.read_bytes() if path.is_file() else b""
            if bytes_fingerprint(data) == source:
                texts[at] = {"hash": source, "file": name, "text": data.decode()}
                continue
            recorded = (json.loads(row["sources"]).get(at) for row in self.with_source(source))
            known = next((each for each in recorded if each and each["hash"] == source), None)
            if known is None:
                raise WorkError("ledger.source_changed", str(path), "changed while it was recorded", hint="ask again")
            texts[at] = known
        return texts

    def find(self, prefix: str) -> list[str]:
        """The fingerprints that begin with `prefix`, a few at most."""
        rows = self._file.rows(
            "SELECT fingerprint FROM recipes WHERE substr(fingerprint, 1, ?) = ? LIMIT 20", len(prefix), prefix
        )
        return [row["fingerprint"] for row in rows]

    def with_source(self, hash: str) -> list[dict[str, Any]]:
        """Fingerprint and sources of each recipe that has workspace code of this hash in it, oldest first."""
        sql = "SELECT fingerprint, sources FROM recipes WHERE instr(sources, ?) ORDER BY rowid"
        return self._file.rows(sql, hash)

    def get(self, fingerprint: str) -> dict[str, Any] | None:
        """The row: fingerprint, name, content and sources (both JSON text), created."""
        return self._file.row("SELECT * FROM recipes WHERE fingerprint = ?", fingerprint)


@final
class Runs:
    """Every run once, by the id of its content."""

    def __init__(self, file: LedgerFile, recipes: Recipes) -> None:
        self._file, self._recipes, self._seals = file, recipes, Seals(file)

    def put(self, spec: RunSpec, judged_hash: str = "") -> None:
        """Record that a run is wanted; one that is known stays as it is."""
        self._recipes.put(spec.recipe)
        if self._file.row("SELECT 1 FROM runs WHERE id = ?", spec.id) is None:
            recipe, code = spec.recipe.fingerprint, fingerprint(spec.code)
            values = (spec.id, recipe, spec.seed, spec.budget_tokens, spec.data_hash, judged_hash, code, now())
            with self._file.writing() as write:
                write.execute("INSERT OR IGNORE INTO codes VALUES (?,?)", (code, to_text(spec.code)))
                write.execute(
                    "INSERT OR IGNORE INTO runs(id, recipe, seed, budget_tokens, data_hash, judged_hash, code, created)"
                    " VALUES (?,?,?,?,?,?,?,?)",
                    values,
                )

    def find(self, run: str) -> dict[str, Any] | None:
        """The run's row, None for an id that isn't recorded."""
        return self._file.row("SELECT * FROM runs WHERE id = ?", run)

    def get(self, run: str) -> dict[str, Any]:
        """The run's row. Raises WorkError for an id that isn't recorded."""
        row = self.find(run)
        if row is None:
            raise WorkError("ledger.unknown_run", run, "no such run in the ledger")
        return row

    def is_over(self, run: str) -> bool:
        """Whether it was trained, or failed: asking for it trains nothing."""
        row = self.find(run)
        return row is not None and row["status"] not in ("queued", "running")

    def last(self) -> int:
        """The newest run's place in the order of recording; 0 when there is none."""
        row = self._file.row("SELECT coalesce(max(seq), 0) AS last FROM runs")
        assert row is not None
        return row["last"]

    def begun_after(self, last: int) -> dict[str, float]:
        """Runs recorded after that place whose training was begun, with the FLOPs that are known of it."""
        rows = self._file.rows("SELECT id, coalesce(flops, 0.0) AS flops FROM runs WHERE seq>? AND attempts>0", last)
        return {row["id"]: row["flops"] for row in rows}

    def claim(self, run: str, again: int | None = None) -> int | None:
        """Take the lease on training `run`: the fence to show from now on, or None when it isn't to be had.

        It is to be had when the run is queued, or running with an owner that is dead. What is finished (trained, done,
        failed) is trained again only for a caller who names in `again` the fence under which it was finished, so that
        of two who saw it finished one trains it again. Nobody takes a lease from the living.
        """
        with self._file.writing() as write:
            row = _locked(write, run)
            if row["status"] not in ("queued", "running") and row["fence"] != again:
                return None
            sets = ", status='running', reason=NULL, detail='', limits=NULL, attempts=attempts+1, started=:now"
            return _LEASES.take(write, row, f"{sets}, finished=NULL, weights_bytes=max(weights_bytes, 1)", now=now())

    def trained(self, run: str, fence: int, facts: dict[str, Any]) -> None:
        """The weights are there: record the facts of the training and give the lease back. Raises WorkError when the
        lease was lost. Of `facts`, those that the ledger knows are kept: train_loss, tokens, flops, steps, …"""
        known = {name: facts[name] for name in _FACTS if facts.get(name) is not None}
        with self._file.writing() as write:
            scored = write.execute("SELECT 1 FROM scores WHERE run=?", (run,)).fetchone() is not None
            # Weights trained again are the same weights: what is on record of them stays.
            sets = "".join(f", {name}=:{name}" for name in known if not scored or name == "weights_bytes")
            _took_effect(_LEASES.give_back(write, run, fence, f", status='trained'{sets}", **known), run)
            if scored:
                write.execute("UPDATE runs SET status='done', finished=? WHERE id=?", (now(), run))

    def fail(
        self, run: str, fence: int | None, reason: str, detail: str = "", limits: dict[str, float] | None = None
    ) -> None:
        """The run ends without a result: while it was trained (with its fence), or judged (None, no lease is held).
        limits: what it was allowed. A run that has a score keeps it, and stays done, whatever fails afterwards.
        Raises WorkError when the lease was lost, ValueError for an unknown reason."""
        if reason not in REASONS:
            raise ValueError(f"unknown failure reason {reason!r}")
        allowed = None if limits is None else to_text(limits)
        values = {"reason": reason, "detail": detail, "limits": allowed, "now": now()}
        end = ", status='failed', reason=:reason, detail=:detail, limits=:limits, finished=:now"
        with self._file.writing() as write:
            if write.execute("SELECT 1 FROM scores WHERE run=?", (run,)).fetchone() is not None:
                end = ", status='done', finished=:now"
            if fence is not None:
                return _took_effect(_LEASES.give_back(write, run, fence, end, **values), run)
            judged = f"UPDATE runs SET owner=NULL{end} WHERE id=:id AND status IN ('trained', 'done')"
            return _took_effect(write.execute(judged, {**values, "id": run}).rowcount == 1, run)

    def keep(self, run: str, who: str) -> None:
        """Its weights are wanted: no rule removes them."""
        with self._file.writing() as write:
            write.execute("UPDATE runs SET kept=? WHERE id=?", (who, run))

    def with_weights(self) -> list[dict[str, Any]]:
        """Every run that has weights on the disk, or may have some; the newest first."""
        columns = (
            "runs.id, runs.recipe, runs.status, runs.owner, runs.fence, runs.kept, runs.weights_bytes, recipes.name, "
            "coalesce(runs.finished, runs.started, runs.created) AS ended"
        )
        whence = "runs JOIN recipes ON recipes.fingerprint = runs.recipe"
        return self._file.rows(f"SELECT {columns} FROM {whence} WHERE weights_bytes > 0 ORDER BY runs.seq DESC")

    def found_weights(self, found: Sequence[tuple[str, int, int]]) -> None:
        """(run, fence, bytes) of runs whose weights were looked at; a run that was claimed meanwhile stays as it is."""
        if found:
            with self._file.writing() as write:
                sql = "UPDATE runs SET weights_bytes=:size WHERE id=:run AND fence=:fence AND weights_bytes=1"
                write.executemany(sql, [{"run": run, "fence": fence, "size": size} for run, fence, size in found])

    def forgettable(self, folders: Iterable[str], newest: int) -> list[str]:
        """Of folders, named by the beginning of a run's id, those of runs without weights that aren't among the newest
        so many."""
        last = self._file.row("SELECT seq FROM runs ORDER BY seq DESC LIMIT 1 OFFSET ?", newest)
        sql = "SELECT 1 FROM runs WHERE id >= ? AND id < ? AND seq <= ? AND weights_bytes = 0"
        end = last["seq"] if last is not None else 0
        return [name for name in folders if self._file.row(sql, name, name + "~", end)]

    def lost_weights(self, runs: Sequence[str]) -> None:
        """Their weights are no longer on the disk."""
        if runs:
            with self._file.writing() as write:
                write.executemany("UPDATE runs SET weights_bytes=0 WHERE id=?", [(run,) for run in runs])

    def release(self, run: str, fence: int, why: str = "") -> bool:
        """Give a lease back unfinished: the run is queued again (done, where it has a score), `why` its detail until it
        is claimed. False, and nothing happens, when it was lost."""
        with self._file.writing() as write:
            return _LEASES.give_back(write, run, fence, f", status={_AS_BEFORE}, detail=:why", why=why)

    def forget(self, run: str) -> None:
        """Queue a run again as if it had never been trained, on a person's word: its scores go, the reads of sealed
        splits stay. An unknown run is nothing to do. Raises WorkError when somebody alive is training it."""
        with self._seals.writing() as write:
            row = write.execute("SELECT owner FROM runs WHERE id=?", (run,)).fetchone()
            if row is not None and is_alive(row["owner"]):
                raise WorkError("ledger.leased", run, "somebody is training it", hint="wait for it, or stop it")
            write.execute("DELETE FROM scores WHERE run=?", (run,))
            write.execute(
                "UPDATE runs SET status='queued', reason=NULL, detail='', owner=NULL, fence=fence+1, finished=NULL "
                "WHERE id=?",
                (run,),
            )
            if row is not None:
                self._seals.forgotten(write, run)

    def score(self, run: str, split: str, protocol: str = "") -> dict[str, Any] | None:
        """The run's score on one judged split, measured by `protocol`: bpb, bytes, tokens, seconds, probes (JSON)."""
        return self._file.row("SELECT * FROM scores WHERE run = ? AND split = ? AND protocol = ?", run, split, protocol)

    def add_score(self, run: str, split: str, score: dict[str, Any], protocol: str = "") -> None:
        """Record the judge's score {bpb, bytes, tokens, seconds, probes}; the first one stays. A run's further scores
        are sealed at once, for a verdict may have counted it; its first is sealed by the verdict.

        Raises WorkError when bpb isn't a finite number, and for a run that isn't trained."""
        if not math.isfinite(score["bpb"]):
            raise WorkError("ledger.bad_score", run, f"{score['bpb']} is not a score; record a failure")
        values = (run, split, score["bpb"], score["bytes"], score["tokens"], score["seconds"])
        with self._seals.writing() as write:
            if _locked(write, run)["status"] not in ("trained", "done", "running"):
                raise WorkError("ledger.fenced", run, "a run that isn't trained has no score")
            others = write.execute("SELECT 1 FROM scores WHERE run=? LIMIT 1", (run,)).fetchone()
            made = write.execute(
                "INSERT OR IGNORE INTO scores(run, split, bpb, bytes, tokens, seconds, probes, protocol, created) "
                "VALUES (?,?,?,?,?,?,?,?,?)",
                (*values, to_text(score.get("probes", {})), protocol, now()),
            )
            write.execute("UPDATE runs SET status='done', finished=? WHERE id=? AND status='trained'", (now(), run))
            if others is not None and made.rowcount:
                self._seals.rows(write, (RUN, (run,)))

    def read_split(self, split: str, run: str, purpose: str, season: int = 0, limit: int | None = None) -> None:
        """Record that a sealed split is about to be read for `run`; again for the same purpose is the same read.

        Raises WorkError, and records nothing, past `limit` reads of that split in the season."""
        with self._seals.writing() as write:
            known = "SELECT 1 FROM split_reads WHERE split=? AND run=? AND purpose=? AND season=?"
            if write.execute(known, (split, run, purpose, season)).fetchone() is not None:
                return
            count = "SELECT count(*) FROM split_reads WHERE split=? AND season=?"
            if limit is not None and write.execute(count, (split, season)).fetchone()[0] >= limit:
                raise WorkError("ledger.split_spent", split, f"read {limit} times this season, and no more is allowed")
            write.execute(
                "INSERT INTO split_reads(split, run, purpose, season, created) VALUES (?,?,?,?,?)",
                (split, run, purpose, season, now()),
            )
            self._seals.rows(write, ("read", (split, run, purpose, season)))

    def count_reads(self, split: str) -> int:
        row = self._file.row("SELECT count(*) AS n FROM split_reads WHERE split = ?", split)
        assert row is not None
        return row["n"]


def _locked(write: sqlite3.Connection, run: str) -> sqlite3.Row:
    """The run's row inside a transaction: it can't change before the transaction ends."""
    row = write.execute("SELECT id, status, owner, fence FROM runs WHERE id=?", (run,)).fetchone()
    if row is None:
        raise WorkError("ledger.unknown_run", run, "no such run in the ledger")
    return row


def _took_effect(held: bool, run: str) -> None:
    if not held:
        raise WorkError("ledger.fenced", run, "the lease was lost; the run is somebody else's, or finished")
