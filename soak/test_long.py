"""Ten thousand runs in one campaign: memory, descriptors, processes and the time of a decision stay flat, and weights
of the baseline's size and runs' folders take no more of the disk than their rules say.
"""

from __future__ import annotations

import json
import mmap
import os
import time
from typing import Any

import numpy as np
import pytest

from foundry.core import places
from foundry.execute.linux import children, resident_bytes
from foundry.ledger import folders, weights
from soak.lab import make_home, run_fake
from soak.trainer import WEIGHTS_BYTES

RUNS = int(os.environ.get("SOAK_RUNS", "10000"))
WARM = 3000
"""Runs before anything is measured. Until then what has a fixed size fills (the 512 trials that beliefs rest on, the
words tried on a frontier): 10 MB in the first 2,000 runs. What is kept for ever is a fingerprint a trial."""
MOST_BYTES_A_RUN = 1024
LEAK_BYTES_A_RUN = 2 * MOST_BYTES_A_RUN
"""What the control keeps, once the measurement is over."""
CONTROL_RUNS = 1500


class Watch:
    """Told of every event, it notes what the controller uses. After `leak_from` runs it keeps memory for each."""

    def __init__(self, leak_from: int) -> None:
        self.rows: list[tuple[int, int, int, int]] = []
        self.decisions: list[tuple[int, float]] = []
        self._leak_from, self._leaked, self._hoard = leak_from, leak_from, []
        self._before = time.monotonic()

    def __call__(self, event: dict[str, Any], state: Any) -> None:
        now = time.monotonic()
        if event["kind"] == "round":
            self.decisions.append((state.runs, now - self._before))
        if state.runs > self._leaked:
            size = (state.runs - self._leaked) * LEAK_BYTES_A_RUN
            page = mmap.mmap(-1, size)  # of its own: memory that was given back earlier would hide it
            page.write(b"x" * size)
            self._hoard.append(page)
            self._leaked = state.runs
        descriptors = len(os.listdir("/proc/self/fd"))
        self.rows.append((state.runs, resident_bytes(os.getpid()), descriptors, len(children(os.getpid()))))
        self._before = time.monotonic()

    def report(self) -> dict[str, Any]:
        rows = np.array(self.rows, dtype=float)
        runs, resident, descriptors, processes = rows[(rows[:, 0] >= WARM) & (rows[:, 0] <= self._leak_from)].T
        seconds = np.array([each for at, each in self.decisions if WARM <= at <= self._leak_from])
        leaking = rows[rows[:, 0] > self._leak_from]
        half, every = len(seconds) // 2, max(1, len(rows) // 10)
        return {
            "runs": runs[-1],
            "bytes_a_run": float(np.polyfit(runs, resident, 1)[0]),
            "bytes_a_run_with_a_leak": float(np.polyfit(leaking[:, 0], leaking[:, 1], 1)[0]),
            "megabytes_by_runs": {int(at): round(size / 2**20, 1) for at, size, *_ in rows[::every]},
            "descriptors_grown": float(np.median(descriptors[-20:]) - np.median(descriptors[:20])),
            "processes_grown": float(np.median(processes[-20:]) - np.median(processes[:20])),
            "decision_ms_first_half": 1e3 * float(np.median(seconds[:half])),
            "decision_ms_second_half": 1e3 * float(np.median(seconds[half:])),
        }


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of the campaign, in a fork, so that this process's own memory, folder and variables have no part in it."""
    assert RUNS >= 2 * WARM, f"SOAK_RUNS: at least {2 * WARM}, half of them before anything is measured"
    home = tmp_path_factory.mktemp("long")
    pid = os.fork()
    if pid == 0:
        try:
            make_home(home / "home", home / "cache")
            watch = Watch(leak_from=RUNS)
            run_fake(RUNS + CONTROL_RUNS, told=watch)
            kept = [place.parent.name for place in places.runs().glob("*/checkpoint")]
            found = {"weights_bytes": sum(map(weights.size_bytes, kept)), "with_weights": len(kept)}
            found |= {"folders": len(list(places.runs().glob("*/recipe.yaml")))}
            (home / "report.json").write_text(json.dumps({**watch.report(), **found}))
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    found = json.loads((home / "report.json").read_text())
    print(found)
    return found


def test_a_long_campaign_stays_flat(report: dict[str, Any]) -> None:
    assert report["runs"] >= RUNS * 0.95
    assert report["bytes_a_run"] < MOST_BYTES_A_RUN
    assert report["descriptors_grown"] <= 1 and report["processes_grown"] <= 0
    assert report["decision_ms_second_half"] < 2 * report["decision_ms_first_half"]


def test_the_same_measure_sees_a_leak(report: dict[str, Any]) -> None:
    assert report["bytes_a_run_with_a_leak"] > MOST_BYTES_A_RUN


def test_what_runs_leave_on_the_disk_stays_within_the_rules(report: dict[str, Any]) -> None:
    assert report["weights_bytes"] <= weights.MOST_BYTES + weights.CHAMPIONS * WEIGHTS_BYTES
    assert report["folders"] <= folders.MOST + folders.EVERY + report["with_weights"] < RUNS
