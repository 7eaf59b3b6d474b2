"""Of what goes on and what it leaves: what `ps`, `stop`, `clean` and `curve` answer."""

from __future__ import annotations

from foundry.documents.document import Document, Integer


class Process(Document):
    """A process that works on the ledger, and by whom. campaign: its baseline's track, where it runs one; runs: those
    that it trains now."""

    pid: int
    user: str
    command: str
    campaign: str | None
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


class Stopped(Document):
    """ended: whether it is gone by now, or still saves; the same command as before goes on with what it left."""

    pid: int
    command: str
    campaign: str | None
    runs: tuple[str, ...]
    by: str
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
    rule: str
    standing_rule: str
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
    png: str | None


class Tracked(Document):
    """What `track` sent. runs: those that had something new, of all that were ever begun; points: lines of losses."""

    tracker: str
    into: str
    runs: int
    points: int
    of_runs: int
