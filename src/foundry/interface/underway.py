"""What works on the ledger now: which processes, by whom, on which runs; stopping one; the curves of runs. May not:
train, or import torch.
"""

from __future__ import annotations

import getpass
import os
import pwd
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foundry.core import places
from foundry.core.errors import RequestError, WorkError
from foundry.documents.underway import Curves, Process, RunCurve, Stopped, Underway, UnderwayRun
from foundry.interface.web import curves
from foundry.ledger import queries, stops
from foundry.ledger.campaigns import LEASE
from foundry.ledger.file import LedgerFile
from foundry.ledger.lease import Owner, is_alive
from foundry.ledger.ledger import Ledger
from foundry.ledger.queries import reading

POINTS = 400
STOP_SECONDS = 30.0
RUNNING = """SELECT runs.id AS run, runs.recipe, recipes.name, runs.seed, runs.owner, runs.budget_tokens, runs.started
    FROM runs JOIN recipes ON recipes.fingerprint = runs.recipe WHERE runs.status = 'running' ORDER BY runs.seq"""


@dataclass
class _Work:
    """What a living process does: since when, by the ledger; on which campaign's track, as which job, on which runs."""

    since: list[float] = field(default_factory=list)
    campaign: str | None = None
    job: dict[str, Any] | None = None
    runs: list[dict[str, Any]] = field(default_factory=list)

    @property
    def names(self) -> list[str]:
        """What a person may call it by, besides its process's number."""
        job = [name for name in (self.job["id"], self.job["key"]) if name] if self.job else []
        return [*([self.campaign] if self.campaign else []), *job, *(row["run"][:12] for row in self.runs)]


def ps() -> Underway:
    """What living processes do; what dead ones left as running isn't there."""
    with reading() as file:
        found = _found(file) if file is not None else {}
    runs = tuple(run(row, owner.pid) for owner, work in found.items() for row in work.runs)
    return Underway(processes=tuple(_process(owner, work) for owner, work in found.items()), runs=runs)


def _found(file: LedgerFile) -> dict[Owner, _Work]:
    """Living owners, and what each does."""
    found: defaultdict[Owner, _Work] = defaultdict(_Work)
    for job in Ledger(file).jobs.running():
        work = found[Owner.parse(job["owner"])]
        work.job = job
        work.since.append(job["created"])
    known = file.row("SELECT 1 FROM sqlite_master WHERE name = 'leases'") is not None
    lease = file.row("SELECT owner, taken FROM leases WHERE name = ?", LEASE) if known else None
    if lease is not None and is_alive(lease["owner"]):
        event = file.row("SELECT track FROM events ORDER BY seq DESC LIMIT 1")
        work = found[Owner.parse(lease["owner"])]
        work.campaign = event["track"] if event else "campaign"
        work.since.append(lease["taken"])
    for row in file.rows(RUNNING):
        if is_alive(row["owner"]):
            work = found[Owner.parse(row["owner"])]
            work.runs.append(row)
            work.since.append(row["started"])
    return found


def _process(owner: Owner, work: _Work) -> Process:
    return Process(
        pid=owner.pid,
        user=_user(owner.pid),
        command=_command(owner.pid),
        campaign=work.campaign,
        job=work.job["id"] if work.job else None,
        since_unix=min(work.since),
        runs=tuple(row["run"] for row in work.runs),
    )


def run(row: dict[str, Any], pid: int) -> UnderwayRun:
    """A row of `RUNNING`, and how far it is by what it wrote."""
    points = curves.read(row["run"])
    tokens = int(points.steps[-1] * points.per_step) if points.steps else 0
    left = points.seconds * (row["budget_tokens"] - tokens) / tokens if tokens else None
    return UnderwayRun(
        **{key: row[key] for key in ("run", "recipe", "name", "seed", "budget_tokens")},
        pid=pid,
        since_unix=row["started"],
        step=points.steps[-1] if points.steps else None,
        tokens=tokens,
        loss=points.losses[-1] if points.losses else None,
        eta_seconds=max(left, 0.0) if left is not None else None,
    )


def _user(pid: int) -> str:
    try:
        number = Path(f"/proc/{pid}").stat().st_uid
    except OSError:
        return ""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:  # a user without an entry in the machine's list
        return str(number)


def _command(pid: int) -> str:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    return " ".join(filter(None, words))[:400]


def stop(name: str | None, who: str) -> Stopped:
    """Ask the process that runs a campaign (its baseline file), a job or a run (the beginning of its id) to end, or the
    only one there is. Raises RequestError for what doesn't run, WorkError for what can't be stopped."""
    with reading() as file:
        found = _found(file) if file is not None else {}
    choices = [each for owner, work in found.items() for each in (*work.names, str(owner.pid))]
    if name is None and len(found) != 1:
        message = "more than one process runs" if found else "nothing runs on this ledger"
        raise RequestError("stop.which" if found else "stop.nothing", "", message, choices=choices)
    chosen = [owner for owner, work in found.items() if name is None or _means(name, owner, work.names)]
    if len(chosen) != 1:
        message = "more than one begins so" if chosen else "nothing of that name runs"
        raise RequestError(
            "stop.which" if chosen else "stop.not_running", name or "", message, got=name, choices=choices
        )
    (owner,) = chosen
    process = _process(owner, found[owner])
    by = f"{who or _myself()}, with foundry stop"
    try:
        ended = stops.stop(owner, by, STOP_SECONDS)
    except AttributeError:  # no pidfd: no Linux
        raise WorkError("stop.platform", "", "stopping needs Linux", hint="interrupt it where it runs") from None
    about = {key: getattr(process, key) for key in ("pid", "command", "campaign", "job", "runs")}
    return Stopped(**about, by=by, ended=ended)


def _means(name: str, owner: Owner, known: list[str]) -> bool:
    """Whether a person who says so means that process."""
    track, short = places.track(Path(name)) if "\0" not in name else name, name[:12]
    runs = any(each.startswith(short) for each in known) and short.isalnum() and len(short) >= 4
    return name == str(owner.pid) or name in known or track in known or runs


def _myself() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"user {os.getuid()}"


def curve(names: list[str], png: Path | None) -> Curves:
    """The training curves of runs, and a picture of them. Raises RequestError for an unknown run, or one without a
    curve left."""
    found: list[RunCurve] = []
    for name in names:
        row = queries.run(name)
        points = curves.read(row.run)
        if not points.steps:
            hint = f"foundry train {row.run[:12]} --weights makes it again" if row.status == "done" else "foundry ps"
            raise RequestError("curve.nothing", row.run[:12], "no losses of this run are on the disk", hint=hint)
        steps, losses = curves.thinned(points.steps, points.losses, POINTS)
        about = {key: getattr(row, key) for key in ("run", "name", "seed", "status", "val_bpb")}
        found.append(RunCurve(**about, steps=steps, losses=losses))
    if png is not None:
        _draw(found, png)
    return Curves(curves=tuple(found), png=str(png) if png is not None else None)


def _draw(found: list[RunCurve], png: Path) -> None:
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        hint = "pip install 'foundry-train[plot]'"
        raise RequestError("curve.no_plot", "--png", "a picture needs matplotlib", hint=hint) from None
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for each in found:
        label = f"{each.name} · {each.run[:8]}".replace("$", "\\$")  # no name is a formula
        axes.plot(each.steps, each.losses, label=label, linewidth=1)
    axes.set(xlabel="step", ylabel="training loss, nats a token")
    axes.legend()
    figure.savefig(png, dpi=150, format="png")
