"""Commands that go on by themselves: started apart from whoever asks, waited for, listed. May not: train, import torch,
or end one (underway.py does).

A job is `foundry VERB … --json` in a process group of its own, in the same folder; job.py is what runs there.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from foundry.core import places, untrusted
from foundry.core.errors import RequestError
from foundry.documents.underway import Job, Jobs, Started, Waited
from foundry.interface import underway
from foundry.ledger.file import LedgerFile
from foundry.ledger.jobs import KEPT
from foundry.ledger.lease import Owner
from foundry.ledger.ledger import Ledger
from foundry.ledger.queries import reading

LOOK_SECONDS = 0.2
SAID_LINES, SAID_BYTES = 6, 16_384
RULE = f"the newest {KEPT} jobs keep their log and result, and those that run"


def folder(job: str) -> Path:
    return places.runs() / "jobs" / job


def start(command: Sequence[str], key: str | None) -> Started:
    """Have a command done by a process of its own, once: see `Jobs.begin`. Raises what that raises."""
    with Ledger.open() as ledger:
        row, begun = ledger.jobs.begin(command, key, lambda job, fence: _spawn(job, fence, command))
        if begun:
            for old in ledger.jobs.tidy(os.listdir(folder(""))):
                shutil.rmtree(folder(old), ignore_errors=True)
    return Started(**_about(row), begun=begun)


def _spawn(job: str, fence: int, command: Sequence[str]) -> Owner:
    folder(job).mkdir(parents=True, exist_ok=True)
    with open(folder(job) / "log", "ab") as log, open(folder(job) / "result.json", "wb") as result:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "foundry.interface.job", job, str(fence), *command],
            stdin=subprocess.DEVNULL,
            stdout=result,
            stderr=log,
            cwd=places.root(),
            env=places.environment(),
            start_new_session=True,
        )
    threading.Thread(target=process.wait, daemon=True).start()  # or its end would leave a zombie as long as we live
    return Owner.of(process.pid)


def wait(name: str, seconds: float, say: Callable[[str], None]) -> Waited:
    """The job's end, or after so long how far it is; `say` hears what it says meanwhile. Raises RequestError."""
    deadline = time.monotonic() + seconds
    with reading() as file:
        job = _known(file).get(name)
        heard = _Log(job["id"])
        while job["state"] == "running" and (left := deadline - time.monotonic()) > 0:
            time.sleep(min(LOOK_SECONDS, left))
            for line in heard.news():
                say(line)
            job = _known(file).get(job["id"])
        rows = file.rows(underway.RUNNING) if file is not None else []
    runs = tuple(underway.run(row, job["pid"]) for row in rows if job["state"] == "running" and _is_by(row, job))
    return Waited(**_about(job), runs=runs, said=tuple(heard.last()), result=job["result"])


def _known(file: LedgerFile | None) -> Any:
    if file is None:
        raise RequestError("jobs.unknown", "", "no job was ever started here", hint="foundry start VERB …")
    return Ledger(file).jobs


def _is_by(row: dict[str, Any], job: dict[str, Any]) -> bool:
    return row["owner"] == job["owner"]


def jobs(limit: int, offset: int) -> Jobs:
    """The newest first."""
    with reading() as file:
        rows = Ledger(file).jobs.latest(limit + 1, offset) if file is not None else []
    return Jobs(jobs=tuple(Job(**_about(row)) for row in rows[:limit]), more=len(rows) > limit)


def _about(row: dict[str, Any]) -> dict[str, Any]:
    same = {name: row[name] for name in ("key", "state", "exit_code", "pid")}
    times = {"created_unix": row["created"], "ended_unix": row["ended"]}
    return {"job": row["id"], "command": tuple(row["command"]), **same, **times, "log": str(folder(row["id"]) / "log")}


class _Log:
    """What a job has said: a line of JSON a fact, as its command tells programs."""

    def __init__(self, job: str) -> None:
        self._path = folder(job) / "log"
        self._at = self._size()

    def _size(self) -> int:
        return self._path.stat().st_size if self._path.exists() else 0

    def news(self) -> Iterator[str]:
        """What was said since the last time, whole lines alone."""
        self._at = min(self._at, self._size())  # it was begun anew
        whole = self._read(self._at).rpartition(b"\n")[0]
        self._at += len(whole) + bool(whole)
        return _sentences(whole)

    def last(self) -> list[str]:
        return list(_sentences(self._read(max(0, self._size() - SAID_BYTES))))[-SAID_LINES:]

    def _read(self, at: int) -> bytes:
        if not self._path.exists():
            return b""
        with self._path.open("rb") as file:
            file.seek(at)
            return file.read(1 << 20)


def _sentences(log: bytes) -> Iterator[str]:
    return filter(None, map(_sentence, log.decode(errors="replace").splitlines()))


def _sentence(line: str) -> str:
    """A fact of a command's, in words."""
    try:
        facts = json.loads(line)
    except ValueError:
        return line
    if not isinstance(facts, dict):
        return line
    run = str(facts.get("run", ""))[:8]
    if "say" in facts:
        return untrusted.text(facts["say"]).strip()
    if "step" in facts:
        loss = f", loss {facts['loss']:.3f}" if isinstance(facts.get("loss"), float) else ""
        return f"{run}: step {facts['step']} of {facts['steps']}{loss}"
    if "stage" in facts:
        return f"{run}: {facts['stage']} {untrusted.text(facts.get('name'))}, seed {facts.get('seed')}"
    if "status" in facts:
        bpb = f", {facts['val_bpb']:.4f} bits per byte" if isinstance(facts.get("val_bpb"), float) else ""
        return f"{run}: {facts['status']}{bpb}"
    return line
