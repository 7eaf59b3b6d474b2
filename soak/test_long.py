"""Ten thousand runs in one campaign: memory, descriptors, processes and the time of a decision stay flat, and weights
of the baseline's size take no more of the disk than the rule says."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from foundry.core import places
from foundry.execute.linux import children, resident_bytes
from foundry.ledger import weights
from soak.lab import home_of_its_own, run_fake
from soak.trainer import WEIGHTS_BYTES

RUNS = int(os.environ.get("SOAK_RUNS", "10000"))
MOST_BYTES_A_RUN = 1024


class Watch:
    """Told of every event, it notes what the controller uses. hoard: bytes that it keeps for each, as a leak would."""

    def __init__(self, hoard: int = 0) -> None:
        self.rows: list[tuple[int, int, int, int]] = []
        self.decisions: list[tuple[int, float]] = []
        self._hoard, self._size = [], hoard
        self._before = time.monotonic()

    def __call__(self, event: dict[str, Any], state: Any) -> None:
        now = time.monotonic()
        if event["kind"] == "round":
            self.decisions.append((state.runs, now - self._before))
        if self._size:
            self._hoard.append(os.urandom(self._size))
        descriptors = len(os.listdir("/proc/self/fd"))
        self.rows.append((state.runs, resident_bytes(os.getpid()), descriptors, len(children())))
        self._before = time.monotonic()

    def report(self) -> dict[str, Any]:
        """Slopes a run, after the first third: caches of a fixed size (SQLite's pages, words tried on a frontier, 512
        trials) are full after some 3,000 runs, and until then grow by 2 KB a run."""
        runs, resident, descriptors, processes = np.array(self.rows, dtype=float)[len(self.rows) // 3 :].T
        at, seconds = np.array(self.decisions).T
        half = len(at) // 2
        return {
            "runs": runs[-1],
            "bytes_a_run": float(np.polyfit(runs, resident, 1)[0]),
            "megabytes": resident[-1] / 2**20,
            "megabytes_by_tenths": [round(row[1] / 2**20, 1) for row in self.rows[:: max(1, len(self.rows) // 10)]],
            "descriptors_grown": float(np.median(descriptors[-20:]) - np.median(descriptors[:20])),
            "processes_grown": float(np.median(processes[-20:]) - np.median(processes[:20])),
            "decision_ms_first_half": 1e3 * float(np.median(seconds[:half])),
            "decision_ms_second_half": 1e3 * float(np.median(seconds[half:])),
        }


def in_a_process_of_its_own(runs: int, hoard: int) -> dict[str, Any]:
    """The campaign, in a fork, so that this process's own memory has no part in it."""
    out = Path("report.json").absolute()
    pid = os.fork()
    if pid == 0:
        try:
            watch = Watch(hoard)
            run_fake(runs, told=watch)
            kept = [place.parent.name for place in places.runs().glob("*/checkpoint")]
            out.write_text(json.dumps({**watch.report(), "weights_bytes": sum(map(weights.size_bytes, kept))}))
        finally:
            os._exit(0)
    os.waitpid(pid, 0)
    return json.loads(out.read_text())


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home_of_its_own(tmp_path, monkeypatch)


def test_a_long_campaign_stays_flat(place: None) -> None:
    report = in_a_process_of_its_own(RUNS, hoard=0)
    print(report)
    assert report["runs"] >= RUNS * 0.95
    assert report["bytes_a_run"] < MOST_BYTES_A_RUN
    assert report["descriptors_grown"] <= 1 and report["processes_grown"] <= 0
    assert report["weights_bytes"] <= weights.MOST_BYTES + weights.CHAMPIONS * WEIGHTS_BYTES
    assert report["decision_ms_second_half"] < 2 * report["decision_ms_first_half"]


def test_the_same_measure_sees_a_leak(place: None) -> None:
    report = in_a_process_of_its_own(RUNS // 5, hoard=20_000)
    print(report)
    assert report["bytes_a_run"] > MOST_BYTES_A_RUN
