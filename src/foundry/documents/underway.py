"""Of what goes on and what it leaves: what `ps`, `stop`, `start`, `wait`, `jobs`, `clean` and `curve` answer."""

from __future__ import annotations

from typing import Literal

from foundry.documents.document import Document, Foreign, Integer, Ours, Printed


class Process(Document):
    """A process that works on the ledger, and by whom. campaign: its baseline's track, where it runs one; job: where it
    is one's; runs: those that it trains now."""

    pid: int
    user: str
    command: Foreign
    campaign: str | None
    job: str | None
    since_unix: float | None
    runs: tuple[str, ...]


class UnderwayRun(Document):
    """A run that is trained now; its pace, and with it `eta_seconds`, is null until it is known."""

    run: str
    recipe: str
    name: str
    seed: Integer
    pid: int
    since_unix: float | None
    step: int | None
    tokens: int
    budget_tokens: int
    loss: float | None
    eta_seconds: float | None


class Underway(Document):
    processes: tuple[Process, ...]
    runs: tuple[UnderwayRun, ...]


class Job(Document):
    """A command that goes on by itself. lost: its process is gone without a word, and the same key takes it up again;
    stopped: as by Ctrl-C. log: what it says as it goes on, on the disk while the job is among the newest."""

    job: str
    key: str | None
    command: tuple[str, ...]
    state: Literal["running", "done", "failed", "stopped", "lost"]
    exit_code: int | None
    pid: int | None
    created_unix: float
    ended_unix: float | None
    log: str


class Started(Job):
    """begun: whether a process was started for it now; false where the job was there already."""

    begun: bool


class Waited(Job):
    """How far a job is, or its end. runs: those that it trains now; said: its last words; result: what its command
    printed at its end, a document or an error."""

    runs: tuple[UnderwayRun, ...]
    said: tuple[Foreign, ...]
    result: Printed


class Jobs(Document):
    """The newest first; more: whether there are older ones."""

    jobs: tuple[Job, ...]
    more: bool


class Stopped(Document):
    """ended: whether it is gone by now, or still saves; the same command as before goes on with what it left."""

    pid: int
    command: Foreign
    campaign: str | None
    job: str | None
    runs: tuple[str, ...]
    by: Foreign
    ended: bool


class CleanedRun(Document):
    run: str
    recipe: str
    name: str
    bytes: int


class Cleaned(Document):
    """Weights that were removed, or with `dry_run` would be. rule: in words, what stays; standing_rule: what is kept
    without anybody asking, as runs end."""

    keep: str
    older_seconds: float
    dry_run: bool
    rule: Ours
    standing_rule: Ours
    runs: tuple[CleanedRun, ...]
    freed_bytes: int
    left_bytes: int


class RunCurve(Document):
    run: str
    name: str
    seed: Integer
    status: str
    val_bpb: float | None
    steps: tuple[int, ...]
    losses: tuple[float, ...]


class Curves(Document):
    """Training losses, in nats a token; png: the picture that was written."""

    curves: tuple[RunCurve, ...]
    png: Ours | None


class Tracked(Document):
    """What `track` sent. runs: those that had something new, of all that were ever begun; points: lines of losses."""

    tracker: str
    into: Ours
    runs: int
    points: int
    of_runs: int
