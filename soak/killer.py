"""Kills a campaign again and again, and checks what it left: the promises, and what breaks them.

The controller is forked from this process, where everything is imported already, so a kill costs tenths of a second.
Only processes that it started are killed.
"""

from __future__ import annotations

import itertools
import multiprocessing.forkserver
import os
import random
import signal
import sqlite3
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from foundry.campaign.state import folded
from foundry.core.errors import FoundryError
from foundry.ledger.lease import is_alive
from foundry.ledger.ledger import Ledger
from foundry.recipe import Recipe
from soak.lab import BASELINE, TRACK

Controller = Callable[[], Any]


@dataclass
class Seen:
    """What was on record at some kill, and must be so at the end."""

    runs: dict[str, tuple[int, float]] = field(default_factory=dict)
    """Of each finished run: how often it was trained, its score."""
    promotions: list[str] = field(default_factory=list)
    kills: int = 0
    restarts: int = 0

    def look(self) -> None:
        """Note what is finished by now. Raises AssertionError when something that was finished isn't any more."""
        if not Path("runs/ledger.db").exists():
            return
        now, promotions = on_record()
        lost = self.runs.keys() - now.keys()
        assert not lost, f"{len(lost)} finished runs are lost"
        again = [run for run, (attempts, bpb) in self.runs.items() if now[run] != (attempts, bpb)]
        assert not again, f"{len(again)} finished runs were trained again"
        assert promotions[: len(self.promotions)] == self.promotions, "a promotion is gone"
        self.runs, self.promotions = now, promotions


def on_record() -> tuple[dict[str, tuple[int, float]], list[str]]:
    with sqlite3.connect("runs/ledger.db", timeout=30) as connection:
        if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'events'").fetchone() is None:
            return {}, []  # it is being made
        runs = connection.execute(
            "SELECT runs.id || scores.split, attempts, bpb FROM runs JOIN scores ON run = runs.id WHERE status = 'done'"
        )
        promotions = connection.execute("SELECT id FROM promotions ORDER BY seq")
        found = {run: (attempts, bpb) for run, attempts, bpb in runs}, [row[0] for row in promotions]
    connection.close()
    return found


def spawn(controller: Controller) -> int:
    """Start the controller in a process of its own; its pid. It leaves with 0 when its campaign is over."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.setpgid(0, 0)
            multiprocessing.forkserver._forkserver.__init__()  # type: ignore[attr-defined] (this process's isn't its)
            with open("controller.log", "a") as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            controller()
            code = 0
        except FoundryError as error:
            os.write(2, f"{error}\n".encode())
        except BaseException:
            os.write(2, traceback.format_exc().encode())
        finally:
            os._exit(code)
    return pid


def descendants(pid: int) -> list[int]:
    """The forkserver and its workers, of a controller that runs."""
    found: list[int] = []
    try:
        for task in Path(f"/proc/{pid}/task").iterdir():
            for child in (task / "children").read_text().split():
                found += [int(child), *descendants(int(child))]
    except OSError:
        return found
    return found


def kill_often(
    controller: Controller, kills: int, seed: int, longest: float = 1.0, workers: float = 0.4, patience: float = 120.0
) -> Seen:
    """Kill controllers, or workers in a share of the cases, until `kills` is reached; then let the campaign end.

    Raises AssertionError when a finished run is lost or trained again, a promotion disappears, or nothing moves."""
    rng, seen, orphans = random.Random(seed), Seen(), set[int]()
    pid = spawn(controller)
    while seen.kills < kills:
        time.sleep(rng.uniform(0.02, longest))
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            assert status == 0, Path("controller.log").read_text()[-2000:]
            seen.look()
            pid = spawn(controller)  # the same command, done, is a new request
            seen.restarts += 1
            continue
        below = descendants(pid)
        orphans.update(below)
        if below and rng.random() < workers:
            victim = rng.choice(below)
            _kill(victim)
        else:
            _kill(pid)
            os.waitpid(pid, 0)
            seen.look()
            pid = spawn(controller)
        seen.kills += 1
    moved, known = time.monotonic(), len(seen.runs)
    while (ended := os.waitpid(pid, os.WNOHANG))[0] == 0:
        seen.look()
        if len(seen.runs) > known:
            moved, known = time.monotonic(), len(seen.runs)
        if time.monotonic() > moved + patience:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            raise AssertionError(f"stuck: no score in {patience:.0f} s, though nothing is killed any more")
        time.sleep(0.5)
    assert ended[1] == 0, Path("controller.log").read_text()[-2000:]
    seen.look()
    check_at_rest()
    left = [orphan for orphan in orphans if _is_ours(orphan)]
    assert not left, f"processes left behind: {left}"
    return seen


def check_at_rest() -> None:
    """When nobody runs: no lease, no open test but one that waits for the next command, one line of champions without
    a branch, the file at its end."""
    with Ledger.open() as ledger:
        lineage = ledger.promotions.lineage(TRACK)
        for before, after in itertools.pairwise(lineage):
            assert after["from_fp"] == before["to_fp"], "the line of champions has a gap"
        verdicts = [entry["verdict"] for entry in lineage if entry["verdict"]]
        assert len(set(verdicts)) == len(verdicts), "a verdict promoted twice"
        assert lineage[-1]["to_fp"] == Recipe.load(BASELINE).fingerprint, "the file is not the champion"
        events = list(ledger.campaigns.events(TRACK))
        state = folded(events)
        waits = state.in_court or state.prunable is not None  # for the next command: the limit cut it
        assert len(ledger.budget.open_tests()) <= waits, "a test was left open"
        rulings = [event["verdict"] for event in events if event["kind"] == "certified"]
        assert len(set(rulings)) == len(rulings), "one ruling was told twice"
        rounds = [event["kind"] for event in events if event["kind"] in ("round", "raced")]
        cut = ["round"] if state.open is not None else []
        assert rounds == ["round", "raced"] * (len(rounds) // 2) + cut, "a round was lost or run twice"
        fence = ledger.campaigns.begin()
        ledger.campaigns.end(fence)
        held = ledger._file.rows("SELECT owner FROM runs WHERE status = 'running'")  # pyright: ignore
    # A run whose owner is dead may stand there: the pair that it was for is decided, and whoever wants it may have it.
    assert not [row for row in held if is_alive(row["owner"])], "somebody still holds a run"


def _kill(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return


def _is_ours(pid: int) -> bool:
    """Whether a process that was seen below a controller still runs."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        return stat[0] not in "ZX" and b"multiprocessing.forkserver" in Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
