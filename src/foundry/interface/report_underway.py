"""What people read of what goes on: `ps`, `stop`, `clean`, and curves drawn in the terminal. May not: compute."""

from __future__ import annotations

import json
import shlex
import time

from foundry.documents import comparison, underway
from foundry.interface.report import seconds, signed
from foundry.interface.report_campaign import interval
from foundry.interface.terminal import console, table

WIDTH, HEIGHT = 72, 16
MARKS = "*o+x#@%&"


def ps(document: underway.Underway) -> None:
    if not document.processes:
        return console.print("Nothing runs on this ledger.")
    rows = [
        (str(p.pid), p.user, _ago(p.since_unix), _as(p), str(len(p.runs)), p.command)
        for p in document.processes
    ]  # fmt: skip
    table("", ("process", "by", "for", "", "runs", "command"), rows)
    runs = [
        (run.run[:12], run.name, f"{run.tokens / max(1, run.budget_tokens):.0%}", _loss(run.loss), _ago(run.since_unix),
         seconds(run.eta_seconds) if run.eta_seconds is not None else "", str(run.pid))
        for run in document.runs
    ]  # fmt: skip
    if runs:
        table("", ("run", "name", "done", "train loss", "for", "seconds to go", "process"), runs)
    return console.print("Stop one with: foundry stop [CAMPAIGN|JOB|RUN]")


def _as(process: underway.Process) -> str:
    job = f"job {process.job}" if process.job else ""
    return ", ".join(filter(None, (job, f"campaign on {process.campaign}" if process.campaign else "")))


def started(document: underway.Started) -> None:
    was = "" if document.begun else f"was there already, and is {document.state}: "
    console.print(f"Job {document.job} {was}{shlex.join(document.command)}")
    console.print(f"See: foundry wait {document.job}; foundry stop {document.job}; {document.log}")


def waited(document: underway.Waited) -> None:
    """Its state, then what it trains or what came of it."""
    code = f", exit code {document.exit_code}" if document.exit_code else ""
    console.print(f"Job {document.job} is {document.state}{code}: {shlex.join(document.command)}")
    for run in document.runs:
        loss = f", loss {_loss(run.loss)}" if run.loss is not None else ""
        console.print(f"  {run.run[:12]} {run.name}: {run.tokens / max(1, run.budget_tokens):.0%}{loss}")
    if document.result is not None:
        return console.print(json.dumps(document.result, indent=2))
    for line in document.said:
        console.print(f"  {line}")
    if document.state == "lost":
        key = f" --key {shlex.quote(document.key)}" if document.key else ""
        console.print(f"Its process is gone; it goes on with: foundry start {shlex.join(document.command)}{key}")
    return None


def jobs(document: underway.Jobs) -> None:
    if not document.jobs:
        return console.print("Nothing was ever started here: foundry start VERB …")
    rows = [
        (each.job, each.key or "", each.state, _ago(each.created_unix), shlex.join(each.command))
        for each in document.jobs
    ]
    table("", ("job", "key", "status", "since", "command"), rows)
    return console.print("There are older ones: --offset") if document.more else None


def stopped(document: underway.Stopped) -> None:
    said = "has ended" if document.ended else "was asked to end, and still saves"
    console.print(f"Process {document.pid} {said}: {document.command}")
    console.print("The same command goes on from there.")


def cleaned(document: underway.Cleaned) -> None:
    rows = [(run.run[:12], run.name, f"{run.bytes / 1e6:.1f} MB") for run in document.runs]
    if rows:
        table("", ("run", "name", "weights"), rows)
    would = "Would free" if document.dry_run else "Freed"
    console.print(f"{would} {document.freed_bytes / 1e6:.1f} MB of {len(rows)} runs; "
                  f"{document.left_bytes / 1e6:.1f} MB stay.")  # fmt: skip
    console.print(
        f"--keep {document.keep}: {document.rule}. As runs end, without being asked: {document.standing_rule}."
    )


def curves(document: underway.Curves) -> None:
    """All on one grid: the mark of each run, and the last one's where two meet."""
    points = [(step, loss) for each in document.curves for step, loss in zip(each.steps, each.losses, strict=True)]
    last = max(step for step, _ in points)
    low, high = min(loss for _, loss in points), max(loss for _, loss in points)
    grid = [[" "] * WIDTH for _ in range(HEIGHT)]
    for i, each in enumerate(document.curves):
        for step, loss in zip(each.steps, each.losses, strict=True):
            row = round((high - loss) / ((high - low) or 1.0) * (HEIGHT - 1))
            grid[row][round(step / last * (WIDTH - 1))] = MARKS[i % len(MARKS)]
    for i, line in enumerate(grid):
        label = f"{high:.3f}" if i == 0 else f"{low:.3f}" if i == HEIGHT - 1 else ""
        console.print(f"{label:>9} |{''.join(line).rstrip()}")
    console.print(f"{'':>9} +{'-' * WIDTH}\n{'':>11}0{last:>{WIDTH - 1}} steps")
    for i, each in enumerate(document.curves):
        bpb = f", {each.val_bpb:.4f} bits per byte" if each.val_bpb is not None else ""
        name = f"{each.run[:12]} {each.name}"
        console.print(f"  {MARKS[i % len(MARKS)]} {name}: loss {each.losses[-1]:.4f} at step {each.steps[-1]}{bpb}")
    if document.png:
        console.print(f"Picture: {document.png}")


def comparisons(document: comparison.Comparisons) -> None:
    rows = [
        (
            each.arms[1].name,
            each.verdict,
            signed(each.effect_bpb),
            interval(each.interval_bpb),
            str(each.n),
            each.report,
        )
        for each in document.comparisons
    ]
    base = document.comparisons[0].arms[0].name
    table(f"Against {base}", ("candidate", "verdict", "gain", "95 % interval", "pairs", "report"), rows)
    console.print(f"Each by itself at its rate; nothing corrects for {len(rows)} of them.")


def _ago(unix: float | None) -> str:
    return "" if unix is None else seconds(max(0.0, time.time() - unix))


def _loss(value: float | None) -> str:
    return "" if value is None else f"{value:.4f}"


def tracked(document: underway.Tracked) -> None:
    console.print(
        f"{document.tracker}: {document.points:,} points, news of {document.runs:,} of {document.of_runs:,} runs, in "
        f"{document.into}"
    )
